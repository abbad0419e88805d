"""Signs of life of this process: to systemd, to a supervisor that has started it, and as a file in the run folder.

Whatever may take long calls `beat` each time that it gets on, and each time that it looks for data and there are none.
Nothing calls it beside them, no timer and no thread: a process that hangs in the runtime, in a system call or in a loop
gives no sign, and whoever waits for one ends it.

References
----------
systemd, sd_notify(3) and sd_watchdog_enabled(3): datagrams to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

INTERVAL_S = 1.0  # between two signs at most as often as this, however often `beat` is called
FILE_INTERVAL_S = 10.0  # the file's time is changed less often: flash memory wears
_SIGNS_PER_LIMIT = 4  # at least so many in the time after which somebody acts


class Heart:
    """Gives signs of life."""

    def __init__(
        self,
        path: Path | None = None,
        limit_s: float | None = None,
        pipe: int | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Give signs to systemd if `environment` names it, and to the others that are given.

        Parameters
        ----------
        path : the heartbeat file; its folder may not exist yet.
        limit_s : time without a sign after which a supervisor ends this process; systemd's is in the environment.
        pipe : descriptor of a pipe to that supervisor, a byte for a sign; when the supervisor dies, this process gets a
            SIGTERM.
        """
        self._path, self._pipe = path, pipe
        self._address = environment.get("NOTIFY_SOCKET", "")
        limits_s = [] if limit_s is None else [limit_s]
        if self._address and environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError):
                limits_s.append(int(environment.get("WATCHDOG_USEC", "")) / 1e6)
        self._interval_s = min([INTERVAL_S, *(limit_s / _SIGNS_PER_LIMIT for limit_s in limits_s)])
        if pipe is not None:
            os.set_blocking(pipe, False)
        self._next_s = 0.0
        # A run of a second leaves no trace.
        self._next_file_s = time.monotonic() + INTERVAL_S
        self._is_ready = self._is_stopping = self._has_file = False

    def beat(self) -> None:
        """Give a sign of life, unless the last one is too recent."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._interval_s
        if self._path is not None and now_s >= self._next_file_s:  # first: a disk that hangs is a hang
            self._next_file_s = now_s + FILE_INTERVAL_S
            self._touch(self._path)
        self._notify("WATCHDOG=1" if self._is_ready else "READY=1\nWATCHDOG=1")
        self._is_ready = True
        if self._pipe is not None:
            self._tell(self._pipe)

    def stopping(self) -> None:
        """Say that the process ends, as it was asked to."""
        if not self._is_stopping:
            self._is_stopping = True
            self._notify("STOPPING=1")

    def close(self) -> None:
        """Say that the process ends, and delete the file: its time means nothing any more."""
        self.stopping()
        if self._path is not None and self._has_file:
            with suppress(OSError):
                self._path.unlink()

    def _touch(self, path: Path) -> None:
        # A full or read-only disk is no hang; the run notices it when it has something to write.
        with suppress(OSError):
            if not self._has_file:
                path.write_text(f"{os.getpid()}\n", encoding="ascii")
                self._has_file = True
            os.utime(path)

    def _notify(self, message: str) -> None:
        if not self._address:
            return
        import socket  # half a megabyte that a run without systemd does not need

        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode("ascii"), address)

    def _tell(self, pipe: int) -> None:
        try:
            os.write(pipe, b".")
        except BlockingIOError:  # the supervisor is stopped
            pass
        except OSError:
            self._pipe = None
            os.kill(os.getpid(), signal.SIGTERM)


_hearts: list[Heart] = []  # of this process: there are none but while a command runs


def beat() -> None:
    """Give a sign of life where somebody has asked for one."""
    if _hearts:
        _hearts[-1].beat()


def stopping() -> None:
    """Say that the process ends, as it was asked to."""
    if _hearts:
        _hearts[-1].stopping()


@contextmanager
def beating(heart: Heart) -> Iterator[None]:
    """Have `beat` give the signs of `heart` within this context."""
    _hearts.append(heart)
    try:
        yield
    finally:
        _hearts.remove(heart)
        heart.close()
