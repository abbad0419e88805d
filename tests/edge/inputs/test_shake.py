"""The Raspberry Shake's datacast: its text, its times, and a short simulation on a bad network."""

from __future__ import annotations

import ast
import time

import numpy as np
import pytest

from edgequake.benchmarks.robustness import shake as shake_benchmark
from edgequake.benchmarks.robustness.shake import bench_shake
from edgequake.benchmarks.robustness.shake_signal import CHANNELS, START_NS, STATION, impaired, shake_signal
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.inputs.datagrams import ShakeDecoder, parse_shake
from edgequake.results.robustness import ONSET_TOLERANCE_S
from edgequake.results.tables.report_text import report_text

# The example of the Shake's manual.
DATAGRAM = (
    b"{'EHZ', 1582315130.292, 14168, 14927, 16112, 17537, 18052, 17477, 15418, 13716, 15604, 17825, 19637, 20985, "
    b"17325, 10439, 11510, 17678, 20027, 20207, 18481, 15916, 13836, 13073, 14462, 17628, 19388}"
)


def decoder(rate_hz: float = 100.0) -> tuple[ShakeDecoder, Diagnostics, list[str]]:
    diagnostics, logged = Diagnostics(), list[str]()
    return (
        ShakeDecoder("shake://:8888/AM_R0E05", diagnostics, logged.append, "AM_R0E05_00", rate_hz),
        diagnostics,
        logged,
    )


def test_a_datagram_is_read() -> None:
    trace = parse_shake(DATAGRAM, "AM_R0E05_00", 100.0)
    channel, seconds, *counts = ast.literal_eval("(" + DATAGRAM.decode().strip("{}") + ")")
    assert channel == "EHZ" and len(counts) == 25 and seconds == 1582315130.292
    assert (trace.source_id, trace.start_ns) == ("FDSN:AM_R0E05_00_E_H_Z", 1_582_315_130_292_000_000)
    assert trace.sampling_rate_hz == 100.0 and trace.samples.dtype == np.int32
    np.testing.assert_array_equal(trace.samples, counts)


@pytest.mark.parametrize(
    ("text", "source_id", "start_ns", "samples"),
    [
        (b"{'HDF', 1582315130, -5}", "FDSN:AM_R0E05_00_H_D_F", 1_582_315_130_000_000_000, [-5]),
        (b"{'SHZ', 0.000000001, -8388608, 8388607}\n", "FDSN:AM_R0E05_00_S_H_Z", 1, [-8388608, 8388607]),
        (b"{'EH3',1582315130.5,1,2}", "FDSN:AM_R0E05_00_E_H_3", 1_582_315_130_500_000_000, [1, 2]),
    ],
)
def test_variants_that_other_shakes_send_are_read(
    text: bytes, source_id: str, start_ns: int, samples: list[int]
) -> None:
    trace = parse_shake(text, "AM_R0E05_00", 100.0)
    assert (trace.source_id, trace.start_ns, trace.samples.tolist()) == (source_id, start_ns, samples)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"{'EHZ', 1582315130.292}",
        b"{'EHZ', 1582315130.292, }",
        b"{'EHZ', 1582315130.292, 1, 2",
        b"{'EHZ', 1582315130.292, 1, 2} {'EHN', 1582315130.292, 1, 2}",
        b"{'EHZ', 1582315130.292, 1.5, 2}",
        b"{'EHZ', -1582315130.292, 1, 2}",
        b"{'EHZ', 1e9, 1, 2}",
        b"{'EHZ', nan, 1, 2}",
        b"{'EHZ', 99999999999.0, 1, 2}",
        b"{'EHZ', 9214560000.0, 1, 2}",
        b"{'EHZ', 1582315130.292, 2147483648}",
        b"{'EHZ', 1582315130.292, -2147483649}",
        b"{'EHZ', 1582315130.292, 0x10}",
        b"{'EHZ', 1582315130.292, \xd9\xa1}",  # a digit that is not ASCII
        b"{'ehz', 1582315130.292, 1}",
        b"{'EHZZ', 1582315130.292, 1}",
        b"{'../', 1582315130.292, 1}",
        b"{__import__('os').system('true')}",
        b"{'EHZ', 1582315130.292, " + b"1, " * 5000 + b"1}",
    ],
)
def test_malformed_text_is_dropped_and_counted(text: bytes) -> None:
    shake, diagnostics, logged = decoder()
    with pytest.raises(DataError):
        parse_shake(text, "AM_R0E05_00", 100.0)
    assert shake.traces(text) == [] and diagnostics.unreadable_bytes == len(text) and len(logged) == 1
    assert diagnostics.texts()[0].startswith("shake://:8888/AM_R0E05: 1 datagram(s) dropped; the first: ")


@pytest.mark.parametrize("tail", [b"x}", b"", b", }", b"1.0}"])
def test_the_longest_malformed_text_is_rejected_quickly(tail: bytes) -> None:
    begun_s = time.process_time()
    with pytest.raises(DataError):
        parse_shake(b"{'EHZ', 1582315130.292, " + b"1111111111, " * 5400 + tail, "AM_R0E05_00", 100.0)
    assert time.process_time() - begun_s < 0.5  # 8 ms when this was written


def test_times_in_milliseconds_give_exactly_contiguous_traces() -> None:
    """Samples that begin between two milliseconds, at a rate whose datagrams do not last whole milliseconds."""
    shake, _, _ = decoder(99.7)
    start_ns, last = 1_582_315_130_292_400_000, None
    for i in range(500):
        seconds = (start_ns + duration_ns(25 * i, 99.7)) / 1e9
        (trace,) = shake.traces(f"{{'EHZ', {seconds:.3f}, {', '.join(['7'] * 25)}}}".encode())
        assert last is None or abs(trace.start_ns - last.stop_ns) <= 1
        last = trace
    assert last is not None and abs(last.start_ns - start_ns - duration_ns(25 * 499, 99.7)) <= 1_000_000


def test_another_rate_than_the_stated_one_is_reported_once() -> None:
    shake, diagnostics, logged = decoder()
    for i in range(60):
        for channel in ("EHZ", "EHN"):
            shake.traces(f"{{'{channel}', {1582315130 + 0.5 * i:.3f}, {', '.join(['7'] * 25)}}}".encode())
    (text,) = logged
    assert "FDSN:AM_R0E05_00_E_H_Z seems to be sampled at about 50 Hz, not 100; if so, add ?rate=" in text
    assert text in diagnostics.texts()


def test_lost_and_swapped_datagrams_are_not_taken_for_another_rate() -> None:
    rng, (shake, diagnostics, logged) = np.random.default_rng(1), decoder()
    signal = shake_signal(rng, 120.0)
    for _, data in impaired(rng, list(signal.datagrams()), loss=0.2, disorder=0.1, garbage=0.0):
        shake.traces(data)
    assert logged == [] and any("came late or twice" in text for text in diagnostics.texts())


def test_the_simulated_shake_sends_the_samples_of_its_file() -> None:
    signal = shake_signal(np.random.default_rng(1), 120.0)
    traces: dict[str, list[Trace]] = {}
    for _, data in signal.datagrams():
        trace = parse_shake(data, STATION, 100.0)
        traces.setdefault(trace.source_id, []).append(trace)
    assert [name[-5:].replace("_", "") for name in traces] == list(CHANNELS)
    for row, parts in zip(signal.samples, traces.values(), strict=True):
        np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), row)
        assert parts[0].start_ns == START_NS and parts[-1].stop_ns == START_NS + 120 * 10**9


def test_a_simulated_bad_network_has_the_stated_losses() -> None:
    rng = np.random.default_rng(1)
    datagrams = list(shake_signal(rng, 300.0).datagrams())
    sent = [data for _, data in impaired(rng, datagrams, loss=0.01, disorder=0.05, garbage=0.02)]
    originals = [data for _, data in datagrams]
    known = set(originals)
    n_lost = len(known - set(sent))
    assert 0.005 < n_lost / len(originals) < 0.02
    assert 0.01 < sum(data not in known for data in sent) / len(originals) < 0.03
    in_order = list(dict.fromkeys(data for data in sent if data in known))
    assert in_order != [data for data in originals if data in set(in_order)]


@pytest.mark.slow
def test_a_simulated_shake_on_a_bad_network_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shake_benchmark, "_IDLE_STOP_S", 1.5)
    report = bench_shake(minutes=2.5, speed=40.0, seed=3)
    # Memory is not checked: the first quake allocates what later ones use again, and there is only one.
    assert [reason for reason in report.failed if "memory" not in reason] == []
    assert report.n_file_events == report.n_quakes == 1 and report.cost.growth_bytes < 4_000_000
    assert report.n_found == 1 and report.n_extra == 0 and report.largest_onset_s <= ONSET_TOLERANCE_S
    warnings = " / ".join(report.summary["warnings"])
    assert "datagram(s) dropped" in warnings and "came late or twice" in warnings and "came after a gap" in warnings
    assert report.summary["tears_bridged"] > 10 and report.summary["restarts"] == 0
    table = report_text(report)
    assert "events of the file's run" in table and "at the speed of a Shake" in table
    assert report.to_json()["cpu_share"] == report.cpu_share and 0 < report.cpu_share < 1
