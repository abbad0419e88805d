"""Which file a network to begin with is."""

from __future__ import annotations

from pathlib import Path

from edgequake.train import networks


def test_a_shipped_network_is_meant_by_its_name_and_anything_else_is_a_path(root: Path) -> None:
    assert networks.saved_network("moon").samefile(root / "train" / "models" / "moon" / "moon.keras")
    assert networks.saved_network("nosuch") == Path("nosuch") and networks.saved_network("m/x.keras") == Path(
        "m/x.keras"
    )
