"""Hard negatives: each kind of disturbance occurs, and none is labelled as a quake."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgequake.data.dataset import load
from edgequake.train.configuration.recipe import load_recipe
from edgequake.train.data.noise_bank import NoiseBank, build_bank
from edgequake.train.examples.augmentation import _excess, injected_record
from edgequake.train.signals import disturbances
from edgequake.train.signals.disturbances import (
    glitching,
    lunar_disturbances,
    processed_floats,
    ten_bit_counts,
    with_gaps,
)

RATE_HZ = 6.625
HOUR = round(3600 * RATE_HZ)
SEEDS = range(60)


def motion(seed: int, n_channels: int = 3, n_samples: int = HOUR, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng([seed, 99]).standard_normal((n_channels, n_samples))


def counts(seed: int, scale: float = 1.0, n_channels: int = 3) -> list[np.ndarray]:
    return ten_bit_counts(np.random.default_rng(seed), motion(seed, n_channels, scale=scale), RATE_HZ)


def test_most_records_have_spikes_of_one_sample() -> None:
    n_spikes = []
    for seed in SEEDS:
        (channel,) = counts(seed, n_channels=1)
        true = channel[channel != -1].astype(float)
        middle = true[1:-1]
        alone = np.minimum(np.abs(middle - true[:-2]), np.abs(middle - true[2:]))
        n_spikes.append(np.sum(alone > 8))
    assert np.mean(np.asarray(n_spikes) >= 1) > 0.5 and max(n_spikes) > 25


def test_the_mean_changes_in_steps() -> None:
    sizes = []
    for seed in range(200):
        (channel,) = counts(seed, scale=0.05, n_channels=1)
        true = channel[channel != -1]
        sizes.append(abs(np.median(true[-2000:]) - np.median(true[:2000])))
    assert 0.05 < np.mean(np.asarray(sizes) >= 1) < 0.5  # four a day of 1 to 4 counts, an hour each
    assert max(sizes) <= 6


def test_small_counts_are_a_staircase_and_large_ones_are_clipped() -> None:
    quiet, loud = counts(1, scale=0.25, n_channels=1)[0], counts(1, scale=1000.0, n_channels=1)[0]
    assert quiet.dtype == np.int32
    steady = quiet[np.abs(quiet - np.median(quiet)) <= 1]
    assert len(steady) > 0.9 * len(quiet) and np.mean(np.diff(quiet) == 0) > 0.5
    assert set(np.unique(loud)[[0, -1]]) <= {-1, 0, 1023} and np.mean(loud == 1023) > 0.1


def test_some_lost_samples_are_marked() -> None:
    shares = [np.mean(channel == -1) for seed in SEEDS for channel in counts(seed, n_channels=1)]
    assert 0.25 < np.mean(np.asarray(shares) > 0) < 0.6 and max(shares) > 0.005


def longest_flat(channel: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], np.diff(channel) != 0, [True]])))
    return int(np.diff(edges).max(initial=0))


@pytest.mark.parametrize("kind", ["counts", "floats"])
def test_components_are_dead_always_or_for_a_while_but_never_the_first(kind: str) -> None:
    always = while_ = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        made = motion(seed, scale=20.0)
        channels = ten_bit_counts(rng, made, RATE_HZ) if kind == "counts" else processed_floats(rng, made, RATE_HZ)
        channels = [channel[channel != -1] for channel in channels]
        shares = [longest_flat(channel) / len(channel) for channel in channels]
        assert shares[0] < 0.2  # the zeroed start of a record
        always += sum(share > 0.99 for share in shares[1:])
        while_ += sum(0.2 < share <= 0.99 for share in shares[1:])
    assert 5 <= always <= 25 and 2 <= while_ <= 25  # 120 channels, a tenth of each kind, some of them short


def test_processed_records_are_tapered_and_in_any_unit() -> None:
    faded, one_end, zeroed, units = 0, 0, 0, []
    for seed in SEEDS:
        (channel,) = processed_floats(np.random.default_rng(seed), motion(seed, 1), RATE_HZ)
        first, middle, last = (np.std(part) for part in np.split(channel[: HOUR // 120 * 120], 120)[::59][:3])
        ends = int(first < 0.5 * middle) + int(last < 0.5 * middle)
        faded += ends == 2
        one_end += ends == 1
        zeroed += np.abs(channel[:60]).max() < 1e-4 * middle
        units.append(np.log10(middle))
    assert 0.3 < faded / len(SEEDS) < 0.7 and one_end <= 4 and zeroed >= 3
    assert max(units) - min(units) > 8


def test_some_records_have_gaps_which_are_the_same_in_every_channel() -> None:
    n_with_gaps = 0
    for seed in SEEDS:
        channels = list(motion(seed, 2))
        traces = with_gaps(np.random.default_rng(seed), channels, RATE_HZ, "VH")
        by_channel = {name: [p for p in traces if p.source_id == name] for name in {p.source_id for p in traces}}
        spans = [[(p.start_ns, len(p.samples)) for p in mine] for mine in by_channel.values()]
        assert len(spans) == 2 and spans[0] == spans[1]
        assert all(a.stop_ns < b.start_ns for mine in by_channel.values() for a, b in pairwise(mine))
        n_with_gaps += len(spans[0]) > 1
    assert 0.2 < n_with_gaps / len(SEEDS) < 0.5


def test_only_one_channel_glitches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disturbances, "GLITCHING_SHARE", 1.0)
    alone = 0
    for seed in SEEDS:
        quiet = motion(seed)
        with_it = lunar_disturbances(np.random.default_rng(seed), quiet, RATE_HZ)
        monkeypatch.setattr(disturbances, "GLITCHING_SHARE", 0.0)
        without = lunar_disturbances(np.random.default_rng(seed), quiet, RATE_HZ)
        monkeypatch.setattr(disturbances, "GLITCHING_SHARE", 1.0)
        touched = [bool(np.any(a != b)) for a, b in zip(with_it, without, strict=True)]
        assert sum(touched) <= 1
        alone += sum(touched)
    assert alone > 0.8 * len(SEEDS)


def test_a_glitching_channel_has_many_short_swings_for_minutes_to_hours() -> None:
    loud_s, swings = [], []
    for seed in SEEDS:
        added = np.abs(glitching(np.random.default_rng(seed), 8 * HOUR, RATE_HZ))
        busy = np.flatnonzero(added > 0.5)
        loud_s.append((busy[-1] - busy[0]) / RATE_HZ if len(busy) else 0.0)
        swings.append(int(np.sum(np.diff(added) > 3.0)))
        assert np.mean(added > 0.05 * added.max()) < 0.5  # most of the time nothing
        assert 0.5 < added.max() < 400.0
    assert 300.0 < np.median(loud_s) < 7200.0 and max(loud_s) > 5400.0
    assert np.median(swings) > 5


def test_disturbances_alone_are_never_labelled() -> None:
    recipe = load_recipe("tiny", {"examples.quakes_per_example": 0.0})
    for seed in range(10):
        made = injected_record(np.random.default_rng(seed), NoiseBank((), ()), recipe.examples, 20_000, 64, RATE_HZ)
        assert made.arrivals_s == () and not made.excess.any()


def test_the_excess_of_a_quake_is_relative_to_noise_that_lasts() -> None:
    rng = np.random.default_rng(1)
    noise, quake = rng.standard_normal((1, 4 * HOUR)), np.zeros((1, 4 * HOUR))
    quake[:, HOUR : HOUR + 6000] = 10.0 * rng.standard_normal(6000)
    quake[:, 3 * HOUR : 3 * HOUR + 6000] = quake[:, HOUR : HOUR + 6000]
    swell = noise.copy()
    swell[:, 3 * HOUR - 3000 : 3 * HOUR + 9000] *= 10.0
    first, second = slice(HOUR // 64 + 5, HOUR // 64 + 85), slice(3 * HOUR // 64 + 5, 3 * HOUR // 64 + 85)
    scales = load_recipe("moon").examples.scales
    plain, under = (_excess(quake, part, 0.0, 64, RATE_HZ, scales) for part in (noise, swell))
    assert np.median(plain[first]) == pytest.approx(2.0, abs=0.15) == np.median(plain[second])
    assert np.median(under[first]) == pytest.approx(2.0, abs=0.15)
    assert np.median(under[second]) == pytest.approx(np.log10(2.0), abs=0.15)  # as loud as the noise around it


def test_a_record_noted_as_noise_is_used_whole(data: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "levent.csv"
    recipe = load_recipe("tiny")
    record = next(record for record in load(data, "moon", "train") if not record.arrivals)
    middle = np.datetime64((record.start_ns + record.stop_ns) // 2, "ns").item() // 10**9
    moment = np.datetime64(middle, "s").item()
    day, clock = moment.timetuple().tm_yday, moment.hour * 100 + moment.minute
    catalog.write_text(f"Year,DOY,StartTime\n{moment.year - 1900},{day},{clock}\n")

    def quiet_s(note: str) -> float:
        bank = build_bank(
            [replace(record, note=note)], recipe.front_end, recipe.sampling_rate_hz, recipe.examples.scales, catalog
        )
        return float(sum(part.channels.shape[1] for part in bank.noise) / RATE_HZ)

    whole_s = (record.stop_ns - record.start_ns) / 1e9
    assert quiet_s("noise: spacecraft landing, no quake") == pytest.approx(whole_s, abs=60.0)
    assert quiet_s("") < whole_s - 3600.0


@pytest.mark.records
def test_spacecraft_landings_are_in_the_bank(records_dir: Path) -> None:
    recipe = load_recipe("moon")
    landings = [r for r in load(records_dir, "moon", "train") if r.file.stem.split("_")[-1] in ("LM15", "LM16", "LM17")]
    landings = [record for record in landings if not record.arrivals]
    assert len(landings) == 3
    bank = build_bank(
        landings, recipe.front_end, recipe.sampling_rate_hz, recipe.examples.scales, records_dir / "levent.csv"
    )
    assert [round(part.channels.shape[1] / RATE_HZ) for part in bank.noise] == [3600, 3600, 3600]
