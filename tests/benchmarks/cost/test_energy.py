"""Energy: the estimate by hand, work counted in the graph, and that nobody can take it for a measurement."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest

from edgequake.benchmarks.cost.device_profiles import PROFILES, Constant, DeviceProfile
from edgequake.benchmarks.cost.energy import (
    LABEL,
    GraphWork,
    Work,
    bench_energy,
    detection_work,
    estimate,
    front_end_operations,
    sta_lta_operations,
)
from edgequake.edge.manifest.manifest import load_manifest

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


def test_floats_cost_what_floats_cost() -> None:
    found = estimate(replace(WORK, integer_macs=False), DEVICE)
    assert found.cycles_per_s == 10_000 * 4 + 1000 * 10 + 20_000 * 3
    assert found.python_j_per_day is None  # not measured
    assert estimate(WORK, replace(DEVICE, python_slowdown=None), 0.01).python_j_per_day is None  # no CPython there


def test_front_end_of_the_moon_counted_by_hand() -> None:
    manifest, _ = load_manifest("moon")
    config = manifest.front_end
    assert config.spectrogram is not None
    n, n_bands = config.spectrogram.window_samples, len(config.spectrogram.band_edges_hz) - 1
    of_block = 9 * n + 2.5 * n * math.log2(n) + 2 * n + n_bands * (20 + 2 + 8 + 6) + n_bands * (1 + 1 / 3)
    per_s = 3 * (manifest.sampling_rate_hz * (4 + 45) + manifest.sampling_rate_hz / config.hop_samples * of_block)
    assert front_end_operations(manifest).operations_per_s == pytest.approx(per_s)


def test_work_of_the_network_follows_how_often_it_is_stepped() -> None:
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


def test_sta_lta_costs_by_the_sample() -> None:
    plain = sta_lta_operations(10.0, band_passed=False, despiked=False).operations_per_s
    assert plain == pytest.approx(3 * 10 * (4 + 1 + 4 + 1 + 2))
    assert sta_lta_operations(20.0, band_passed=True, despiked=True).operations_per_s > 2 * plain


def test_every_constant_has_a_source_and_says_whether_it_was_read() -> None:
    assert len(PROFILES) == 5
    for profile in PROFILES:
        constants = [getattr(profile, field.name) for field in fields(profile)]
        named = [one for one in constants if isinstance(one, Constant)]
        assert len(named) >= 8
        assert all(len(one.source) > 6 and one.value >= 0 for one in named)
    read = [one for profile in PROFILES for one in vars(profile).values() if isinstance(one, Constant) and one.read]
    assert len(read) >= 8


def test_the_report_calls_itself_an_estimate_everywhere() -> None:
    report = bench_energy(lambda model, variant: STEP, ["moon"], cpu_s_per_s=lambda subject: 1e-5)
    text = report.table()
    assert text.startswith(LABEL) and text.endswith(LABEL) and "AN ESTIMATE, not a measurement" in LABEL
    assert text.count("\nestimate: ") == len(PROFILES)
    assert "(read: " in text and "(recalled: " in text
    written = report.to_json()
    assert written["label"] == LABEL
    names = [(one["name"], one["body"]) for one in written["consumers"]]
    assert names == [("moon int8", "moon"), ("STA/LTA, band-passed and despiked", "moon")]
    assert [profile["name"] for profile in written["profiles"]] == [profile.name for profile in PROFILES]
