"""The event hook: a command that is run for each event; nothing it does can hold up or stop the detector."""

from __future__ import annotations

import dataclasses
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
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgequake.edge.base.control import beat
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.base.inert_text import one_line
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.results.catalog import CatalogRow

_MOST_QUEUED = 32  # events whose command has not begun; more are dropped and counted
_MOST_NAMES = 1024  # events remembered, so that none is reported twice
_GRACE_S = 1.0  # for a killed command to end
_LOOK_S = 0.25  # between two signs of life while commands are waited for


class EventHook:
    """Runs a command once for each event, one at a time, with the event as one JSON object on its standard input.

    The commands run beside the detector in a thread: `fire` returns at once, however long they take. A command that
    exceeds `timeout_s` is killed, and what it has started ends with it in any case. What it prints goes to stderr. The
    environment variable EDGEQUAKE_OUT names the folder that the segment's name is relative to.
    """

    def __init__(self, command: str, timeout_s: float, diagnostics: Diagnostics, out: Path | None = None) -> None:
        """Prepare to run `command`, which is split as a shell would split it but not run by one.

        Raises
        ------
        ConfigError
            There is no such program, or the time limit is not positive.
        """
        if not timeout_s > 0:
            raise ConfigError(f"--on-event-timeout {timeout_s:g}: expected seconds above 0")
        self._command = parse_command(command)
        self._timeout_s, self._diagnostics = timeout_s, diagnostics
        self._environment = None if out is None else {**os.environ, "EDGEQUAKE_OUT": str(out.absolute())}
        self._queued: queue.Queue[bytes | None] = queue.Queue(_MOST_QUEUED)
        self._fired: deque[str] = deque(maxlen=_MOST_NAMES)
        self._outcomes: Counter[str] = Counter()  # warnings that are not in the diagnostics yet
        self._lock = threading.Lock()  # guards the outcomes and the process
        self._process: subprocess.Popen[bytes] | None = None
        self._worker: threading.Thread | None = None
        self._is_over = False

    def fire(self, row: CatalogRow) -> None:
        """Queue the command for an event, unless it has been run for it."""
        if self._is_over or row.evid in self._fired:
            return
        self._fired.append(row.evid)
        try:
            self._queued.put_nowait(json.dumps(event_fields(row)).encode() + b"\n")
        except queue.Full:
            self._count(f"event(s) without --on-event: more than {_MOST_QUEUED} were queued for the command")
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="on-event", daemon=True)
            self._worker.start()
        self.report()

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
            with suppress(queue.Full):  # then the time is up
                self._put_last(until_s)
            while self._worker.is_alive() and (left_s := until_s - time.monotonic()) > 0:
                beat()  # the wait is bounded
                self._worker.join(min(left_s, _LOOK_S))
            self._is_over = True
            self._kill()
            self._worker.join(_GRACE_S)
            self._drop_queued()
        self._is_over = True
        self.report()

    def _put_last(self, until_s: float) -> None:
        """Tell the worker to end after the queued commands; raise `queue.Full` when the time is up."""
        while True:
            beat()
            with suppress(queue.Full):
                return self._queued.put(None, timeout=max(0.0, min(_LOOK_S, until_s - time.monotonic())))
            if time.monotonic() >= until_s:
                raise queue.Full

    def _work(self) -> None:
        while not self._is_over and (event := self._queued.get()) is not None:
            if (outcome := self._run(event)) is not None:
                self._count(outcome)

    def _run(self, event: bytes) -> str | None:
        """Run the command for one event; return a warning where it failed."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=_error_stream(),
                stderr=_error_stream(),
                env=self._environment,
                start_new_session=True,  # a process group of its own: killed whole, and out of reach of Ctrl-C
            )
        except OSError as problem:
            return f"time(s) the --on-event command could not be started: {problem.strerror or problem}"
        with self._lock:
            self._process = process
        try:
            process.communicate(event, self._timeout_s)
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

    def _drop_queued(self) -> None:
        n_left = 0
        with suppress(queue.Empty):
            while True:
                n_left += self._queued.get_nowait() is not None
        self._queued.put_nowait(None)  # ends the worker
        if n_left:
            self._count("event(s) without --on-event: the run ended", n_left)

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


def event_fields(row: CatalogRow) -> Mapping[str, Any]:
    """Return a row as JSON values: the fields of `CatalogRow`, inert, and onset and stop as text too."""
    times = {"onset": format_time(row.onset_ns) + "Z", "stop": format_time(row.stop_ns) + "Z"}
    values = {
        name: one_line(value) if isinstance(value, str) else value for name, value in dataclasses.asdict(row).items()
    }
    return {"evid": values["evid"], **times, **values}


def _error_stream() -> int:
    """Return where commands print: stdout may contain the summary as JSON."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # no stderr
        return subprocess.DEVNULL
