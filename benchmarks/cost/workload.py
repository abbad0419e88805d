"""The workload of the cost benchmarks: the graphs to measure, and a day of synthetic signal for each of them.

The Moon's is the synthesised day of `edgequake synth`. Other bodies get white noise with decaying bursts at the
model's own rate: the cost hardly depends on the values of the samples, but events have to be found, refined and
written.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.benchmarks.detectors.detectors import NamedModel
from edgequake.data.dataset import ARRIVAL_COLUMNS, RECORD_COLUMNS
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.miniseed import encode, index_file
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, format_time
from edgequake.edge.manifest.manifest import Manifest, load_manifest, shipped_models
from edgequake.synthetic.synthetic_dataset import DAY_S, DAY_START_NS, write_day

SEED = 1
SPLIT = "test"
NOISE_COUNTS = 100.0
BURST_HOURS = (3.2, 9.1, 14.4, 19.8)
BURST_RATIOS = (8.0, 40.0, 15.0, 25.0)  # largest amplitude over the noise's
BURST_DECAY_S = {"mars": 120.0, "earth": 15.0}
WINDOWED_RUN_S = 3 * 3600.0  # of a graph over overlapping windows: more shows nothing new of memory and CPU time
CHANNEL_CODES = (("MH1", "MH2", "MHZ"), ("BHE", "BHN", "BHZ"), ("HHE", "HHN", "HHZ"), ("EHE", "EHN", "EHZ"))


@dataclass(frozen=True)
class MeasuredGraph:
    """One graph of one model, whose cost is measured."""

    named: NamedModel
    manifest: Manifest
    shipped: bool  # False: a further one, named with --also

    @property
    def title(self) -> str:
        """Name and variant."""
        return f"{self.named.identity.name} {self.named.identity.variant}"

    @property
    def arguments(self) -> tuple[str, str]:
        """Arguments of a process: name or manifest, and variant."""
        return self.named.model, self.named.identity.variant

    @property
    def run_s(self) -> float:
        """Seconds of signal to run for memory and CPU time."""
        return WINDOWED_RUN_S if self.manifest.network.mode == "windowed" else DAY_S


def find_graphs(models: Sequence[str], variant: str | None, also: Sequence[str]) -> list[MeasuredGraph]:
    """Return every variant of the models, or the named one, and the further graphs.

    Parameters
    ----------
    models : shipped names or manifests; by default all shipped models.
    also : NAME or MANIFEST, with :VARIANT or alone, which is the model's default variant.

    Raises
    ------
    ManifestError
        No such model or variant, or a graph that does not match the manifest.
    """
    found = []
    for model in models or shipped_models():
        manifest, _ = load_manifest(model)
        for name in [variant] if variant else manifest.variants:
            found.append(MeasuredGraph(NamedModel.find(model, name), manifest, shipped=True))
    for text in also:
        named = NamedModel.parse(text)
        found.append(MeasuredGraph(named, load_manifest(named.model)[0], shipped=False))
    return found


def steps_per_s(manifest: Manifest) -> float:
    """Return how often the graph is stepped for a second of signal; overlapping windows step each row several times."""
    network, front_end = manifest.network, manifest.front_end
    rows_per_s = manifest.sampling_rate_hz * front_end.rows_per_block / front_end.hop_samples
    overlap = network.window_rows / network.window_hop_rows if network.window_rows and network.window_hop_rows else 1.0
    return rows_per_s / network.rows_per_step * overlap


class SignalDays:
    """Days of signal in one folder, one for each body and sampling rate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._days: dict[tuple[str, float], SignalDay] = {}

    def of(self, manifest: Manifest) -> SignalDay:
        """Return the day for a model; it is written if it is the first of its body and rate.

        Raises
        ------
        ConfigError
            As `write_signal_day`.
        """
        key = (manifest.body, manifest.sampling_rate_hz)
        if key not in self._days:
            self._days[key] = write_signal_day(self._folder / f"day-{len(self._days)}", manifest)
        return self._days[key]

    def by_body(self) -> dict[str, SignalDay]:
        """Return the first day of each body."""
        found: dict[str, SignalDay] = {}
        for day in self._days.values():
            found.setdefault(day.body, day)
        return found


@dataclass(frozen=True)
class SignalDay:
    """A day of three channels, in a folder of labelled records."""

    folder: Path
    record: Path  # the miniSEED file
    first: Path  # the first record of each channel alone, for the cold start of a process
    body: str
    sampling_rate_hz: float
    start_ns: int
    signal_s: float = DAY_S


def write_signal_day(folder: Path, manifest: Manifest) -> SignalDay:
    """Write a day for a model into a new folder.

    Raises
    ------
    ConfigError
        The model accepts none of the channel codes known here.
    """
    body, rate_hz = manifest.body, manifest.sampling_rate_hz
    if body == "moon":
        record = write_day(folder, SEED)
    else:
        record = _write_noise(folder, manifest)
    return SignalDay(folder, record, _write_first(record, folder / "first.mseed"), body, rate_hz, DAY_START_NS)


def _write_noise(folder: Path, manifest: Manifest) -> Path:
    folder.mkdir(parents=True)
    channels, rate_hz = channels_for(manifest), manifest.sampling_rate_hz
    bursts = _bursts(rate_hz, BURST_DECAY_S.get(manifest.body, BURST_DECAY_S["earth"]))
    rng = np.random.default_rng(SEED)
    traces = [
        Trace(
            f"FDSN:XX_SIG_00_{'_'.join(channel)}", DAY_START_NS, rate_hz,
            np.rint(rng.standard_normal(len(bursts)) * bursts).astype(np.int32),
        )
        for channel in channels
    ]  # fmt: skip
    record = folder / f"xx.sig.00.{format_time(DAY_START_NS)[:10]}.mseed"
    record.write_bytes(encode(traces))
    _write_tables(folder, record.name, manifest.body, channels, rate_hz)
    return record


def channels_for(manifest: Manifest) -> tuple[str, ...]:
    """Return three channel codes that a model accepts.

    Raises
    ------
    ConfigError
        It accepts none of the codes known here.
    """
    for codes in CHANNEL_CODES:
        if all(any(fnmatchcase(code, pattern) for pattern in manifest.channels) for code in codes):
            return codes
    raise ConfigError(
        f"model '{manifest.name}' takes channels {', '.join(manifest.channels)}: expected a pattern that one of "
        f"{', '.join(codes[2] for codes in CHANNEL_CODES)} and its horizontals match, to make a day of signal for it"
    )


def _bursts(rate_hz: float, decay_s: float) -> npt.NDArray[np.float64]:
    """Return the noise's amplitude over the day, in counts, shape (n_samples,)."""
    time_s = np.arange(int(DAY_S * rate_hz), dtype=np.float64) / rate_hz
    amplitude = np.full(len(time_s), NOISE_COUNTS)
    for hour, ratio in zip(BURST_HOURS, BURST_RATIOS, strict=True):
        since_s = time_s - 3600.0 * hour
        amplitude += NOISE_COUNTS * ratio * np.where(since_s >= 0, np.exp(-np.maximum(since_s, 0.0) / decay_s), 0.0)
    return amplitude


def _write_tables(folder: Path, name: str, body: str, channels: Sequence[str], rate_hz: float) -> None:
    start, group = format_time(DAY_START_NS), Path(name).stem
    duration_s = str(DAY_S - 1 / rate_hz)  # to the last sample's time
    with (folder / "records.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(RECORD_COLUMNS)
        for channel in channels:
            table.writerow([SPLIT, body, group, name, "SIG", channel, rate_hz, start, duration_s, ""])
    with (folder / "catalog.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(ARRIVAL_COLUMNS)
        for hour in BURST_HOURS:
            time_ns = DAY_START_NS + round(3600 * hour * NS_PER_S)
            table.writerow([group, name, f"{group}_{hour:g}h", "burst", format_time(time_ns), 1, 1])


def _write_first(record: Path, path: Path) -> Path:
    """Write the first record of each channel to a file."""
    data, seen = record.read_bytes(), set()
    with path.open("wb") as stream:
        for header in index_file(record).headers:
            if header.source_id not in seen:
                seen.add(header.source_id)
                stream.write(data[header.offset : header.offset + header.size_bytes])
    return path
