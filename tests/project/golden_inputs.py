"""Input of the golden runs: signals from seeded generators, in every format that a run reads.

This module does not use edgequake, so that the input never changes with it. Samples are integers, because the last
bits of a transform differ between processors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pymseed

Counts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

S = 1_000_000_000
START_NS = 1_893_456_000 * S  # 2030-01-01
MOON_Z = "FDSN:XX_LUN_00_M_H_Z"


@dataclass(frozen=True)
class Body:
    """Properties of a body's records: rate, channels, noise, and the shape of a quake."""

    rate_hz: float
    channels: tuple[str, ...]  # source identifiers
    noise_counts: float
    noise_peak_hz: float
    quake_peak_hz: float
    rise_s: float
    decay_s: float


BODIES = {
    "moon": Body(6.625, tuple(f"FDSN:XX_LUN_00_M_H_{c}" for c in "12Z"), 2.0, 0.45, 0.7, 100.0, 700.0),
    "mars": Body(20.0, tuple(f"FDSN:XX_RED_02_B_H_{c}" for c in "UVW"), 40.0, 0.3, 0.5, 15.0, 150.0),
    "earth": Body(100.0, tuple(f"FDSN:AM_R0E05_00_E_H_{c}" for c in "ZNE"), 300.0, 0.3, 6.0, 0.2, 6.0),
}


def signal(body: Body, seed: int, duration_s: float, quakes: Sequence[tuple[float, float]]) -> Counts:
    """Return noise with quakes (onset in seconds, peak amplitude over the noise), shape (channels, samples)."""
    rng, n = np.random.default_rng(seed), int(duration_s * body.rate_hz)
    rows = np.stack([_coloured(rng, n, body.rate_hz, body.noise_peak_hz, 0.6, 0.2) for _ in body.channels])
    for onset_s, ratio in quakes:
        first = int(onset_s * body.rate_hz)
        time_s = np.arange(n - first) / body.rate_hz
        envelope = (1.0 - np.exp(-((2.0 * time_s / body.rise_s) ** 1.5))) * np.exp(-time_s / body.decay_s)
        for row in rows:
            row[first:] += ratio * envelope * _coloured(rng, n - first, body.rate_hz, body.quake_peak_hz, 0.35, 0.0)
    return np.rint(512.0 + body.noise_counts * rows).astype(np.int32)


def _coloured(rng: np.random.Generator, n: int, rate_hz: float, peak_hz: float, width: float, floor: float) -> Floats:
    """Return Gaussian noise of unit variance whose amplitude spectrum is a peak in log frequency on a floor."""
    n_padded = 1 << max(n - 1, 1).bit_length()
    hz = np.fft.rfftfreq(n_padded, 1.0 / rate_hz)
    weights = np.zeros(hz.size)
    weights[1:] = floor + np.exp(-0.5 * (np.log(hz[1:] / peak_hz) / width) ** 2)
    weights *= np.sqrt(0.5 * n_padded / np.sum(weights**2))
    noise: Floats = np.fft.irfft(np.fft.rfft(rng.standard_normal(n_padded)) * weights, n_padded)[:n]
    return noise


def time_ns(index: int, rate_hz: float) -> int:
    """Return the time of a record's sample."""
    return START_NS + round(index * S / rate_hz)


def iso(ns: int) -> str:
    """Return a time in the format of the command line."""
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=ns // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


# --- miniSEED ------------------------------------------------------------------------------------------------------

ENCODINGS = {
    "steim1": ("i", pymseed.DataEncoding.STEIM1),
    "steim2": ("i", pymseed.DataEncoding.STEIM2),
    "int16": ("i", pymseed.DataEncoding.INT16),
    "int32": ("i", pymseed.DataEncoding.INT32),
    "float32": ("f", pymseed.DataEncoding.FLOAT32),
    "float64": ("d", pymseed.DataEncoding.FLOAT64),
}
DTYPES = {"i": np.int32, "f": np.float32, "d": np.float64}


def records(
    source_id: str,
    rate_hz: float,
    samples: npt.NDArray[np.generic],
    first: int = 0,
    *,
    encoding: str = "steim2",
    version: int = 2,
    size: int = 512,
    shift_ns: int = 0,
) -> list[tuple[int, bytes]]:
    """Return one channel's miniSEED records with the time of each; `first` counts samples from START_NS."""
    kind, code = ENCODINGS[encoding]
    record = pymseed.MS3Record(reclen=size, encoding=code)
    record.formatversion, record.sourceid, record.samprate = version, source_id, rate_hz
    record.starttime = time_ns(first, rate_hz) + shift_ns
    made: list[bytes] = list(record.generate(np.ascontiguousarray(samples, DTYPES[kind]), kind))
    return [(pymseed.MS3Record.parse(data).starttime, data) for data in made]


def in_order(channels: Sequence[Sequence[tuple[int, bytes]]]) -> list[bytes]:
    """Return the records of several channels in the order of their times."""
    return [data for _, data in sorted((one for channel in channels for one in channel), key=lambda one: one[0])]


def body_records(body: Body, rows: Counts, gaps: Sequence[tuple[int, int]] = ()) -> list[bytes]:
    """Return a body's channels as records in order, without the samples in `gaps` (first, stop)."""
    starts, stops = [0, *(stop for _, stop in gaps)], [*(first for first, _ in gaps), rows.shape[1]]
    return in_order(
        [
            records(name, body.rate_hz, row[first:stop], first)
            for name, row in zip(body.channels, rows, strict=True)
            for first, stop in zip(starts, stops, strict=True)
        ]
    )


# --- other formats -------------------------------------------------------------------------------------------------


def write_packet_csv(path: Path, rate_hz: float, samples: npt.NDArray[np.generic]) -> None:
    """Write one channel in the CSV form of the NASA Space Apps packet."""
    lines = ["time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),velocity(m/s)"]
    lines += [f"{iso(time_ns(i, rate_hz))},{i / rate_hz!r},{value * 1e-12:.12e}" for i, value in enumerate(samples)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def raw_datagrams(source_id: str, rate_hz: float, samples: Counts, n_each: int = 60) -> Iterator[bytes]:
    """Yield one channel as datagrams of raw int32, by the table in docs/live.md."""
    name = source_id.encode()
    for first in range(0, len(samples), n_each):
        part = samples[first : first + n_each].astype("<i4")
        header = struct.pack("<4sBBHqd", b"EQS1", 2, len(name), len(part), time_ns(first, rate_hz), rate_hz)
        yield header + name + part.tobytes()


def shake_datagrams(body: Body, rows: Counts, n_each: int = 25) -> Iterator[bytes]:
    """Yield channels as a Raspberry Shake sends them."""
    for first in range(0, rows.shape[1], n_each):
        for name, row in zip(body.channels, rows, strict=True):
            values = ", ".join(map(str, row[first : first + n_each].tolist()))
            code = "".join(name.split("_")[-3:])
            yield f"{{'{code}', {time_ns(first, body.rate_hz) / S:.3f}, {values}}}".encode()


def n_samples(record: bytes) -> int:
    """Return how many samples a record holds."""
    return int(pymseed.MS3Record.parse(record).samplecnt)
