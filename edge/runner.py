"""The run: records in, catalogue, kept segments and summary out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgequake import __version__
from edgequake.edge.atomic import write_bytes_atomically
from edgequake.edge.catalog import CatalogRow, write_catalog
from edgequake.edge.detector import Detector
from edgequake.edge.errors import ConfigError, DataError
from edgequake.edge.gaps import GapCounts
from edgequake.edge.manifest import Manifest, Variant, load_manifest, read_graph
from edgequake.edge.memory import peak_memory_bytes
from edgequake.edge.piece import NS_PER_S, Piece, channel_of
from edgequake.edge.record_time import RecordTime
from edgequake.edge.segments import Segment, SegmentKeeper
from edgequake.edge.sources import Plan, live_pieces, plan_inputs
from edgequake.edge.summary import Summary
from edgequake.edge.trigger import Event

CATALOG, SUMMARY, SEGMENTS = "catalog.csv", "summary.json", "segments"


@dataclass(frozen=True)
class RunConfig:
    """What to run on what."""

    inputs: tuple[str, ...]  # miniSEED files, packet CSVs, folders; or "-" alone for a live record stream on stdin
    out: Path
    model: str = "moon"  # a shipped model's name or the path of a manifest
    variant: str | None = None  # by default the manifest's
    sensitivity: str = "normal"
    threshold: float | None = None  # overrides the sensitivity's
    start_ns: int | None = None  # use only samples with start <= time < stop
    stop_ns: int | None = None
    channels: tuple[str, ...] | None = None  # channel code patterns, by default the manifest's
    force: bool = False  # overwrite the results of an earlier run in `out`


@dataclass
class _Tally:
    """What goes into the summary as the run proceeds."""

    samples_in: int = 0
    record_ns: int = 0
    kept_ns: int = 0
    stations: set[str] = field(default_factory=set)
    rows: list[CatalogRow] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    gaps: GapCounts = field(default_factory=GapCounts)


class _Station:
    """One stream of one station: its detector, its kept samples, its share of the tally."""

    def __init__(self, detector: Detector, keeper: SegmentKeeper, station_id: str, bridge_s: float) -> None:
        self._detector, self._keeper, self._station_id = detector, keeper, station_id
        self._time = RecordTime(round(bridge_s * NS_PER_S))

    def push(self, piece: Piece, tally: _Tally) -> bool:
        """Take a piece; return whether a segment was written."""
        self._time.add(piece.start_ns, piece.stop_ns)
        tally.samples_in += len(piece.samples)
        tally.stations.add(self._station_id)
        self._keeper.add_piece(piece)
        return self._claim(self._detector.push(piece), self._detector.horizon_ns, tally)

    def finish(self, tally: _Tally) -> bool:
        """Write what is still open, add the gaps; return whether a segment was written."""
        wrote = self._claim(self._detector.finish(), None, tally, last=True)
        for channel in self._detector.front_end.channels.values():
            for name, value in vars(channel.counts).items():
                setattr(tally.gaps, name, getattr(tally.gaps, name) + value)
        tally.record_ns += self._time.total_ns
        return wrote

    def _claim(self, events: list[Event], horizon_ns: int | None, tally: _Tally, last: bool = False) -> bool:
        for event in events:
            self._keeper.add_event(event)
        if horizon_ns is None and not last:
            return False  # no decision yet: every sample may still be wanted
        written = self._keeper.flush(horizon_ns)
        for segment, rows in written:
            tally.segments.append(segment)
            tally.kept_ns += self._time.within(segment.start_ns, segment.stop_ns)
            tally.rows += rows
        return bool(written)


def run(config: RunConfig, progress: Callable[[float], None] | None = None) -> Summary:
    """Run a model over records and leave catalog.csv, segments/ and, last of all, summary.json in `config.out`.

    Parameters
    ----------
    config : what to run on what.
    progress : called with the share of the samples read, 0..1.

    Raises
    ------
    EdgequakeError
        Unusable options, inputs, manifest or graph; nothing is written then. An error half-way leaves the segments
        and the catalogue of the events found so far, and no summary.json.
    """
    begun_wall, begun_cpu = time.monotonic(), time.process_time()
    manifest, folder = load_manifest(config.model)
    variant, graph = read_graph(manifest, folder, config.variant)
    threshold = _threshold(config, manifest)
    live = config.inputs == ("-",)
    plan = Plan() if live else plan_inputs(config.inputs, manifest, config.channels)
    # A graph that cannot run is refused before anything is written.
    runtime = Detector(manifest, graph, variant, threshold).network.runtime
    _prepare(config.out, config.force)
    tally = _Tally()
    stations: dict[int | str, _Station] = {}
    for key, station_id, piece in _pieces(config, manifest, plan, progress):
        if key not in stations:
            detector = Detector(manifest, graph, variant, threshold)
            keeper = SegmentKeeper(config.out, station_id, manifest.trigger)
            stations[key] = _Station(detector, keeper, station_id, manifest.front_end.bridge_s)
        wrote = stations.pop(key).finish(tally) if piece is None else stations[key].push(piece, tally)
        if wrote:
            write_catalog(config.out / CATALOG, _in_order(tally.rows))
    for station in stations.values():
        station.finish(tally)
    _require_samples(tally, config)
    write_catalog(config.out / CATALOG, _in_order(tally.rows))
    summary = _summary(config, manifest, variant, threshold, runtime, plan, tally, begun_wall, begun_cpu)
    write_bytes_atomically(config.out / SUMMARY, summary.to_json().encode())
    return summary


def _pieces(
    config: RunConfig, manifest: Manifest, plan: Plan, progress: Callable[[float], None] | None
) -> Iterator[tuple[int | str, str, Piece | None]]:
    """Yield (stream, station, piece) in time order within a stream; a piece of None says the stream is over."""
    if config.inputs == ("-",):
        for piece in live_pieces(sys.stdin.buffer if sys.stdin else None, config.channels or manifest.channels, plan):
            yield from ((piece.station_id, p.station_id, p) for p in _trimmed(piece, config))
        return
    n_read = 0
    for key, stream in enumerate(plan.streams):
        started = False
        for piece in stream.pieces(plan.note):
            for trimmed in _trimmed(piece, config):
                started = True
                yield key, stream.station_id, trimmed
            n_read += len(piece.samples)
            if progress:
                progress(min(1.0, n_read / max(1, plan.n_samples)))
        if started:
            yield key, stream.station_id, None


def _trimmed(piece: Piece, config: RunConfig) -> Iterator[Piece]:
    part = piece.between(config.start_ns, config.stop_ns)
    if len(part.samples):
        yield part


def _threshold(config: RunConfig, manifest: Manifest) -> float:
    if config.threshold is not None:
        if not 0 < config.threshold <= 1:
            raise ConfigError(f"threshold {config.threshold:g}: expected a probability above 0 and up to 1")
        return config.threshold
    thresholds = manifest.trigger.onset_thresholds
    if config.sensitivity not in thresholds:
        raise ConfigError(f"sensitivity '{config.sensitivity}': expected one of {', '.join(thresholds)}")
    return thresholds[config.sensitivity]


def _prepare(out: Path, force: bool) -> None:
    """Make the output folder; with `force`, clear an earlier run's results, summary first."""
    try:
        earlier = [out / SUMMARY, out / CATALOG, *sorted((out / SEGMENTS).glob("*.mseed"))]
        present = [path for path in earlier if path.exists()]
        if present and not force:
            raise ConfigError(
                f"{out} holds the results of an earlier run; choose another --out, or --force to replace them"
            )
        for path in present:
            path.unlink()
        (out / SEGMENTS).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(
            f"cannot use output folder {out}: {problem.strerror or problem}; choose another --out"
        ) from problem


def _in_order(rows: list[CatalogRow]) -> list[CatalogRow]:
    return sorted(rows, key=lambda row: (row.onset_ns, row.station_id, row.filename))


def _require_samples(tally: _Tally, config: RunConfig) -> None:
    if tally.samples_in == 0:
        raise DataError(f"no sample to process in {', '.join(config.inputs)}: check --start, --stop and --channels")
    if tally.gaps.fill_samples + tally.gaps.not_finite_samples >= tally.samples_in:
        raise DataError(
            f"all {tally.samples_in} samples of {', '.join(config.inputs)} are NaN, infinite or fill values; "
            f"expected ground motion"
        )


def _summary(
    config: RunConfig,
    manifest: Manifest,
    variant: Variant,
    threshold: float,
    runtime: str,
    plan: Plan,
    tally: _Tally,
    begun_wall: float,
    begun_cpu: float,
) -> Summary:
    return Summary(
        edgequake_version=__version__,
        model=manifest.name,
        variant=next(name for name, described in manifest.variants.items() if described is variant),
        graph_sha256=variant.sha256,
        runtime=runtime,
        onset_threshold=threshold,
        inputs=config.inputs,
        stations=tuple(sorted(tally.stations)),
        samples_in=tally.samples_in,
        bytes_in=plan.size_bytes,
        samples_kept=sum(segment.n_samples for segment in tally.segments),
        bytes_kept=sum(segment.size_bytes for segment in tally.segments),
        record_s=tally.record_ns / NS_PER_S,
        kept_s=tally.kept_ns / NS_PER_S,
        kept_fraction=tally.kept_ns / max(1, tally.record_ns),
        tears_bridged=tally.gaps.bridged_tears,
        samples_bridged=tally.gaps.bridged_samples,
        restarts=tally.gaps.restarts,
        fill_samples=tally.gaps.fill_samples,
        not_finite_samples=tally.gaps.not_finite_samples,
        overlap_samples=tally.gaps.overlap_samples,
        unreadable_bytes=plan.unreadable_bytes,
        ignored_channels=tuple(sorted({channel_of(name) for name in plan.ignored_channels})),
        warnings=tuple(plan.warnings),
        wall_s=time.monotonic() - begun_wall,
        cpu_s=time.process_time() - begun_cpu,
        peak_memory_bytes=peak_memory_bytes(),
        segments=tuple(tally.segments),
        events=tuple(_in_order(tally.rows)),
    )
