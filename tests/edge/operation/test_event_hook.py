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
from edgequake.edge.detection.announcer import EventNotice
from edgequake.edge.operation.announcements import Announcement, OpenAlarms, ToldLog
from edgequake.edge.operation.event_hook import EventHook
from edgequake.edge.results.catalog import CatalogRow

ONSET_NS = 1_582_315_130_250_000_000  # 2020-02-21T19:58:50.25


def row(number: int = 0) -> CatalogRow:
    return CatalogRow("-", ONSET_NS, 12.5, f"AM_R0000_{number}", "", "AM_R0000", ("EHZ", "EHN"), ONSET_NS + 10**9,
                      0.91, 0.5, f"segments/{number}.mseed", 300, 512, None)  # fmt: skip


def final(number: int = 0) -> Announcement:
    return OpenAlarms().end(row(number))


def python(code: str) -> str:
    return shlex.join([sys.executable, "-S", "-c", code])


def appending(path: Path) -> str:
    """Return a command that appends its standard input and EDGEQUAKE_OUT to a file."""
    return python(f"import os, sys; e = os.environ.get('EDGEQUAKE_OUT'); "
                  f"open({str(path)!r}, 'a').write(sys.stdin.read().strip() + f'\\t{{e}}\\n')")  # fmt: skip


def test_the_event_is_one_json_object_on_stdin(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    hook = EventHook(appending(tmp_path / "got"), 20.0, diagnostics, out=tmp_path / "run")
    hook.tell(final())
    hook.close()
    text, out = (tmp_path / "got").read_text().rstrip("\n").split("\t")
    assert json.loads(text) == {
        "evid": "AM_R0000_0", "onset": "2020-02-21T19:58:50.250000Z", "stop": "2020-02-21T19:58:51.250000Z",
        "filename": "-", "onset_ns": ONSET_NS, "time_rel_s": 12.5, "mq_type": "", "station_id": "AM_R0000",
        "channels": ["EHZ", "EHN"], "stop_ns": ONSET_NS + 10**9, "peak_probability": 0.91, "priority": 0.5,
        "segment": "segments/0.mseed", "n_samples": 300, "size_bytes": 512, "onset_uncertainty_s": None,
        "phase": "final", "alarm": "AM_R0000_0",
    }  # fmt: skip
    assert out == str(tmp_path / "run") and diagnostics.texts() == []


def test_each_event_is_reported_once_and_in_order(tmp_path: Path) -> None:
    hook = EventHook(appending(tmp_path / "got"), 20.0, Diagnostics())
    for number in (0, 1, 1, 0, 2):
        hook.tell(final(number))
    hook.close()
    hook.tell(final(3))  # after the end
    got = [json.loads(line.split("\t")[0])["evid"][-1] for line in (tmp_path / "got").read_text().splitlines()]
    assert got == ["0", "1", "2"]


def begun(onset_ns: int = ONSET_NS - 2 * 10**9) -> EventNotice:
    return EventNotice("onset", 0, "AM_R0000", ("EHZ",), onset_ns, 0.4, None, 0.8)


def told(path: Path) -> list[tuple[str, str]]:
    """Return phase and alarm of each announcement that `appending` has appended."""
    events = [json.loads(line.split("\t")[0]) for line in path.read_text().splitlines()]
    return [(event["phase"], event["alarm"]) for event in events]


def test_both_announcements_of_an_event_have_one_name(tmp_path: Path) -> None:
    hook, alarms = EventHook(appending(tmp_path / "got"), 20.0, Diagnostics()), OpenAlarms()
    for onset_ns in (ONSET_NS - 600 * 10**9, ONSET_NS - 2 * 10**9):  # the first one never becomes final
        hook.tell(alarms.begin(begun(onset_ns)))
    hook.tell(alarms.end(row()))
    hook.close()
    first, second, last = (json.loads(line.split("\t")[0]) for line in (tmp_path / "got").read_text().splitlines())
    assert first["alarm"] == "AM_R0000_20200221T194850.250" and first["phase"] == "onset" and "evid" not in first
    assert second["alarm"] == last["alarm"] == "AM_R0000_20200221T195848.250"
    assert second["onset"] == "2020-02-21T19:58:48.250000Z" and second["channels"] == ["EHZ"]
    assert (second["onset_uncertainty_s"], second["peak_probability"]) == (0.4, 0.8)
    assert last["phase"] == "final" and last["evid"] == "AM_R0000_0" and alarms.state() == {"open": []}


def test_the_phase_is_in_the_environment(tmp_path: Path) -> None:
    hook, alarms = EventHook(f"sh -c 'echo $EDGEQUAKE_PHASE >> {tmp_path}/got'", 20.0, Diagnostics()), OpenAlarms()
    hook.tell(alarms.begin(begun()))
    hook.tell(alarms.end(row()))
    hook.close()
    assert (tmp_path / "got").read_text().split() == ["onset", "final"]


@pytest.mark.parametrize("is_begun", [False, True], ids=["before the command", "while it runs"])
def test_a_restart_neither_repeats_nor_loses_an_announcement(is_begun: bool, tmp_path: Path) -> None:
    """The process is gone after its checkpoint, before or after the command has begun."""
    alarms, command = OpenAlarms(), appending(tmp_path / "got")
    before = EventHook(command, 20.0, Diagnostics(), tmp_path)
    before.open(None)
    before.tell(final(1))
    before.hold(alarms.begin(begun()))
    state = {**before.state(), "alarms": alarms.state()}  # of a checkpoint
    if is_begun:
        before.release()
    before.close()
    after, alarms = EventHook(command, 20.0, Diagnostics(), tmp_path), OpenAlarms()
    after.open(state)
    alarms.restore(state["alarms"])
    after.tell(alarms.begin(begun()))  # its samples come again
    after.tell(alarms.end(row()))
    after.close()
    alarm = "AM_R0000_20200221T195848.250"
    assert told(tmp_path / "got") == [("final", "AM_R0000_1"), ("onset", alarm), ("final", alarm)]


def test_what_the_end_of_a_run_leaves_is_told_at_the_next_start(tmp_path: Path) -> None:
    slow = EventHook("sleep 600", 0.3, Diagnostics(), tmp_path)
    slow.open(None)
    for number in range(3):
        slow.tell(final(number))
    slow.close()
    after = EventHook(appending(tmp_path / "got"), 20.0, Diagnostics(), tmp_path)
    after.open(slow.state())
    after.close()
    assert 1 <= len(told(tmp_path / "got")) <= 2 and told(tmp_path / "got")[-1] == ("final", "AM_R0000_2")


def test_the_list_of_what_was_told_is_cut_and_survives_damage(tmp_path: Path) -> None:
    path = tmp_path / "told.log"
    log = ToldLog(path)
    for number in range(3 * 4096 + 5):
        log.add(f"final {number}")
    again = ToldLog(path)
    assert [f"final {number}" in again for number in (12_292, 8197, 8196)] == [True, True, False]
    assert len(path.read_bytes().splitlines()) <= 2 * 4096
    path.write_bytes(path.read_bytes() + b"\0\0half")
    again = ToldLog(path)
    again.add("final x")
    assert "final x" in ToldLog(path) and "final 12292" in ToldLog(path) and b"half" not in path.read_bytes()


def test_failures_are_counted_by_exit_code() -> None:
    diagnostics = Diagnostics()
    hook = EventHook(python("import json, sys; sys.exit(int(json.load(sys.stdin)['evid'][-1]))"), 20.0, diagnostics)
    for number in (0, 3, 4, 13):
        hook.tell(final(number))
    hook.close()
    assert diagnostics.texts() == [
        "2 time(s) the --on-event command failed: exit code 3",
        "1 time(s) the --on-event command failed: exit code 4",
    ]


def test_a_command_that_does_not_read_its_input_is_no_failure() -> None:
    diagnostics = Diagnostics()
    hook = EventHook("true", 20.0, diagnostics)
    hook.tell(final())
    hook.close()
    assert diagnostics.texts() == []


def test_a_command_that_hangs_is_killed_with_its_children_and_delays_nothing(tmp_path: Path) -> None:
    diagnostics = Diagnostics()
    hook = EventHook(f"sh -c 'sleep 600 & echo $! > {tmp_path}/child; sleep 600'", 0.5, diagnostics)
    begun_s = time.monotonic()
    for number in range(100):
        hook.tell(final(number))
    assert time.monotonic() - begun_s < 0.4  # `tell` waits for nothing
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
    n_over = counts["announcement(s) without --on-event: the run ended"]
    n_full = counts["announcement(s) without --on-event: more than 64 were queued for the command"]
    assert n_killed >= 2 and n_last <= 1 and n_killed + n_last + n_over + n_full == 100 and n_full >= 35


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """The command succeeds at once; its child in the background would hold the output of the run open for ever."""
    diagnostics = Diagnostics()
    hook = EventHook(f"sh -c 'sleep 600 & echo $! > {tmp_path}/child'", 20.0, diagnostics)
    hook.tell(final())
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
    hook.tell(final())
    hook.close()
    assert int((tmp_path / "g").read_text()) != os.getpgid(0)


def test_its_output_does_not_mix_with_the_summary(capfd: pytest.CaptureFixture[str]) -> None:
    hook = EventHook("echo hello", 20.0, Diagnostics())
    hook.tell(final())
    hook.close()
    assert capfd.readouterr().out == ""


def test_a_command_that_has_been_removed_is_counted(tmp_path: Path) -> None:
    program, diagnostics = tmp_path / "hook.sh", Diagnostics()
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    hook = EventHook(str(program), 20.0, diagnostics)
    program.unlink()
    hook.tell(final())
    hook.close()
    assert diagnostics.texts() == ["1 time(s) the --on-event command could not be started: No such file or directory"]


def test_a_signal_is_reported_as_such() -> None:
    diagnostics = Diagnostics()
    hook = EventHook("sh -c 'kill -TERM $$'", 20.0, diagnostics)
    hook.tell(final())
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
