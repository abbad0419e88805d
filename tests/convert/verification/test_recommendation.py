"""The default variant follows from error and size alone; the recommendation weighs the time on this machine too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgequake.convert.inspection.report import VariantReport, recommended
from edgequake.edge.manifest.manifest import load_manifest


def variant(name: str, size_bytes: int, rms: float | None, us: float | None) -> VariantReport:
    return VariantReport(name, Path(name), size_bytes, "2.14.0", 9, rms, rms, {}, (), (), us)


def test_the_recommended_variant_is_small_fast_and_near() -> None:
    float32, int8 = variant("float32", 40_000, 1e-7, 10.0), variant("int8", 22_000, 0.004, 25.0)
    dynamic = variant("dynamic", 16_000, 0.001, 12.0)
    assert recommended((float32, dynamic, int8), "int8") == "dynamic"
    assert recommended((float32, replace(dynamic, probability_rms_error=0.02), int8), "int8") == "float32"
    assert recommended((float32, int8), "int8") == "float32"
    nearly = replace(int8, size_bytes=17_400)  # within a tenth of the best: times are no more accurate
    assert recommended((float32, nearly), "int8") == "int8"
    far = [replace(item, probability_rms_error=0.03 + k / 100) for k, item in enumerate((int8, dynamic))]
    assert recommended(tuple(far), "int8") == "dynamic"  # none is near: within twice the least error
    assert recommended((replace(float32, step_us=None), int8), "int8") == ""
    assert recommended((), "int8") == ""


def test_the_default_is_int8_where_it_is_near() -> None:
    from edgequake.convert.manifest_builder import default_of

    sizes = {"float32": 40_000, "dynamic": 16_000, "int8": 22_000}
    assert default_of(sizes, {}, 1.0) == "int8"
    assert default_of(sizes, {"float32": 1e-7, "dynamic": 0.001, "int8": 0.01}, 1.0) == "int8"
    assert default_of(sizes, {"float32": 1e-7, "dynamic": 0.001, "int8": 0.011}, 1.0) == "dynamic"
    assert default_of(sizes, {"float32": 1e-7, "dynamic": 0.2, "int8": 0.4}, 1.0) == "float32"
    assert default_of(sizes, {"float32": 1e-5, "dynamic": 0.2, "int8": 0.4}, 159.0) == "int8"


def test_a_manifest_loses_the_variants_that_cannot_run() -> None:
    from edgequake.convert.manifest_builder import without
    from edgequake.edge.base.errors import ModelError

    manifest, _ = load_manifest("moon")
    assert without(manifest, []) == manifest
    with pytest.raises(ModelError, match="no variant of the network could be made"):
        without(manifest, manifest.variants)


def test_a_step_takes_time_on_this_machine() -> None:
    from edgequake.convert.verification.recommendation import step_times_us

    manifest, folder = load_manifest("moon")
    times = step_times_us(manifest, folder)
    assert set(times) == set(manifest.variants) and all(0 < time < 1e5 for time in times.values())
