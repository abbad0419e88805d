"""Components side by side, and windows of samples normalised as notebooks do it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from edgequake.edge.features.front_end import station_rows
from edgequake.edge.features.window_scaling import scaled
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.manifest.tables import SpectrogramConfig, WaveformConfig

from .front_ends import front_end

RATE_HZ = 20.0
COMPONENTS = ("?HZ", "?H[N1]", "?H[E2]")


def traces(codes: str, n_samples: int = 4000, first: int = 0) -> list[Trace]:
    """Return a trace for each component code, each of another offset and size."""
    start_ns = duration_ns(first, RATE_HZ)
    return [
        Trace(f"FDSN:XX_ABC_00_B_H_{code}", start_ns, RATE_HZ, motion(code)[first : first + n_samples])
        for code in codes
    ]


def motion(code: str) -> Any:
    rng = np.random.default_rng(ord(code))
    return np.rint(1000 * (ord(code) - 80) + 50.0 * rng.standard_normal(8000)).astype(np.int32)


def config(per_window: str = "", components: tuple[str, ...] = COMPONENTS, **more: Any) -> Any:
    table = WaveformConfig(8.0, 16, per_window, more.pop("per_component", True))
    return front_end("waveform", waveform=table, components=components, hop_samples=20, **more)


def test_each_component_is_what_it_is_alone() -> None:
    together = station_rows(config(), RATE_HZ, traces("ENZ"))
    assert together.rows.shape[1:] == (20, 4) and not together.rows[..., 3].any()
    for column, code in enumerate("ZNE"):
        alone = station_rows(config(components=()), RATE_HZ, traces(code))
        np.testing.assert_array_equal(together.rows[..., column], alone.rows[..., 0])
        assert np.std(alone.rows[..., 0]) > 0.5


def test_components_by_other_names_and_missing_ones() -> None:
    one, two = (station_rows(config(), RATE_HZ, traces(codes)) for codes in ("1Z", "F1Z"))
    np.testing.assert_array_equal(one.rows, two.rows)  # BHF is no component
    assert np.std(one.rows[..., 1]) > 0.5 and not one.rows[..., 2].any() and one.valid.all()
    none = station_rows(config(), RATE_HZ, traces("F"))
    assert len(none.rows) == 0


def test_bands_of_components_are_side_by_side() -> None:
    bands = SpectrogramConfig(40, (1.0, 3.0, 6.0, 9.0), -1.0, 3.0, 64)
    made = front_end("spectrogram", spectrogram=bands, components=("?HZ", "?HE"), gap_flag=False, hop_samples=20)
    together = station_rows(made, RATE_HZ, traces("EZ"))
    assert made.n_features == 6
    plain = front_end("spectrogram", spectrogram=bands, gap_flag=False, hop_samples=20)
    for columns, code in ((slice(0, 3), "Z"), (slice(3, 6), "E")):
        np.testing.assert_array_equal(together.rows[..., columns], station_rows(plain, RATE_HZ, traces(code)).rows)


@pytest.mark.parametrize("per_component", [True, False])
@pytest.mark.parametrize("per_window", ["zscore", "peak"])
def test_windows_are_normalised_as_in_a_notebook(per_window: str, per_component: bool) -> None:
    """The rows are the samples, so that scipy and numpy on the samples of a window give the same."""
    made = config(per_window, per_component=per_component, gap_flag=False, despike_threshold=0.0)
    rows = station_rows(made, RATE_HZ, traces("ENZ")).rows.reshape(-1, 3)
    windows = np.stack([rows[100:900], rows[1300:2100]])
    got = scaled(made, windows)
    for first, window in zip((100, 1300), got, strict=True):
        samples = np.stack([motion(code)[first : first + 800] for code in "ZNE"], axis=1).astype(np.float64)
        centred = samples - samples.mean(axis=0)
        axis = 0 if per_component else None
        size = np.std(centred, axis=axis) if per_window == "zscore" else np.max(np.abs(centred), axis=axis)
        np.testing.assert_allclose(window, centred / size, atol=2e-5)
        if per_window == "zscore" and per_component:
            np.testing.assert_allclose(window, stats.zscore(samples, axis=0), atol=2e-5)
    np.testing.assert_array_equal(got[1], scaled(made, windows[1:])[0])  # the same bits alone


def test_a_window_without_motion_stays_zero_and_flags_stay() -> None:
    made = config("zscore", components=())
    window = np.zeros((1, 50, 2), np.float32)
    window[..., 0], window[0, 10:, 1] = 3.0, 1.0
    got = scaled(made, window)
    assert not got[..., 0].any() and got[0, :, 1].tolist() == window[0, :, 1].tolist()


def test_unknown_normalisations_are_refused() -> None:
    with pytest.raises(ValueError, match="per_window must be 'zscore', 'peak' or ''"):
        WaveformConfig(8.0, 16, "minmax")
    with pytest.raises(ValueError, match="expected no components"):
        front_end(
            "spectrogram", spectrogram=SpectrogramConfig(40, (1.0, 3.0), -1.0, 3.0, 64), components=("?HZ",),
            high_bands=object(),
        )  # fmt: skip
