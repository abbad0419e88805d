"""Valid datagrams with extreme fields: the run goes on, other stations lose nothing, and it can be started again."""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.inputs.datagrams import DatagramDecoder
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run

CODES = st.sampled_from(
    ["XX_LUN", "XX_BAD", "X_A\rB", "X_\x00\x01\x7f", "../..", "=CMD()_|'", "X_ÄÖ地震", "_", "", "NETWORK8_STATION8",
     "A" * 200, "XX_" + "é" * 8, "-_-", "XX_con", "XX_a/b", "x\u202ey_z"]
)  # fmt: skip
RATES_HZ = st.sampled_from([6.625, 6.5, 53.0, 100.0, 0.0, -1.0, -6.625, float("nan"), float("inf"), -float("inf"),
                            1e300, 1e-300, 5e-324, 1e5, 1e-3])  # fmt: skip
TIMES_NS = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 9_214_560_000 * 10**9, -9_214_560_000 * 10**9,
                            1_893_456_000 * 10**9, 4_102_444_800 * 10**9])  # fmt: skip
DAYS = st.sampled_from([(1, 1), (1969, 366), (2030, 1), (2262, 102), (9999, 365), (65535, 366), (0, 0), (2030, 65535)])


@st.composite
def raw_datagrams(draw: st.DrawFn) -> bytes:
    """Return raw samples behind a header of any values, whose lengths agree."""
    code, size = draw(st.sampled_from([(1, 2), (2, 4), (3, 4)]))
    name = f"FDSN:{draw(CODES)}_00_M_H_Z".encode()[:255]
    n_samples = draw(st.sampled_from([1, 2, 300, 10_000]))
    header = struct.pack("<4sBBHqd", b"EQS1", code, len(name), n_samples, draw(TIMES_NS), draw(RATES_HZ))
    return header + name + draw(st.binary(min_size=1, max_size=8)).ljust(8, b"\xff")[:size] * n_samples


@st.composite
def records_3(draw: st.DrawFn) -> bytes:
    """Return a record of miniSEED 3 of any values, with a right check value."""
    name = f"FDSN:{draw(CODES)}_00_M_H_Z".encode()[:255]
    year, day = draw(DAYS)
    n_samples = draw(st.sampled_from([0, 1, 64, 4096]))
    header = struct.pack(
        "<2sBBIHHBBBBdIIBBHI", b"MS", 3, 0, draw(st.sampled_from([0, 999_999_999, 2**32 - 1])), year, day,
        draw(st.sampled_from([0, 23])), 59, draw(st.sampled_from([59, 60])), draw(st.sampled_from([3, 4, 5, 11, 0])),
        draw(RATES_HZ), n_samples, 0, 1, len(name), 0, 4 * n_samples,
    )  # fmt: skip
    record = bytearray(header + name + b"\1\0\0\0" * n_samples)
    record[28:32] = crc32c(bytes(record)).to_bytes(4, "little")
    return bytes(record)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli), bit by bit as RFC 3720 defines it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_check_value_is_that_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283 and zlib.crc32(b"123456789") != 0xE3069283


@given(st.lists(raw_datagrams() | records_3(), max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_decoder_takes_any_datagram(datagrams: list[bytes]) -> None:
    decoder = DatagramDecoder("here", Diagnostics(), lambda line: None)
    for datagram in datagrams:
        for trace in decoder.traces(datagram):
            assert np.isfinite(trace.sampling_rate_hz) and trace.sampling_rate_hz > 0 and len(trace.samples)
            assert trace.source_id.isascii() and trace.source_id.isprintable() and len(trace.source_id) < 64


def send_to_run(out: Path, datagrams: list[bytes]) -> Summary:
    """Run with every service over a socket that gets `datagrams`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ready = threading.Event()

    def send() -> None:
        ready.wait(30)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for i, datagram in enumerate(datagrams):
                sender.sendto(datagram, ("127.0.0.1", port))
                if i % 10 == 0:
                    threading.Event().wait(0.002)

    thread = threading.Thread(target=send)
    thread.start()
    control = Control(log=lambda line: ready.set() if line.startswith("listening") else None)
    config = RunConfig((f"udp://:{port}",), out, model="moon", idle_stop_s=0.5, resume=True, archive_bytes=10_000_000,
                       summary_channel=True, budget_bytes=100_000, pass_s=600.0)  # fmt: skip
    summary = run(config, control=control)
    thread.join()
    return summary


@pytest.fixture(scope="module")
def own(quake_file: Path) -> list[bytes]:
    """Return the records of the true station."""
    headers, data = index_file(quake_file).headers, quake_file.read_bytes()
    return [data[header.offset : header.offset + header.size_bytes] for header in headers]


@pytest.fixture(scope="module")
def expected(own: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """Return the summary of a run that gets nothing else."""
    summary = send_to_run(tmp_path_factory.mktemp("alone") / "out", own)
    assert len(summary.events) == 1
    return summary


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_a_run_goes_on_with_the_same_events_and_starts_again(
    seed: int, own: list[bytes], expected: Summary, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    forged: list[bytes] = []

    @given(raw_datagrams() | records_3())
    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    def collect(datagram: bytes) -> None:
        if b"XX_LUN" not in datagram and len(datagram) < 60_000:  # that is the true station's name
            forged.append(datagram)

    collect()
    mixed = list(own)
    for datagram in forged:
        mixed.insert(int(rng.integers(5, len(mixed))), datagram)
    found = send_to_run(tmp_path / "mixed", mixed)
    mine = [(row.onset_ns, row.stop_ns, row.n_samples) for row in found.events if row.station_id == "XX_LUN"]
    assert mine == [(row.onset_ns, row.stop_ns, row.n_samples) for row in expected.events]
    again = send_to_run(tmp_path / "mixed", forged[:50])
    assert again.resumed == 1 and len(again.events) >= 1
    names = [path.relative_to(tmp_path / "mixed").as_posix() for path in (tmp_path / "mixed").rglob("*")]
    assert all(name.isascii() and name.isprintable() and ".." not in name.split("/") for name in names)
