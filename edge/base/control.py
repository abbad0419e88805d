"""What the world asks of a running run: to stop, or to read its thresholds again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


def _silent(line: str) -> None:
    """Say nothing."""


@dataclass
class Control:
    """Flags that signal handlers set and the run looks at between two batches of samples; and where it says things."""

    interrupted: bool = False  # Ctrl-C
    terminated: bool = False  # SIGTERM: a service manager, or the lander going down
    reload: bool = False  # SIGHUP: thresholds are to be read again
    tell: Callable[[str], None] = _silent  # takes one line for people

    @property
    def stop(self) -> bool:
        """Whether to come to an end."""
        return self.interrupted or self.terminated


@contextmanager
def heeding_signals(control: Control) -> Iterator[None]:
    """Have SIGINT, SIGTERM and SIGHUP set the flags of `control`; a second SIGINT interrupts at once.

    Only a process's main thread can; in others nothing happens.
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
    # What is ignored stays so: a shell starts background programs deaf to SIGINT, nohup those deaf to SIGHUP.
    heard = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in heard.items()}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
