"""Between a run and whoever watches it: requests to stop or to read the thresholds again, its log, its signs of life.

Whatever may take long calls `beat` each time that it gets on, and each time that it looks for data and there are none.
Nothing calls it beside them, no timer and no thread: a process that hangs in the runtime, in a system call or in a loop
gives no sign, and whoever waits for one ends it: systemd, a supervisor, or who looks at the file in the run folder.

References
----------
systemd, sd_notify(3) and sd_watchdog_enabled(3): datagrams to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType


def _discard(line: str) -> None:
    """Log nothing."""


@dataclass
class Control:
    """Flags that signal handlers set and the run checks between two batches of samples; and the run's log."""

    interrupted: bool = False  # Ctrl-C
    terminated: bool = False  # SIGTERM: a service manager, or the lander shutting down
    reload: bool = False  # SIGHUP: read the thresholds again
    log: Callable[[str], None] = _discard  # takes one line of text for people

    @property
    def stop(self) -> bool:
        """Whether the run is to end."""
        return self.interrupted or self.terminated


@contextmanager
def signal_handlers(control: Control) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP set the flags of `control`; a second SIGINT interrupts at once.

    Only the main thread of a process can install handlers; in other threads nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if control.interrupted:
            raise KeyboardInterrupt
        control.interrupted = True

    def on_terminate(number: int, frame: FrameType | None) -> None:
        control.terminated = True

    def on_hangup(number: int, frame: FrameType | None) -> None:
        control.reload = True

    handlers = {signal.SIGINT: on_interrupt, signal.SIGTERM: on_terminate}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = on_hangup
    # Ignored signals stay ignored: a shell starts background programs with SIGINT ignored, nohup with SIGHUP ignored.
    installed = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in installed.items()}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


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


PIPE_CLOSED = 141  # exit code of a program whose output nobody reads: as a shell reports one that SIGPIPE has ended


def flush_output() -> bool:
    """Write what stdout has buffered; return False where nobody reads it any more, as behind `| head`.

    What is printed afterwards goes nowhere, so that Python says nothing when it closes the stream at its end.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
