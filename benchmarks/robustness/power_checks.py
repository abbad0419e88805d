"""What must hold when a run has been resumed after a power loss."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.robustness.crash_recovery import contents, records_sent_twice
from edgequake.edge.base.checkpoint import read_checkpoint
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import ARCHIVE, CATALOG, CONTINUOUS, JOURNAL, MODELS, OUTBOX
from edgequake.edge.downlink.journal import read_journal, sent_segments
from edgequake.edge.formats.miniseed import RecordFile, index_file
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.operation.model_store import ModelStore
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.edge.results.catalog_files import CatalogFiles

HOOKED = "hooked"  # a folder beside the run folder: what the hook has done is not undone by a power loss
_SAME_EVENT_NS = 60 * NS_PER_S  # two rows of one event could not be further apart
_SAME_ONSET_NS = 60 * NS_PER_S  # of an event of the later data, which a detector may find that starts cold


@dataclass(frozen=True)
class Signal:
    """Samples of each channel, by the number of the sample: its time times the sampling rate."""

    samples: dict[str, tuple[float, npt.NDArray[np.int64], npt.NDArray[np.int64]]]  # rate, numbers, values

    @classmethod
    def of(cls, files: Iterable[Path]) -> Signal:
        """Read miniSEED files; what is in them twice is there twice, and a file without a record holds nothing."""
        rates: dict[str, float] = {}
        parts: dict[str, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]] = {}
        diagnostics = Diagnostics()
        for path in files:
            reader, headers = RecordFile(path, 0), tuple[RecordHeader, ...]()
            with suppress(DataError):  # begun when power was lost: empty, or of zeros
                headers = index_file(path).headers
            for header in headers:
                trace = reader.trace(header, diagnostics)
                if trace is None:
                    continue
                rates[trace.source_id] = rate_hz = trace.sampling_rate_hz
                first = round(trace.start_ns * rate_hz / NS_PER_S)
                numbers = first + np.arange(len(trace.samples), dtype=np.int64)
                parts.setdefault(trace.source_id, []).append((numbers, trace.samples.astype(np.int64)))
            reader.close()
        return cls(
            {
                name: (rates[name], *(np.concatenate(column) for column in zip(*found, strict=True)))
                for name, found in parts.items()
            }
        )

    @cached_property
    def in_order(self) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Numbers and values in the order of the numbers."""
        orders = {name: np.argsort(numbers) for name, (_, numbers, _) in self.samples.items()}
        return {name: (self.samples[name][1][order], self.samples[name][2][order]) for name, order in orders.items()}

    def wrong(self, truth: Signal, least_ns: Mapping[str, int], kept: Signal, edge_ns: int = 0) -> list[str]:
        """Return what is wrong: samples twice, other ones than in `truth`, or missing ones of `kept` before `least_ns`.

        edge_ns : samples may differ where `least_ns` is no further away; where nothing is known, they may anywhere.
        """
        wrong = []
        for name, (rate_hz, numbers, values) in self.samples.items():
            if n_twice := len(numbers) - len(np.unique(numbers)):
                wrong.append(f"{n_twice} sample(s) of {name} stored twice")
            true_numbers, true_values = truth.in_order.get(name, (numbers[:0], values[:0]))
            at = np.searchsorted(true_numbers, numbers).clip(max=max(0, len(true_numbers) - 1))
            is_known = true_numbers[at] == numbers if len(true_numbers) else np.zeros(len(numbers), np.bool_)
            is_same = is_known & (true_values[at] == values) if len(true_numbers) else is_known
            if edge_ns:
                settled = numbers / rate_hz * NS_PER_S < least_ns.get(name, 0) - edge_ns
                is_same |= ~settled
            if n_wrong := int(np.count_nonzero(~is_same)):
                wrong.append(f"{n_wrong} sample(s) of {name} were never received")
        for name, (rate_hz, numbers, _) in kept.samples.items():
            needed = numbers[(numbers + 1) / rate_hz * NS_PER_S <= least_ns.get(name, 0) - edge_ns]
            there = self.samples[name][1] if name in self.samples else numbers[:0]
            if n_lost := len(np.setdiff1d(needed, there)):
                wrong.append(f"{n_lost} sample(s) of {name} lost that a checkpoint had answered for")
        return wrong


@dataclass(frozen=True)
class Expected:
    """A scenario without a power loss."""

    out: Path  # its run folder
    truth: tuple[Path, ...]  # files with all samples that are ever sent
    later_onsets_ns: tuple[int, ...]  # events of the data that come after the power loss
    has_archive: bool
    has_downlink: bool

    @cached_property
    def contents(self) -> dict[str, str]:
        """Hashes of its results."""
        return contents(self.out)

    @cached_property
    def signal(self) -> Signal:
        """All samples."""
        return Signal.of(self.truth)

    @cached_property
    def archive(self) -> Signal:
        """What it archived: without samples that came to nobody, where an earlier process had been killed."""
        return Signal.of(sorted((self.out / ARCHIVE).rglob("*.D/*")))

    @cached_property
    def ssam(self) -> Signal:
        """The SSAM channels."""
        return Signal.of(sorted((self.out / CONTINUOUS).rglob("*.D/*")))


@dataclass(frozen=True)
class Seen:
    """What others had seen before the power loss, which must hold after it."""

    catalog: bytes  # catalog.csv as it could be read
    taken: dict[str, bytes]  # files of the outbox that the radio has deleted, durably
    deleted: dict[str, bytes]  # ... that it had deleted, but not synced: they may be there again
    hooked: tuple[str, ...]  # events for which the hook has run
    checkpoint: bytes | None  # the latest that was durable
    is_offered: bool  # another model is, durably


@dataclass(frozen=True)
class Case:
    """A run that was resumed after a power loss, to its end."""

    root: Path
    out: Path
    code: int
    said: str
    seen: Seen
    expected: Expected


def judge_files(case: Case) -> list[str]:
    """Judge a run over files: everything is as if nothing had happened, to the byte."""
    wrong = _ended(case) + _handed_over_again(case)
    found = contents(case.out)
    expected = case.expected.contents
    different = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if different := [name for name in different if ".set-aside-" not in name]:
        wrong.append(f"{len(different)} result(s) differ from those of an undisturbed run: {', '.join(different[:4])}")
    return wrong


def judge_live(case: Case) -> list[str]:
    """Judge a live run, whose samples from before the power loss do not come again."""
    wrong = _ended(case) + _handed_over_again(case)
    rows = read_catalog(case.out / CATALOG) if (case.out / CATALOG).exists() else []
    wrong += _rows_wrong(case, rows)
    wrong += _hook_wrong(case)
    if case.expected.has_archive:
        least_ns = _answered_for(case)
        archive = Signal.of(sorted((case.out / ARCHIVE).rglob("*.D/*")))
        wrong += archive.wrong(case.expected.signal, least_ns, case.expected.archive)
        wrong += _ssam_wrong(case, least_ns)
    if case.expected.has_downlink:
        wrong += _downlink_wrong(case, rows)
    return wrong


def judge_switch(case: Case) -> list[str]:
    """Judge a live run to which another model is offered: it runs in the end where the offer was durable."""
    wrong = judge_live(case)
    store = ModelStore(case.out)
    slots, outcome = store.slots(), store.outcome()
    current = {slot.current.mark for slot in slots.values() if slot.current is not None}
    if case.seen.is_offered and not current:
        wrong.append(f"the offered model does not run: {outcome}")
    if current and (outcome is None or outcome["state"] != "switched"):
        wrong.append(f"the offered model runs, and its outcome is {outcome}")
    if store.offer() is not None or store.trial() is not None or any(slot.next for slot in slots.values()):
        wrong.append("the switch to the offered model was left half done")
    found_by = [block.found_by for block in CatalogFiles(case.out).blocks(0)]
    is_last_new = found_by[-1:] != [""] or not case.expected.later_onsets_ns
    if not {*found_by} <= {"", *current} or (current and not is_last_new):
        wrong.append(f"the events were found by {found_by}, with {current or 'no other model'} installed")
    return wrong


def _ended(case: Case) -> list[str]:
    wrong = [] if case.code == 0 else [f"exit code {case.code}: {case.said.strip()[-200:]}"]
    if "Traceback" in case.said or "a defect of" in case.said:
        wrong.append(f"a defect: {case.said.strip()[-200:]}")
    # The next install removes what an interrupted one has left: a run could not tell it from one that is going on.
    left = [path.relative_to(case.out) for path in case.out.rglob(".*")]
    left = [path for path in left if path.parts[0] != MODELS]
    return wrong + ([f"left behind: {', '.join(map(str, left[:4]))}"] if left else [])


def _handed_over_again(case: Case) -> list[str]:
    """Return which files the radio has got again; put those back that it has taken."""
    wrong = []
    for name, data in case.seen.taken.items():
        if (case.out / OUTBOX / name).exists():
            wrong.append(f"{name} was handed over again after the radio had taken it")
        (case.out / OUTBOX).mkdir(parents=True, exist_ok=True)
        (case.out / OUTBOX / name).write_bytes(data)
    for name, data in case.seen.deleted.items():
        if not (case.out / OUTBOX / name).exists():
            (case.out / OUTBOX / name).write_bytes(data)
    return wrong


def _rows_wrong(case: Case, rows: list[CatalogRow]) -> list[str]:
    final = {row.evid: row for row in rows}
    wrong = [f"{len(rows) - len(final)} name(s) of events twice"] if len(final) < len(rows) else []
    lines = (case.out / CATALOG).read_bytes().splitlines() if (case.out / CATALOG).exists() else []
    known = {line.rpartition(b",")[0] for line in lines}  # the last column, `sent`, is for exports
    seen = [line.rpartition(b",")[0] for line in case.seen.catalog.splitlines(keepends=True) if line.endswith(b"\n")]
    if lost := [line for line in seen if line not in known]:
        wrong.append(f"{len(lost)} acknowledged event(s) lost: {lost[0][:60].decode(errors='replace')}")
    onsets = sorted((row.station_id, row.onset_ns) for row in rows)
    for (station, before), (other, after) in pairwise(onsets):
        if station == other and after - before < _SAME_EVENT_NS:
            wrong.append(f"an event of {station} twice, {(after - before) / NS_PER_S:.1f} s apart")
    for row in rows:
        path = case.out / row.segment
        if not path.exists() or path.stat().st_size != row.size_bytes:
            wrong.append(f"{row.segment} of the catalogue is missing or incomplete")
        elif row.segment.encode() in case.seen.catalog:
            if path.read_bytes() != (case.expected.out / row.segment).read_bytes():
                wrong.append(f"{row.segment} of an acknowledged event has changed")
    for onset_ns in case.expected.later_onsets_ns:
        if not any(abs(row.onset_ns - onset_ns) < _SAME_ONSET_NS for row in rows):
            wrong.append("an event of the later data was not found")
    return wrong


def _hook_wrong(case: Case) -> list[str]:
    hooked = {path.name for path in (case.root / HOOKED).glob("*")}
    again = [name for name in hooked if name.endswith(".again")]
    return [f"the hook was run twice for {', '.join(again)}"] if again else []


def _answered_for(case: Case) -> dict[str, int]:
    """Return by channel the time until which the latest durable checkpoint has answered for samples."""
    if case.seen.checkpoint is None:
        return {}
    path = case.root / "seen.checkpoint"
    path.write_bytes(case.seen.checkpoint)
    newest: dict[str, int] = read_checkpoint(path).state["services"]["newest"]
    return newest


def _ssam_wrong(case: Case, least_ns: Mapping[str, int]) -> list[str]:
    """Compare the SSAM channels with those of the undisturbed run, but for the last frames before the power loss."""
    found = Signal.of(sorted((case.out / CONTINUOUS).rglob("*.D/*")))
    until_ns = min(least_ns.values(), default=0)
    frame_ns = max((round(NS_PER_S / rate_hz) for rate_hz, _, _ in case.expected.ssam.samples.values()), default=0)
    ssam = case.expected.ssam
    return found.wrong(ssam, dict.fromkeys(ssam.samples, until_ns), ssam, 2 * frame_ns)


def _downlink_wrong(case: Case, rows: list[CatalogRow]) -> list[str]:
    """Return what is wrong with the outbox; the files that the radio has taken are there again."""
    wrong = []
    journal = list(read_journal(case.out / JOURNAL))
    if twice := [number for number, n in Counter(done.number for done in journal).items() if n > 1]:
        wrong.append(f"pass(es) {twice} twice in the journal")
    listed = {file.name: file for done in journal for file in done.files}
    outbox = case.out / OUTBOX
    there = {path.name for path in outbox.glob("[!.]*")} if outbox.exists() else set()
    for name, file in listed.items():
        if name not in there:
            wrong.append(f"{name} of the journal is not in the outbox")
        elif name in there and hashlib.sha256((outbox / name).read_bytes()).hexdigest() != file.sha256:
            wrong.append(f"{name} is not what the journal says")
    wrong += [f"{name} is in the outbox and not in the journal" for name in sorted(there - listed.keys())]
    if n := records_sent_twice(case.out):
        wrong.append(f"{n} record(s) handed over twice")
    if unsent := {row.segment for row in rows} - sent_segments(case.out / JOURNAL, rows):
        wrong.append(f"{len(unsent)} segment(s) were never handed over in full")
    return wrong
