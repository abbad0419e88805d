"""The choice of a model for each station: by network and rate, once, and said in a line."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs.model_choice import BODIES, ModelChoice, choose, is_void
from edgequake.edge.manifest.manifest import Manifest, load_manifest


@lru_cache
def manifest_of(name: str) -> Manifest:
    return load_manifest(name)[0]


def trace(source_id: str, rate_hz: float, samples: np.ndarray | None = None) -> Trace:
    return Trace(source_id, 0, rate_hz, np.arange(5, dtype=np.int32) if samples is None else samples)


@pytest.mark.parametrize(
    ("station_id", "rate_hz", "expected"),
    [
        ("XA_S12", 6.625, "moon"), ("XA_S12", 100.0, "moon"), ("XB_ELYSE", 20.0, "mars"), ("XB_ELYSE", 100.0, "mars"),
        ("XX_LUN", 6.625, "moon"), ("AM_R0E05", 6.5, "moon"), ("XX_LUN", 6.75, "moon"), ("XX_LUN", 6.49, "earth"),
        ("XX_LUN", 6.76, "earth"), ("IU_ANMO", 13.25, "moon"), ("XX_LUN", 53.0, "moon"), ("XX_LUN", 51.95, "moon"),
        ("XX_LUN", 54.05, "moon"), ("AM_R1234", 50.0, "earth"), ("XX_TEST", 100.0, "earth"), ("XX_RED", 20.0, "earth"),
        ("_S12", 40.0, "earth"), ("", 40.0, "earth"), ("XAB_S12", 20.0, "earth"),
    ],
)  # fmt: skip
def test_the_model_by_network_and_rate(station_id: str, rate_hz: float, expected: str) -> None:
    assert choose(station_id, rate_hz)[0] == expected


def test_the_line_names_the_choice_once_and_how_to_make_another() -> None:
    said: list[str] = []
    choice = ModelChoice(manifest_of=manifest_of, log=said.append)
    for source_id, rate_hz in (("XX_TEST_00_B_H_Z", 100.0), ("XA_S12_00_M_H_Z", 6.625), ("XB_ELYSE_02_B_H_V", 20.0)):
        choice.decide([(f"FDSN:{source_id}", rate_hz)])
        assert len(said) == len(choice.stations) - 1  # nothing is said of records that may yet be refused
        for _ in range(2):
            choice.announce([trace(f"FDSN:{source_id}", rate_hz)])
    assert said == [
        "XX_TEST: model earth (network XX at 100 Hz; lunar or Martian records under such a code need --model moon or "
        "mars)",
        "XA_S12: model moon (network XA, Apollo's; terrestrial records under this code need --model earth)",
        "XB_ELYSE: model mars (network XB, InSight's; terrestrial records under this code need --model earth)",
    ]
    choice.decide([("FDSN:XX_LUN_00_M_H_Z", 6.625)])
    choice.announce([trace("FDSN:XX_LUN_00_M_H_Z", 6.625, np.full(9, -1, np.int32))])  # no true sample
    assert len(said) == 3
    choice.announce([trace("FDSN:XX_LUN_00_M_H_Z", 6.625)])
    assert said[3].startswith("XX_LUN: model moon (6.625 Hz, a rate of Apollo's; ")


def test_the_first_usable_channel_decides_for_good() -> None:
    choice = ModelChoice(manifest_of=manifest_of)
    choice.decide([("FDSN:XX_A_00_L_O_G", 1.0)])  # no model takes it
    assert choice.stations == {}
    choice.decide([("FDSN:XX_A_00_B_H_Z", 20.0), ("FDSN:XX_A_00_M_H_Z", 6.625)])  # together: Apollo's rate goes first
    assert choice.stations == {"XX_A": "moon"}
    choice.decide([("FDSN:XX_A_00_B_H_Z", 100.0)])
    assert choice.stations == {"XX_A": "moon"}
    assert not choice.matches("FDSN:XX_A_00_B_H_Z", 100.0) and choice.matches("FDSN:XX_A_00_M_H_Z", 6.625)
    assert choice.matches("FDSN:XX_B_00_B_H_Z", 100.0) and not choice.matches("FDSN:XX_B_00_M_H_Z", 100.0)


def test_channels_replace_those_of_every_model() -> None:
    choice = ModelChoice(channels=("SHZ",), manifest_of=manifest_of)
    channels = [("FDSN:XA_S12_00_S_H_Z", 53.0), ("FDSN:AM_R1_00_S_H_Z", 100.0), ("FDSN:AM_R2_00_E_H_Z", 100.0)]
    for channel in channels:
        choice.decide([channel])
    assert choice.stations == {"XA_S12": "moon", "AM_R1": "earth"}


def test_a_named_model_is_that_of_every_channel() -> None:
    said: list[str] = []
    choice = ModelChoice(manifest_of("mars"), log=said.append)
    choice.decide([("FDSN:XA_S12_00_M_H_Z", 6.625)])
    choice.announce([trace("FDSN:XA_S12_00_B_H_Z", 20.0)])
    assert choice.manifest("FDSN:XA_S12_00_M_H_Z", 6.625).name == "mars"
    assert choice.stations == {} and said == []


def test_live_stations_are_remembered_within_limits_and_over_a_restart() -> None:
    choice = ModelChoice(manifest_of=manifest_of, most_stations=3)
    for name in ("A", "B", "C", "A", "D"):
        choice.decide([(f"FDSN:XX_{name}_00_B_H_Z", 100.0)])
    assert list(choice.stations) == ["XX_C", "XX_A", "XX_D"]  # B was heard longest ago
    again = ModelChoice(manifest_of=manifest_of)
    again.restore({"XX_C": "moon", "XX_V": "venus"})
    assert again.stations == {"XX_C": "moon"}
    assert again.manifest("FDSN:XX_C_00_B_H_Z", 100.0).name == "moon"


@pytest.mark.parametrize(
    ("source_id", "rate_hz", "channels", "expected"),
    [
        ("FDSN:XX_LUN_00_M_H_Z", 6.625, None, "--model moon takes it"),
        ("FDSN:AM_R1_00_E_H_Z", 100.0, None, "--model earth takes it"),
        ("FDSN:AM_R1_00_V_X_Z", 100.0, None, "--model earth --channels VXZ takes it"),
        ("FDSN:AM_R1_00_E_H_Z", 100.0, ("BHZ",), "--model earth --channels EHZ takes it"),
        ("FDSN:XA_S12_00_S_H_Z", 53.0, None, "--model moon --channels SHZ takes it"),
        ("FDSN:XX_LUN_00_A_T_T", 1.0, None, "no shipped model takes this rate"),
    ],
)
def test_advice(source_id: str, rate_hz: float, channels: tuple[str, ...] | None, expected: str) -> None:
    for named in (None, *BODIES):
        choice = ModelChoice(None if named is None else manifest_of(named), channels, manifest_of)
        assert choice.advice(source_id, rate_hz) == f"{source_id} at {rate_hz:g} Hz ({expected})"


def test_true_samples() -> None:
    for samples, fill_values, expected in (
        (np.full(3, np.nan), (), True),
        (np.array([np.inf, 1.0], np.float32), (-1,), False),
        (np.array([-1, 0, -1], np.int16), (-1, 0), True),
        (np.array([-1, 0, -1], np.int16), (), False),
        (np.array([-1, 5], np.int32), (-1, 0), False),
    ):
        assert is_void(trace("FDSN:XX_A_00_B_H_Z", 1.0, samples), fill_values) is expected


def test_only_components_of_the_network_are_taken_whatever_channels_are_named(by_component: Manifest) -> None:
    named = ModelChoice(by_component, channels=("EL?", "EH?"))
    taken = [code for code in ("E_H_Z", "E_H_N", "E_H_E", "E_L_Z") if named.matches(f"FDSN:XX_A__{code}", 100.0)]
    assert taken == ["E_H_Z", "E_H_N"]
    expected = "EL?, EH? and a component of model moon, ?HZ, ?HN"
    assert named.expected([("FDSN:XX_A__E_L_Z", 100.0)]) == expected
    same = ModelChoice(by_component, channels=("?HZ", "?HN"))
    assert same.expected([("FDSN:XX_A__E_L_Z", 100.0)]) == "?HZ, ?HN"
    assert not ModelChoice(by_component, station_names=("XX_B",)).matches("FDSN:XX_A__E_H_Z", 100.0)
