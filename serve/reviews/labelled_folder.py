"""The reviews of a run as a labelled data folder: what `bench accuracy`, `tune` and `train` read.

    records/NET_STA_YYYYMMDDTHHMMSS.mseed   samples of the archive, or a segment (linked, or copied)
    records.csv, catalog.csv                as of every data folder of ours
    reviews.csv                             each event of the records: verdict, reviewer, time, note; detected_abs is
                                            blank of one that a reviewer has added: the run has missed it

Records are spans of the archive in which events have been reviewed: an hour on Earth, more on Mars and the Moon, cut
between events. Spans without an event count where they lie between reviewed ones: nothing was declared in them. Where
there is no archive the records are the segments of the reviewed events. An accepted event is a primary arrival, a
rejected one has no row, so that it counts as a false alarm; one that nobody has reviewed is neither (`UNREVIEWED`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgequake.benchmarks.scoring.scoring import BODY_RULES
from edgequake.data.quakeml_labels import PRECISION_S
from edgequake.data.record_files import station_files
from edgequake.data.tables import BODIES, CATALOG_COLUMNS, RECORD_COLUMNS, UNREVIEWED, table_bytes
from edgequake.edge.archive.sds import station_name
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import CATALOG, SEGMENTS
from edgequake.edge.formats.miniseed import encode, index_file
from edgequake.edge.formats.waveforms import NS_PER_S, format_time
from edgequake.edge.inputs.model_choice import choose
from edgequake.edge.results.catalog import CatalogRow, read_catalog
from edgequake.report.recording.samples import join_intervals
from edgequake.results.progress import Progress, silent
from edgequake.serve.reviews.review_log import ACCEPT, REJECT
from edgequake.serve.reviews.review_store import Review, ReviewStore
from edgequake.serve.reviews.stored_samples import LEAST_COVERED, covered_ns, stored_samples

REVIEWS_TABLE = "reviews.csv"
REVIEW_COLUMNS = ("file", "station", "event", "verdict", "event_type", "time_abs", "detected_abs", "reviewer",
                  "reviewed_at", "note")  # fmt: skip
SPAN_H = {"earth": 1, "mars": 6, "moon": 12}  # of a record: several times the longest event with its coda
# A record begins and ends so long before the onset and after the end of an event, or further away.
CLEAR_BEFORE_S = {"earth": 30.0, "mars": 300.0, "moon": 600.0}
CLEAR_AFTER_S = {"earth": 60.0, "mars": 600.0, "moon": 1800.0}
DEFAULT_TYPE = "quake"  # of an accepted event that has no class


@dataclass(frozen=True)
class ReviewedFolder:
    """What was written."""

    folder: Path
    body: str
    n_records: int
    n_accepted: int
    n_rejected: int
    n_unreviewed: int  # events in the records of which nobody has said what they are
    n_left_out: int  # reviewed events without samples, or that the catalogue does not have
    recorded_s: float
    n_added: int = 0  # of the accepted ones: those that the run has missed

    def text(self) -> str:
        """Return what was written, for the terminal."""
        added = f" ({self.n_added} of them added: missed by the run)" if self.n_added else ""
        return (
            f"{self.folder}: {self.n_accepted} accepted{added} and {self.n_rejected} rejected events in "
            f"{self.n_records} records, {self.recorded_s / 3600:.1f} h; "
            f"{self.n_unreviewed} event(s) there not reviewed yet, {self.n_left_out} reviewed one(s) left out"
        )


@dataclass(frozen=True)
class _Event:
    """An event of the catalogue with its review."""

    row: CatalogRow
    review: Review

    @property
    def onset_ns(self) -> int:
        return self.row.onset_ns if self.review.onset_ns is None else self.review.onset_ns

    @property
    def is_missed(self) -> bool:
        """Whether the run has not found it."""
        return self.review.added is not None and self.review.added.evid == self.row.evid

    @property
    def stop_ns(self) -> int:
        return max(self.row.stop_ns, self.onset_ns)


@dataclass(frozen=True)
class _Record:
    """A file that was written, and what its samples cover."""

    name: str  # relative to the folder
    station_id: str
    start_ns: int
    stop_ns: int

    def holds(self, event: _Event) -> bool:
        return event.row.station_id == self.station_id and self.start_ns <= event.onset_ns < self.stop_ns


def export_reviews(
    store: ReviewStore, out: Path, body: str | None = None, split: str = "val", progress: Progress = silent
) -> ReviewedFolder:
    """Write the reviewed events of a run, with the samples around them, as a labelled data folder.

    Parameters
    ----------
    out : folder that is made, or is empty, or has been written here before; its records are replaced.
    body : "moon", "mars" or "earth"; by default that of the model that a run chooses.
    split : of all records.

    Raises
    ------
    ConfigError
        An unknown body, or `out` holds something else.
    DataError
        No event has been reviewed, none of them has samples in the run folder, or a file cannot be read or written.
    """
    if body is not None and body not in BODIES:
        raise ConfigError(f"body '{body}': expected one of {', '.join(BODIES)}")
    events = [_Event(row, store.of(row.evid)) for row in read_catalog(store.run / CATALOG)]
    added = [_Event(one.added.row(), one) for one in store.added() if one.added and one.verdict == ACCEPT]
    judged = [event for event in (*events, *added) if event.review.verdict is not None]
    if not judged:
        raise DataError(f"{store.folder} has no review of an event of {store.run}: accept or reject some first")
    body = body or _body_of(store.run, judged)
    events = _merged(events, added, body)
    _prepare(out)
    records: list[_Record] = []
    by_station: dict[str, list[_Event]] = {}
    for event in events:
        by_station.setdefault(event.row.station_id, []).append(event)
    stations = sorted({event.row.station_id for event in judged})
    for i, station_id in enumerate(stations):
        records += _records_of(store.run, out, body, station_id, by_station[station_id])
        progress((i + 1) / len(stations), "records")
    if not records:
        raise DataError(f"{store.run} has no samples of any reviewed event: neither archive nor segments")
    return _write_tables(out, body, split, records, events)


def _merged(events: Sequence[_Event], added: Sequence[_Event], body: str) -> list[_Event]:
    """Return events of the catalogue and added ones, by onset.

    An added event at which the run has one too, by the tolerance of scoring, is that one: so that no quake is two
    arrivals. It says what that is where nobody has reviewed it.
    """
    tolerance_ns = round((BODY_RULES[body].tolerance_s + PRECISION_S[body]) * NS_PER_S)
    merged, missed = {event.row.evid: event for event in events}, []
    for one in added:
        near = [
            event
            for event in events
            if event.row.station_id == one.row.station_id
            and event.review.verdict != REJECT
            and abs(event.onset_ns - one.onset_ns) <= tolerance_ns
        ]
        if not near:
            missed.append(one)
            continue
        nearest = min(near, key=lambda event: abs(event.onset_ns - one.onset_ns))
        if nearest.review.verdict is None:
            merged[nearest.row.evid] = _Event(nearest.row, replace(one.review, onset_ns=one.onset_ns))
    return sorted([*merged.values(), *missed], key=lambda event: (event.onset_ns, event.row.evid))


def _write_tables(
    out: Path, body: str, split: str, records: Sequence[_Record], events: Sequence[_Event]
) -> ReviewedFolder:
    """Write the tables, records.csv last."""
    files = {one.file: one for one in station_files(out, split, body)[0]}
    arrivals: list[dict[str, Any]] = []
    reviews: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    used: set[str] = set()
    for record in sorted(records, key=lambda one: (one.start_ns, one.name)):
        inside = [event for event in events if record.holds(event)]
        group = f"{format_time(record.start_ns)[:13]}"
        used |= {event.row.evid for event in inside if event.review.verdict is not None}
        n_open = sum(event.review.verdict is None for event in inside)
        note = f"{len(inside) - n_open} of {len(inside)} events reviewed"
        rows += [{**row, "group": group, "source": "reviews", "note": note} for row in files[record.name].rows]
        common = {"split": split, "body": body, "group": group, "file": record.name}
        arrivals += [common | _arrival(event, body, record) for event in inside if event.review.verdict != REJECT]
        reviews += [_review_row(event, record) for event in inside]
    write_bytes_atomically(out / "catalog.csv", table_bytes(CATALOG_COLUMNS, arrivals))
    write_bytes_atomically(out / REVIEWS_TABLE, table_bytes(REVIEW_COLUMNS, reviews))
    write_bytes_atomically(out / "records.csv", table_bytes(RECORD_COLUMNS, rows))
    verdicts = [row["verdict"] or "" for row in reviews]
    n_judged = sum(event.review.verdict is not None for event in events)
    recorded_s = sum(record.stop_ns - record.start_ns for record in records) / NS_PER_S
    n_added = sum(not row["detected_abs"] for row in reviews)
    return ReviewedFolder(
        out, body, len(records), verdicts.count(ACCEPT), verdicts.count(REJECT), verdicts.count(""),
        n_judged - len(used), recorded_s, n_added,
    )  # fmt: skip


def _arrival(event: _Event, body: str, record: _Record) -> dict[str, Any]:
    """Return an event's row of catalog.csv."""
    review = event.review
    precision_s = PRECISION_S[body]
    if review.onset_ns is None and event.row.onset_uncertainty_s is not None:
        precision_s = max(precision_s, event.row.onset_uncertainty_s)
    is_open = review.verdict is None
    by = "not reviewed" if is_open else f"reviewed by {review.judge} {format_time(review.time_ns)[:19]}Z"
    return {
        "event": event.row.evid,
        "event_type": UNREVIEWED if is_open else _type_of(event),
        "time_abs": format_time(event.onset_ns) + "Z",
        "time_rel_s": f"{(event.onset_ns - record.start_ns) / NS_PER_S:.3f}",
        "precision_s": f"{precision_s:g}",
        "primary": "0" if is_open else "1",
        "label_source": by,
    }


def _type_of(event: _Event) -> str:
    return event.review.mq_type or event.row.mq_type or DEFAULT_TYPE


def _review_row(event: _Event, record: _Record) -> dict[str, Any]:
    review = event.review
    return {
        "file": record.name,
        "station": record.station_id,
        "event": event.row.evid,
        "verdict": review.verdict,
        "event_type": review.mq_type if review.verdict == REJECT else _type_of(event),
        "time_abs": format_time(event.onset_ns) + "Z",
        "detected_abs": "" if event.is_missed else format_time(event.row.onset_ns) + "Z",
        "reviewer": review.judge,
        "reviewed_at": "" if review.verdict is None else format_time(review.time_ns) + "Z",
        "note": review.note,
    }


def _records_of(run: Path, out: Path, body: str, station_id: str, events: Sequence[_Event]) -> Iterator[_Record]:
    """Write the records of a station."""
    linked: set[str] = set()
    for start_ns, stop_ns in reviewed_spans(
        [(e.onset_ns, e.stop_ns, e.review.verdict is not None) for e in events], body
    ):
        inside = [event for event in events if start_ns <= event.onset_ns < stop_ns]
        traces = stored_samples(run, station_id, start_ns, stop_ns)
        if covered_ns(traces) >= LEAST_COVERED * (stop_ns - start_ns):
            first_ns = min(trace.start_ns for trace in traces)
            yield _write_record(out, station_id, first_ns, encode(traces), max(trace.stop_ns for trace in traces))
            continue
        written: list[_Record] = []
        for event in inside:
            if event.review.verdict is not None and event.row.segment and event.row.segment not in linked:
                linked.add(event.row.segment)
                written += _link_segment(run, out, station_id, event.row.segment)
        for event in inside:
            if event.is_missed and not any(record.holds(event) for record in written):
                written += _around(run, out, body, event)
        yield from written


def _around(run: Path, out: Path, body: str, event: _Event) -> Iterator[_Record]:
    """Write the samples around an event that has no segment; nothing where its onset is not stored."""
    before_ns, after_ns = (round(seconds[body] * NS_PER_S) for seconds in (CLEAR_BEFORE_S, CLEAR_AFTER_S))
    traces = stored_samples(run, event.row.station_id, event.onset_ns - before_ns, event.stop_ns + after_ns)
    if any(trace.start_ns <= event.onset_ns < trace.stop_ns for trace in traces):
        first_ns, last_ns = min(trace.start_ns for trace in traces), max(trace.stop_ns for trace in traces)
        yield _write_record(out, event.row.station_id, first_ns, encode(traces), last_ns)


def reviewed_spans(events: Iterable[tuple[int, int, bool]], body: str) -> list[tuple[int, int]]:
    """Return the spans [start_ns, stop_ns) of a station that become records, in order of time.

    The time line is cut every `SPAN_H` hours of UTC, or as soon afterwards as no event is near. The spans from the
    first with a reviewed event to the last with one count, except those in which no event has been reviewed and there
    are some.

    events : onset, stop, and whether it has been reviewed, of each event.
    """
    ordered = sorted(events)
    onsets = [onset_ns for onset_ns, _, is_judged in ordered if is_judged]
    if not onsets:
        return []
    step_ns = SPAN_H[body] * 3600 * NS_PER_S
    before_ns, after_ns = (round(seconds[body] * NS_PER_S) for seconds in (CLEAR_BEFORE_S, CLEAR_AFTER_S))
    nominal = range(onsets[0] // step_ns * step_ns - step_ns, onsets[-1] + 2 * step_ns, step_ns)
    busy = join_intervals((onset_ns - before_ns, stop_ns + after_ns) for onset_ns, stop_ns, _ in ordered)
    cuts = sorted({next((stop for start, stop in busy if start < cut < stop), cut) for cut in nominal})
    spans = []
    for start_ns, stop_ns in pairwise(cuts):
        inside = [is_judged for onset_ns, _, is_judged in ordered if start_ns <= onset_ns < stop_ns]
        spans.append((start_ns, stop_ns, any(inside), not inside))
    last = max(i for i, span in enumerate(spans) if span[2])
    first = min(i for i, span in enumerate(spans) if span[2])
    return [(start, stop) for start, stop, judged, empty in spans[first : last + 1] if judged or empty]


def _write_record(out: Path, station_id: str, start_ns: int, data: bytes, stop_ns: int) -> _Record:
    stamp = format_time(start_ns)[:19].replace("-", "").replace(":", "")
    name = f"records/{station_name(station_id)}_{stamp}.mseed"
    write_bytes_atomically(out / name, data)
    return _Record(name, station_id, start_ns, stop_ns)


def _link_segment(run: Path, out: Path, station_id: str, segment: str) -> Iterator[_Record]:
    """Link, or copy, a segment; nothing where it has been deleted, or where the catalogue names no segment."""
    source = run / SEGMENTS / Path(segment).name
    if segment != f"{SEGMENTS}/{Path(segment).name}" or not source.is_file():
        return
    name = f"records/{source.name}"
    try:
        (out / name).unlink(missing_ok=True)
        try:
            os.link(source, out / name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, out / name)
        headers = index_file(out / name).headers
    except (OSError, DataError):
        with suppress(OSError):
            (out / name).unlink(missing_ok=True)
        return
    yield _Record(name, station_id, min(one.start_ns for one in headers), max(one.stop_ns for one in headers))


def _body_of(run: Path, judged: Sequence[_Event]) -> str:
    """Return the body of the model that a run chooses for the first reviewed event's station."""
    for event in judged:
        with suppress(DataError):
            headers = index_file(run / SEGMENTS / Path(event.row.segment).name).headers
            return choose(event.row.station_id, headers[0].sampling_rate_hz)[0]
    for event in judged:
        traces = stored_samples(run, event.row.station_id, event.onset_ns, event.onset_ns + 60 * NS_PER_S)
        if traces:
            return choose(event.row.station_id, traces[0].sampling_rate_hz)[0]
    raise DataError(f"{run} has no samples of a reviewed event to tell the body by; name it")


def _prepare(out: Path) -> None:
    """Make the folder, and remove the records of an earlier export.

    Raises
    ------
    ConfigError
        It holds something else.
    DataError
        It cannot be made.
    """
    try:
        if out.is_dir() and any(out.iterdir()) and not (out / REVIEWS_TABLE).is_file():
            raise ConfigError(f"{out} is not empty, and no folder of exported reviews; choose another one")
        for name in ("records.csv", "catalog.csv"):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / "records", ignore_errors=True)
        (out / "records").mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(out / REVIEWS_TABLE, table_bytes(REVIEW_COLUMNS, ()))
    except OSError as problem:
        raise DataError(f"cannot make {out}: {problem.strerror or problem}") from problem


def table_of_reviews(folder: Path) -> Mapping[str, list[tuple[int, str]]]:
    """Return of each file of an exported folder its events, as onset (ns) and verdict, blank where there is none."""
    from edgequake.data.tables import parse_time_ns, read_table

    found: dict[str, list[tuple[int, str]]] = {}
    for row in read_table(folder / REVIEWS_TABLE, REVIEW_COLUMNS):
        found.setdefault(row["file"], []).append((parse_time_ns(row["time_abs"], REVIEWS_TABLE), row["verdict"]))
    return found
