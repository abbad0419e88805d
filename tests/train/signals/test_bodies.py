"""Examples of the Moon, Mars and the Earth: scales, amplitudes, labels, and records with manual picks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.data.phasenet import phasenet_split
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.train.configuration.recipe import Recipe, bundled_recipes, load_recipe
from edgequake.train.data.noise_bank import NoiseBank, RecordedQuake
from edgequake.train.data.records import phasenet_records, record_traces
from edgequake.train.examples.augmentation import injected_record
from edgequake.train.examples.examples import synthetic_examples
from edgequake.train.examples.labels import Targets, loudest_bands, mark_event
from edgequake.train.signals.noise import in_band, robust_rms

RATE_HZ = 20.0
NO_BANK = NoiseBank((), ())
SMALL: Mapping[str, Any] = {"examples.n_blocks": 260, "examples.max_front_blocks": 40}
BODIES = ("mars", "earth")
NO_BANKS = dict.fromkeys((20.0, 40.0, 100.0), NO_BANK)


def small(body: str, **more: Any) -> Recipe:
    return load_recipe(body, {**SMALL, **{f"examples.{name}": value for name, value in more.items()}})


# --- the table of scales


def test_the_signals_of_a_bundled_recipe_are_those_of_its_body() -> None:
    for name in ("moon", "tiny", "seed", "mars", "earth"):
        recipe = load_recipe(name)
        assert recipe.examples.signals == recipe.body
    moon, mars, earth = (load_recipe(name).examples.scales for name in ("moon", "mars", "earth"))
    for name in ("onset_s", "max_event_s", "after_event_s", "lead_s", "quake_s", "level_s"):
        assert getattr(moon, name) > getattr(mars, name) > getattr(earth, name), name


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("scales.speed_s", 1.0, r"scales: unknown field 'speed_s'"),
        ("scales.onset_s", -1.0, "onset_s must not be negative"),
        ("scales.rise_s", [30.0, 2.0], r"rise_s must be \[shortest, longest\]"),
        ("scales.label_bands_hz", [1.0, 0.5], "label_bands_hz must be two rising frequencies"),
        ("scales.label_best_bands", 9, "label_best_bands must be 1 up to the number of bands, got 9"),
        ("scales.loudness_band_hz", [1.0], r"loudness_band_hz must be \[low, high\] or empty"),
        ("signals", "venus", "signals must be 'moon', 'mars' or 'earth', got 'venus'"),
    ],
)
def test_a_bad_scale_gives_a_one_line_error(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe("mars", {f"examples.{field}": value})
    assert "\n" not in str(caught.value)


def test_a_recipe_without_scales_is_refused(tmp_path: Path) -> None:
    lines = bundled_recipes()["mars"].read_text().split("\n[examples.scales]")
    path = tmp_path / "mine.toml"
    path.write_text(lines[0] + "\n[fit]" + lines[1].split("\n[fit]")[1])
    with pytest.raises(ConfigError, match=r"examples: field 'scales' is missing"):
        load_recipe(str(path))


# --- amplitudes


def test_amplitudes_are_measured_in_their_band() -> None:
    time_s = np.arange(4000) / RATE_HZ
    tones = np.stack([np.sin(2 * np.pi * hz * time_s) for hz in (0.1, 1.0, 8.0)])
    rms = np.sqrt(np.mean(np.square(in_band(tones, (0.3, 2.7), RATE_HZ)[:, 400:-400]), axis=1))
    np.testing.assert_allclose(rms, [0.0, np.sqrt(0.5), 0.0], atol=0.01)
    assert in_band(tones, (), RATE_HZ) is tones


def test_the_rms_of_noise() -> None:
    noise = np.random.default_rng(1).normal(0.0, 3.0, (1, 50_000))
    assert robust_rms(noise)[0] == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize("body", BODIES)
def test_a_recorded_quake_is_amplified_little_beyond_its_own_record(body: str) -> None:
    recipe = small(
        body, synthetic_noise_share=1.0, synthetic_quake_share=0.0, quakes_per_example=6.0, excess_decades=[2.5, 3.0]
    )
    scales = replace(recipe.examples.scales, min_spacing_s=10.0)
    plan = replace(recipe.examples, scales=scales)
    tone = np.sin(2 * np.pi * 2.0 * np.arange(2400) / RATE_HZ)[np.newaxis]
    loudest = {}
    for clear_decades in (0.6, 9.0):
        bank = NoiseBank((), (RecordedQuake(np.repeat(tone, 3, axis=0), "12Z", clear_decades),))
        records = [injected_record(np.random.default_rng(s), bank, plan, 8000, 32, RATE_HZ) for s in range(4)]
        loudest[clear_decades] = max(float(one.excess.max()) for one in records)
    assert loudest[9.0] > loudest[0.6] + 1.0


# --- labels


def test_the_loudest_bands_are_a_run_of_neighbours() -> None:
    excess = np.zeros((60, 4))
    excess[20:40, 1] = excess[20:40, 2] = 1.0
    np.testing.assert_allclose(loudest_bands(excess, 2)[25:35], 1.0)
    np.testing.assert_allclose(loudest_bands(excess, 4)[25:35], 0.5)
    np.testing.assert_allclose(loudest_bands(excess, 3)[25:35], 2.0 / 3.0)
    np.testing.assert_array_equal(loudest_bands(excess, 2)[:15], 0.0)


def test_a_second_phase_belongs_to_the_event_if_it_follows_soon() -> None:
    scales = replace(load_recipe("mars").examples.scales, rejoin_s=0.0)
    excess = np.zeros(600)
    excess[100:130] = excess[180:230] = 1.0  # 3.2 s blocks: S begins 160 s after P has faded
    for rejoin_s, stop in ((0.0, 136), (300.0, 236)):
        targets = Targets.quiet(600)
        assert mark_event(targets, excess, 100, 3.2, replace(scales, rejoin_s=rejoin_s))
        assert np.flatnonzero(targets.event)[-1] == pytest.approx(stop, abs=3)
        assert targets.event[100:130].all() and not targets.event[:98].any()
        assert bool(targets.event[155]) == (rejoin_s > 0)


# --- examples


@pytest.mark.parametrize("body", BODIES)
def test_injected_quakes_are_at_their_labels(body: str) -> None:
    """Independent of the excess behind the labels: features of the record in the first and in quiet blocks."""
    recipe = small(body, excess_decades=[2.0, 3.0], quakes_per_example=1.0)
    examples = synthetic_examples(recipe, NO_BANKS, 16, 3)
    onset, event = examples.targets[..., 0] > 0, examples.targets[..., 1] > 0
    quiet = ~event & (examples.weights == 1)
    level = examples.rows[:, :, 0, : recipe.front_end.n_channel_features].max(axis=2)
    assert onset.any() and level[onset].mean() > level[quiet].mean() + 0.5
    config = recipe.front_end.spectrogram
    assert config is not None
    assert examples.rows[:, :, 0, : recipe.front_end.n_channel_features].min() >= config.clip_low
    assert examples.rows.max() <= max(config.clip_high, 1.0)
    block_s = recipe.front_end.hop_samples / recipe.sampling_rate_hz
    runs = [np.diff(np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))).tolist()[0] for row in onset if row.any()]
    assert max(runs) <= 2 * round(recipe.examples.scales.onset_s / block_s)


@pytest.mark.parametrize("body", BODIES)
def test_the_same_seed_gives_the_same_examples(body: str) -> None:
    first, again, other = (synthetic_examples(small(body), NO_BANKS, 2, seed).rows for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


# --- manual picks


def write_phasenet(folder: Path, name: str, n_channels: int) -> np.ndarray:
    data = np.random.default_rng(3).normal(size=(9000, 3))
    data[:, : 3 - n_channels] = 0.0
    channels = "_".join(("HHE", "HHN", "HHZ")[3 - n_channels :])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", data=data, itp=3000, its=3700, channels=channels)
    return data


def test_phasenet_records_are_read_unchanged(tmp_path: Path) -> None:
    names = [f"BG_ACR_20121204133307{i:02d}" for i in range(20)]
    data = {
        name: write_phasenet(tmp_path / "earth" / "phasenet", name, 1 + 2 * (i % 2)) for i, name in enumerate(names)
    }
    train, val = phasenet_records(tmp_path, "train"), phasenet_records(tmp_path, "val")
    assert {r.file.stem for r in train} == {name for name in names if phasenet_split(f"{name}.npz") == "train"}
    assert {r.split for r in val} == {"val"} and not {r.group for r in val} & {r.group for r in train}
    for record in train[:4]:
        traces = record_traces(record)
        assert [trace.source_id[-5:] for trace in traces] == [f"{'_'.join(code)}" for code in record.channels]
        np.testing.assert_array_equal(traces[-1].samples, data[record.file.stem][:, 2])
        (arrival,) = record.arrivals
        assert arrival.time_ns - record.start_ns == 30_000_000_000


def test_missing_phasenet_records_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs PhaseNet's"):
        phasenet_records(tmp_path, "train")
