"""`edgequake export-c`: its files, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgequake.edge.base.errors import ConfigError, EdgequakeError, ModelError
from edgequake.edge.detection.onset import refiner
from edgequake.edge.manifest.manifest import Manifest, load_manifest
from edgequake.export_c import exporter
from edgequake.export_c.exporter import CORE, export_model
from edgequake.export_c.host_library import FLAGS
from edgequake.export_c.network_reader import read_network
from edgequake.export_c.operator_tables import one_operator
from edgequake.export_c.options import ExportOptions, require_exportable

from .exports import IS_LONG, MODELS, Exported
from .scenes import Scene, traces

WARNINGS = (
    "-std=c99 -pedantic -Wall -Wextra -Wconversion -Wsign-conversion -Wdouble-promotion -Wfloat-equal -Wshadow "
    "-Wcast-align -Wstrict-prototypes -Wmissing-prototypes -Werror"
).split()
COMPILED = [("moon", "gcc"), ("earth", "clang")]
if IS_LONG:
    COMPILED = [(name, compiler) for name in MODELS for compiler in ("gcc", "clang")]
SOURCES = Path(exporter.__file__).parent / "sources"
EXAMPLES = Path(exporter.__file__).parent / "examples"
STUBS = Path(__file__).parent / "stubs"  # of the operating systems that the examples are for


def test_the_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_model("mars", tmp_path / name, ExportOptions(2, (20.0, 100.0), refinement=False))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_description_names_what_was_exported(tmp_path: Path) -> None:
    result = export_model("earth", tmp_path, ExportOptions(3, (100.0,)))
    described = json.loads((tmp_path / "eq_earth.json").read_text())
    manifest, _ = load_manifest("earth")
    assert described["graph_sha256"] == manifest.variants["int8"].sha256
    assert (described["channels"], described["rates_hz"]) == (3, [100.0])
    assert set(described["files_sha256"]) == set(result.files) - {"eq_earth.json"}


def test_an_export_is_replaced_only_by_force(tmp_path: Path) -> None:
    export_model("moon", tmp_path)
    with pytest.raises(ConfigError, match="give --force"):
        export_model("moon", tmp_path)
    export_model("moon", tmp_path, force=True)


@pytest.mark.parametrize(("name", "compiler_name"), COMPILED)
def test_the_sources_compile_without_a_warning(name: str, compiler_name: str, tmp_path: Path) -> None:
    if shutil.which(compiler_name) is None:
        assert not os.environ.get("EDGEQUAKE_REQUIRE_C"), f"no {compiler_name}, and EDGEQUAKE_REQUIRE_C is set"
        pytest.skip(f"no {compiler_name}")
    export_model(name, tmp_path)
    units = [f"eq_{name}.c", f"eq_{name}_selftest.c", f"eq_{name}_replay.c"]
    command = [compiler_name, *WARNINGS, "-O1", "-ffp-contract=off", *units, "-o", "replay"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    assert subprocess.run([tmp_path / "replay"], input=b"", check=False).returncode == 0  # its self-test passes


def test_a_program_holds_two_models_and_needs_nothing_of_the_library(compiler: str, tmp_path: Path) -> None:
    for name in ("moon", "mars"):
        export_model(name, tmp_path)
    (tmp_path / "both.c").write_text(
        '#include "eq_moon.h"\n#include "eq_mars.h"\nstatic eq_moon_t moon;\nstatic eq_mars_t mars;\n'
        "int main(void)\n{\n    return eq_moon_selftest(&moon) + 2 * eq_mars_selftest(&mars);\n}\n"
    )
    units = ["both.c", *(f"eq_{name}{part}.c" for name in ("moon", "mars") for part in ("", "_selftest"))]
    subprocess.run([compiler, *FLAGS, "-O1", "-c", *units], cwd=tmp_path, check=True)
    subprocess.run([compiler, *(unit.replace(".c", ".o") for unit in units), "-o", "both"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "both"], check=False).returncode == 0
    listed = subprocess.run(["nm", "-u", "eq_moon.o"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    missing = {line.split()[-1] for line in listed.splitlines()}
    assert missing <= {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}


def test_the_examples_find_the_runners_events(
    exported: Callable[[str], Exported], compiler: str, tmp_path: Path
) -> None:
    model = exported("moon")
    export_model("moon", tmp_path)
    subprocess.run([compiler, *FLAGS, "-O1", "-c", "eq_moon.c", "eq_moon_selftest.c"], cwd=tmp_path, check=True)
    replay = linked(compiler, tmp_path, "replay", [tmp_path / "eq_moon_replay.c"])
    records = traces(Scene(31, 500, rates=(1,)), model.manifest)
    texts = [
        f"0 {trace.start_ns} {trace.sampling_rate_hz!r} {len(trace.samples)}\n{' '.join(map(str, trace.samples))}\n"
        for trace in records
    ]
    printed = output_of([replay, "2"], "".join(texts))
    detector = model.detector(model.manifest.trigger.onset_thresholds["high"])
    events = [*detector.push(*records), *detector.finish()]
    assert events
    refine = refiner(model.manifest)
    assert refine is not None
    onsets_ns = [refine(records, event.onset_ns).onset_ns for event in events]
    expected = zip(onsets_ns, events, strict=True)
    assert printed == "".join(f"{ns} {e.stop_ns} {e.peak_probability:.9g}\n" for ns, e in expected)

    # The tasks of operating systems find the same at their sensitivity, as far as the samples go: they do not end.
    printed = output_of([replay, "1"], "".join(texts))
    zephyr = linked(compiler, tmp_path, "zephyr", [EXAMPLES / "eq_zephyr.c", STUBS / "zephyr_board.c"])
    found = output_of([zephyr], "".join(texts))
    assert found
    assert printed.startswith(found)
    cfs = linked(compiler, tmp_path, "cfs", [EXAMPLES / "eq_cfs_app.c", STUBS / "cfs_bus.c"])
    halves = [output_of([cfs], "".join(part)) for part in (texts[: len(texts) // 2], texts[len(texts) // 2 :])]
    assert "".join(halves) == found  # the second run goes on from the state that the first has stored


def linked(compiler: str, folder: Path, name: str, sources: list[Path]) -> Path:
    """Compile sources, without a warning, and link them with the objects of the export in a folder."""
    command = [compiler, *FLAGS, "-O1", "-Wall", "-Wextra", "-Werror", f"-I{folder}", f"-I{EXAMPLES}", f"-I{STUBS}"]
    units = [*map(str, sources), "eq_moon.o", "eq_moon_selftest.o"]
    done = subprocess.run([*command, *units, "-lm", "-o", name], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / name


def output_of(command: list[Path | str], text: str) -> str:
    """Return what a program prints that must succeed and complain of nothing."""
    done = subprocess.run(command, input=text, cwd=Path(command[0]).parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_prefixes_are_all_taken_back() -> None:
    defined = {line.split()[1].partition("(")[0] for line in (SOURCES / "eq_prefix.h").read_text().splitlines()
               if line.startswith("#define")}  # fmt: skip
    undefined = {line.split()[1] for line in (SOURCES / "eq_unprefix.h").read_text().splitlines()
                 if line.startswith("#undef")}  # fmt: skip
    assert defined <= undefined


def test_functions_are_short_and_none_calls_itself() -> None:
    for name in CORE:
        text = (SOURCES / "core" / name).read_text()
        for match in re.finditer(r"^[a-z][^\n;]*?\b(\w+)\([^;{]*\)\n\{\n(.*?)^\}\n", text, re.MULTILINE | re.DOTALL):
            function, body = match.groups()
            assert body.count("\n") <= 60, f"{name}: {function}"
            assert not re.search(rf"\b{function}\(", body), f"{name}: {function} calls itself"


def refuse(manifest: Manifest, **changes: object) -> str:
    front_end = dataclasses.replace(manifest.front_end, **changes.pop("front_end", {}))  # type: ignore[arg-type]
    network = dataclasses.replace(manifest.network, **changes.pop("network", {}))  # type: ignore[arg-type]
    with pytest.raises(EdgequakeError) as caught:
        require_exportable(dataclasses.replace(manifest, front_end=front_end, network=network), (1,))
    return str(caught.value)


def test_what_c_does_not_compute_is_refused_by_name() -> None:
    manifest, _ = load_manifest("moon")
    windowed = {"mode": "windowed", "window_rows": 16, "window_hop_rows": 8}
    assert refuse(manifest, network=windowed) == (
        "model 'moon' cannot be exported to C: its network is windowed; C takes the mode continuous"
    )
    assert "a step takes 2 rows" in refuse(manifest, network={"rows_per_step": 2})
    spectrogram = manifest.front_end.spectrogram
    assert spectrogram is not None
    odd = dataclasses.replace(spectrogram, window_samples=120)
    assert "a window has 120 samples" in refuse(manifest, front_end={"spectrogram": odd})
    steps = dataclasses.replace(spectrogram, steps_per_decade=60)
    assert "a decade has 60 steps" in refuse(manifest, front_end={"spectrogram": steps})


def test_a_rate_that_needs_interpolation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be exported for 20 Hz: C takes 6\.625, 13\.25, 53 Hz"):
        export_model("moon", tmp_path / "out", ExportOptions(1, (20.0,)))
    with pytest.raises(ConfigError, match="channels must be 1 to 16"):
        ExportOptions(17)
    assert not (tmp_path / "out").exists()


def test_a_network_of_another_kind_is_refused_by_its_operator(root: Path, tmp_path: Path) -> None:
    manifest, _ = load_manifest("moon")
    variant = dataclasses.replace(manifest.variants["int8"], frame_tensor="x")
    graph = one_operator("TANH", "int8", (0.1, 0), (1 / 128, 0), 9)
    with pytest.raises(ModelError, match="operator 0 is TANH, expected a convolution that keeps its context"):
        read_network(manifest, variant, graph)
    with pytest.raises(EdgequakeError, match="has no variant 'int8': it has float32"):
        export_model(str(root / "train/models/seed-spectrogram/seed-spectrogram.json"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_a_compiler_build_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no C compiler was found"):
        export_model("moon", tmp_path / "out", build=True)


def test_the_code_in_the_documentation_compiles(root: Path, compiler: str, tmp_path: Path) -> None:
    page = (root / "docs" / "c99.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    export_model("moon", tmp_path)
    declared = code.replace(
        '#include "eq_moon.h"\n', '#include "eq_moon.h"\nvoid downlink(const eq_moon_event *event);\n'
    )
    (tmp_path / "task.c").write_text(
        declared.replace("void take(", "void take(const int32_t *, uint32_t, int64_t);\nvoid take(")
    )
    subprocess.run([compiler, *WARNINGS, "-c", "task.c"], cwd=tmp_path, check=True)
