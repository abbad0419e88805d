"""A supervisor for machines without systemd: starts a runner, and again with --resume when it hangs or crashes.

The runner is a fork of this process, taken before models and data are loaded: most of its memory is shared with it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edgequake.edge.base.control import Control, Heart
from edgequake.edge.base.errors import ConfigError

LEAST_LIMIT_S = 1.0
START_S = 60.0  # more for the first sign of life: on a slow board the runtime and the model take long to load
_POLL_S = 0.25  # a signal, or the end of the runner, is noticed after this time
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0  # before a restart; each is twice the one before
_WELL_S = 600.0  # a runner that has gone on for so long was started well: the next pause is the first again
_UNKILLABLE_S = 10.0  # after which it is said that a killed runner is still there
_KILLED = 128  # and the number of the signal: the exit code of a program that a signal has ended, as in a shell


@dataclass
class _Runner:
    """A runner that has been started, and what has been heard of it."""

    pid: int
    pipe: int  # its signs of life
    heard_s: float
    has_beaten: bool = False
    code: int | None = None  # exit code, negative for a signal; None: it runs
    passed_on: set[int] = field(default_factory=set)  # signals that it has got

    def poll(self) -> bool:
        """Wait a moment for signs of life; return whether there were any."""
        ready, _, _ = select.select([self.pipe], [], [], _POLL_S)
        has_beaten = bool(ready) and bool(os.read(self.pipe, 4096))
        if has_beaten:
            self.heard_s, self.has_beaten = time.monotonic(), True
        elif ready:  # the end of the pipe: the runner ends
            time.sleep(_POLL_S / 10)
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
        return has_beaten

    def send(self, number: int) -> None:
        """Send it a signal."""
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def supervise(run: Callable[[Heart, bool], int], path: Path, limit_s: float, control: Control) -> int:
    """Have `run` run in a process of its own, and again whenever that hangs or crashes; return its exit code.

    Parameters
    ----------
    run : called in the new process with the heart that it is to beat with, and whether it is to continue what an
        earlier process has begun; returns an exit code and raises nothing.
    path : of the heartbeat file.
    limit_s : time without a sign of life after which the process is killed.
    control : its requests to stop, and to reload thresholds, are passed on; takes the log.

    Raises
    ------
    ConfigError
        A time limit that is too short, or a system without `fork`.
    """
    if not limit_s >= LEAST_LIMIT_S:
        raise ConfigError(f"--watchdog {limit_s:g}: expected at least {LEAST_LIMIT_S:g} second(s)")
    if not hasattr(os, "fork"):
        raise ConfigError(
            "--watchdog needs a system with fork, such as Linux; have a service manager restart the runner"
        )
    heart = Heart()
    try:
        return _supervise(run, path, limit_s, control, heart)
    finally:
        heart.close()


def _supervise(run: Callable[[Heart, bool], int], path: Path, limit_s: float, control: Control, heart: Heart) -> int:
    pause_s, is_again = _FIRST_PAUSE_S, False
    while True:
        begun_s = time.monotonic()
        runner = _start(run, path, limit_s, is_again)
        try:
            what = _watch(runner, limit_s, control, heart)
        except KeyboardInterrupt:  # a second Ctrl-C
            runner.send(signal.SIGKILL)
            raise
        finally:
            os.close(runner.pipe)
        if what is None or control.stop:
            return runner.code if runner.code is not None and runner.code >= 0 else _KILLED - (runner.code or 0)
        if time.monotonic() - begun_s > _WELL_S:
            pause_s = _FIRST_PAUSE_S
        control.log(f"the runner {what}: in {pause_s:g} s it is started again with --resume")
        _pause(pause_s, control, heart)
        if control.stop:
            return _KILLED + (signal.SIGTERM if control.terminated else signal.SIGINT)
        pause_s, is_again = min(2 * pause_s, _LONGEST_PAUSE_S), True


def _start(run: Callable[[Heart, bool], int], path: Path, limit_s: float, is_again: bool) -> _Runner:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)  # Ctrl-C reaches it once, passed on by this process
            os.close(reading)
            environment = {name: text for name, text in os.environ.items() if name != "NOTIFY_SOCKET"}
            code = run(Heart(path, limit_s, writing, environment), is_again)
        except BaseException:  # a defect: shown as it would be without a supervisor
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    os.close(writing)
    return _Runner(pid, reading, time.monotonic())


def _watch(runner: _Runner, limit_s: float, control: Control, heart: Heart) -> str | None:
    """Watch a runner until it has ended; return why it must be started again, or None where it has ended by itself."""
    while runner.code is None:
        if runner.poll():
            heart.beat()
        _pass_on(runner, control)
        silent_s = time.monotonic() - runner.heard_s
        if runner.code is None and silent_s > limit_s + (0.0 if runner.has_beaten else START_S):
            _kill(runner, control)
            return f"gave no sign of life for {silent_s:.0f} s and was killed"
    return None if runner.code >= 0 else f"was ended by signal {-runner.code}"


def _pass_on(runner: _Runner, control: Control) -> None:
    if control.reload:
        control.reload = False
        runner.send(signal.SIGHUP)
    for number, is_asked in ((signal.SIGINT, control.interrupted), (signal.SIGTERM, control.terminated)):
        if is_asked and number not in runner.passed_on:
            runner.passed_on.add(number)
            runner.send(number)


def _kill(runner: _Runner, control: Control) -> None:
    """Kill a runner and wait for its end: while it lives, another one cannot have the run folder."""
    runner.send(signal.SIGKILL)
    killed_s, is_told = time.monotonic(), False
    while runner.code is None:
        runner.poll()
        if not is_told and time.monotonic() - killed_s > _UNKILLABLE_S:
            is_told = True
            control.log("the runner cannot be killed, it waits for the disk: check it")


def _pause(pause_s: float, control: Control, heart: Heart) -> None:
    until_s = time.monotonic() + pause_s
    while (left_s := until_s - time.monotonic()) > 0 and not control.stop:
        heart.beat()
        time.sleep(min(left_s, _POLL_S))
