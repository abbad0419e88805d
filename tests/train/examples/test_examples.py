"""Examples: frames identical to those of the device, correct labels, and draws that depend only on the seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequake.data.dataset import load
from edgequake.data.tables import LabelledRecord
from edgequake.edge.features.front_end import station_rows
from edgequake.edge.features.spectra import BandPower
from edgequake.edge.formats.miniseed import index_file, read_indexed
from edgequake.edge.formats.source_ids import channel_of
from edgequake.edge.manifest.tables import SpectrogramConfig
from edgequake.train.configuration.recipe import Recipe, load_recipe
from edgequake.train.data.noise_bank import NoiseBank, build_bank, even_channels
from edgequake.train.data.records import record_traces
from edgequake.train.examples.augmentation import Loudness, injected_record
from edgequake.train.examples.examples import recorded_examples, recorded_targets, synthetic_examples

NO_BANK = NoiseBank((), ())
NO_BANKS = {6.625: NO_BANK}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("tiny", {"examples.n_blocks": 200, "examples.max_front_blocks": 50})


def device_rows(record: LabelledRecord, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Compute the frames of a record as the lander does: through pymseed, record by record."""
    index = index_file(record.file)
    headers = [header for header in index.headers if channel_of(header.source_id) in record.channels]
    rows = station_rows(recipe.front_end, recipe.sampling_rate_hz, read_indexed(index, headers))
    return rows.block, rows.rows


def assert_training_frames_are_the_devices(record: LabelledRecord, recipe: Recipe) -> None:
    trained = station_rows(recipe.front_end, recipe.sampling_rate_hz, record_traces(record))
    block, rows = device_rows(record, recipe)
    np.testing.assert_array_equal(trained.block, block)
    np.testing.assert_array_equal(trained.rows, rows, strict=True)


def test_training_frames_are_the_devices_frames(records: list[LabelledRecord], recipe: Recipe) -> None:
    for record in records[:2]:
        assert_training_frames_are_the_devices(record, recipe)


@pytest.mark.slow
@pytest.mark.records
def test_training_frames_are_the_devices_frames_for_recorded_data(records_dir: Path, recipe: Recipe) -> None:
    recorded = [record for record in load(records_dir, "moon") if record.split != "train"]
    wanted = ("xa.s14.00.1973-06-30", "a01_S12.XA.MHN.1973.241", "impact_A17_S-IVB_S14", "xa.s12.00.mhz.1971-04-08")
    chosen = [record for record in recorded if record.file.name.startswith(wanted)]
    assert len(chosen) == 4
    for record in chosen:
        assert_training_frames_are_the_devices(record, recipe)


def test_the_same_seed_gives_the_same_examples_and_another_gives_others(
    records: list[LabelledRecord], recipe: Recipe
) -> None:
    first, again, other = (synthetic_examples(recipe, NO_BANKS, 3, seed) for seed in (5, 5, 6))
    for name in ("rows", "targets", "weights"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert np.any(first.rows != other.rows)
    recorded, same = (recorded_examples(recipe, records, 5, 1) for _ in range(2))
    np.testing.assert_array_equal(recorded.rows, same.rows)


def test_recorded_examples_have_random_starts(records: list[LabelledRecord], recipe: Recipe) -> None:
    examples = recorded_examples(recipe, records[:1], 8, 0)
    onsets = [np.flatnonzero(example[:, 0])[:1].tolist() for example in examples.targets]
    assert len({tuple(onset) for onset in onsets}) >= 3


def test_the_excess_of_a_record_is_the_injected_power(recipe: Recipe) -> None:
    plan = replace(
        recipe.examples, integer_share=0.0, synthetic_noise_share=1.0, synthetic_quake_share=1.0, quakes_per_example=3.0
    )
    loud = 0
    for seed in range(12):
        record = injected_record(np.random.default_rng(seed), NO_BANK, plan, 20_000, 64, recipe.sampling_rate_hz)
        low, high = plan.excess_decades
        assert record.excess.min() >= 0.0
        # One band of three may exceed the drawn power, which is that of the whole band of the wave.
        assert record.excess.max() <= high + 1.0
        loud += bool(record.arrivals_s) and record.excess.max() >= low
        assert bool(record.arrivals_s) or record.excess.max() == 0.0
    assert loud >= 6


def test_early_quakes_come_in_the_first_minutes_of_their_record(recipe: Recipe) -> None:
    plan = replace(recipe.examples, quakes_per_example=2.0, early_share=1.0, early_s=(300.0, 600.0))
    for seed in range(10):
        rng = np.random.default_rng(seed)
        record = injected_record(rng, NO_BANK, plan, 80_000, 64, recipe.sampling_rate_hz, with_early=True)
        assert 300.0 <= record.arrivals_s[0] <= 600.0
        assert np.all(np.diff(record.arrivals_s) > plan.scales.min_spacing_s)
    loud = replace(plan, excess_decades=(1.5, 2.5))
    examples = synthetic_examples(replace(recipe, examples=loud), NO_BANKS, 10, 3)
    first = [np.flatnonzero(example[:, 0])[:1].tolist() for example in examples.targets]  # 9.66 s each
    assert all(28 <= block <= 100 for onset in first for block in onset) and sum(map(len, first)) >= 8


def test_a_quake_in_the_coda_of_a_louder_one_has_no_onset(recipe: Recipe) -> None:
    rng, rate_hz, n = np.random.default_rng(2), recipe.sampling_rate_hz, 60_000
    scales = replace(recipe.examples.scales, overlap_decades=0.25)
    loudness = Loudness(rng.standard_normal((1, n)), 64, rate_hz, scales)

    def burst(start_s: float, amplitude: float) -> np.ndarray:
        wave = np.zeros((1, n))
        first = round(start_s * rate_hz)
        wave[0, first : first + 12_000] = amplitude * rng.standard_normal(12_000)
        return wave

    loud, weak, strong = burst(1000.0, 10.0), burst(1700.0, 3.0), burst(1700.0, 40.0)
    assert loudness.heard([loud, weak], [1000.0, 1700.0]) == [0]
    assert loudness.heard([loud, strong], [1000.0, 1700.0]) == [0, 1]
    # Alone, or long after, the weak one is an onset like any other.
    assert loudness.heard([weak], [1700.0]) == [0]
    assert loudness.heard([loud, burst(5000.0, 0.5)], [1000.0, 5000.0]) == [0, 1]


def test_quakes_are_at_their_labels(recipe: Recipe) -> None:
    """Independent of the excess behind the labels: features of the record in the first minutes and in quiet time."""
    plan = replace(recipe.examples, excess_decades=(1.5, 2.5), quakes_per_example=1.0)
    examples = synthetic_examples(replace(recipe, examples=plan), NO_BANKS, 20, 11)
    onset, event = examples.targets[..., 0] > 0, examples.targets[..., 1] > 0
    level = examples.rows[:, :, 0, 1:5].mean(axis=2)
    assert onset.any() and level[onset].mean() > level[~event & (examples.weights > 0)].mean() + 0.5


def test_quiet_parts_exclude_every_known_event(records: list[LabelledRecord], recipe: Recipe) -> None:
    rate_hz, scales = recipe.sampling_rate_hz, recipe.examples.scales
    before_s, after_s = scales.before_event_s, scales.after_event_s
    for record in records:
        bank = build_bank([record], recipe.front_end, rate_hz, scales, None)
        channels, components, start_ns = even_channels(record_traces(record), recipe.front_end, rate_hz)
        times_s = [(arrival.time_ns - start_ns) / 1e9 for arrival in record.arrivals]
        seconds = np.arange(channels.shape[1]) / rate_hz
        free = np.all([(seconds < t - before_s) | (seconds >= t + after_s) for t in times_s], axis=0)
        n_free = int(free.sum()) if times_s else channels.shape[1]
        assert sum(part.channels.shape[1] for part in bank.noise) <= n_free + 2 * len(times_s)
        assert all(part.components == components and len(part.channels) == len(channels) for part in bank.noise)


def test_even_channels_returns_the_samples_of_a_record_without_gaps(
    records: list[LabelledRecord], recipe: Recipe
) -> None:
    trace = replace(record_traces(records[0])[0], start_ns=0, samples=np.arange(500.0))
    channels, components, start_ns = even_channels([trace], recipe.front_end, recipe.sampling_rate_hz)
    np.testing.assert_array_equal(channels[0], np.arange(500.0) - 249.5)
    assert start_ns == 0 and components == trace.source_id[-1]


def test_labels_of_synthetic_records_are_at_their_onsets(records: list[LabelledRecord], recipe: Recipe) -> None:
    found = 0
    for record in records:
        rows = station_rows(recipe.front_end, recipe.sampling_rate_hz, record_traces(record))
        targets = recorded_targets(rows, record, recipe.front_end, recipe.sampling_rate_hz, recipe.examples.scales)
        begins = np.flatnonzero(np.diff(np.concatenate([[0], targets.onset])) > 0)
        times_s = [(rows.block[i] + 1) * 64 / recipe.sampling_rate_hz for i in begins]
        for time_s in times_s:
            nearest = min(abs(time_s - (a.time_ns - rows.t0_ns) / 1e9) for a in record.arrivals)
            assert nearest < 360.0
            found += 1
    assert found >= 2


def test_label_bands_separate_a_tone(recipe: Recipe) -> None:
    config = SpectrogramConfig(128, recipe.examples.scales.label_bands_hz, -1.0, 3.0, 64)
    tone = np.sin(2 * np.pi * 0.8 * np.arange(128) / recipe.sampling_rate_hz)[np.newaxis]
    power = BandPower(config, recipe.sampling_rate_hz)(tone)[0]
    assert power.argmax() == 1 and power[1] > 100 * power[[0, 2]].max()
