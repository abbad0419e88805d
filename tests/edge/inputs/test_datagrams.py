"""Samples in datagrams: the binary format, records, addresses, and the faults of a network."""

from __future__ import annotations

import json
import math
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.inputs.datagrams import DatagramDecoder, TimestampRegulariser, parse_raw, raw_datagram
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.inputs.ordering import ChannelRouter
from edgequake.edge.inputs.udp import Address, UdpReceiver, parse_address
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

Moon = tuple[Manifest, bytes, Variant]
Write = Callable[..., Path]
S = 1_000_000_000
RATE_HZ = synthetic_dataset.SAMPLING_RATE_HZ
T0_NS = synthetic_dataset.DAY_START_NS
Z = "FDSN:XX_LUN_00_M_H_Z"


def free_port(family: socket.AddressFamily = socket.AF_INET) -> int:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return int(probe.getsockname()[1])


def decoder() -> tuple[DatagramDecoder, Diagnostics, list[str]]:
    diagnostics, logged = Diagnostics(), list[str]()
    return DatagramDecoder("udp://x:1", diagnostics, logged.append), diagnostics, logged


# --- the binary format -----------------------------------------------------------------------------------------------


def by_hand(samples: Iterable[float], letter: str = "i", code: int = 2, name: bytes = b"FDSN:XX_LUN_00_M_H_Z") -> bytes:
    """Return a datagram built from the table in docs/live.md, without the code under test."""
    values = list(samples)
    header = b"EQS1" + bytes([code, len(name)]) + struct.pack("<H", len(values)) + struct.pack("<q", T0_NS)
    return header + struct.pack("<d", 6.625) + name + struct.pack(f"<{len(values)}{letter}", *values)


@pytest.mark.parametrize(
    ("letter", "code", "dtype", "values"),
    [
        ("h", 1, np.int16, (-32768, 0, 32767)),
        ("i", 2, np.int32, (-(2**31), 5, 2**31 - 1)),
        ("f", 3, np.float32, (0.5, -1e-30, 3e38)),
    ],
)
def test_a_datagram_built_by_hand_is_read(letter: str, code: int, dtype: type, values: tuple[float, ...]) -> None:
    trace = parse_raw(by_hand(values, letter, code))
    assert (trace.source_id, trace.start_ns, trace.sampling_rate_hz) == (Z, T0_NS, 6.625)
    assert trace.samples.dtype == np.dtype(dtype) and trace.samples.dtype.isnative
    np.testing.assert_array_equal(trace.samples, np.array(values, dtype))
    assert raw_datagram(Z, T0_NS, 6.625, trace.samples) == by_hand(values, letter, code)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "0 bytes, neither"),
        (b"GET / HTTP/1.1\r\n\r\n", "neither a miniSEED record nor beginning with EQS1"),
        (b"EQS1" + bytes(10), "14 bytes; expected a header of 24"),
        (by_hand([1, 2, 3])[:-1], "expected 1 sample or more, and 56 bytes"),
        (by_hand([1, 2, 3]) + b"\0", "expected 1 sample or more, and 56 bytes"),
        (by_hand([]), "for 0 samples"),
        (by_hand([1], code=4), "samples of type 4; expected 1 (int16), 2 (int32) or 3 (float32)"),
        (by_hand([1], name=b"LUN"), "source identifier 'LUN'; expected one such as FDSN:XX_LUN_00_M_H_Z"),
        (by_hand([1], name=b"FDSN:../.._00_M_H_Z"), "source identifier"),
        (by_hand([1], name=b"FDSN:XX_\xffUN_00_M_H_Z"), "source identifier"),
        (by_hand([1])[:16] + struct.pack("<d", math.nan) + by_hand([1])[24:], "and a rate"),
        (by_hand([1])[:16] + struct.pack("<d", 0.0) + by_hand([1])[24:], "and a rate"),
        (by_hand([1])[:16] + struct.pack("<d", -6.625) + by_hand([1])[24:], "and a rate"),
        (by_hand([1])[:8] + struct.pack("<q", -(2**63)) + by_hand([1])[16:], "expected a year from 1678 to 2261"),
        (by_hand([1])[:8] + struct.pack("<q", 9_214_560_000 * S) + by_hand([1])[16:], "beyond the year 2261"),
    ],
)
def test_malformed_datagrams_are_dropped_and_counted(datagram: bytes, reason: str) -> None:
    decoding, diagnostics, logged = decoder()
    assert [decoding.traces(datagram) for _ in range(3)] == [[], [], []]
    assert (
        diagnostics.texts()[0].startswith("udp://x:1: 3 datagram(s) dropped; the first: ")
        and reason in diagnostics.texts()[0]
    )
    assert diagnostics.unreadable_bytes == 3 * len(datagram)
    assert len(logged) == 1 and reason in logged[0]  # only the first is logged


def test_samples_that_do_not_fit_a_datagram_are_refused() -> None:
    for samples in (np.zeros(3), np.zeros(0, np.int32), np.zeros(1 << 16, np.int16)):
        with pytest.raises(DataError, match="expected 1 to 65535 of int16, int32 or float32"):
            raw_datagram(Z, T0_NS, RATE_HZ, samples)


def test_noise_and_damage_do_no_harm(quake_file: Path) -> None:
    rng = np.random.default_rng(5)
    good = [by_hand(range(25)), quake_file.read_bytes()[:512], quake_file.read_bytes()[:1536]]
    decoding, diagnostics, _ = decoder()
    n_traces = 0
    for i in range(3000):
        data = bytearray(good[i % 3])
        for at in rng.integers(0, len(data), int(rng.integers(1, 8))):
            data[at] = int(rng.integers(256))
        n_traces += len(decoding.traces(bytes(data[: int(rng.integers(1, len(data) + 1))])))
        n_traces += len(decoding.traces(rng.bytes(int(rng.integers(0, 100)))))
    assert n_traces > 300 and diagnostics.unreadable_bytes > 100_000
    assert len(diagnostics.texts()) < 10


def test_the_longest_junk_is_rejected_quickly() -> None:
    """A datagram of nothing but false record starts; it took 60 ms when this was written."""
    decoding, _, _ = decoder()
    for start in (b"000001D STA  00BHZNN\x07\xe4\0\1\0\0\0\0\0\0", b"MS\x03" + bytes(12)):
        begun_s = time.process_time()
        assert decoding.traces((start * 5000)[:65507]) == []
        assert time.process_time() - begun_s < 1.0


def test_records_in_a_datagram_are_read_up_to_the_first_junk(quake_file: Path) -> None:
    data = quake_file.read_bytes()
    decoding, diagnostics, _ = decoder()
    first, second, third = (header for header in index_file(quake_file).headers if header.offset < 1536)
    traces = decoding.traces(data[:1024] + b"\xff" * 100)
    offsets = {header.start_ns: header for header in (first, second, third)}
    assert [len(trace.samples) for trace in traces] == [offsets[trace.start_ns].n_samples for trace in traces]
    assert len(traces) == 2 and diagnostics.unreadable_bytes == 100
    assert decoding.traces(data[1024:1500]) == []  # the next datagram does not continue it
    assert len(decoding.traces(data[1500:1536] + data[1024:1536])) == 0
    assert len(decoding.traces(data[1024:1536])) == 1


# --- times ---------------------------------------------------------------------------------------------------------


def test_jittering_times_are_put_on_the_grid() -> None:
    grid, rng = TimestampRegulariser(100.0), np.random.default_rng(2)
    for i in range(2000):
        exact_ns = T0_NS + i * 250_000_000
        jitter_ns = 0 if i == 0 else int(rng.integers(-6_000_000, 6_000_000))  # of a sample of 10 ms
        assert grid.place(exact_ns + jitter_ns, 25) == (exact_ns, 0)


def test_traces_after_a_gap_and_late_ones_are_put_on_the_grid() -> None:
    grid = TimestampRegulariser(100.0)
    placed = [grid.place(T0_NS + round((i * 0.25 + 0.001) * S) - (S // 1000 if i == 0 else 0), 25) for i in
              (0, 1, 4, 2, 3, 5, 5)]  # fmt: skip
    assert [(start_ns - T0_NS) / S for start_ns, _ in placed] == [0.0, 0.25, 1.0, 0.5, 0.75, 1.25, 1.25]
    assert [ahead for _, ahead in placed] == [0, 0, 50, -75, -50, 0, -25]


def test_a_drifting_clock_is_followed_in_jumps_of_half_a_sample() -> None:
    """The true rate is 100.01 Hz, 100 ppm off, so the drift reaches half a sample every 50 s."""
    grid, jumps, last_ns = TimestampRegulariser(100.0), 0, T0_NS - 250_000_000
    for i in range(4000):
        true_ns = T0_NS + round(i * 25 * S / 100.01)
        start_ns, _ = grid.place(true_ns, 25)
        assert abs(start_ns - true_ns) <= 5_500_000
        jumps += start_ns - last_ns != 250_000_000
        last_ns = start_ns
    assert 18 <= jumps <= 20


def test_a_wrong_time_does_not_shift_later_traces() -> None:
    grid = TimestampRegulariser(100.0)
    grid.place(T0_NS, 25)
    grid.place(T0_NS + 10**17 + 3_333_333, 25)
    assert abs(grid.place(T0_NS + 250_000_000, 25)[0] - T0_NS - 250_000_000) <= 5_000_000
    before_ns = grid.place(T0_NS + 500_000_000, 25)[0]
    assert grid.place(T0_NS + 750_000_000, 25)[0] - before_ns == 250_000_000


# --- another rate --------------------------------------------------------------------------------------------------


def test_a_change_of_rate_starts_a_new_station_run_and_a_lone_record_does_not(moon: Moon) -> None:
    diagnostics = Diagnostics()
    router = ChannelRouter(ModelChoice(moon[0], ("MH?",)), diagnostics)

    def keys(rates_hz: Iterable[float], start: int) -> list[tuple[str, bool]]:
        traces = (Trace(Z, (start + i) * 100 * S, rate_hz, np.zeros(round(100 * rate_hz), np.int32))
                  for i, rate_hz in enumerate(rates_hz))  # fmt: skip
        return [(batch.key, batch.over) for trace in traces for batch in router.push(trace)]

    assert keys((6.625, 6.6251, 13.25, 6.625, 13.25, 13.25, 6.625), 0) == [("XX_LUN#0", False)] * 4
    assert keys((13.25, 13.25), 7) == []
    state = router.state()
    assert keys((13.25,), 9) == [("XX_LUN#0", True), ("XX_LUN#1", False)]
    assert keys((13.25,), 10) == [("XX_LUN#1", False)]
    assert diagnostics.texts() == [
        "5 record(s) of another sampling rate than their channel's left out",
        "1 time(s) a channel's sampling rate changed; the station starts anew there",
    ]
    again = ChannelRouter(ModelChoice(moon[0], ("MH?",)), Diagnostics())
    again.restore(state)
    trace = Trace(Z, 900 * S, 13.25, np.zeros(1325, np.int32))
    assert [len(list(again.push(trace))) for _ in range(3)] == [
        0,
        0,
        2,
    ]  # the count of other rates is not in the state


# --- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udp://:9000", ("udp", "127.0.0.1", 9000, "", 100.0)),
        ("udp://0.0.0.0:9000", ("udp", "0.0.0.0", 9000, "", 100.0)),
        ("udp://[::1]:9000/", ("udp", "::1", 9000, "", 100.0)),
        ("shake:///AM_R0E05", ("shake", "127.0.0.1", 8888, "AM_R0E05_00", 100.0)),
        ("shake://lander:1/am_r0e05_10", ("shake", "lander", 1, "AM_R0E05_10", 100.0)),
        ("shake://[::]:8888/AM_R0E05?rate=50", ("shake", "::", 8888, "AM_R0E05_00", 50.0)),
    ],
)
def test_an_address_is_read(text: str, expected: tuple[object, ...]) -> None:
    assert parse_address(text) == Address(text, *expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("udp://", "names no port"),
        ("udp://:0", "names no port"),
        ("udp://:99999", "Port out of range"),
        ("udp://[::1:9000", "Invalid IPv6"),
        ("udp://:9000/AM_R0E05", "nothing may follow the port"),
        ("tcp://:9000", "expected a file, a folder, -, or udp"),
        ("seedlink://rtserve:18000/IU_ANMO", "SeedLink needs obspy"),
        ("shake://:8888", "names no station"),
        ("shake://:8888/R0E05", "names no station"),
        ("shake://:8888/AM_R0E05_00_EHZ", "names no station"),
        ("shake://:8888/AM_R0E05?rate=x", "expected nothing after the station but ?rate=HZ"),
        ("shake://:8888/AM_R0E05?rate=0", "expected nothing after the station but ?rate=HZ"),
        ("shake://:8888/AM_R0E05?speed=2", "expected nothing after the station but ?rate=HZ"),
    ],
)
def test_an_invalid_address_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        run(RunConfig((text,), tmp_path / "out"))
    assert reason in str(refused.value) and not (tmp_path / "out").exists()


def test_addresses_and_files_do_not_go_together(quake_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="addresses and other inputs do not go together"):
        run(RunConfig((f"udp://:{free_port()}", str(quake_file)), tmp_path / "out"))
    with pytest.raises(ConfigError, match="--raw describes samples on standard input"):
        run(RunConfig((f"udp://:{free_port()}",), tmp_path / "out", raw="x"))


def test_a_port_in_use_or_of_another_machine_is_refused_with_a_message(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        for host, port in (("127.0.0.1", other.getsockname()[1]), ("192.0.2.1", free_port())):
            with pytest.raises(DataError, match=f"cannot listen to udp://{host}:{port}: .*; expected an address of"):
                run(RunConfig((f"udp://{host}:{port}",), tmp_path / "out"))
    with pytest.raises(DataError, match=r"cannot listen to udp://no-such-host\.invalid:9000"):
        run(RunConfig(("udp://no-such-host.invalid:9000",), tmp_path / "out"))


# --- sockets -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a socket had no room for")
def test_datagrams_lost_for_want_of_buffer_space_are_counted() -> None:
    diagnostics = Diagnostics()
    receiver, number = UdpReceiver(diagnostics), free_port()
    receiver.listen(parse_address(f"udp://:{number}"), DatagramDecoder("here", diagnostics, lambda line: None))
    n_sent = 40_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for i in range(n_sent):
            sender.sendto(raw_datagram(Z, T0_NS + i * S, 1.0, np.zeros(1, np.int32)), ("127.0.0.1", number))
        n_received, arrivals = 0, receiver.arrivals()
        while next(arrivals) is not None:
            n_received += 1
        sender.sendto(raw_datagram(Z, T0_NS, 1.0, np.zeros(1, np.int32)), ("127.0.0.1", number))
        assert next(arrivals) is not None  # the next datagram carries the number lost before it
    (text,) = (text for text in diagnostics.texts() if "lost here" in text)
    assert 0 < n_received < n_sent and int(text.split()[0]) == n_sent - n_received


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_socket_receives_its_datagrams(family: socket.AddressFamily) -> None:
    host = "[::1]" if family == socket.AF_INET6 else ""
    try:
        number = free_port(family)
    except OSError as problem:
        pytest.skip(f"no such addresses here: {problem}")
    receiver = UdpReceiver(Diagnostics())
    receiver.listen(parse_address(f"udp://{host}:{number}"), decoder()[0])
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(by_hand([1, 2]), (host.strip("[]") or "127.0.0.1", number))
    arrivals = receiver.arrivals()
    (trace,) = next(arrivals) or []
    assert trace.samples.tolist() == [1, 2] and receiver.size_bytes == len(by_hand([1, 2])) == 52
    assert next(arrivals) is None
    arrivals.close()  # type: ignore[attr-defined]
    free_again = socket.socket(family, socket.SOCK_DGRAM)
    free_again.bind((host.strip("[]") or "127.0.0.1", number))
    free_again.close()


# --- runs ----------------------------------------------------------------------------------------------------------


def run_over_sockets(
    addresses: tuple[str, ...], out: Path, send: Callable[[Callable[[bytes, int], None]], None], **options: object
) -> tuple[Summary, list[str]]:
    """Run over addresses of this machine; once all are open, `send` gets a function that sends a datagram to a port."""
    logged: list[str] = []
    ready = threading.Event()

    def log(line: str) -> None:
        logged.append(line)
        if sum(line.startswith("listening") for line in logged) == len(addresses):
            ready.set()

    def sender() -> None:
        ready.wait(30)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outlet:
            n_sent = 0

            def send_one(data: bytes, port: int) -> None:
                nonlocal n_sent
                outlet.sendto(data, ("127.0.0.1", port))
                n_sent += 1
                if n_sent % 20 == 0:
                    time.sleep(0.01)  # a socket's buffer holds some hundred

            send(send_one)

    thread = threading.Thread(target=sender)
    thread.start()
    config = RunConfig(addresses, out, **{"idle_stop_s": 1.5, **options})  # type: ignore[arg-type]
    summary = run(config, control=Control(log=log))
    thread.join()
    return summary, logged


def events_of(summary: Summary) -> list[tuple[int, int, float, int]]:
    return [(row.onset_ns, row.stop_ns, row.peak_probability, row.n_samples) for row in summary.events]


@pytest.mark.slow
def test_records_as_datagrams_give_the_events_of_the_file(quake_file: Path, tmp_path: Path) -> None:
    data, port = quake_file.read_bytes(), free_port()
    records = [data[header.offset : header.offset + header.size_bytes] for header in index_file(quake_file).headers]

    def send(send_one: Callable[[bytes, int], None]) -> None:
        for i, record in enumerate(records):
            if i % 9 == 0:
                send_one(b"junk" * (i % 5), port)
            send_one(record, port)

    summary, logged = run_over_sockets((f"udp://:{port}",), tmp_path / "out", send)
    expected = run(RunConfig((str(quake_file),), tmp_path / "file"))
    assert events_of(summary) == events_of(expected) and len(summary.events) == 1
    assert summary.samples_in == expected.samples_in and summary.samples_kept == expected.samples_kept
    assert logged[0] == (
        f"listening to udp://127.0.0.1:{port} (this machine only; name a host, as 0.0.0.0, to hear others)"
    )
    n_junk = len(range(0, len(records), 9))
    assert any(f": {n_junk} datagram(s) dropped; the first: 0 bytes" in text for text in summary.warnings)
    assert summary.bytes_in == sum(map(len, records)) + summary.unreadable_bytes


@pytest.mark.slow
def test_two_stations_at_two_ports_with_lost_and_swapped_datagrams(
    loud: np.ndarray, write: Write, tmp_path: Path
) -> None:
    """Each sends a channel of raw samples; one datagram in a hundred is lost, neighbours are swapped, times jitter."""
    ports, rng = (free_port(), free_port()), np.random.default_rng(3)
    names = ("FDSN:XX_LUN_00_M_H_Z", "FDSN:XX_SOL_00_M_H_Z")
    samples = loud[20_000:38_000]
    path = write("a.mseed", samples)
    starts = list(range(0, len(samples), 60))

    def send(send_one: Callable[[bytes, int], None]) -> None:
        order = [i + (1 if i % 10 == 4 else -1 if i % 10 == 5 else 0) for i in range(len(starts))]
        for i in order:
            if i >= len(starts) or i % 100 == 50:
                continue
            start_ns = T0_NS + duration_ns(starts[i], RATE_HZ) + int(rng.integers(-50, 50)) * 10**6 * (i > 0)
            for name, port in zip(names, ports, strict=True):
                send_one(raw_datagram(name, start_ns, RATE_HZ, samples[starts[i] : starts[i] + 60]), port)

    summary, _ = run_over_sockets(tuple(f"udp://:{port}" for port in ports), tmp_path / "out", send)
    (expected,) = run(RunConfig((str(path),), tmp_path / "file")).events
    assert [event.station_id for event in summary.events] == ["XX_LUN", "XX_SOL"]
    assert all(abs(event.onset_ns - expected.onset_ns) < 20 * S for event in summary.events)
    assert (summary.tears_bridged, summary.samples_bridged, summary.restarts) == (2 * 3, 2 * 3 * 60, 0)
    assert summary.overlap_samples == 0  # jitter makes no overlaps
    assert f"{2 * 30} datagram(s) came late or twice" in summary.warnings


@pytest.mark.slow
def test_data_without_a_matching_channel_are_reported(tmp_path: Path) -> None:
    port = free_port()

    def send(send_one: Callable[[bytes, int], None]) -> None:
        for i in range(150):
            send_one(raw_datagram("FDSN:AM_R0E05_00_E_H_Z", T0_NS + i * S, 100.0, np.zeros(100, np.int32)), port)

    logged: list[str] = []
    with pytest.raises(DataError, match=r"no sample to process in udp://.*cannot be used: FDSN:AM_R0E05_00_E_H_Z at"):
        logged += run_over_sockets((f"udp://:{port}",), tmp_path / "out", send, model="moon")[1]
    summary, logged = run_over_sockets(
        (f"udp://:{port}",), tmp_path / "again",
        lambda send_one: (send(send_one), send_one(by_hand(range(100)), port))[0], model="moon",
    )  # fmt: skip
    assert [line for line in logged if "usable" in line or "can use" in line] == [
        "data come, but none that this run can use: FDSN:AM_R0E05_00_E_H_Z at 100 Hz (--model earth takes it)",
        "usable data come now, from XX_LUN",
    ]
    assert summary.samples_in == 100


@pytest.mark.slow
def test_a_run_stopped_amid_junk_is_resumed_warm(quake_file: Path, tmp_path: Path) -> None:
    data, port = quake_file.read_bytes(), free_port()
    records = [data[header.offset : header.offset + header.size_bytes] for header in index_file(quake_file).headers]
    command = [sys.executable, "-m", "edgequake.edge", "run", f"udp://:{port}", "--out", str(tmp_path / "out"),
               "--json", "--resume", "--stall-after", "0.5"]  # fmt: skip
    summaries = []
    for part in (records[:100], records[100:200]):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            lines = [process.stderr.readline()]
            reader = threading.Thread(target=lambda pipe, into: into.extend(pipe), args=(process.stderr, lines))
            reader.start()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outlet:
                for record in part:
                    outlet.sendto(record, ("127.0.0.1", port))
                    time.sleep(0.002)
                stop_s, sent_term = time.monotonic() + 60, False
                while process.poll() is None and time.monotonic() < stop_s:
                    outlet.sendto(b"junk", ("127.0.0.1", port))  # without a pause
                    time.sleep(0.001)
                    if not sent_term and any(b"no input for" in line for line in lines):  # junk is no input
                        process.send_signal(signal.SIGTERM)
                        sent_term = True
            assert sent_term, lines
            assert process.stdout is not None
            out = process.stdout.read()
            reader.join(timeout=30)
            assert process.wait(timeout=30) == 0
            summaries.append(json.loads(out))
    assert [summary["resumed"] for summary in summaries] == [0, 1]
    assert summaries[0]["samples_in"] < summaries[1]["samples_in"]
