"""Power that is lost at any instant of a run, in a short form; at length: `edgequake bench faults --power-loss`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.robustness.crash_states import (
    LOSSES,
    CallTrace,
    Names,
    Resize,
    Sync,
    Write,
    crash_state,
    crash_states,
    read_tree,
    write_tree,
)
from edgequake.benchmarks.robustness.power_checks import Case, judge_files, judge_live, judge_switch
from edgequake.benchmarks.robustness.power_loss import resume, run_power_losses, seen_before, with_radio
from edgequake.benchmarks.robustness.power_scenarios import SCENARIOS, PowerData, Recorded, made_data, record_scenario
from edgequake.benchmarks.robustness.recording import Recorder, run_recorded
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CATALOG, CHECKPOINT, JOURNAL, MODELS, OUTBOX, SUMMARY
from edgequake.edge.downlink.journal import Pass
from edgequake.edge.operation.model_store import ACTIVE, ModelStore

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs LD_PRELOAD and /proc")

# One state of each of these runs; `bench faults --power-loss` has the long form, of all runs and hundreds of states.
RUNS = ("files, all services", "live, with a hook", "live, acknowledged", "followed folder", "files, another model")


@pytest.mark.slow
def test_a_power_loss_at_any_instant_loses_and_repeats_nothing(tmp_path: Path) -> None:
    report = run_power_losses(tmp_path, len(RUNS), seed=4, names=RUNS, n_workers=0)
    assert report.failures == ()
    assert report.n_states == sum(report.by_loss.values()) == len(RUNS)
    assert report.by_loss.keys() <= LOSSES.keys() and len(report.by_loss) > 1


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return a live run with a downlink, recorded."""
    folder = tmp_path_factory.mktemp("live")
    return record_scenario(SCENARIOS["live, with a hook"], folder / "recorded", made_data(folder, 4))


def test_states_are_drawn_for_each_kind_of_loss(live: Recorded) -> None:
    drawn = list(crash_states(live.trace, 4 * len(LOSSES), np.random.default_rng(4)))
    assert {state.loss for state in drawn} == set(LOSSES)
    assert len({state.digest for state in drawn}) == len(drawn)


def resumed(recorded: Recorded, trace: CallTrace, n_done: int, loss: str, folder: Path) -> list[str]:
    """Resume after a power loss; return what is wrong then."""
    state = crash_state(trace, n_done, loss, np.random.default_rng(0))
    return resume(recorded, folder, state, seen_before(trace, n_done))


def after(trace: CallTrace, name: str, n_th: int = 0) -> int:
    """Return the number of calls until a name is given for the n-th time."""
    hits = [i + 1 for i, one in enumerate(trace.operations) if isinstance(one, Names)
            for _, given, number in one.changes if given == name and number is not None]  # fmt: skip
    return hits[n_th]


@pytest.mark.slow
def test_an_event_in_the_checkpoint_that_follows_it_is_handed_over(live: Recorded, tmp_path: Path) -> None:
    """Power is lost as soon as the checkpoint counts an event as catalogued: the downlink must know it too."""
    n_th = [
        i for i, one in enumerate(live.trace.operations) if isinstance(one, Write) and one.data.startswith(b"filename,")
    ]
    at = next(
        i + 1 for i, one in enumerate(live.trace.operations)
        if i > n_th[-1] and isinstance(one, Names) and any(name == CHECKPOINT for _, name, _ in one.changes)
    )  # fmt: skip
    assert resumed(live, live.trace, at + 1, "nothing unsynced", tmp_path) == []
    assert resumed(live, live.trace, at + 1, "everything", tmp_path) == []


@pytest.mark.slow
def test_no_state_has_a_pass_in_the_journal_without_its_files(live: Recorded) -> None:
    """In each state, after each call: what the journal lists is in the outbox, or hidden there and whole."""
    rng = np.random.default_rng(2)
    n_passes = 0
    small = [one for one in live.trace.operations if not isinstance(one, Resize)]  # without the reserve of 4 MiB
    trace = CallTrace(live.trace.before, tuple(small))
    for visited in (trace, with_radio(trace, rng)):
        first = after(visited, JOURNAL)
        for n_done in range(first, len(visited.operations) + 1):
            seen = seen_before(visited, n_done)
            for loss in ("nothing unsynced", "everything", "any names"):
                tree = crash_state(visited, n_done, loss, rng).tree
                lines = (tree.get(f"out/{JOURNAL}") or b"").splitlines(keepends=True)
                whole = [line for line in lines if line.endswith(b"}\n")]
                for i, done in enumerate(map(Pass.parse, whole)):
                    n_passes += 1
                    for file in done.files:
                        path, part = f"out/{OUTBOX}/{file.name}", f"out/{OUTBOX}/.{file.name}.part"
                        is_last = i == len(whole) - 1
                        data = tree.get(path) or (tree.get(part) if is_last else None)
                        if file.name in seen.taken:
                            assert data is None
                        elif file.name not in seen.deleted:
                            assert data is not None and len(data) == file.size_bytes
    assert n_passes > 100


def test_the_names_of_a_pass_are_durable_before_the_journal_has_the_next(live: Recorded) -> None:
    lines = [
        i
        for i, one in enumerate(live.trace.operations)
        if isinstance(one, Write) and one.data.startswith(b'{"number":')
    ]
    assert len(lines) >= 2
    for i in lines[1:]:
        unsynced = live.trace.unsynced(i)
        folder = live.trace.disk(i).find(f"out/{OUTBOX}")
        named = {name for one in unsynced.values() if isinstance(one, Names) for place, name, _ in one.changes
                 if place == folder and not name.startswith(".")}  # fmt: skip
        assert named == set()


@pytest.mark.slow
def test_a_run_with_a_summary_has_a_durable_catalogue(tmp_path: Path) -> None:
    """Resumed, it says that it is complete, and compares nothing."""
    trace = record_scenario(SCENARIOS["files"], tmp_path / "recorded", made_data(tmp_path, 4)).trace
    whole = trace.disk(len(trace.operations)).tree()[f"out/{CATALOG}"]
    assert whole is not None and whole.count(b"\n") == 3  # two events
    for n_done in range(after(trace, SUMMARY), len(trace.operations) + 1):
        assert trace.after_loss(n_done, {}).tree()[f"out/{CATALOG}"] == whole


# --- each promise that is judged can be found broken ----------------------------------------------------------------


@pytest.fixture
def ended(live: Recorded, tmp_path: Path) -> Case:
    """Return the undisturbed run as if it had been resumed."""
    out = tmp_path / "out"
    write_tree(read_tree(live.expected.out), out)
    seen = seen_before(live.trace, len(live.trace.operations))
    expected = replace(live.expected, later_onsets_ns=())
    (out / "heartbeat").unlink(missing_ok=True)
    return Case(tmp_path, out, 0, "", seen, expected)


def lose_row(case: Case) -> None:
    lines = (case.out / CATALOG).read_bytes().splitlines(keepends=True)
    (case.out / CATALOG).write_bytes(b"".join(lines[:-1]))


def repeat_row(case: Case) -> None:
    lines = (case.out / CATALOG).read_bytes().splitlines(keepends=True)
    (case.out / CATALOG).write_bytes(b"".join([*lines, lines[-1]]))


def cut_segment(case: Case) -> None:
    path = next((case.out / "segments").glob("*.mseed"))
    path.write_bytes(path.read_bytes()[:-512])


def lose_samples(case: Case) -> None:
    path = next(path for path in sorted((case.out / "archive").rglob("*")) if path.is_file())
    path.write_bytes(path.read_bytes()[1024:])


def repeat_samples(case: Case) -> None:
    path = next(path for path in sorted((case.out / "archive").rglob("*")) if path.is_file())
    path.write_bytes(path.read_bytes()[:512] + path.read_bytes())


def lose_frames(case: Case) -> None:
    path = next(path for path in sorted((case.out / "continuous").rglob("*")) if path.is_file())
    path.unlink()


def lose_file(case: Case) -> None:
    min((case.out / OUTBOX).iterdir()).unlink()


def change_file(case: Case) -> None:
    path = min((case.out / OUTBOX).glob("*.mseed"))
    path.write_bytes(path.read_bytes()[::-1])


def repeat_records(case: Case) -> None:
    path = min((case.out / OUTBOX).glob("*.mseed"))
    (case.out / OUTBOX / "00000099.mseed").write_bytes(path.read_bytes())


def run_hook_again(case: Case) -> None:
    (case.root / "hooked" / "XX.again").mkdir(parents=True)


BROKEN: dict[str, tuple[Callable[[Case], None], str]] = {
    "row lost": (lose_row, "acknowledged event"),
    "row twice": (repeat_row, "twice"),
    "segment cut": (cut_segment, "missing or incomplete"),
    "samples lost": (lose_samples, "lost that a checkpoint had answered for"),
    "samples twice": (repeat_samples, "stored twice"),
    "frames lost": (lose_frames, "lost that a checkpoint had answered for"),
    "file lost": (lose_file, "is not in the outbox"),
    "file changed": (change_file, "is not what the journal says"),
    "records twice": (repeat_records, "handed over twice"),
    "hook twice": (run_hook_again, "the hook was run twice"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_promise_is_found(broken: str, ended: Case) -> None:
    assert judge_live(ended) == []
    damage, text = BROKEN[broken]
    damage(ended)
    assert any(text in found for found in judge_live(ended))
    if broken != "hook twice":  # a run over files has none here
        assert judge_files(ended) != []


def test_a_file_that_the_radio_had_taken_must_not_come_again(ended: Case) -> None:
    name = min(path.name for path in (ended.out / OUTBOX).iterdir())
    taken = replace(ended.seen, taken={name: (ended.out / OUTBOX / name).read_bytes()})
    assert any("handed over again" in found for found in judge_live(replace(ended, seen=taken)))


# --- another model ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return a live run that switches to another model, recorded."""
    folder = tmp_path_factory.mktemp("switched")
    return record_scenario(SCENARIOS["live, another model"], folder / "recorded", made_data(folder, 4))


@pytest.mark.slow
def test_power_lost_at_each_step_of_a_switch_leaves_the_old_or_the_new_model(
    switched: Recorded, tmp_path: Path
) -> None:
    """After each change of a name in DIR/models, and before it is synced: three of the losses, in turn."""
    trace = switched.trace
    losses = ("nothing unsynced", "names only", "any names")
    models = trace.disk(len(trace.operations)).find(f"out/{MODELS}")
    steps = [
        i + 1
        for i, one in enumerate(trace.operations)
        if isinstance(one, Names) and any(place == models and name[0] != "." for place, name, _ in one.changes)
    ]
    assert len(steps) >= 6  # the offer, its end, the slot twice, the trial, the outcome
    for i, n_done in enumerate(steps):
        assert resumed(switched, trace, n_done, losses[i % len(losses)], tmp_path) == []


def take_back(case: Case) -> None:
    (case.out / MODELS / ACTIVE).unlink()


def offer_again(case: Case) -> None:
    (slot,) = ModelStore(case.out).slots().values()
    assert slot.current is not None
    ModelStore(case.out).write_offer(slot.current)


def name_another(case: Case) -> None:
    path = case.out / CATALOG.replace(".csv", ".check")
    path.write_text(path.read_text().replace("another int8", "unknown int8"))


@pytest.mark.parametrize(
    ("damage", "text"),
    [(take_back, "does not run"), (offer_again, "half done"), (name_another, "the events were found by")],
)
def test_a_switch_that_failed_is_found(
    damage: Callable[[Case], None], text: str, switched: Recorded, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_tree(read_tree(switched.expected.out), out)
    seen = seen_before(switched.trace, len(switched.trace.operations))
    case = Case(
        tmp_path, out, 0, "", seen, replace(switched.expected, later_onsets_ns=switched.data.onsets_ns["later"])
    )
    assert seen.is_offered and judge_switch(case) == []
    damage(case)
    assert any(text in found for found in judge_switch(case))


# --- the record of the calls ----------------------------------------------------------------------------------------

CALLS = """
import os, pathlib, shutil, sys
root = pathlib.Path(sys.argv[1])
(root / "a").mkdir()
with (root / "a/x").open("wb") as file:
    file.write(b"12345678"); file.flush(); os.fsync(file.fileno()); file.truncate(4)
os.link(root / "a/x", root / "y")
(root / "a/x").replace(root / "z")
descriptor = os.open(root, os.O_RDONLY); os.fsync(descriptor); os.close(descriptor)
descriptor = os.open(root / "z", os.O_RDWR | os.O_APPEND)
os.write(descriptor, b"more")
os.posix_fallocate(descriptor, 0, 20); os.close(descriptor)
shutil.copyfile(root / "z", root / "copy")
os.truncate(root / "copy", 2)
(root / "b/c").mkdir(parents=True); (root / "b/c/d").write_text("d"); shutil.rmtree(root / "b")
(root / "old").write_text("rewritten"); (root / "y").unlink(); (root / "a").rmdir()
"""


def test_the_recorded_calls_are_those_that_were_done(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_bytes(b"before")
    recorder = Recorder(root, tmp_path)
    run_recorded(recorder, [sys.executable, "-c", CALLS, str(root)], b"", os.environ)
    trace = recorder.trace()
    assert trace.before.tree() == {"old": b"before"}
    assert trace.disk(len(trace.operations)).tree() == read_tree(root) == {
        "z": b"1234more" + bytes(12), "copy": b"12", "old": b"rewritten",
    }  # fmt: skip
    made = [one for one in trace.operations if not isinstance(one, Names)]
    assert made[:3] == [Write(made[0].file, 0, b"12345678"), Sync(made[0].file), Resize(made[0].file, 4)]  # type: ignore[union-attr]
    assert Sync(trace.before.root) in made


def test_a_call_that_escapes_the_record_is_noticed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    recorder = Recorder(root, tmp_path)
    subprocess.run([sys.executable, "-c", "open(__import__('sys').argv[1], 'w')", str(root / "x")], check=True)
    with pytest.raises(DataError, match="do not lead to x"):
        recorder.trace()


def test_a_command_that_fails_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    recorder = Recorder(tmp_path / "root", tmp_path)
    with pytest.raises(DataError, match="failed"):
        run_recorded(recorder, [sys.executable, "-c", "raise SystemExit(3)"], b"", os.environ)


def test_data_of_a_record_are_in_order_of_time(tmp_path: Path) -> None:
    data: PowerData = made_data(tmp_path, 4)
    assert (data.folder / "record.mseed").read_bytes() == data.record != data.later
    assert data.later < data.latest and set(data.onsets_ns) == {"later", "latest"}
