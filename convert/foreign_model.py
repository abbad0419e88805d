"""Describe the input of a network that edgequake did not train: a small TOML file in place of train.json.

Its keys are those of the manifest (docs/manifest.md), most of them with defaults; docs/convert.md has examples.
"""

from __future__ import annotations

import copy
import math
import sys
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import ConfigError
from edgequake.edge.features.normalization import channel_features
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import TriggerConfig
from edgequake.edge.manifest.tables import FrontEndConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_EXPECTED = {list: "a list", bool: "true or false", int: "a whole number", str: "a text"}
REQUIRED = ("name", "body", "sampling_rate_hz")
# body -> channels; and the times of its trigger, which depend on how long its quakes last
TRIGGER_TIMES = ("hold_s", "merge_s", "max_event_s", "pre_roll_s", "post_roll_s")
BODIES: dict[str, tuple[list[str], tuple[float, ...]]] = {
    "moon": (["MH?"], (120.0, 900.0, 5400.0, 180.0, 120.0)),
    "mars": (["BH?"], (60.0, 300.0, 3600.0, 60.0, 120.0)),
    "earth": (["HH?", "BH?", "EH?"], (5.0, 20.0, 600.0, 10.0, 20.0)),
}
DEFAULTS: dict[str, Any] = {
    "front_end": {
        "bridge_s": 300.0,
        "max_gap_fraction": 0.25,
        "stuck_s": 600.0,
        "fill_values": [],
        "fill_min_jump": 32,
        "despike_threshold": 5.0,
        "decimators": {},
        "background": {"quantile": 0.7, "step": 0.002, "step_start": 0.06, "start_frames": 16},
    },
    "network": {},
    "trigger": {
        "onset_thresholds": {"low": 0.9, "normal": 0.7, "high": 0.5},
        "rearm_ratio": 0.5,
        "event_threshold": 0.5,
        "min_duration_s": 0.0,
        "onset_lag_s": 0.0,
    },
    "training": {},
}
KINDS: dict[str, dict[str, Any]] = {
    "spectrogram": {"clip_low": -1.0, "clip_high": 3.0, "steps_per_decade": 64},
    "scalogram": {"cycles": 5.0, "support_scales": 3.0, "clip_low": -1.0, "clip_high": 3.0, "steps_per_decade": 64},
    "mel": {
        "low_hz": 0.0,
        "scale": "slaney",
        "linear_in": "hz",
        "equal_area": True,
        "power": 2,
        "log": "db",
        "floor": 1e-10,
    },
    "waveform": {"clip": 8.0, "steps_per_unit": 16},
    "rows": {},
}
# Of a network that takes rows from elsewhere: it has no body, no channels and, unless given, one row a second.
NO_SAMPLES: dict[str, Any] = {
    "body": "none",
    "sampling_rate_hz": 1.0,
    "channels": [],
    "front_end": {"hop_samples": 1, "gap_flag": False},
}


def read_description(
    path: Path | None, changes: dict[str, Any], built: tuple[int | None, ...] | None
) -> dict[str, Any]:
    """Return the manifest as far as it is known without the network.

    Parameters
    ----------
    path : the TOML file, or None where `changes` are complete.
    changes : values by dotted name, for example ``{"front_end.hop_samples": 64}``; they override the file.
    built : shape that the network was built for: (batch, rows, features), or with channels; None where unknown.

    Raises
    ------
    ConfigError
        The file cannot be read, or a value is missing, unknown or of the wrong type.
    """
    where = str(path) if path else "the description"
    table = _read_toml(path) if path else {}
    for name, value in changes.items():
        _set(table, name, value)
    given = table.get("front_end")
    front_end: dict[str, Any] = given if isinstance(given, dict) else {}
    kind = front_end.get("kind")
    if kind == "rows":
        table = _merged(NO_SAMPLES, _with_rows(table, built, where))
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise ConfigError(
            f"{where}: '{missing[0]}' is missing; a network that train did not make needs {', '.join(REQUIRED)} and "
            "[front_end]: write them into a TOML file for --describe, or give them with --set"
        )
    if table["body"] not in BODIES and kind != "rows":
        raise ConfigError(f"{where}: body is {table['body']!r}, expected one of {', '.join(BODIES)}")
    rate_hz = table["sampling_rate_hz"]
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, (int, float)) or not 0 < rate_hz < 1e6:
        raise ConfigError(f"{where}: sampling_rate_hz is {rate_hz!r}, expected a number of Hz")
    if kind not in KINDS:
        raise ConfigError(f"{where}: front_end.kind is {kind!r}, expected one of {', '.join(KINDS)}")
    channels, times = BODIES.get(table["body"], BODIES["earth"])
    channels = front_end.get("components") or channels
    by_body = {"channels": channels, "trigger": dict(zip(TRIGGER_TIMES, times, strict=True))}
    of_kind: dict[str, Any] = {kind: KINDS[kind]}
    by_window = isinstance(front_end.get("waveform"), dict) and front_end["waveform"].get("per_window")
    if by_window or kind == "mel":
        of_kind["despike_threshold"] = 0.0  # notebooks do not despike
    described = _merged(_merged(_merged(DEFAULTS, by_body), {"front_end": of_kind}), table)
    n_rows = built[1] if built is not None and len(built) > 2 else None
    described["network"] = _network(described["network"], n_rows, where)
    _complete_rows(described, built)
    _check(described, where)
    return described


def described_front_end(path: Path) -> FrontEndConfig:
    """Return the front end of a description, with which `station_rows` computes the rows to train a network on.

    Raises
    ------
    ConfigError
        As `read_description`.
    """
    described = read_description(path, {}, None)
    return schema.build(FrontEndConfig, described["front_end"], f"{path}: front_end", ConfigError)


def _complete_rows(described: dict[str, Any], built: tuple[int | None, ...] | None) -> None:
    """Add what follows from the network's features, whether the last one is the gap flag, and from the rate."""
    front_end = described["front_end"]
    mel = front_end.get("mel")
    if front_end["kind"] == "mel" and isinstance(mel, dict):
        mel.setdefault("high_hz", described["sampling_rate_hz"] / 2)
        if "window_samples" in mel:
            mel.setdefault("fft_samples", mel["window_samples"])
    if front_end["kind"] == "waveform":
        front_end.setdefault("hop_samples", max(1, round(float(described["sampling_rate_hz"]))))  # a second
    if "gap_flag" in front_end or built is None or None in built[2:]:
        return
    try:
        n_with_flag = schema.build(FrontEndConfig, front_end, "front_end", ConfigError).n_features
    except ConfigError:
        return  # `_check` says what is wrong
    if math.prod(int(size or 0) for size in built[2:]) == n_with_flag - 1:
        front_end["gap_flag"] = False


def _with_rows(table: dict[str, Any], built: tuple[int | None, ...] | None, where: str) -> dict[str, Any]:
    """Return the description of a network that takes rows from elsewhere, `n_features` in the table of its kind."""
    front_end = dict(table["front_end"])
    n_features = front_end.pop("n_features", None)
    if n_features is None and built is not None and len(built) > 2 and None not in built[2:]:
        n_features = math.prod(int(size or 0) for size in built[2:])
    if n_features is None and "rows" not in front_end:
        raise ConfigError(f"{where}: front_end.n_features is missing, and the network takes any number of features")
    return {**table, "front_end": {**front_end, "rows": front_end.get("rows") or {"n_features": n_features}}}


def _network(network: dict[str, Any], built_rows: int | None, where: str) -> dict[str, Any]:
    """Return the network's table with mode and window; the other fields are read from the network later."""
    known = {
        "mode", "outputs", "event_classes", "logits", "lag_rows", "window_rows", "window_hop_rows", "one_step",
        "rows_per_step",
    }  # fmt: skip
    unknown = sorted(set(network) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown field 'network.{unknown[0]}'; known fields are {', '.join(sorted(known))}")
    _check_types(network, where)
    n_rows = network.get("window_rows") or built_rows
    mode = network.get("mode") or ("windowed" if n_rows else "continuous")
    if mode == "continuous":
        return {**network, "mode": mode, "window_rows": None, "window_hop_rows": None}
    if not isinstance(n_rows, int):
        raise ConfigError(
            f"{where}: the network takes any number of rows; give that of a window as network.window_rows"
        )
    return {
        **network,
        "mode": mode,
        "window_rows": n_rows,
        "window_hop_rows": network.get("window_hop_rows") or max(1, n_rows // 2),
    }


def _check_types(network: dict[str, Any], where: str) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "outputs": (list,), "event_classes": (list,), "logits": (bool,), "lag_rows": (int,), "window_rows": (int,),
        "window_hop_rows": (int,), "mode": (str,), "one_step": (bool,), "rows_per_step": (int,),
    }  # fmt: skip
    for name, value in network.items():
        if not isinstance(value, kinds[name]) or (isinstance(value, bool) and bool not in kinds[name]):
            raise ConfigError(f"{where}: network.{name} is {value!r}, expected {_EXPECTED[kinds[name][0]]}")
        if isinstance(value, int) and not isinstance(value, bool) and value < (0 if name == "lag_rows" else 1):
            raise ConfigError(f"{where}: network.{name} is {value}, expected a larger number")
    if network.get("mode", "windowed") not in ("windowed", "continuous"):
        raise ConfigError(f"{where}: network.mode is {network['mode']!r}, expected windowed or continuous")


def _check(described: dict[str, Any], where: str) -> None:
    """Validate the tables that are already complete."""
    front_end = schema.build(FrontEndConfig, described["front_end"], f"{where}: front_end", ConfigError)
    if front_end.kind != "rows":
        try:
            channel_features(front_end, float(described["sampling_rate_hz"]))
        except ConfigError as problem:  # bands that do not fit the rate: found here, before the network is loaded
            raise ConfigError(f"{where}: {problem}") from problem
    schema.build(TriggerConfig, described["trigger"], f"{where}: trigger", ConfigError)
    known = {*REQUIRED, "channels", *DEFAULTS}
    unknown = sorted(set(described) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown field '{unknown[0]}'; known fields are {', '.join(sorted(known))}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise ConfigError(f"description {path} cannot be read: {reason}; docs/convert.md has an example") from problem


def _set(table: dict[str, Any], name: str, value: Any) -> None:
    *outer, last = name.split(".")
    for key in outer:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {name}: '{key}' is a value, not a table of fields")
    table[last] = value


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return two tables as one; where both have a value, that of `above` counts."""
    result = copy.deepcopy(below)
    for key, value in above.items():
        both_tables = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both_tables else copy.deepcopy(value)
    return result
