"""Log-mel rows against librosa and against bands drawn by hand, in any blocks, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import signal

from edgequake.edge.base.errors import ConfigError
from edgequake.edge.features.front_end import Rows, StationFrontEnd, station_rows
from edgequake.edge.features.mel_bands import MelFeatures, hz_of, mel_of, mel_weights
from edgequake.edge.features.spectra import WindowBatch
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.tables import FrontEndConfig, MelConfig

from .front_ends import front_end

RATE_HZ = 16_000.0
HOP = 160
LIBROSA = MelConfig(400, 40, 60.0, 7800.0, 512, "slaney", "hz", True, 2, "db", 1e-10)
HTK = MelConfig(400, 23, 0.0, 8000.0, 400, "htk", "hz", False, 1, "ln", 1e-6)
T0_NS = 1_700_000_000_000_000_000

# librosa 0.11.0 of sweep(): power_to_db(melspectrogram(y=sweep(), sr=16000, n_fft=512, win_length=400, hop_length=160,
# n_mels=40, center=False, fmin=60, fmax=7800), top_db=None)[::8, [0, 7, -1]]. It centres the window in n_fft samples.
LIBROSA_DB = [
    [44.153, 23.6168, 23.3153],
    [35.21, 19.6409, 18.9535],
    [22.4915, 75.5134, 22.6853],
    [28.8759, 28.8795, 29.042],
    [25.9186, 25.8202, 25.9568],
]
# log(melspectrogram(..., n_fft=400, n_mels=23, htk=True, norm=None, power=1) + 1e-6)[::6, [0, 7, -1]]
LIBROSA_HTK = [
    [7.1972, 3.7805, 3.6937],
    [5.9933, 5.8084, 5.3998],
    [6.6431, 6.6422, 6.6652],
    [7.1033, 7.0975, 7.1044],
]
# librosa.mel_frequencies(40)[::6], as its documentation prints them
MEL_FREQUENCIES_HZ = [0.0, 511.904, 1024.856, 1737.532, 2945.799, 4994.285, 8467.272]


def sweep() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a quarter of a second of a sweep, a tone and a comb, in whole counts."""
    n = np.arange(4000)
    t = n / RATE_HZ
    tones = 1000 * np.sin(2 * np.pi * (200 * t + 6000 * t * t)) + 50 * np.cos(2 * np.pi * 3100 * t)
    return np.asarray(np.rint(tones + (n * 7919) % 101 - 50))


def features(config: MelConfig, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    view = np.lib.stride_tricks.sliding_window_view(samples, config.window_samples)[::HOP]
    windows = WindowBatch(0, np.ascontiguousarray(view, np.float64), np.ones(len(view), np.bool_), True)
    return MelFeatures(config, RATE_HZ)(windows, True)[:, 0]


def rows_of(mel: MelConfig, *traces: Trace, **other: Any) -> Rows:
    return station_rows(config_of(mel, **other), RATE_HZ, traces)


def config_of(mel: MelConfig, **other: Any) -> FrontEndConfig:
    given = {"hop_samples": HOP, "bridge_s": 0.05, "despike_threshold": 0.0, "fill_values": ()}
    return front_end("mel", mel=mel, **(given | other))


def trace(samples: np.ndarray[Any, Any], first: int = 0, code: str = "H_D_Z") -> Trace:
    return Trace(f"FDSN:XX_MIC_00_{code}", T0_NS + duration_ns(first, RATE_HZ), RATE_HZ, samples)


def test_rows_equal_those_of_librosa() -> None:
    half_step = 0.5 / LIBROSA.steps_per_unit + 6e-5  # and the four decimals
    made = features(LIBROSA, sweep()[56:])[:22]
    np.testing.assert_allclose(made[[0, 7, -1], ::8].T, LIBROSA_DB, rtol=0, atol=half_step)
    np.testing.assert_allclose(features(HTK, sweep())[[0, 7, -1], ::6].T, LIBROSA_HTK, rtol=0, atol=half_step)


def test_the_scales_are_those_of_their_papers() -> None:
    corners = hz_of(np.linspace(*mel_of(np.array([0.0, 11_025.0]), "slaney"), 40), "slaney")
    np.testing.assert_allclose(corners[::6], MEL_FREQUENCIES_HZ, atol=5e-4)
    assert mel_of(np.array([1000.0]), "htk")[0] == pytest.approx(1000.0, abs=0.02)  # by its definition 1000 mel
    for scale in ("slaney", "htk"):
        f = np.array([0.0, 31.0, 999.0, 1001.0, 7000.0])
        np.testing.assert_allclose(hz_of(mel_of(f, scale), scale), f, rtol=1e-12)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_energy_equals_that_of_scipy_in_bands_drawn_by_hand(scale: str) -> None:
    """Triangles over mel, as tf.signal draws them: each is a line from 0 to 1 and back, by interpolation."""
    config = replace(LIBROSA, scale=scale, linear_in="mel", equal_area=False, log="ln", floor=1e-3, remove_mean=True)
    samples = sweep() + 300.0
    hz, _, spectra = signal.spectrogram(
        samples, RATE_HZ, "hann", 400, 240, 512, detrend="constant", scaling="spectrum", mode="complex"
    )
    lines = np.abs(spectra * signal.windows.hann(400, sym=False).sum()) ** 2
    corners = np.linspace(mel_of(np.array([60.0]), scale)[0], mel_of(np.array([7800.0]), scale)[0], 42)
    mel = mel_of(hz, scale)
    energy = [np.interp(mel, corners[i : i + 3], [0.0, 1.0, 0.0]) @ lines for i in range(40)]
    expected = np.log(np.array(energy) + 1e-3).T
    assert np.abs(features(config, samples) - expected).max() <= 0.5 / 256 + 1e-9


def test_rows_do_not_depend_on_how_the_record_is_cut_or_resumed() -> None:
    samples = sweep().astype(np.int32)
    whole = rows_of(LIBROSA, trace(samples))
    cuts = [0, 77, 400, 1501, 3000, 4000]
    parts = [trace(samples[a:b], a) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(rows_of(LIBROSA, *parts).rows, whole.rows)
    first, second = (StationFrontEnd(config_of(LIBROSA), RATE_HZ) for _ in range(2))
    before = [first.push(part).rows for part in parts[:3]]
    second.restore(first.state())
    after = [second.push(part).rows for part in parts[3:]] + [second.finish().rows]
    np.testing.assert_array_equal(np.concatenate(before + after), whole.rows)
    assert whole.rows.shape == (23, 1, 41) and not whole.rows[..., -1].any()
    np.testing.assert_array_equal(whole.rows[:, 0, :-1], features(LIBROSA, samples))


def test_components_lie_side_by_side_and_a_missing_one_is_flagged() -> None:
    samples = sweep().astype(np.int32)
    two = rows_of(LIBROSA, trace(samples), trace(-samples[:2000], code="H_D_N"), components=("HDZ", "HDN"))
    assert two.rows.shape == (23, 1, 81)
    np.testing.assert_array_equal(two.rows[:11, 0, :40], two.rows[:11, 0, 40:80])  # the sign has no energy
    assert not two.rows[11:, 0, 40:80].any() and two.rows[11:, 0, :40].all()
    flat = rows_of(LIBROSA, trace(np.full(4000, 7, np.int32)), stuck_s=0.01)
    assert (flat.rows[..., -1] == 1.0).all() and not flat.rows[..., :-1].any()


def test_bands_that_do_not_fit_the_rate_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"front_end\.mel: high_hz must be at most 8000 Hz, half the sampling rate"):
        rows_of(replace(LIBROSA, high_hz=9000.0), trace(np.zeros(10, np.int32)))


def test_a_band_between_two_lines_has_the_floor_as_in_librosa() -> None:
    narrow = replace(LIBROSA, n_mels=200, window_samples=400, fft_samples=400)
    empty = ~mel_weights(narrow, RATE_HZ).any(axis=1)
    made = features(narrow, sweep())
    assert 0 < empty.sum() < 100 and (made[:, empty] == -100.0).all() and (made[:, ~empty] > -100.0).all()


@pytest.mark.parametrize(
    "changes", [{"scale": "bark"}, {"power": 3}, {"fft_samples": 399}, {"low_hz": 7800.0}, {"floor": 0.0}, {"log": ""}]
)
def test_values_without_a_meaning_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"mel: .*({'|'.join(changes)})"):
        schema.build(MelConfig, {**vars(LIBROSA), **changes}, "mel", ConfigError)


def test_equal_areas_are_equal() -> None:
    """Each triangle integrates to 1 over frequency, in the limit of fine lines."""
    fine = mel_weights(replace(LIBROSA, fft_samples=1 << 16), RATE_HZ)
    np.testing.assert_allclose(fine.sum(axis=1) * RATE_HZ / (1 << 16), 1.0, rtol=1e-3)
