"""SSAM channels: scipy computes the same levels, gaps stay gaps, a hundredth of the volume is enough."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import obspy
import pytest
import scipy.signal
from obspy.clients.filesystem.sds import Client

from edgequake.edge.archive.archive import Archive
from edgequake.edge.archive.extract import get_waveforms
from edgequake.edge.archive.ssam import SsamWriter, band_source_id, frame_s
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.source_ids import require_source_id
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, merge_contiguous, parse_time

T0_NS = parse_time("2030-01-01T00:00:00")
MOON = "FDSN:XX_LUN_00_M_H_Z"
RATE_HZ = 6.625
FRAME = 795  # samples of 120 s at 6.625 Hz
BANDS = "LMH"
Traces = Callable[..., list[Trace]]


def summary_of(folder: Path, traces: list[Trace]) -> SsamWriter:
    summary = SsamWriter(folder, Diagnostics())
    for trace in traces:
        summary.push(trace)
    summary.close()
    return summary


def levels(folder: Path, channel: str = "WHZ") -> dict[str, obspy.Stream]:
    """Read the SSAM channels with obspy: band -> its traces in the order of time."""
    client = Client(str(folder))
    start = obspy.UTCDateTime(T0_NS / 1e9)
    return {
        band: client.get_waveforms("XX", "LUN", f"{band}0", channel, start - 86_400, start + 5 * 86_400).sort()
        for band in BANDS
    }


def expected(samples: np.ndarray, rate_hz: float) -> list[float]:
    """Return 100 log10(rms) of one frame in each band, by scipy."""
    hz, density = scipy.signal.welch(samples.astype(float), rate_hz, "hann", 256, 128, detrend=False)
    edges = [rate_hz * edge / 256 for edge in (4, 12, 38, 116)]
    return [
        100 * np.log10(np.sqrt(density[(hz >= low - 1e-9) & (hz < high - 1e-9)].sum() * rate_hz / 256))
        for low, high in pairwise(edges)
    ]


@pytest.mark.parametrize(
    ("rate_hz", "length_s", "channel"),
    [
        (6.625, 120, "WHZ"),
        (13.25, 60, "UHZ"),
        (20.0, 40, "UHZ"),
        (100.0, 8, "VHZ"),
        (53.0, 15, "UHZ"),
        (1.0, 800, "WHZ"),
    ],
)
@pytest.mark.parametrize("n_each", [25, 400, 100_000])
def test_scipy_computes_the_same_levels(
    rate_hz: float, length_s: int, channel: str, n_each: int, traces: Traces, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    samples = np.rint(500 + np.cumsum(rng.standard_normal(20_000)) + 20 * rng.standard_normal(20_000)).astype(np.int32)
    samples[9000:12_000] *= 40
    summary_of(tmp_path, traces(samples, rate_hz=rate_hz, n_each=n_each))

    found = levels(tmp_path, channel)

    n_samples = length_s * rate_hz
    assert frame_s(rate_hz) == length_s
    for i, band in enumerate(BANDS):
        (trace,) = found[band]
        assert trace.stats.starttime.ns == T0_NS
        assert trace.stats.delta == pytest.approx(length_s)
        n_whole = int(20_000 / n_samples)
        assert n_whole <= len(trace.data) <= n_whole + 1
        by_hand = [
            expected(samples[round(k * n_samples) : round((k + 1) * n_samples)], rate_hz)[i] for k in range(n_whole)
        ]
        # Half a step is the rounding; the rest is for a level that lies just between two steps.
        assert np.max(np.abs(trace.data[:n_whole] - by_hand)) <= 0.5 + 1e-6


def test_a_level_is_the_rms_in_the_records_units(traces: Traces, tmp_path: Path) -> None:
    # A steady tone of amplitude A has the rms A / sqrt(2): 1000 counts at 0.6 Hz is the middle band of 6.625 Hz.
    times_s = np.arange(20 * FRAME) / RATE_HZ
    tone = np.rint(1000 * np.sin(2 * np.pi * 0.6 * times_s)).astype(np.int32)
    summary_of(tmp_path, traces(tone))

    (middle,), (high,) = levels(tmp_path)["M"], levels(tmp_path)["H"]
    assert np.max(np.abs(middle.data - 100 * np.log10(1000 / np.sqrt(2)))) <= 1.0
    assert np.max(high.data) <= 100 * np.log10(1.0)  # from the rounding to counts


def test_frames_are_aligned_with_utc_wherever_a_record_begins(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    summary_of(tmp_path / "a", traces(days_of_noise[:100_000]))
    late_ns = T0_NS + duration_ns(1000, RATE_HZ)
    summary_of(tmp_path / "b", traces(days_of_noise[1000:100_000], start_ns=late_ns, n_each=333))

    for band in BANDS:
        (whole,), (later,) = levels(tmp_path / "a")[band], levels(tmp_path / "b")[band]
        assert later.stats.starttime.ns == T0_NS + 120 * NS_PER_S
        np.testing.assert_array_equal(later.data[1:], whole.data[2:])  # the first frame is only a part of one


def test_gaps_stay_gaps_and_short_ones_are_interpolated(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    def at(first: int, stop: int) -> list[Trace]:
        return traces(days_of_noise[first:stop], start_ns=T0_NS + duration_ns(first, RATE_HZ))

    cut_up = [*at(0, 10 * FRAME), *at(10 * FRAME + 8, 20 * FRAME + 100), *at(25 * FRAME - 300, 40 * FRAME)]
    summary_of(tmp_path / "gaps", cut_up)
    summary_of(tmp_path / "whole", at(0, 40 * FRAME))

    for band in BANDS:
        (whole,), (before, after) = levels(tmp_path / "whole")[band], levels(tmp_path / "gaps")[band]
        assert before.stats.starttime.ns == T0_NS
        assert after.stats.starttime.ns == T0_NS + 24 * 120 * NS_PER_S
        assert (len(before.data), len(after.data)) == (20, 16)
        np.testing.assert_array_equal(after.data[1:], whole.data[25:])
        same = np.delete(np.arange(20), 10)
        np.testing.assert_array_equal(before.data[same], whole.data[same])
        assert abs(before.data[10] - whole.data[10]) <= 5


def test_a_dead_channel_and_lost_values_do_no_harm(traces: Traces, tmp_path: Path) -> None:
    dead = np.full(10 * FRAME, 512, np.int32)
    summary_of(tmp_path / "dead", traces(dead))
    lost = 1e-9 * np.random.default_rng(2).standard_normal(10 * FRAME)
    lost[3 * FRAME : 4 * FRAME] = np.nan
    lost[6 * FRAME + 400] = np.inf
    summary_of(tmp_path / "lost", traces(lost))

    for band in BANDS:
        (obspy_trace,) = levels(tmp_path / "dead")[band]
        assert len(obspy_trace.data) == 10 and np.max(obspy_trace.data) < -1000
        obspy_traces = levels(tmp_path / "lost")[band]
        assert [len(obspy_trace.data) for obspy_trace in obspy_traces] == [3, 6]
        for obspy_trace in obspy_traces:
            assert np.all((obspy_trace.data > -1000) & (obspy_trace.data < -850))


def test_duplicates_count_once_and_a_clock_set_back_is_followed(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path
) -> None:
    once = traces(days_of_noise[: 50 * FRAME])
    summary_of(tmp_path / "once", once)
    summary_of(tmp_path / "twice", [trace for trace in once for _ in range(2)])
    summary_of(
        tmp_path / "overlapping", traces(days_of_noise[: 50 * FRAME]) + traces(days_of_noise[: 50 * FRAME], n_each=1000)
    )
    set_back = [*once, *traces(days_of_noise[50 * FRAME : 60 * FRAME], start_ns=T0_NS + 10 * 120 * NS_PER_S)]
    summary_of(tmp_path / "back", set_back)

    for band in BANDS:
        expected_levels = levels(tmp_path / "once")[band][0].data
        for folder in ("twice", "overlapping"):
            (obspy_trace,) = levels(tmp_path / folder)[band]
            np.testing.assert_array_equal(obspy_trace.data, expected_levels)
    name = band_source_id(MOON, 1, 120)
    found = [
        trace for trace in get_waveforms(tmp_path / "back", T0_NS, T0_NS + 86_400 * NS_PER_S) if trace.source_id == name
    ]
    assert sum(len(trace.samples) for trace in found) == 60


@pytest.mark.parametrize(
    ("source_id", "length_s", "names"),
    [
        ("FDSN:XA_S12_00_M_H_Z", 120, ("FDSN:XA_S12_L0_W_H_Z", "FDSN:XA_S12_M0_W_H_Z", "FDSN:XA_S12_H0_W_H_Z")),
        ("FDSN:XA_S14__M_H_1", 120, ("FDSN:XA_S14_L_W_H_1", "FDSN:XA_S14_M_W_H_1", "FDSN:XA_S14_H_W_H_1")),
        ("FDSN:XB_ELYSE_02_B_H_U", 40, ("FDSN:XB_ELYSE_L2_U_H_U", "FDSN:XB_ELYSE_M2_U_H_U", "FDSN:XB_ELYSE_H2_U_H_U")),
        ("FDSN:IU_ANMO_10_B_H_Z", 40, ("FDSN:IU_ANMO_A0_U_H_Z", "FDSN:IU_ANMO_B0_U_H_Z", "FDSN:IU_ANMO_C0_U_H_Z")),
        ("FDSN:AM_R0_00_E_N_Z", 8, ("FDSN:AM_R0_L0_V_N_Z", "FDSN:AM_R0_M0_V_N_Z", "FDSN:AM_R0_H0_V_N_Z")),
        ("FDSN:XX_LUN_ABC_M_H_Z", 120, ("FDSN:XX_LUN_ABCL_W_H_Z", "FDSN:XX_LUN_ABCM_W_H_Z", "FDSN:XX_LUN_ABCH_W_H_Z")),
    ],
)  # fmt: skip
def test_the_names_say_band_rate_and_component(source_id: str, length_s: int, names: tuple[str, ...]) -> None:
    assert tuple(band_source_id(source_id, band, length_s) for band in range(3)) == names


def test_no_two_channels_of_a_station_share_an_ssam_channel() -> None:
    locations = ["", *(f"{i:02d}" for i in range(100))]
    names = {
        band_source_id(f"FDSN:XX_LUN_{location}_B_{kind}_Z", band, 40)
        for location in locations for kind in "HNL" for band in range(3)
    }  # fmt: skip
    assert len(names) == 3 * 3 * 101
    assert all(len(name.split("_")[2]) <= 2 for name in names)  # they fit into miniSEED 2


def test_new_records_are_returned_once(days_of_noise: np.ndarray, traces: Traces, tmp_path: Path) -> None:
    ssam = SsamWriter(tmp_path, Diagnostics())
    sent_bytes: dict[str, int] = {}
    data: dict[str, bytes] = {}
    for i, trace in enumerate(traces(days_of_noise)):
        ssam.push(trace)
        if i % 200 == 0:
            for name, start_byte, stop_byte in ssam.new_records(sent_bytes):
                assert start_byte == sent_bytes.get(name, 0) < stop_byte
                data[name] = data.get(name, b"") + (tmp_path / name).read_bytes()[start_byte:stop_byte]
                sent_bytes[name] = stop_byte
    ssam.close()

    assert len(data) == 6  # of the third day nothing is complete
    for name in data:
        assert (tmp_path / name).read_bytes().startswith(data[name])
    assert [name[-3:] for name, _, _ in ssam.new_records({})] == ["001"] * 3 + ["002"] * 3 + ["003"] * 3


def test_nothing_is_evicted_on_a_full_disk(
    days_of_noise: np.ndarray, traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnostics = Diagnostics()
    ssam = SsamWriter(tmp_path, diagnostics)
    before: dict[Path, bytes] = {}

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for i, trace in enumerate(traces(days_of_noise)):
        if i == 2500:
            before = {path: path.read_bytes() for path in tmp_path.rglob("*.D.*") if path.is_file()}
            monkeypatch.setattr(os, "write", full)
        ssam.push(trace)
    ssam.close()

    assert len(before) == 3  # the first day
    assert {path: path.read_bytes() for path in before} == before
    assert any("record(s) not archived: the disk is full" in text for text in diagnostics.texts())


@pytest.mark.parametrize("rate_hz", [6.625, 20.0, 100.0])
def test_a_day_takes_less_than_a_hundredth_of_its_volume(rate_hz: float, traces: Traces, tmp_path: Path) -> None:
    # Quieter than any record, 0.3 counts: an Apollo instrument in its best hours.
    n_samples = int(86_400 * rate_hz)
    quiet = np.rint(512 + 0.3 * np.random.default_rng(4).standard_normal(n_samples)).astype(np.int32)
    cut_up = traces(quiet, rate_hz=rate_hz, n_each=5000)
    archive = Archive(tmp_path / "archive", None, Diagnostics(), 1 << 14)
    for trace in cut_up:
        archive.push(trace)
    archive.close()
    summary = summary_of(tmp_path / "continuous", cut_up)

    assert summary.total_bytes <= 0.007 * archive.total_bytes


@pytest.mark.records
def test_an_apollo_day_with_its_gaps_takes_less_than_a_hundredth(records_dir: Path, tmp_path: Path) -> None:
    index = index_file(records_dir / "moon" / "xa.s14.00.1973-06-30.mseed")
    cut_up = merge_contiguous(read_indexed(index, index.headers))
    archive = Archive(tmp_path / "archive", None, Diagnostics(), 1 << 14)
    for trace in cut_up:
        archive.push(trace)
    archive.close()
    summary = summary_of(tmp_path / "continuous", cut_up)

    assert 0 < summary.total_bytes <= 0.01 * archive.total_bytes


@pytest.mark.parametrize("length", [1, 5, 6, 8, 20, 40])
def test_a_station_of_any_name_is_written(length: int, traces: Traces, tmp_path: Path) -> None:
    """Names of more than five letters take miniSEED 3, whose header grows with them."""
    source_id = f"FDSN:XX_{'S' * length}_00_B_H_Z"
    samples = np.random.default_rng(1).integers(-99, 99, 3 * FRAME).astype(np.int32)
    summary_of(tmp_path, [Trace(source_id, T0_NS, RATE_HZ, samples)])
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    n_values = [
        sum(len(trace.samples) for trace in read_indexed(index, index.headers)) for index in map(index_file, paths)
    ]
    assert n_values == [3, 3, 3]


LONGEST = ("FDSN:NETWORK8_STATION8_LOCATIO8_" + "B" * 15 + "_SSSSSSSSSSSSS_Z",
           "FDSN:NETWORK8_STATION8_LOCATIO8_B_" + "S" * 27 + "_Z")  # fmt: skip


def test_any_codes_give_ssam_channels_of_their_own() -> None:
    odd = ["FDSN:_____", "FDSN:XX_LUN__B_H_Z", "FDSN:XX_LUN__b_H_Z", "FDSN:XX_LUN___H_Z", "FDSN:XX_LUN__BB_H_Z",
           "FDSN:XX_LUN__Z__", "FDSN:xx_lun__B_H_Z", "FDSN:XX_LUN_1__B_H_Z", "FDSN:XX_LUN_--_B_H_Z",
           *LONGEST]  # fmt: skip
    names = {band_source_id(source_id, band, 40) for source_id in odd for band in range(3)}
    assert len(names) == 3 * len(odd)
    assert all(require_source_id(name) for name in names)


@pytest.mark.parametrize("source_id", LONGEST)
def test_the_longest_identifier_has_ssam_channels(source_id: str, days_of_noise: np.ndarray, tmp_path: Path) -> None:
    ssam = SsamWriter(tmp_path, Diagnostics())
    ssam.push(Trace(source_id, T0_NS, RATE_HZ, days_of_noise[: 5 * FRAME]))  # its last record has 128 bytes elsewhere
    ssam.close()
    found = get_waveforms(tmp_path, T0_NS, T0_NS + 86_400 * NS_PER_S)
    assert {trace.source_id for trace in found} == {band_source_id(source_id, band, 120) for band in range(3)}
    assert [len(trace.samples) for trace in found] == [5, 5, 5]
