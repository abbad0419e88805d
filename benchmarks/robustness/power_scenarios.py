"""The runs whose power is lost: what each does until then, and how it is resumed.

A scenario is an entry of `SCENARIOS`. Its steps are commands of `edgequake-edge`; all that they change in the run's
folder is recorded. `resume` is the command after the power loss, `judge` says what must hold then (`power_checks`).

In the options {out} is the run folder, {root} the folder that is recorded, with {out} in it, {data} a folder that no
power loss touches: {data}/record.mseed, {data}/followed with the same records, to which a later day is added before
the run is resumed, and {data}/another.json, a model that ends events later than the shipped one.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread

import numpy as np

from edgequake.benchmarks.robustness.crash_states import CallTrace, crash_state, write_tree
from edgequake.benchmarks.robustness.power_checks import HOOKED, Case, Expected, judge_files, judge_live, judge_switch
from edgequake.benchmarks.robustness.recording import Recorder, run_recorded
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CATALOG
from edgequake.edge.formats.miniseed import RecordFile, index_file, records_of
from edgequake.edge.formats.source_ids import station_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.inputs.model_choice import choose
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.edge.results.catalog import read_catalog
from edgequake.synthetic.synthetic_dataset import synthetic_record, write_miniseed

_START_NS = 1_704_067_200 * NS_PER_S  # 2024-01-01: old enough for a spool
LONGEST_START_S = 60.0  # of a run, until it listens
# Of each announcement the hook makes a folder, and another one where there is one already.
_HOOK = (
    "sh -c 'evid=$EDGEQUAKE_PHASE-$(cut -d\\\" -f4) && "
    "{{ mkdir {root}/hooked/$evid || mkdir {root}/hooked/$evid.again; }}'"
)
# The budget carries all events in the end.
_SERVICES = ("--archive-bytes", "4000000", "--summary-channel", "--budget", "4000000", "--pass-every", "120")
_SMALL = ("--archive-bytes", "20000", "--summary-channel", "--budget", "60000", "--pass-every", "300")
_FILE = ("run", "{data}/record.mseed", "--out", "{out}", "--resume", "--checkpoint-every", "0")
_LIVE = ("run", "-", "--out", "{out}", "--resume", "--spool-bytes", "0", *_SERVICES)
_FOLLOW = (
    "run", "{data}/followed", "--follow", "--poll", "0.05", "--idle-stop", "0.3", "--out", "{out}", "--resume",
    *_SERVICES,
)  # fmt: skip
_INSTALL = ("install", "{data}/another.json", "--out", "{out}")
_PORT = "{port}"


@dataclass(frozen=True)
class Command:
    """A command and what it gets on standard input or as datagrams: "record", "later", "latest" (days), or nothing."""

    options: tuple[str, ...]
    feed: str = ""


@dataclass(frozen=True)
class Scenario:
    """What runs do until power is lost, and how they are resumed."""

    steps: tuple[Command, ...]
    resume: Command
    judge: Callable[[Case], list[str]]
    radio: bool = True  # something takes files from the outbox meanwhile
    again: Command | None = None  # before it is resumed
    prior: str | None = None  # the folder is first that of another scenario, killed half way


SCENARIOS: dict[str, Scenario] = {
    "files": Scenario((Command(_FILE),), Command(_FILE), judge_files),
    "files, all services": Scenario(
        (Command((*_FILE, *_SERVICES)),), Command((*_FILE, *_SERVICES)), judge_files
    ),
    "files, small archive": Scenario((Command((*_FILE, *_SMALL)),), Command((*_FILE, *_SMALL)), judge_files),
    "files, resumed": Scenario(
        (Command((*_FILE, *_SERVICES)),), Command((*_FILE, *_SERVICES)), judge_files, prior="files, all services"
    ),
    "recorded data on a pipe": Scenario(
        (Command(("run", "-", "--out", "{out}", "--resume", *_SERVICES), "record"),),
        Command(("run", "-", "--out", "{out}", "--resume", *_SERVICES), "record"),
        judge_files,
    ),
    "live, with a hook": Scenario(
        (Command((*_LIVE, "--on-event", _HOOK), "record"),), Command((*_LIVE, "--on-event", _HOOK), "later"), judge_live
    ),
    "live, resumed": Scenario(
        (Command(_LIVE, "later"),), Command(_LIVE, "latest"), judge_live, prior="live, with a hook"
    ),
    "live, with a request": Scenario(
        (
            Command(("request", "{out}", "1970-01-01T00:00:00", "2024-01-01T01:00:00", "--send")),
            Command(("request", "{out}", "2024-01-01T00:20:00", "2024-01-01T02:00:00", "--channels", "MHZ", "--send")),
            Command((*_LIVE, "--checkpoint-every", "0"), "record"),
        ),
        Command(_LIVE, "later"),
        judge_live,
    ),
    "live, acknowledged": Scenario(
        (Command(_LIVE, "record"), Command(("acknowledge", "{out}", "--all"))),
        Command(_LIVE, "later"),
        judge_live,
        radio=False,
    ),
    "datagrams": Scenario(
        (Command(("run", f"udp://127.0.0.1:{_PORT}", "--idle-stop", "1", *_LIVE[2:]), "record"),),
        Command(_LIVE, "later"),
        judge_live,
    ),
    "followed folder": Scenario((Command(_FOLLOW),), Command(_FOLLOW), judge_live),
    "live, another model": Scenario(
        (Command(_LIVE, "record"), Command(_INSTALL), Command(_LIVE, "later")), Command(_LIVE, "latest"), judge_switch
    ),
    "files, another model": Scenario(
        (Command(_INSTALL), Command((*_FILE, *_SERVICES))),
        Command((*_FILE, *_SERVICES)),
        judge_files,
        again=Command(_INSTALL),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class PowerData:
    """The records that all scenarios use."""

    folder: Path  # {data}
    record: bytes  # in order of time
    later: bytes  # of the next day
    latest: bytes  # of the day after it
    onsets_ns: Mapping[str, tuple[int, ...]]  # events that must be found in what comes after the power loss

    def feed(self, name: str) -> bytes:
        """Return what a step gets."""
        return {"record": self.record, "later": self.later, "latest": self.latest}.get(name, b"")

    @property
    def truth(self) -> tuple[Path, ...]:
        """Files with all samples."""
        return tuple(self.folder / f"{name}.mseed" for name in ("record", "later", "latest"))

    def add_later_file(self) -> None:
        """Add the later records to the folder that is followed."""
        (self.folder / "followed" / "later.mseed").write_bytes(self.later)


def made_data(folder: Path, seed: int) -> PowerData:
    """Return an hour and a half of one channel with two quakes, and as much of each of two more days with one."""
    rng = np.random.default_rng(seed)
    parts = []
    for day, onsets_s in ((0, (700.0, 3700.0)), (1, (1000.0,)), (2, (1000.0,))):
        start_ns = _START_NS + day * 86_400 * NS_PER_S
        made = synthetic_record(
            rng, 5400.0, onsets_s, ratios=(8.0,) * len(onsets_s), noise_counts=0.5, start_ns=start_ns, channels=("MHZ",)
        )
        parts.append(write_miniseed(made, folder / f"{day}.mseed"))
    onsets_ns = {name: (_START_NS + (day * 86_400 + 1000) * NS_PER_S,) for day, name in ((1, "later"), (2, "latest"))}
    return _data(folder, [_in_order(path) for path in parts], onsets_ns)


def recorded_data(folder: Path, record: Path) -> PowerData:
    """Return the first half of a recorded file, and twice a quarter, a day and two days later; on one grid of times.

    Recorded times wander by parts of a sample, and then nobody could say which sample is stored and which is not.
    """
    traces: list[Trace] = []
    reader, stops = RecordFile(record, 0), dict[str, int]()
    for header in sorted(index_file(record).headers, key=lambda one: (one.start_ns, one.source_id)):
        trace = reader.trace(header, Diagnostics())
        if trace is None:
            continue
        rate_hz = trace.sampling_rate_hz
        first = round(trace.start_ns * rate_hz / NS_PER_S)
        at = max(first, stops.get(trace.source_id, first))  # what overlaps is left out
        samples = trace.samples[at - first :]
        if len(samples):
            stops[trace.source_id] = at + len(samples)
            traces.append(replace(trace, start_ns=round(at / rate_hz * NS_PER_S), samples=samples))
    reader.close()
    half, quarter = len(traces) // 2, len(traces) * 3 // 4
    parts = (traces[:half], traces[half:quarter], traces[quarter:])
    return _data(folder, [_records_later(part, day) for day, part in enumerate(parts)], {})


def _records_later(traces: list[Trace], n_days: int) -> list[bytes]:
    """Return traces as records, so many days later."""
    later = (replace(trace, start_ns=trace.start_ns + n_days * 86_400 * NS_PER_S) for trace in traces)
    return [record for trace in later for record in records_of(trace)]


def _in_order(path: Path) -> list[bytes]:
    data = path.read_bytes()
    headers = sorted(index_file(path).headers, key=lambda one: (one.start_ns, one.source_id))
    return [data[one.offset : one.offset + one.size_bytes] for one in headers]


def _data(folder: Path, parts: list[list[bytes]], onsets_ns: Mapping[str, tuple[int, ...]]) -> PowerData:
    record, later, latest = map(b"".join, parts)
    data = PowerData(folder / "data", record, later, latest, onsets_ns)
    (data.folder / "followed").mkdir(parents=True)
    for path, content in zip(data.truth, (record, later, latest), strict=True):
        path.write_bytes(content)
    (data.folder / "followed" / "record.mseed").write_bytes(data.record)
    _write_another(data.folder)
    return data


def _write_another(folder: Path) -> None:
    """Write the model for the records, with other constants: a run switches to it without a warm-up."""
    first = index_file(folder / "record.mseed").headers[0]
    manifest, shipped = load_manifest(choose(station_of(first.source_id), first.sampling_rate_hz)[0])
    trigger = replace(manifest.trigger, hold_s=manifest.trigger.hold_s + 10.0)
    (folder / "another.json").write_text(replace(manifest, name="another", trigger=trigger).to_json())
    for variant in manifest.variants.values():
        for name in (variant.file, *(() if variant.golden is None else (variant.golden.file,))):
            shutil.copyfile(shipped / name, folder / name)


@dataclass(frozen=True)
class Recorded:
    """A scenario whose calls have been recorded."""

    scenario: Scenario
    trace: CallTrace
    expected: Expected
    data: PowerData

    def resume_commands(self, root: Path) -> list[list[str]]:
        """Return the commands that resume in a folder."""
        steps = [self.scenario.resume] if self.scenario.again is None else [self.scenario.again, self.scenario.resume]
        return [_filled(step.options, root, self.data.folder) for step in steps]


def record_scenario(scenario: Scenario, folder: Path, data: PowerData, prior: Recorded | None = None) -> Recorded:
    """Do the steps of a scenario in `folder`, which is made, and return what they did.

    Raises
    ------
    ConfigError
        As `compile_shim`.
    DataError
        A step fails.
    """
    root = folder / "root"
    (root / HOOKED).mkdir(parents=True)
    if prior is not None:
        half = crash_state(prior.trace, len(prior.trace.operations) // 2, "everything", np.random.default_rng(0))
        write_tree({path: content for path, content in half.tree.items() if not path.startswith(HOOKED)}, root)
    if scenario.steps[0].options[0] != "run":
        (root / "out").mkdir()
    recorder = Recorder(root, folder)
    for step in scenario.steps:
        _do(step, recorder, root, data)
    trace = recorder.trace()
    options = scenario.steps[-1].options + scenario.steps[0].options + scenario.resume.options
    expected = Expected(
        root / "out",
        data.truth,
        data.onsets_ns.get(scenario.resume.feed, ()),
        "--archive-bytes" in options,
        "--budget" in options,
    )
    if prior is None and not read_catalog(root / "out" / CATALOG):  # what an earlier run had seen need not come again
        raise DataError(f"the undisturbed run of {root} finds no event: nothing could be lost")
    return Recorded(scenario, trace, expected, data)


def _filled(options: tuple[str, ...], root: Path, data: Path, port: int = 0) -> list[str]:
    return [option.format(out=root / "out", root=root, data=data, port=port) for option in options]


def _do(step: Command, recorder: Recorder, root: Path, data: PowerData) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "edgequake.edge", *_filled(step.options, root, data.folder, port)]
    sender = None
    if any("{port}" in option for option in step.options):
        sender = Thread(target=_send, args=(_in_order(data.folder / f"{step.feed}.mseed"), port), daemon=True)
        sender.start()
    run_recorded(recorder, command, b"" if sender else data.feed(step.feed), os.environ)
    if sender is not None:
        sender.join()


def _send(records: list[bytes], port: int) -> None:
    """Send records as datagrams as soon as somebody listens."""
    line = f"0100007F:{port:04X} "
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        until_s = time.monotonic() + LONGEST_START_S
        while line not in Path("/proc/net/udp").read_text() and time.monotonic() < until_s:
            time.sleep(0.01)
        for record in records:
            sender.sendto(record, ("127.0.0.1", port))
