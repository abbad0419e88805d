"""Fuzzing of the detector in C with libFuzzer, under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgequake.edge.manifest.manifest import load_manifest
from edgequake.export_c.exporter import export_model
from edgequake.export_c.options import ExportOptions, exact_rates_hz

from .exports import IS_LONG

SECONDS = 60 if IS_LONG else 5
# With all rates, or with the model's own: moon and mars refine onsets at their own alone.
CASES = [("earth", True), ("moon", False), ("moon", True), ("mars", False), ("mars", True)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "has_rates"), CASES if IS_LONG else CASES[:1])
def test_no_input_and_no_saved_state_leads_astray(name: str, has_rates: bool, tmp_path: Path) -> None:
    if shutil.which("clang") is None:
        assert not os.environ.get("EDGEQUAKE_REQUIRE_C"), "no clang, and EDGEQUAKE_REQUIRE_C is set"
        pytest.skip("no clang")
    manifest, _ = load_manifest(name)
    rates = exact_rates_hz(manifest) if has_rates else ()
    export_model(name, tmp_path, ExportOptions(2, rates, refinement=name == "earth" or not has_rates))
    harness = Path(__file__).parent / "fuzz.c"
    (tmp_path / "fuzz_unit.c").write_text(f'#include "eq_{name}.c"\n#include "{harness}"\n')
    command = "clang -std=c99 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all fuzz_unit.c -o fuzz"
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    run = ["./fuzz", f"-max_total_time={SECONDS}", "-seed=1", "-max_len=4096", "-len_control=0", "-timeout=60"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    print(f"{name}: {done.stderr.strip().splitlines()[-1]}")
