"""Fixtures for the tests of the runner: the shipped model, synthesised records, and a run folder with a downlink."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pymseed
import pytest

from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.ssam import SsamWriter
from edgequake.edge.base.checkpoint import State
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.downlink.downlink import Downlink
from edgequake.edge.downlink.journal import Pass, read_journal, sent_segments
from edgequake.edge.downlink.outbox import Outbox
from edgequake.edge.downlink.request_queue import RequestQueue
from edgequake.edge.downlink.send_queue import SsamQueue
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns
from edgequake.edge.manifest.manifest import Manifest, Variant, load_manifest, read_graph, shipped_models
from edgequake.edge.results.catalog import CatalogRow, Segment
from edgequake.edge.results.ledger import Ledger, LedgerEntry, event_id
from edgequake.synthetic import synthetic_dataset

T0_NS = synthetic_dataset.DAY_START_NS
Write = Callable[..., Path]


@pytest.fixture(scope="session")
def moon_path() -> Path:
    """Return the path of the shipped moon model's manifest."""
    return shipped_models()["moon"]


@pytest.fixture(scope="session")
def moon(moon_path: Path) -> tuple[Manifest, bytes, Variant]:
    """Return the shipped moon model: manifest, graph, variant."""
    manifest, folder = load_manifest(moon_path)
    variant, graph = read_graph(manifest, folder)
    return manifest, graph, variant


@pytest.fixture(scope="session")
def by_component(moon: tuple[Manifest, bytes, Variant]) -> Manifest:
    """Return the moon model's manifest as of a network with one column of bands for each of two components."""
    manifest = moon[0]
    plain = dataclasses.replace(manifest.front_end, components=("?HZ", "?HN"), high_bands=None, contrast=None)
    network = dataclasses.replace(manifest.network, n_features=plain.n_features)
    return dataclasses.replace(manifest, front_end=plain, network=network, classes=None)


@pytest.fixture(scope="session")
def quake() -> synthetic_dataset.SyntheticRecord:
    """Return three channels, two and a half hours, with gaps, lost samples, spikes and one strong moonquake."""
    return synthetic_dataset.synthetic_record(
        np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5
    )


@pytest.fixture(scope="session")
def quake_file(quake: synthetic_dataset.SyntheticRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of `quake`; tests must not change it."""
    return synthetic_dataset.write_miniseed(quake, tmp_path_factory.mktemp("quake") / "xx.lun.00.2030-01-01.mseed")


@pytest.fixture
def noise() -> np.ndarray:
    """Return 50 minutes of noise without an event, int32, at 6.625 Hz."""
    return np.rint(512 + 3 * np.random.default_rng(1).standard_normal(20_000)).astype(np.int32)


@pytest.fixture
def loud(quake: synthetic_dataset.SyntheticRecord) -> np.ndarray:
    """Return one channel of `quake`: 2.5 hours at 6.625 Hz, int32, with an event that every model detects."""
    return quake.samples[0]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes or appends one channel's samples to a miniSEED file under `tmp_path`."""

    def write_one(
        name: str,
        samples: np.ndarray,
        *,
        start_ns: int = T0_NS,
        rate_hz: float = synthetic_dataset.SAMPLING_RATE_HZ,
        source_id: str = "FDSN:XX_LUN_00_M_H_Z",
        record_bytes: int = 512,
        version: int = 2,
    ) -> Path:
        sample_type, encoding = {
            "int32": ("i", pymseed.DataEncoding.STEIM2),
            "float32": ("f", pymseed.DataEncoding.FLOAT32),
            "float64": ("d", pymseed.DataEncoding.FLOAT64),
        }[samples.dtype.name]
        record = pymseed.MS3Record(reclen=record_bytes, encoding=encoding)
        record.formatversion, record.sourceid, record.samprate, record.starttime = version, source_id, rate_hz, start_ns
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(b"".join(record.generate(samples, sample_type)))
        return path

    return write_one


DAY_NS = 86_400 * NS_PER_S
HOUR_NS = 3600 * NS_PER_S
MOON = "FDSN:XX_LUN_00_M_H_Z"
Traces = Callable[..., list[Trace]]


@pytest.fixture
def traces() -> Traces:
    """Return a function that cuts samples into contiguous traces."""

    def cut(
        samples: np.ndarray,
        *,
        start_ns: int = T0_NS,
        rate_hz: float = 6.625,
        source_id: str = MOON,
        n_each: int | Sequence[int] = 400,
    ) -> list[Trace]:
        lengths = [n_each] if isinstance(n_each, int) else n_each
        found, first = [], 0
        while first < len(samples):
            stop = first + lengths[len(found) % len(lengths)]
            found.append(Trace(source_id, start_ns + duration_ns(first, rate_hz), rate_hz, samples[first:stop]))
            first = stop
        return found

    return cut


@pytest.fixture
def days_of_noise() -> np.ndarray:
    """Return two and a half days of noise without an event at 6.625 Hz, int32."""
    return np.rint(512 + 3 * np.random.default_rng(1).standard_normal(1_431_000)).astype(np.int32)


@dataclasses.dataclass
class Ground:
    """A run folder with a downlink, and what the ground gets from it."""

    out: Path
    budget_bytes: int = 20_000
    replayed: bool = True
    window_s: float = 180.0
    archive: Archive | None = None
    ssam: SsamWriter | None = None

    def __post_init__(self) -> None:
        (self.out / "segments").mkdir(parents=True, exist_ok=True)
        self.ledger, self.diagnostics = Ledger(), Diagnostics()
        self.segments: dict[str, LedgerEntry] = {}
        self.open()

    def open(self, state: State | None = None) -> None:
        """Begin a new process, which detects the same segments again."""
        requests = RequestQueue(self.out, self.diagnostics, lambda: [], lambda n_bytes: False)
        self.downlink = Downlink(
            self.out,
            self.budget_bytes,
            lambda station_id: self.window_s,
            self.replayed,
            self.ledger,
            self.diagnostics,
            Outbox(self.out, lambda n_bytes: False),
            requests,
            SsamQueue(self.out, self.ssam),
            state,
        )
        for found in self.segments.values():
            self.downlink.enqueue(found)

    def find(self, onset_h: float, priority: float = 0.5, length_h: float = 0.5, **changes: Any) -> str:
        """Write a segment of one event, three channels of noise, and queue it; return its name."""
        start_ns, onset_ns = T0_NS + round(onset_h * HOUR_NS) - 180 * NS_PER_S, T0_NS + round(onset_h * HOUR_NS)
        rng = np.random.default_rng(round(1000 * abs(onset_h)))
        n_samples = round(length_h * 3600 * 6.625)
        station = changes.get("station_id", "XX_LUN")
        traces = [
            Trace(f"FDSN:{station}_00_M_H_{code}", start_ns, 6.625, rng.integers(-200, 200, n_samples).astype(np.int32))
            for code in "12Z"
        ]
        data = encode(traces)
        name = f"segments/{event_id(station, start_ns)}.mseed"
        (self.out / name).write_bytes(data)
        row = CatalogRow(
            filename="day", onset_ns=onset_ns, time_rel_s=0.0, evid=event_id(station, onset_ns), mq_type="",
            station_id=station, channels=("MH1", "MH2", "MHZ"), stop_ns=traces[0].stop_ns, peak_probability=0.9,
            priority=priority, segment=name, n_samples=3 * n_samples, size_bytes=len(data),
        )  # fmt: skip
        row = dataclasses.replace(row, **changes)
        segment = Segment(name, station, start_ns, traces[0].stop_ns, 3 * n_samples, len(data))
        self.segments[name] = LedgerEntry(segment, (row,), is_new=True)
        self.ledger.add(segment, (row,))
        self.downlink.enqueue(self.segments[name])
        return name

    def pass_at(self, hour: float, is_last: bool = False) -> None:
        """Run a pass."""
        self.downlink.run_pass(T0_NS + round(hour * HOUR_NS), is_last)

    def files(self) -> dict[str, bytes]:
        """Return the files in the outbox."""
        return {path.name: path.read_bytes() for path in sorted((self.out / "outbox").glob("[!.]*"))}

    def journal(self) -> list[Pass]:
        """Return the passes of the journal."""
        return list(read_journal(self.out / "downlink.log"))

    def sent_records(self) -> list[bytes]:
        """Return the records of all files in the order of sending."""
        data = b"".join(data for name, data in self.files().items() if name.endswith(".mseed"))
        return [data[i : i + 512] for i in range(0, len(data), 512)]

    def records_of(self, name: str) -> list[bytes]:
        """Return the records of a segment in the order of its file."""
        data = (self.out / name).read_bytes()
        return [data[i : i + 512] for i in range(0, len(data), 512)]

    def is_sent(self, name: str) -> bool:
        """Whether the journal says that a segment was sent."""
        return name in sent_segments(self.out / "downlink.log", self.segments[name].rows)


@pytest.fixture
def grounds() -> Callable[..., Ground]:
    """Return the class of run folders with a downlink."""
    return Ground


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Return a run folder with a downlink of 20 000 bytes a day."""
    return Ground(tmp_path / "run")
