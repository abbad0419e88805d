"""Does a model find the same events at any sampling rate and on any clock? Writes docs/rates-and-clocks.md.

    python studies/rates_and_clocks.py --data DIR --out docs/rates-and-clocks.md

Each record is resampled by scipy to the model's own rate and to others, and written three times: with an even clock,
with record starts that jitter, and with a clock that drifts. The runner runs over all of them, and its events are
compared with those at the model's own rate on the true time axis.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import obspy
from scipy import ndimage, signal

from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.manifest.manifest import Manifest, load_manifest
from edgequake.edge.runner import RunConfig, run

Float = npt.NDArray[np.float64]

RATES_HZ = {  # beside 1.9 % less and more than the model's own
    "moon": (6.625, 13.25, 15.0, 20.0, 40.0, 53.0, 100.0),
    "mars": (20.0, 40.0, 100.0),
    "earth": (20.0, 40.0, 50.0, 80.0, 100.0, 120.0, 125.0, 128.0, 200.0, 250.0),
}
OFF = (0.981, 1.019)  # of the model's rate; a channel is accepted from 0.98 on
EVERY = {"moon": 3, "mars": 1, "earth": 12}  # which records; those of `OTHER_RATES` are all used
OTHER_RATES = "earth_other_rates"  # folder of records that are run at the rate they were recorded at
FINER = 256.0  # counts to one of the record's, or to the standard deviation of the differences of samples
JITTER, DRIFT = 0.05, 50e-6  # standard deviation in samples; seconds by which the clock is late per second
LONGEST_S, BRIDGED_S, SHORTEST_S = 7200.0, 10.0, 30.0  # of a record, of a gap that is filled, of a piece
# Robust standard deviations of the spikes removed before any resampling; not those of the models, whose filters are
# what is studied.
CLEANED = {"moon": 5.0, "mars": 8.0, "earth": 8.0}
NEAR = 0.05  # of the threshold: an event that appears or disappears if it is moved by so much is borderline
FILLS, FILL_JUMP = (-1, 0), 32  # "no sample" in counts of Apollo, where they are so far from the median
HALF_PERIODS, BETA = 32, 8.0  # of scipy's filter: 80 dB, passband to 0.92 of the lower Nyquist frequency

Clock = Callable[[float, float], float]  # true seconds since the record's start, sampling interval: header's seconds

HEAD = """# Sampling rates and clocks

Does a model find the same events at any sampling rate it takes, whatever the clock? Real records were resampled by
scipy (`resample_poly`, passband to 0.92 of the lower Nyquist frequency) and run by `edgequake.edge.run`; the events are
compared with those of the same record at the model's own rate with an even clock. This page is written by
`python studies/rates_and_clocks.py --data DIR --out docs/rates-and-clocks.md`; it took
{minutes:.0f} minutes of one core.

- Records: {records}; of the splits {splits} {every}. At most two hours of each, around its first arrival. Before
  any resampling, which would spread them, gaps up to 10 s and fill values were interpolated and one-sample spikes
  removed; longer gaps stay. Counts got the noise that their rounding hides and are written 256 times finer, because a
  resampled staircase is none. int32, Steim2, 200 samples to a record, from 40 Hz on 1600.
- *even*: every record starts where its samples say. *jitter*: each start is wrong, with a standard deviation of 5 % of
  a sampling interval. *drift*: the clock loses 50 parts per million; times are corrected before events are compared.
- *shipped*: the model as it is. *bare*: without its spike filter and with the trigger's own onsets: the resampler, the
  clock and the network.
- An event is *matched* if its onset differs by at most one frame of the model
  ({frames}). What is not matched is *missed* or *extra*; an event of both runs whose
  onset differs by more has *moved*, and is *within* if by at most twice its stated uncertainty.
- *borderline*: how many of the missed, extra and moved events appear, disappear or match when the threshold of one of
  the two runs changes by 0.05. *median* and *largest*: onset minus that at the own rate, of matched and moved events.

What remains is mostly in the highest band of features, above 0.7 of the Nyquist frequency, where the resampler and the
decimators fall off and scipy does not, and in the first frames of short records, of which the filters use up two or
three before the background starts. At `moon` the highest band (2.6-3.2 Hz of 3.3) differs by 0.2-0.3 decades from
frame to frame, all others by 0.01: where the probability lingers at the threshold, mostly after the beginning of a
short record, the trigger moves by one or two frames, and the refined onset, which depends on it there, with it.
The spike filters act on five samples however long these last, at the record's own rate; they replace spikes and hardly
any noise. Onsets are refined on the model's grid at `moon` and `mars`, and at the record's own rate at `earth`, whose
band ends above half the model's rate: what can be heard then differs with the rate.

| model | rate (Hz) | clock | variant | own | matched | missed | extra | moved | within | borderline | median (s) \
| largest (s) |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Piece:
    """Contiguous samples of one channel."""

    channel: str
    start_s: float  # since the record's start
    samples: Float


@dataclass(frozen=True)
class Record:
    """One labelled record, cleaned, at its own sampling rate."""

    station: str
    name: str
    rate_hz: float
    start_ns: int
    pieces: tuple[Piece, ...]

    @property
    def channel_s(self) -> float:
        """Seconds of samples, all channels together."""
        return sum(len(piece.samples) for piece in self.pieces) / self.rate_hz


@dataclass(frozen=True)
class Found:
    """An event of a run, on the true time axis."""

    station: str
    onset_s: float
    stop_s: float
    peak: float
    sigma_s: float  # stated uncertainty of the onset


@dataclass
class Comparison:
    """The events of two runs."""

    pairs: list[tuple[Found, Found]]
    moved: list[tuple[Found, Found]]
    missed: list[Found]
    extra: list[Found]

    @property
    def differing(self) -> set[str]:
        """Stations with an event that is not matched."""
        return {one.station for one in [*self.missed, *self.extra, *(own for own, _ in self.moved)]}


# Clocks


def even(true_s: float, interval_s: float) -> float:
    """Return the time of a record's start by an even clock."""
    return true_s


def jittering(seed: int) -> Clock:
    """Return a clock whose errors are independent from record to record."""
    rng = np.random.default_rng(seed)
    return lambda true_s, interval_s: true_s + JITTER * interval_s * float(rng.standard_normal())


def drifting(true_s: float, interval_s: float) -> float:
    """Return the time of a record's start by a clock that is late by more and more."""
    return true_s / (1.0 + DRIFT)


CLOCKS: dict[str, tuple[Callable[[], Clock], float]] = {  # and by what its times are multiplied to be true
    "even": (lambda: even, 1.0),
    "jitter": (lambda: jittering(7), 1.0),
    "drift": (lambda: drifting, 1.0 + DRIFT),
}


# Records


def cleaned(record: LabelledRecord, number: int, threshold: float) -> Record:
    """Read a labelled record with obspy; fill short gaps, cut at long ones and remove spikes."""
    stream = obspy.read(str(record.file))
    first_s = record.arrivals[0].time_ns / NS_PER_S if record.arrivals else record.start_ns / NS_PER_S
    from_s = max(record.start_ns / NS_PER_S, min(first_s, record.stop_ns / NS_PER_S) - LONGEST_S / 2)
    stream.trim(obspy.UTCDateTime(from_s), obspy.UTCDateTime(from_s + LONGEST_S))
    traces = [trace for trace in stream if trace.stats.channel in record.channels and trace.stats.npts]
    stream = obspy.Stream(traces).merge(method=1)
    begin = min(trace.stats.starttime for trace in stream)
    rng = np.random.default_rng(number)
    pieces = tuple(
        replace(piece, samples=_finer(_without_spikes(piece.samples, threshold), rng))
        for trace in stream
        for piece in _pieces(trace, begin, record.body)
        if np.ptp(piece.samples) > 0.0  # a dead channel would come alive by rounding errors
    )
    return Record(f"R{number:03d}", record.file.name, record.sampling_rate_hz, begin.ns, pieces)


def _pieces(trace: obspy.Trace, begin: obspy.UTCDateTime, body: str) -> Iterator[Piece]:
    """Yield the stretches of a merged trace without long gaps; the code of the channel is one that all models take."""
    masked: Any = np.ma  # whose functions have no types
    samples = masked.masked_invalid(masked.asarray(trace.data).astype(np.float64))
    missing = masked.getmaskarray(samples).copy()
    if body == "moon" and masked.asarray(trace.data).dtype.kind == "i" and not missing.all():
        far = np.abs(samples.data - masked.median(samples)) >= FILL_JUMP
        missing |= np.isin(samples.data, FILLS) & far
    rate_hz, there = trace.stats.sampling_rate, np.flatnonzero(~missing)
    code = f"{'M' if body == 'moon' else 'B'}H{trace.stats.channel[-1]}"
    for part in np.split(there, np.flatnonzero(np.diff(there) > BRIDGED_S * rate_hz) + 1):
        if len(part) >= SHORTEST_S * rate_hz:
            values = np.interp(np.arange(part[0], part[-1] + 1), part, samples.data[part])
            yield Piece(code, float(trace.stats.starttime - begin) + float(part[0]) / rate_hz, values)


def _without_spikes(samples: Float, threshold: float) -> Float:
    median = ndimage.median_filter(samples, 5, mode="nearest")
    away = np.abs(samples - median)
    return np.where(away > threshold * 1.4826 * ndimage.median_filter(away, 5, mode="nearest"), median, samples)


def _finer(samples: Float, rng: np.random.Generator) -> Float:
    """Return samples in finer counts; whole numbers get the noise that their rounding hid.

    A staircase that is resampled is none any more, and the floor that the front end has under counts would then differ.
    """
    if np.array_equal(samples, np.rint(samples)):
        return FINER * (samples + rng.uniform(-0.5, 0.5, len(samples)))
    return samples * (FINER / float(np.diff(samples).std()))


def resampled(record: Record, rate_hz: float) -> Record:
    """Return a record at another rate, resampled by scipy."""
    ratio = Fraction(rate_hz / record.rate_hz).limit_denominator(20_000)
    if ratio == 1:
        return record
    longest = max(ratio.numerator, ratio.denominator)
    taps = signal.firwin(2 * HALF_PERIODS * longest + 1, 1.0 / longest, window=("kaiser", BETA))

    def one(piece: Piece) -> Piece:
        level = float(piece.samples.mean())
        values = signal.resample_poly(
            piece.samples - level, ratio.numerator, ratio.denominator, window=taps, padtype="line"
        )
        return replace(piece, samples=values + level)

    return replace(record, rate_hz=rate_hz, pieces=tuple(map(one, record.pieces)))


def write(record: Record, folder: Path, clock: Clock) -> None:
    """Write a record as miniSEED, the start of each record of the file by `clock`."""
    n_samples = 1600 if record.rate_hz >= 40.0 else 200  # about one record of 4096 or of 512 bytes
    interval_s = 1.0 / record.rate_hz

    def traces() -> Iterator[Trace]:
        for piece in record.pieces:
            source_id = f"FDSN:XX_{record.station}_00_{'_'.join(piece.channel)}"
            samples = np.rint(piece.samples).astype(np.int32)
            for first in range(0, len(samples), n_samples):
                header_s = clock(piece.start_s + first * interval_s, interval_s)
                start_ns = record.start_ns + round(header_s * NS_PER_S)
                yield Trace(source_id, start_ns, record.rate_hz, samples[first : first + n_samples])

    (folder / f"{record.station}.mseed").write_bytes(encode(traces()))


# Runs


class Case:
    """All records at one rate on one clock, as files, and the events of runs over them."""

    def __init__(self, records: Sequence[Record], folder: Path, clock: str) -> None:
        make, self._scale = CLOCKS[clock]
        self._folder = folder
        self._starts_ns = {record.station: record.start_ns for record in records}
        self.stations = set(self._starts_ns)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        clock_of = make()
        for record in records:
            write(record, folder, clock_of)

    def events(self, model: str, threshold: float, stations: Iterable[str] | None = None) -> list[Found]:
        """Run a model over the records of some stations, or all."""
        chosen = sorted(self.stations if stations is None else stations)
        if not chosen:
            return []
        with tempfile.TemporaryDirectory() as out:
            files = tuple(str(self._folder / f"{station}.mseed") for station in chosen)
            config = RunConfig(inputs=files, out=Path(out) / "run", model=model, threshold=threshold)
            rows = run(config).events
        return [
            Found(
                station,
                self._true_s(station, row.onset_ns),
                self._true_s(station, row.stop_ns),
                row.peak_probability,
                row.onset_uncertainty_s or 0.0,
            )
            for row in rows
            for station in [row.station_id.removeprefix("XX_")]
        ]

    def _true_s(self, station: str, time_ns: int) -> float:
        return (time_ns - self._starts_ns[station]) / NS_PER_S * self._scale


def compare(own: Sequence[Found], other: Sequence[Found], frame_s: float) -> Comparison:
    """Match events by their onsets, nearest first; what is left over and overlaps has moved."""
    found = Comparison([], [], list(own), list(other))
    rules: tuple[tuple[list[tuple[Found, Found]], Callable[[Found, Found], bool]], ...] = (
        (found.pairs, lambda a, b: abs(a.onset_s - b.onset_s) <= frame_s),
        (found.moved, lambda a, b: a.onset_s < b.stop_s and b.onset_s < a.stop_s),
    )
    for pairs, is_same in rules:
        candidates = [(a, b) for a in found.missed for b in found.extra if a.station == b.station and is_same(a, b)]
        for a, b in sorted(candidates, key=lambda pair: abs(pair[0].onset_s - pair[1].onset_s)):
            if a in found.missed and b in found.extra:
                pairs.append((a, b))
                found.missed.remove(a)
                found.extra.remove(b)
    return found


class Study:
    """A model on some records: its events at the own rate, and the rows of the table."""

    def __init__(self, manifest: Manifest, model: str, variant: str, case: Case, names: dict[str, str]) -> None:
        self._name, self._model, self._variant, self._names = manifest.name, model, variant, names
        self._frame_s = frame_s(manifest)
        self._threshold = manifest.trigger.onset_thresholds["normal"]
        self._own = {shift: case.events(model, self._threshold + shift) for shift in (-NEAR, 0.0, NEAR)}

    def row(self, label: str, case: Case, clock: str) -> str:
        """Compare the events of a case with those at the own rate, and return a row of the table."""
        started_s = time.process_time()
        own = [one for one in self._own[0.0] if one.station in case.stations]
        found = compare(own, case.events(self._model, self._threshold), 1.01 * self._frame_s)
        n_borderline = self._borderline(found, case)
        late_s = np.array([b.onset_s - a.onset_s for a, b in [*found.pairs, *found.moved]] or [0.0])
        n_within = sum(abs(b.onset_s - a.onset_s) <= 2.0 * a.sigma_s for a, b in found.moved)
        counts = [len(own), *(len(part) for part in (found.pairs, found.missed, found.extra, found.moved))]
        counts += [n_within, n_borderline]
        largest_s = late_s[np.argmax(np.abs(late_s))]
        cells = [self._name, label, clock, self._variant, *counts, f"{np.median(late_s):+.3f}", f"{largest_s:+.2f}"]
        print(*cells, f"{time.process_time() - started_s:.1f} s", sep="  ", flush=True)
        return "| " + " | ".join(map(str, cells)) + " |"

    def _borderline(self, found: Comparison, case: Case) -> int:
        """Count the events that a threshold moved by `NEAR` would match, and print all that differ."""
        other = {shift: case.events(self._model, self._threshold + shift, found.differing) for shift in (-NEAR, NEAR)}
        own, n_borderline = self._own, 0
        differing = [
            *(("missed", a, _overlaps(a, other[-NEAR]), bool(_overlaps(a, own[NEAR]))) for a in found.missed),
            *(("extra", b, _overlaps(b, own[-NEAR]), bool(_overlaps(b, other[NEAR]))) for b in found.extra),
            *(
                (f"moved by {b.onset_s - a.onset_s:+.1f} s", a, self._matches(a, b, other), True)
                for a, b in found.moved
            ),
        ]
        for kind, one, pair, stays in differing:
            is_borderline = bool(pair) or not stays
            n_borderline += is_borderline
            there = f"{pair[0].peak:.2f}" if pair else "-"
            where = f"{self._names[one.station]} at {one.onset_s:.1f} s, +- {one.sigma_s:.1f} s"
            words = ", borderline" if is_borderline else ""
            print(f"    {kind} {where}, peak {one.peak:.2f}, there {there}{words}", flush=True)
        return n_borderline

    def _matches(self, a: Found, b: Found, other: dict[float, list[Found]]) -> list[Found]:
        """Return the events by which a moved pair would match, were one of the thresholds another."""
        pairs = [(a, one) for shift in other for one in other[shift]]
        pairs += [(one, b) for shift in other for one in self._own[shift]]
        return [two for one, two in pairs if one.station == two.station and self._is_near(one, two)]

    def _is_near(self, a: Found, b: Found) -> bool:
        return abs(a.onset_s - b.onset_s) <= 1.01 * self._frame_s


def _overlaps(one: Found, others: Iterable[Found]) -> list[Found]:
    return [b for b in others if b.station == one.station and one.onset_s < b.stop_s and b.onset_s < one.stop_s]


def frame_s(manifest: Manifest) -> float:
    """Return the duration of a model's frame."""
    return manifest.front_end.hop_samples / manifest.sampling_rate_hz


def bare(model: str, folder: Path) -> str:
    """Return the manifest of a copy of a shipped model that leaves spikes and the trigger's onsets as they are."""
    _, place = load_manifest(model)
    shutil.copytree(place, folder)
    path = folder / f"{model}.json"
    raw = json.loads(path.read_text())
    raw["front_end"]["despike_threshold"] = 1e9  # not 0: the filter is as long as before, and the first frame the same
    raw["onset"] = None
    path.write_text(json.dumps(raw))
    return str(path)


def read_records(options: argparse.Namespace, manifest: Manifest, work: Path) -> tuple[list[Record], list[Record]]:
    """Return the cleaned records of a model's body, and those of other rates."""
    labelled = [one for split in options.splits for one in load(options.data, manifest.body, split)]
    native = as_recorded(options.data, work) if manifest.body == "earth" else []
    every = options.every or EVERY[manifest.body]
    chosen = [*labelled[::every], *native]
    records = [cleaned(one, i, CLEANED[manifest.body]) for i, one in enumerate(chosen)]
    n_labelled = len(labelled[::every])
    return [one for one in records[:n_labelled] if one.pieces], [one for one in records[n_labelled:] if one.pieces]


def as_recorded(data: Path, work: Path) -> list[LabelledRecord]:
    """Return the records of `OTHER_RATES`; its tables name files relative to the folder above."""
    if not (data / OTHER_RATES).is_dir():
        return []
    work.mkdir(parents=True)
    (work / OTHER_RATES).symlink_to((data / OTHER_RATES).resolve())
    for table in ("records.csv", "catalog.csv"):
        shutil.copy(data / OTHER_RATES / table, work)
    return load(work, "earth")


def study(model: str, options: argparse.Namespace, work: Path) -> tuple[list[str], str]:
    """Return the rows of a model, and a description of its records."""
    manifest, _ = load_manifest(model)
    records, native = read_records(options, manifest, work)
    both, own_hz = [*records, *native], manifest.sampling_rate_hz
    hours = sum(record.channel_s for record in both) / 3600.0
    words = f"{model}: {len(records)}" + (f" and {len(native)} of `{OTHER_RATES}`" if native else "")
    print(f"{words} records, {hours:.1f} hours of channels", flush=True)
    own = Case([resampled(record, own_hz) for record in both], work / "own", "even")
    names = {record.station: record.name for record in both}
    files = {"shipped": model, "bare": bare(model, work / "bare")}
    studies = {name: Study(manifest, file, name, own, names) for name, file in files.items()}
    rows = []
    for label, at_rate in _cases(options, model, own_hz, records, native):
        for clock in CLOCKS:
            if clock != "even" or at_rate[0].rate_hz != own_hz:
                case = Case(at_rate, work / "case", clock)
                rows += [one.row(label, case, clock) for one in studies.values()]
    return rows, f"{words} ({hours:.0f} h of channels)"


def _cases(
    options: argparse.Namespace, model: str, own_hz: float, records: list[Record], native: list[Record]
) -> Iterator[tuple[str, list[Record]]]:
    """Yield the label of a rate, and the records at it."""
    for rate_hz in options.rates or RATES_HZ[model]:
        yield f"{rate_hz:g}", [resampled(record, rate_hz) for record in records]
    for off in () if options.rates else OFF:
        yield f"{own_hz * off:.4g} ({100 * (off - 1):+.1f} %)", [resampled(one, own_hz * off) for one in records]
    for rate_hz in sorted({record.rate_hz for record in native}):
        yield f"{rate_hz:g}, as recorded", [record for record in native if record.rate_hz == rate_hz]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study, print each row, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with records.csv and catalog.csv")
    parser.add_argument("--out", type=Path, required=True, help="page to write")
    parser.add_argument("--models", nargs="+", default=list(RATES_HZ), choices=list(RATES_HZ))
    parser.add_argument("--splits", nargs="+", default=["val", "test"])
    parser.add_argument("--rates", nargs="+", type=float, metavar="HZ", help="only these sampling rates")
    parser.add_argument("--every", type=int, metavar="N", help="every Nth record only; by default as the page says")
    options = parser.parse_args(arguments)
    started_s, rows, words, frames = time.process_time(), [], [], []
    with tempfile.TemporaryDirectory() as work:
        for model in options.models:
            of_model, description = study(model, options, Path(work) / model)
            rows += of_model
            words.append(description)
            frames.append(f"{model} {frame_s(load_manifest(model)[0]):.2f} s")
    minutes = (time.process_time() - started_s) / 60.0
    head = HEAD.format(
        minutes=np.ceil(minutes),
        records="; ".join(words),
        every=", ".join(f"one file in {options.every or EVERY[model]} of {model}" for model in options.models),
        splits=" and ".join(options.splits),
        frames=", ".join(frames),
    )
    options.out.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
