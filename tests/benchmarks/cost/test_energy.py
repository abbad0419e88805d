"""Energy: the estimate by hand, arithmetic counted by an independent program, and a report that says "estimate"."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest

from edgequake.benchmarks.cost.energy import (
    LABEL,
    PROFILES,
    GraphWork,
    bench_energy,
    detection_work,
    estimate,
    front_end_operations,
    sta_lta_operations,
)
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.results.cost import Constant, DeviceProfile, Work
from edgequake.results.tables.report_text import report_text

from .counted import Counted, above_background, band_powers, despiked, log10, median_of_five, operations, rfft

STEP = GraphWork(macs=1000, elementwise=100, moved_bytes=500)


def constant(value: float) -> Constant:
    return Constant(value, "this test")


DEVICE = DeviceProfile(
    "toy",
    clock_hz=constant(1e6),
    awake_w=constant(2.0),
    asleep_w=constant(0.5),
    cycles_per_int8_mac=constant(2.0),
    cycles_per_float_mac=constant(4.0),
    cycles_per_elementwise=constant(10.0),
    cycles_per_flop=constant(3.0),
    pj_per_byte=constant(1e6),
    python_slowdown=constant(5.0),
)
WORK = Work(
    macs_per_s=10_000, integer_macs=True, elementwise_per_s=1000, front_end_operations_per_s=20_000, bytes_per_s=100
)


def test_an_estimate_by_hand() -> None:
    found = estimate(WORK, DEVICE, python_s_per_s=0.01)
    assert found.cycles_per_s == 10_000 * 2 + 1000 * 10 + 20_000 * 3  # 90 000 of a million
    assert found.duty_cycle == pytest.approx(0.09)
    assert found.front_end_share == pytest.approx(60 / 90)
    assert found.awake_j_per_day == pytest.approx(0.09 * 2.0 * 86_400)
    assert found.memory_j_per_day == pytest.approx(100 * 1e-6 * 86_400)
    assert found.asleep_j_per_day == pytest.approx(0.5 * 86_400)
    assert found.mean_mw == pytest.approx(180 + 0.1 + 500)
    assert found.python_j_per_day == pytest.approx(0.01 * 5 * 2.0 * 86_400)


def test_float_graphs_use_the_constant_for_floats() -> None:
    found = estimate(replace(WORK, integer_macs=False), DEVICE)
    assert found.cycles_per_s == 10_000 * 4 + 1000 * 10 + 20_000 * 3
    assert found.python_j_per_day is None  # not measured
    assert estimate(WORK, replace(DEVICE, python_slowdown=None), 0.01).python_j_per_day is None  # no CPython there


def random_numbers(n: int) -> list[Counted]:
    return [Counted(value) for value in np.random.default_rng(1).normal(0.0, 30.0, n).tolist()]


def test_the_counting_program_computes_what_numpy_does() -> None:
    samples = random_numbers(64)
    values = np.array([sample.value for sample in samples])
    spectrum = [complex(real.value, imaginary.value) for real, imaginary in rfft(samples)]
    assert spectrum == pytest.approx(np.fft.rfft(values)[:32].tolist(), abs=1e-9)
    assert median_of_five(samples[:5]).value == np.median(values[:5])
    assert [log10(Counted(x)).value for x in (1e-7, 0.3, 1.0, 800.0)] == pytest.approx(
        [math.log10(x) for x in (1e-7, 0.3, 1.0, 800.0)], abs=1e-6
    )


@pytest.mark.parametrize("body", ["moon", "mars", "earth"])
def test_the_front_end_costs_what_an_independent_program_counts(body: str) -> None:
    """Within 10 %: both are sensible ways to write it for a microcontroller, neither is the only one."""
    manifest, _ = load_manifest(body)
    config, rate_hz, n_channels = manifest.front_end, manifest.sampling_rate_hz, 3
    assert config.spectrogram is not None
    n, edges_hz = config.spectrogram.window_samples, config.spectrogram.band_edges_hz
    lines = [math.ceil(edge_hz * n / rate_hz - 1e-9) for edge_hz in edges_hz]
    bands = [range(first, stop) for first, stop in pairwise(lines)]

    def one_sample() -> None:
        sample, before, *_ = five = random_numbers(5)
        _ = abs(sample - before) > 100.0, sample == -1.0, sample == 0.0  # lost samples: a jump, fill values
        despiked(five, config.despike_threshold * 1.4826)

    def one_block() -> None:
        for level in band_powers(random_numbers(n), bands):
            above_background(level, Counted(0.5), Counted(0.3))

    def one_station_block() -> None:
        for _ in bands:
            (a, b, c) = random_numbers(n_channels)
            (a + b + c) / 3.0

    blocks_per_s = rate_hz / config.hop_samples
    counted = n_channels * (rate_hz * operations(one_sample) + blocks_per_s * operations(one_block))
    counted += blocks_per_s * operations(one_station_block)
    assert front_end_operations(manifest).operations_per_s == pytest.approx(counted, rel=0.1)


def test_the_work_of_a_network_is_proportional_to_its_steps() -> None:
    manifest, _ = load_manifest("moon")
    work = detection_work(manifest, STEP, integer=True)
    steps_per_s = 6.625 / manifest.front_end.hop_samples / manifest.network.rows_per_step
    assert work.macs_per_s == pytest.approx(1000 * steps_per_s)
    assert work.elementwise_per_s == pytest.approx(100 * steps_per_s)
    assert work.bytes_per_s > 500 * steps_per_s  # the front end moves some, too
    network = replace(manifest.network, mode="windowed", window_rows=40, window_hop_rows=10)
    windowed = detection_work(replace(manifest, network=network), STEP, integer=True)
    assert windowed.macs_per_s == pytest.approx(4 * work.macs_per_s)
    assert windowed.front_end_operations_per_s == work.front_end_operations_per_s


def test_sta_lta_costs_what_an_independent_program_counts() -> None:
    def one_sample(band_passed: bool, is_despiked: bool) -> None:
        sample, before, *_ = five = random_numbers(5)
        _ = abs(sample - before) > 100.0, sample == -1.0, sample == 0.0
        if is_despiked:
            sample = despiked(five, 7.4)
        for _ in range(4 if band_passed else 0):  # a Butterworth band-pass of order 4, transposed direct form II
            z1, z2 = random_numbers(2)
            out = sample * 0.1 + z1
            z1 = sample * 0.2 - out * 0.3 + z2
            z2 = sample * 0.4 - out * 0.5
            sample = out
        power, newest, oldest = sample * sample, *random_numbers(2)
        sta, lta = newest + power - oldest, newest + power - oldest  # running sums: one sample in, one out
        (sta / lta + newest) * 0.5  # mean over the channels

    for band_passed, is_despiked in ((False, False), (True, True)):
        counted = 3 * 10.0 * operations(lambda b=band_passed, d=is_despiked: one_sample(b, d))  # type: ignore[misc]
        assert sta_lta_operations(10.0, band_passed, is_despiked).operations_per_s == pytest.approx(counted, rel=0.1)


def test_every_constant_has_a_source() -> None:
    assert len(PROFILES) == 5
    for profile in PROFILES:
        constants = [getattr(profile, field.name) for field in fields(profile)]
        named = [one for one in constants if isinstance(one, Constant)]
        assert len(named) >= 8
        assert all(len(one.source) > 6 and one.value >= 0 for one in named)
    read = [one for profile in PROFILES for one in vars(profile).values() if isinstance(one, Constant) and one.read]
    assert len(read) >= 8


def test_the_report_calls_itself_an_estimate_everywhere() -> None:
    report = bench_energy(lambda model, variant: STEP, ["moon"], cpu_s_per_s=lambda graph: 1e-5)
    text = report_text(report)
    assert text.startswith(LABEL) and text.endswith(LABEL) and "AN ESTIMATE, not a measurement" in LABEL
    assert text.count("\nEstimate, not measured: ") == len(PROFILES)
    assert "  read  " in text and "  recalled  " in text
    written = report.to_json()
    assert written["label"] == LABEL
    names = [(one["name"], one["body"]) for one in written["consumers"]]
    assert names == [("moon int8", "moon"), ("STA/LTA, band-passed and despiked", "moon")]
    assert [profile["name"] for profile in written["profiles"]] == [profile.name for profile in PROFILES]
