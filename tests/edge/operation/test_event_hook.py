"""The event hook: the command's input, and that nothing the command does can hold up the run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.operation.event_hook import EventHook
from edgequake.edge.results.catalog import CatalogRow

ONSET_NS = 1_582_315_130_250_000_000  # 2020-02-21T19:58:50.25


def row(number: int = 0) -> CatalogRow:
    return CatalogRow("-", ONSET_NS, 12.5, f"AM_R0000_{number}", "", "AM_R0000", ("EHZ", "EHN"), ONSET_NS + 10**9,
                      0.91, 0.5, f"segments/{number}.mseed", 300, 512, None)  # fmt: skip


def python(code: str) -> str:
    return shlex.join([sys.executable, "-S", "-c", code])


def appending(path: Path) -> str:
    """Return a command that appends its standard input and EDGEQUAKE_OUT to a file."""
    return python(f"import os, sys; e = os.environ.get('EDGEQUAKE_OUT'); "
                  f"open({str(path)!r}, 'a').write(sys.stdin.read().strip() + f'\\t{{e}}\\n')")  # fmt: skip


def test_the_event_is_one_json_object_on_stdin(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    hook = EventHook(appending(tmp_path / "got"), 20.0, diagnostics, out=tmp_path / "run")
    hook.fire(row())
    hook.close()
    text, out = (tmp_path / "got").read_text().rstrip("\n").split("\t")
    assert json.loads(text) == {
        "evid": "AM_R0000_0", "onset": "2020-02-21T19:58:50.250000Z", "stop": "2020-02-21T19:58:51.250000Z",
        "filename": "-", "onset_ns": ONSET_NS, "time_rel_s": 12.5, "mq_type": "", "station_id": "AM_R0000",
        "channels": ["EHZ", "EHN"], "stop_ns": ONSET_NS + 10**9, "peak_probability": 0.91, "priority": 0.5,
        "segment": "segments/0.mseed", "n_samples": 300, "size_bytes": 512, "onset_uncertainty_s": None,
    }  # fmt: skip
    assert out == str(tmp_path / "run") and diagnostics.texts() == []


def test_each_event_is_reported_once_and_in_order(tmp_path: Path) -> None:
    hook = EventHook(appending(tmp_path / "got"), 20.0, Diagnostics())
    for number in (0, 1, 1, 0, 2):
        hook.fire(row(number))
    hook.close()
    hook.fire(row(3))  # after the end
    got = [json.loads(line.split("\t")[0])["evid"][-1] for line in (tmp_path / "got").read_text().splitlines()]
    assert got == ["0", "1", "2"]


def test_failures_are_counted_by_exit_code() -> None:
    diagnostics = Diagnostics()
    hook = EventHook(python("import json, sys; sys.exit(int(json.load(sys.stdin)['evid'][-1]))"), 20.0, diagnostics)
    for number in (0, 3, 4, 13):
        hook.fire(row(number))
    hook.close()
    assert diagnostics.texts() == [
        "2 time(s) the --on-event command failed: exit code 3",
        "1 time(s) the --on-event command failed: exit code 4",
    ]


def test_a_command_that_does_not_read_its_input_is_no_failure() -> None:
    diagnostics = Diagnostics()
    hook = EventHook("true", 20.0, diagnostics)
    hook.fire(row())
    hook.close()
    assert diagnostics.texts() == []


def test_a_command_that_hangs_is_killed_with_its_children_and_delays_nothing(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    hook = EventHook(f"sh -c 'sleep 600 & echo $! > {tmp_path}/child; sleep 600'", 0.5, diagnostics)
    begun_s = time.monotonic()
    for number in range(60):
        hook.fire(row(number))
    assert time.monotonic() - begun_s < 0.4  # `fire` waits for nothing
    time.sleep(1.2)
    child = int((tmp_path / "child").read_text())
    begun_s = time.monotonic()
    hook.close()
    assert time.monotonic() - begun_s < 1.0  # one time limit for all queued commands together
    waited_s = time.monotonic() + 5
    while _runs(child) and time.monotonic() < waited_s:
        time.sleep(0.02)
    assert not _runs(child)
    counts = {text.partition(" ")[2]: int(text.partition(" ")[0]) for text in diagnostics.texts()}
    n_killed = counts["time(s) the --on-event command took longer than 0.5 s and was killed"]
    n_last = counts.get("time(s) the --on-event command was killed at the end of the run", 0)
    n_over = counts["event(s) without --on-event: the run ended"]
    n_full = counts["event(s) without --on-event: more than 32 were queued for the command"]
    assert n_killed >= 2 and n_last <= 1 and n_killed + n_last + n_over + n_full == 60 and n_full >= 27


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """The command succeeds at once; its child in the background would hold the output of the run open for ever."""
    diagnostics = Diagnostics()
    hook = EventHook(f"sh -c 'sleep 600 & echo $! > {tmp_path}/child'", 20.0, diagnostics)
    hook.fire(row())
    hook.close()
    child = int((tmp_path / "child").read_text())
    waited_s = time.monotonic() + 20
    while _runs(child) and time.monotonic() < waited_s:
        time.sleep(0.02)
    assert not _runs(child) and diagnostics.texts() == []


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_command_does_not_get_the_interrupt_of_the_run(tmp_path: Path) -> None:
    """Ctrl-C in a terminal goes to the whole process group; the command has one of its own."""
    hook = EventHook(
        python(f"import os; open({str(tmp_path / 'g')!r}, 'w').write(str(os.getpgid(0)))"), 20.0, Diagnostics()
    )
    hook.fire(row())
    hook.close()
    assert int((tmp_path / "g").read_text()) != os.getpgid(0)


def test_its_output_does_not_mix_with_the_summary(capfd: pytest.CaptureFixture[str]) -> None:
    hook = EventHook("echo hello", 20.0, Diagnostics())
    hook.fire(row())
    hook.close()
    assert capfd.readouterr().out == ""


def test_a_command_that_has_been_removed_is_counted(tmp_path: Path) -> None:
    program, diagnostics = tmp_path / "hook.sh", Diagnostics()
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    hook = EventHook(str(program), 20.0, diagnostics)
    program.unlink()
    hook.fire(row())
    hook.close()
    assert diagnostics.texts() == ["1 time(s) the --on-event command could not be started: No such file or directory"]


def test_a_signal_is_reported_as_such() -> None:
    diagnostics = Diagnostics()
    hook = EventHook("sh -c 'kill -TERM $$'", 20.0, diagnostics)
    hook.fire(row())
    hook.close()
    assert diagnostics.texts() == [f"1 time(s) the --on-event command failed: signal {signal.SIGTERM.value}"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("echo 'a", "No closing quotation"),
        ("no-such-program-here x", "no program"),
    ],
)
def test_an_unusable_command_is_refused(command: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        EventHook(command, 1.0, Diagnostics())


def test_a_time_limit_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected seconds above 0"):
        EventHook("true", 0.0, Diagnostics())
