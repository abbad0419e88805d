"""Every line of the fixed C sources is run by tests, and 95 % of the branches; in `make c99` only."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ..exports import IS_LONG, MODELS
from ..scenes import traces
from ..test_equality import SCENES, cut
from .coverage import Coverage, CoveredExport, without_catch_up

LEAST_BRANCHES = 0.95


@pytest.mark.slow
@pytest.mark.skipif(not IS_LONG, reason="a minute: make c99")
def test_every_line_is_run(tmp_path: Path) -> None:
    if shutil.which("gcov") is None or shutil.which("gcc") is None:
        assert not os.environ.get("EDGEQUAKE_REQUIRE_C"), "no gcov, and EDGEQUAKE_REQUIRE_C is set"
        pytest.skip("no gcov: apt-get install gcc")
    coverage = Coverage()
    for name in MODELS:
        for channels, is_plain in ((3, False), (1, True)):
            source = str(without_catch_up(name, tmp_path / "source")) if is_plain and name == "moon" else name
            model = CoveredExport(source, channels, is_plain, tmp_path / f"{name}{channels}")
            lowest = min(model.manifest.trigger.onset_thresholds.values()) / 2
            n_events = 0
            for scene in SCENES[name]:
                short = replace(scene, n_frames=min(scene.n_frames, 700))
                if is_plain:
                    short = replace(short, rates=(1,))
                records = traces(short, model.manifest)
                n_events += model.run(cut(records, np.random.default_rng(0), 4000), lowest)
            assert n_events
            assert model.check_corners() == 0
            model.counted(coverage)
    missed = coverage.missed_lines()
    print(f"{len(coverage.lines)} lines, not run: {', '.join(missed) or 'none'}")
    print(f"branches {coverage.share_of_branches():.1%} taken, but for")
    print("\n".join(coverage.missed_branches()))
    assert missed == []
    assert coverage.share_of_branches() >= LEAST_BRANCHES
