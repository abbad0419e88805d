"""The event hook: a command that is run for each announcement; nothing it does can hold up or stop the detector."""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.control import beat
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import TOLD
from edgequake.edge.operation.announcements import Announcement, ToldLog

_MOST_QUEUED = 64  # announcements whose command has not begun; more are dropped and counted
_GRACE_S = 1.0  # for a killed command to end
_LOOK_S = 0.25  # between two signs of life while commands are waited for


class EventHook:
    """Runs a command once for each announcement, one at a time, with one JSON object on its standard input.

    The commands run beside the detector in a thread: `tell` returns at once, however long they take. A command that
    exceeds `timeout_s` is killed, and what it has started ends with it in any case. What it prints goes to stderr. The
    environment variable EDGEQUAKE_OUT names the folder that the segment's name is relative to, EDGEQUAKE_PHASE says
    "onset" or "final".

    An announcement whose command has not begun is in the state for a checkpoint, and is made after a restart.
    """

    def __init__(self, command: str, timeout_s: float, diagnostics: Diagnostics, out: Path | None = None) -> None:
        """Prepare to run `command`, which is split as a shell would split it but not run by one.

        out : the run folder, which remembers what has been told; None: no restart will ask.

        Raises
        ------
        ConfigError
            There is no such program, or the time limit is not positive.
        """
        if not timeout_s > 0:
            raise ConfigError(f"--on-event-timeout {timeout_s:g}: expected seconds above 0")
        self._command = parse_command(command)
        self._timeout_s, self._diagnostics = timeout_s, diagnostics
        self._environment = dict(os.environ) if out is None else {**os.environ, "EDGEQUAKE_OUT": str(out.absolute())}
        self._out, self._log = out, ToldLog(None)
        self._queued: queue.Queue[str | None] = queue.Queue()
        self._waiting: dict[str, tuple[str, bytes]] = {}  # phase and JSON by name, of what has not begun
        self._held: list[str] = []  # names of those that are not in the queue yet
        self._outcomes: Counter[str] = Counter()  # warnings that are not in the diagnostics yet
        self._lock = threading.Lock()  # guards all of these and the process
        self._process: subprocess.Popen[bytes] | None = None
        self._worker: threading.Thread | None = None
        self._is_over = False

    def open(self, state: State | None) -> None:
        """Continue with what has been told, and with what a checkpoint had still to tell.

        Raises
        ------
        DataError
            The list of what has been told cannot be read.
        """
        self._log = ToldLog(None if self._out is None else self._out / TOLD)
        for name, phase, text in [] if state is None else state["waiting"]:
            self._wait(name, phase, text.encode())
        self.release()

    def state(self) -> State:
        with self._lock:
            return {"waiting": [[name, phase, text.decode()] for name, (phase, text) in self._waiting.items()]}

    def hold(self, announcement: Announcement) -> None:
        """Note what is to be told after the next `release`, unless it has been."""
        text = json.dumps(announcement.fields).encode() + b"\n"
        self._wait(announcement.name, announcement.phase, text)

    def release(self) -> None:
        """Tell what was held."""
        with self._lock:
            released, self._held = self._held, []
        for name in released:
            self._queued.put(name)
        if released and self._worker is None and not self._is_over:
            self._worker = threading.Thread(target=self._work, name="on-event", daemon=True)
            self._worker.start()
        self.report()

    def tell(self, announcement: Announcement) -> None:
        """Queue the command for an announcement, unless it has been run for it."""
        self.hold(announcement)
        self.release()

    def _wait(self, name: str, phase: str, text: bytes) -> None:
        with self._lock:
            if self._is_over or name in self._log or name in self._waiting:
                return
            if len(self._waiting) < _MOST_QUEUED:
                self._waiting[name] = phase, text
                self._held.append(name)
                return
        self._count(f"announcement(s) without --on-event: more than {_MOST_QUEUED} were queued for the command")

    def report(self) -> None:
        """Move the warnings to the diagnostics, which belong to the thread of the run."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, Counter()
        for text, n in outcomes.items():
            self._diagnostics.count(text, n)

    def close(self) -> None:
        """Wait for the queued commands, all together no longer than the time limit of one; drop the rest."""
        if self._worker is not None and not self._is_over:
            until_s = time.monotonic() + self._timeout_s
            self._queued.put(None)  # after what is queued
            while self._worker.is_alive() and (left_s := until_s - time.monotonic()) > 0:
                beat()  # the wait is bounded
                self._worker.join(min(left_s, _LOOK_S))
            self._is_over = True
            self._kill()
            self._worker.join(_GRACE_S)
            self._count_left()
        self._is_over = True
        self.report()

    def _work(self) -> None:
        while (name := self._queued.get()) is not None and not self._is_over:
            with self._lock:
                phase, text = self._waiting[name]
            try:
                self._log.add(name)  # before the command: a power loss may cost it, and repeats none
            except (DataError, OSError):
                self._count("time(s) told.log could not be written: after a power loss an announcement may be repeated")
            with self._lock:
                del self._waiting[name]
            if (outcome := self._run(phase, text)) is not None:
                self._count(outcome)

    def _run(self, phase: str, text: bytes) -> str | None:
        """Run the command for one announcement; return a warning where it failed."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=_error_stream(),
                stderr=_error_stream(),
                env={**self._environment, "EDGEQUAKE_PHASE": phase},
                start_new_session=True,  # a process group of its own: killed whole, and out of reach of Ctrl-C
            )
        except OSError as problem:
            return f"time(s) the --on-event command could not be started: {problem.strerror or problem}"
        with self._lock:
            self._process = process
        try:
            process.communicate(text, self._timeout_s)
        except subprocess.TimeoutExpired:
            self._kill()
        with self._lock:
            self._process = None
        if process.returncode is not None:
            _kill_group(process)  # what it has left behind would add up over the years
        else:  # killed above
            process.communicate()
            if not self._is_over:
                return f"time(s) the --on-event command took longer than {self._timeout_s:g} s and was killed"
        if self._is_over and process.returncode == -signal.SIGKILL:
            return "time(s) the --on-event command was killed at the end of the run"
        if process.returncode == 0:
            return None
        how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        return f"time(s) the --on-event command failed: {how}"

    def _kill(self) -> None:
        """Kill the running command and what it has started."""
        with self._lock:
            process = self._process
            if process is None or process.returncode is not None:
                return
            _kill_group(process)

    def _count_left(self) -> None:
        """Count what is left for the next start of a live run, and else is not told."""
        with self._lock:
            n_left = len(self._waiting)
        self._queued.put(None)  # ends the worker
        if n_left:
            self._count("announcement(s) without --on-event: the run ended", n_left)

    def _count(self, text: str, n: int = 1) -> None:
        with self._lock:
            self._outcomes[text] += n


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and what it has started, as far as that is in its process group."""
    with suppress(ProcessLookupError, PermissionError):  # nothing is left
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def parse_command(command: str) -> list[str]:
    """Split a command line into program and arguments.

    Raises
    ------
    ConfigError
        It is empty, has an unclosed quote, or names a program that does not exist.
    """
    try:
        parts = shlex.split(command)
    except ValueError as problem:
        raise ConfigError(f"--on-event '{command}': {problem}; expected a program and its arguments") from problem
    if not parts:
        raise ConfigError("--on-event is empty; expected a program and its arguments")
    if shutil.which(parts[0]) is None:
        raise ConfigError(
            f"--on-event '{command}': there is no program '{parts[0]}' that can be run; give its path "
            f"(no shell is used: for pipes and the like give sh -c '...')"
        )
    return parts


def _error_stream() -> int:
    """Return where commands print: stdout may contain the summary as JSON."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # no stderr
        return subprocess.DEVNULL
