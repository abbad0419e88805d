"""Builds the detector for an emulated Cortex-M board and runs a record on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.formats.waveforms import Trace
from edgequake.export_c.exporter import export_model
from edgequake.export_c.options import ExportOptions

_HARNESS = Path(__file__).parent / "cortexm"
_TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm", "gcc")
# Machine of the emulator, and the compiler's options for its processor.
BOARDS = {
    "m4": ("mps2-an386", "-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard"),
    "m7": ("mps2-an500", "-mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard"),
    "m0+": ("mps2-an385", "-mcpu=cortex-m0plus"),  # the code of an M0+ on the emulated M3
}
COMMON = "-mthumb -std=c99 -ffp-contract=off -ffunction-sections -fdata-sections -Wall -Wextra"


@dataclass(frozen=True)
class BoardRun:
    """What a run on a board showed."""

    events: bytes
    state: bytes
    flash_bytes: int  # of the detector and what it takes from the compiler's library, no start-up, no test program
    state_bytes: int
    stack_bytes: int
    step_instructions: int  # of the network, mean of the 256 steps of the self-test
    most_instructions: int  # of a call
    frame_instructions: int  # mean of a frame, but for the examination of onsets
    onset_instructions: int  # mean of the examination of an onset, which is spread over many calls; 0 without one
    n_rows: int


def require_tools() -> None:
    """Skip the test without the compiler and the emulator, unless EDGEQUAKE_REQUIRE_CORTEXM says they must be there."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        assert not os.environ.get("EDGEQUAKE_REQUIRE_CORTEXM"), f"{', '.join(missing)} not found"
        pytest.skip(
            f"no {', '.join(missing)}: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
        )


def run_on_board(
    board: str, optimise: str, model: str, traces: list[Trace], sensitivity: int, folder: Path
) -> BoardRun:
    """Build and run a model's detector with one channel for a board."""
    rates = tuple(sorted({trace.sampling_rate_hz for trace in traces}))
    export_model(model, folder, ExportOptions(1, rates), force=True)
    (folder / "record.h").write_text(_record(model, traces, sensitivity, folder))
    said, counts = _emulate(board, optimise, [f"eq_{model}.c", "main.c"], folder)
    examined = np.frombuffer((folder / "examined.bin").read_bytes(), np.uint8)
    calls = np.array(counts[1:])
    assert len(calls) == len(examined)
    n_onsets = int(np.sum(examined == 2))
    told = {line.split()[0]: int(line.split()[1]) for line in said.splitlines() if len(line.split()) == 2}
    return BoardRun(
        (folder / "events.bin").read_bytes(), (folder / "state.bin").read_bytes(), _flash_bytes(folder / "app.map"),
        told["state"], told["stack"], counts[0] // 256, int(calls.max()),
        int(calls[examined == 0].sum()) // told["rows"], int(calls[examined > 0].sum()) // max(n_onsets, 1),
        told["rows"],
    )  # fmt: skip


def step_instructions(board: str, optimise: str, model: str, folder: Path) -> list[int]:
    """Return the instructions of a step of a model's network on a board, for made-up states and rows."""
    export_model(model, folder, force=True)
    (folder / "record.h").write_text(f'#include "eq_{model}.c"\n')
    return _emulate(board, optimise, ["steps.c"], folder)[1]


def _emulate(board: str, optimise: str, sources: list[str], folder: Path) -> tuple[str, list[int]]:
    """Build a program and run it; return what it prints and the instructions of each region that it marks."""
    machine, processor = BOARDS[board]
    flags = [*processor.split(), *COMMON.split(), optimise, f"-I{folder}", f"-I{_HARNESS}"]
    units = [path if (path := folder / name).exists() else _HARNESS / name for name in (*sources, "startup.c")]
    for unit in units:
        # The start-up code needs instructions that an M0+ does not have; the emulated processor has them.
        extra = ["-mcpu=cortex-m3"] if board == "m0+" and unit.stem == "startup" else []
        _run(["arm-none-eabi-gcc", *flags, *extra, "-c", str(unit), "-o", f"{unit.stem}.o"], folder)
    elf = folder / "app.elf"
    link = ["-nostartfiles", "-T", str(_HARNESS / "link.ld"), "-Wl,--gc-sections,-Map=app.map", "--specs=nano.specs"]
    _run(["arm-none-eabi-gcc", *flags, *(f"{unit.stem}.o" for unit in units), *link, "-o", str(elf)], folder)
    plugin = folder / "insn.so"
    _run(["gcc", "-shared", "-fPIC", "-O2", str(_HARNESS / "insn.c"), "-o", str(plugin)], folder)
    symbols = dict(line.split()[::-2][:2] for line in _run(["arm-none-eabi-nm", str(elf)], folder).splitlines())
    begin, end = (f"0x{symbols[name]}" for name in ("roi_mark_begin", "roi_mark_end"))
    command = (
        f"qemu-system-arm -machine {machine} -display none -monitor none -serial none -semihosting-config "
        f"enable=on,target=native -plugin {plugin},begin={begin},end={end},out=counts.txt -kernel {elf}"
    )
    said = _run(command.split(), folder)
    lines = (folder / "counts.txt").read_text().splitlines()
    return said, [int(line.split()[1]) for line in lines if line[0].isdigit()]


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def _record(model: str, traces: list[Trace], sensitivity: int, folder: Path) -> str:
    check = (folder / f"eq_{model}_selftest.c").read_text().partition("EQ_EXPECTED_CHECK ")[2].split()[0]
    arrays, entries = "", []
    for i, trace in enumerate(traces):
        samples = ", ".join(str(int(sample)) for sample in trace.samples)
        arrays += f"static const int32_t samples_{i}[] = {{{samples}}};\n"
        entries.append(
            f"{{0, INT64_C({trace.start_ns}), {trace.sampling_rate_hz!r}, samples_{i}, {len(trace.samples)}u}}"
        )
    return (
        f'#include "eq_{model}.h"\n#define EQ_PREFIX eq_{model}\n#include "eq_prefix.h"\n'
        f"#define EXPECTED_CHECK {check}\n#define SENSITIVITY {sensitivity}\n"
        "typedef struct {\n    int channel;\n    int64_t start_ns;\n    double rate_hz;\n"
        "    const int32_t *samples;\n    uint32_t n;\n} piece;\n"
        f"{arrays}static const piece pieces[] = {{{', '.join(entries)}}};\n"
    )


def _flash_bytes(map_file: Path) -> int:
    """Return the bytes of code and constants of the detector, and of what it needs of libgcc, from a linker map."""
    total, name = 0, ""
    for line in map_file.read_text().partition("Linker script and memory map")[2].splitlines():
        words = line.split()
        if line.startswith(" .") and len(words) == 1:
            name = words[0]
            continue
        if line.startswith(" ."):
            name, words = words[0], words[1:]
        elif not line.startswith("                0x"):
            continue
        if len(words) >= 3 and words[0].startswith("0x") and words[1].startswith("0x"):
            source = words[2]
            if ("eq_" in source or "libgcc" in source) and name.startswith((".text", ".rodata")):
                total += int(words[1], 16)
    return total
