"""The front end that the tests of this folder vary."""

from __future__ import annotations

from typing import Any

from edgequake.edge.manifest.tables import BackgroundConfig, FrontEndConfig


def front_end(kind: str, **other: Any) -> FrontEndConfig:
    """Return a front end with the shipped lunar model's treatment of gaps and damage, and `other` values where given.

    `other` must hold the table of the kind: `spectrogram`, `scalogram` or `waveform`.
    """
    values = {
        "hop_samples": 64,
        "bridge_s": 300.0,
        "max_gap_fraction": 0.25,
        "stuck_s": 600.0,
        "fill_values": (-1, 0),
        "fill_min_jump": 32,
        "despike_threshold": 5.0,
        "decimators": {},
        "background": BackgroundConfig(0.7, 0.002, 0.06, 16),
    }
    return FrontEndConfig(kind=kind, **(values | other))
