"""docs/manifest.md documents exactly the fields of the manifest's dataclasses."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from edgequake.edge.manifest import manifest, tables

SECTIONS = {
    "The whole": manifest.Manifest,
    "`front_end`": tables.FrontEndConfig,
    "`front_end.background`": tables.BackgroundConfig,
    "`front_end.background.catch_up`": tables.CatchUpConfig,
    "`front_end.spectrogram`": tables.SpectrogramConfig,
    "`front_end.high_bands`": tables.HighBandsConfig,
    "`front_end.contrast`": tables.ContrastConfig,
    "`front_end.scalogram`": tables.ScalogramConfig,
    "`front_end.mel`": tables.MelConfig,
    "`front_end.waveform`": tables.WaveformConfig,
    "`front_end.rows`": tables.RowsConfig,
    "`network`": manifest.NetworkConfig,
    "`network.states[]`": manifest.StateTensor,
    "`trigger`": manifest.TriggerConfig,
    "`trigger.sure_event`": manifest.SureEventConfig,
    "`onset`": tables.OnsetConfig,
    "`classes`": tables.ClassConfig,
    "`variants.VARIANT`": manifest.Variant,
    "`variants.VARIANT.golden`": manifest.GoldenVector,
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
    modules = (manifest, tables)
    described = {kind for module in modules for kind in vars(module).values() if dataclasses.is_dataclass(kind)}
    assert described == set(SECTIONS.values())
    assert set(documented) == set(SECTIONS)
