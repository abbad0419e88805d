"""Recipes: fields are checked, a recipe may build on another, and fields can be overridden."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from edgequake.edge.base.errors import ConfigError
from edgequake.train.configuration.recipe import bundled_recipes, load_recipe, low_pass_taps


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_the_bundled_recipes_load() -> None:
    assert set(bundled_recipes()) >= {"moon", "tiny", "seed", "seed-spectrogram"}
    for name in bundled_recipes():
        assert load_recipe(name).name == name


def test_the_seed_recipes_are_windowed_and_differ_in_their_input() -> None:
    waveform, spectrogram = load_recipe("seed"), load_recipe("seed-spectrogram")
    assert (waveform.front_end.kind, waveform.front_end.n_features) == ("waveform", 2)
    assert (spectrogram.front_end.kind, spectrogram.front_end.n_features) == ("spectrogram", 8)
    assert waveform.network.mode == spectrogram.network.mode == "windowed"


def test_a_recipe_changes_only_what_it_names(tmp_path: Path) -> None:
    path = written(tmp_path, 'base = "moon"\nname = "mine"\n[fit]\nseed = 7\n[trigger]\nhold_s = 1.5\n')
    mine, moon = asdict(load_recipe(path)), asdict(load_recipe("moon"))
    moon["name"], moon["fit"]["seed"], moon["trigger"]["hold_s"] = "mine", 7, 1.5
    assert mine == moon


def test_false_in_place_of_a_table_removes_it(tmp_path: Path) -> None:
    assert load_recipe("moon").onset is not None
    assert load_recipe(written(tmp_path, 'base = "moon"\nname = "mine"\nonset = false\n')).onset is None


def test_overrides_replace_fields() -> None:
    assert load_recipe("moon", {"fit.steps": 3}).fit.steps == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "moon"\n[fit]\nspeed = 1\n', r"\.fit: unknown field 'speed'; known fields are seed, steps"),
        ('base = "moon"\n[fit]\nsteps = "many"\n', r"\.fit\.steps: expected int, got 'many'"),
        ('base = "moon"\n[network]\nkind = "transformer"\n', "kind must be 'cnn-lstm' or 'seed', got 'transformer'"),
        ('base = "moon"\n[network]\nconv_kernels = [5]\n', "as many conv_kernels as conv_filters"),
        ("name = 'x'\n", r"field 'body' is missing"),
        ("name = ", "is not TOML"),
        ('base = "moon"\n[network]\nrounded = true\n', r"\.network: unknown field 'rounded'; known fields are kind"),
        ('base = "moon"\n[examples]\nbandpower_share = 0.5\n', r"\.examples: unknown field 'bandpower_share'"),
        ('base = "moon"\n[examples]\nearth_quake_share = 0.5\n', r"\.examples: unknown field 'earth_quake_share'"),
        ('base = "moon-pretrain"\n', r"no recipe 'moon-pretrain': expected a TOML file or one of"),
        ('base = "sun"\n', r"no recipe 'sun': expected a TOML file or one of .*moon,.*seed,.*tiny"),
    ],
)
def test_a_bad_recipe_gives_a_one_line_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_recipe_based_on_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "{path}"\n')
    with pytest.raises(ConfigError, match="does one name itself"):
        load_recipe(str(path))


def test_overriding_an_unknown_table_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"override 'fits\.steps': the recipe has no table 'fits'"):
        load_recipe("moon", {"fits.steps": 3})


@pytest.mark.parametrize("factor", [2, 8])
def test_the_decimators_pass_the_band_and_suppress_aliases(factor: int) -> None:
    taps = np.asarray(low_pass_taps(factor))
    np.testing.assert_allclose(taps, taps[::-1])
    frequency, response = signal.freqz(taps, worN=4096, fs=2.0 * factor)  # 1 is the new Nyquist
    gain_db = 20 * np.log10(np.abs(response) + 1e-12)
    assert np.abs(gain_db[frequency <= 0.6]).max() < 0.1
    assert gain_db[frequency >= 1.0].max() < -45  # aliases to 1.0 and below


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("network", "seed", "expected a table of fields"),
        ("examples.real_share", 1.2, "real_share must lie in 0..1, got 1.2"),
        ("network.outputs", ["event", "onset"], r"cnn-lstm needs outputs = \['onset', 'event'\] or \['event'\]"),
        ("front_end.despike_threshold", -1.0, "despike_threshold must be positive, or 0 for no despiking"),
    ],
)
def test_unusable_values_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("moon", {field: value})
