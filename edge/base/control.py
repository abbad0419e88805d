"""Requests from outside to a running run: stop, or read the thresholds again; and the log for people."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
