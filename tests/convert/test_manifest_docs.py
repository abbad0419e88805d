"""docs/manifest.md documents exactly the fields of the manifest's dataclasses."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from edgequake.edge.manifest import event_config, front_end_config, manifest

SECTIONS = {
    "The whole": manifest.Manifest,
    "`front_end`": front_end_config.FrontEndConfig,
    "`front_end.background`": front_end_config.BackgroundConfig,
    "`front_end.background.catch_up`": front_end_config.CatchUpConfig,
    "`front_end.spectrogram`": front_end_config.SpectrogramConfig,
    "`front_end.scalogram`": front_end_config.ScalogramConfig,
    "`front_end.waveform`": front_end_config.WaveformConfig,
    "`network`": manifest.NetworkConfig,
    "`network.states[]`": manifest.StateTensor,
    "`trigger`": manifest.TriggerConfig,
    "`onset`": event_config.OnsetConfig,
    "`classes`": event_config.ClassConfig,
    "`variants.VARIANT`": manifest.Variant,
    "`variants.VARIANT.quantization.TENSOR`": manifest.TensorQuantization,
}


@pytest.fixture(scope="module")
def documented(root: Path) -> dict[str, list[str]]:
    """Return the fields in the table of each section, by heading."""
    text = (root / "docs" / "manifest.md").read_text(encoding="utf-8")
    sections = re.split(r"^##+ (.+)$", text, flags=re.MULTILINE)[1:]
    return {
        heading: re.findall(r"^\| `(\w+)` \|", body, flags=re.MULTILINE)
        for heading, body in zip(sections[::2], sections[1::2], strict=True)
    }


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_field_is_documented_and_nothing_else(heading: str, documented: dict[str, list[str]]) -> None:
    assert documented[heading] == [field.name for field in dataclasses.fields(SECTIONS[heading])]


def test_every_dataclass_of_the_manifest_has_a_section(documented: dict[str, list[str]]) -> None:
    modules = (manifest, front_end_config, event_config)
    described = {kind for module in modules for kind in vars(module).values() if dataclasses.is_dataclass(kind)}
    assert described == set(SECTIONS.values())
    assert set(documented) == set(SECTIONS)
