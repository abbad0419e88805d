"""The detector on emulated Cortex-M boards: the runner's events to the last bit, in little memory and few instructions.

Counts are instructions, not cycles. `make c99` runs all models, boards and optimisations; here is one of each kind.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.detection.c_core import CDetector
from edgequake.edge.detection.c_library import CLibrary
from edgequake.export_c.exporter import export_model
from edgequake.export_c.options import ExportOptions

from .board import BoardRun, require_tools, run_on_board, step_instructions
from .exports import IS_LONG, Exported
from .onsets import RefinedEvent, refined_by_python
from .scenes import Scene, facts, traces

_NAMES = ["onset", "stop", "trigger", "peak", "sigma", "class", "padding"]
EVENT = np.dtype({"names": _NAMES, "formats": ["<i8", "<i8", "<i8", "<f4", "<i4", "<i4", "<i4"]})
Export = Callable[[str], Exported]
SCENES = {"moon": Scene(1, 160, (1,)), "mars": Scene(4, 130, (1,)), "earth": Scene(7, 200, (1,))}
SHORT = [("moon", "m4", "-Os", 1)]
LONG = [
    *((model, board, optimise, 1) for model in SCENES for board in ("m4", "m7", "m0+") for optimise in ("-Os", "-O2")),
    ("earth", "m4", "-O2", 5),
]
# Largest allowed, one channel at the model's rate: flash with -Os on M4, state, and instructions with -O2: of a step of
# the network on M4; of a mean frame and, apart from it, of the refinement of an onset on each. Refinement takes a
# channel's newest samples and 4 kB more, a tenth of which mars' long band-pass takes. earth's network has 2.4 times the
# products of the others', and so as much more of constants and instructions.
FLASH_BYTES = {"moon": 32 << 10, "mars": 33 << 10, "earth": 45 << 10}
STATE_BYTES = {"moon": 13 << 10, "mars": 19 << 10, "earth": 11 << 10}
STACK_BYTES = 1024
STEP_INSTRUCTIONS = {"moon": 50_000, "mars": 55_000, "earth": 120_000}
FRAME_INSTRUCTIONS = {
    "m4": {"moon": 550_000, "mars": 950_000, "earth": 300_000},
    "m7": {"moon": 110_000, "mars": 130_000, "earth": 160_000},
    "m0+": {"moon": 1_600_000, "mars": 2_600_000, "earth": 900_000},
}
ONSET_INSTRUCTIONS = {
    "m4": {"moon": 8_300_000, "mars": 39_000_000, "earth": 4_800_000},
    "m7": {"moon": 1_030_000, "mars": 5_100_000, "earth": 200_000},
    "m0+": {"moon": 18_000_000, "mars": 101_000_000, "earth": 10_700_000},
}
CALL_INSTRUCTIONS = {  # of the largest call
    "m4": {"moon": 500_000, "mars": 860_000, "earth": 370_000},
    "m7": {"moon": 54_000, "mars": 73_000, "earth": 101_000},
    "m0+": {"moon": 1_330_000, "mars": 2_470_000, "earth": 632_000},
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "board", "optimise", "factor"), LONG if IS_LONG else SHORT)
def test_a_board_gives_the_runners_events(
    name: str, board: str, optimise: str, factor: int, exported: Export, tmp_path: Path
) -> None:
    require_tools()
    model = exported(name)
    scene = SCENES[name]
    records = traces(Scene(scene.seed, scene.n_frames, (factor,)), model.manifest)
    run = run_on_board(board, optimise, name, records, 2, tmp_path)
    detector = model.detector(model.manifest.trigger.onset_thresholds["high"])
    events = [*detector.push(*records), *detector.finish()]
    assert events
    found = np.frombuffer(run.events, EVENT)
    assert [(int(e["trigger"]), int(e["stop"]), e["peak"].tobytes()) for e in found] == facts(events)
    onsets = [RefinedEvent(*(int(e[name]) for name in ("trigger", "onset", "sigma", "stop"))) for e in found]
    assert onsets == refined_by_python(model.manifest, events, records)
    print(f"{name} {board} {optimise} x{factor}: {figures(run)}")
    assert run.state == state_on_this_machine(model, records, tmp_path / "host")
    if factor == 1:
        require_small(name, board, optimise, run)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "board", "optimise", "factor"), LONG[:-1] if IS_LONG else SHORT)
def test_a_step_takes_as_many_instructions_for_every_input(
    name: str, board: str, optimise: str, factor: int, tmp_path: Path
) -> None:
    require_tools()
    counts = step_instructions(board, optimise, name, tmp_path)
    assert len(counts) == 64
    assert min(counts) > 10_000
    # An M0+ has no 32 by 32 bit product of 64 bits: the compiler's own function branches on carries.
    most = min(counts) * 1.002 if board == "m0+" else min(counts)
    assert max(counts) <= most
    print(f"{name} {board} {optimise}: {min(counts)} to {max(counts)} instr a step of the network")


def figures(run: BoardRun) -> str:
    """Return a run's figures as text."""
    return (
        f"flash {run.flash_bytes} B, state {run.state_bytes} B, stack {run.stack_bytes} B, network step "
        f"{run.step_instructions}, mean frame {run.frame_instructions}, onset {run.onset_instructions}, "
        f"largest call {run.most_instructions} instr"
    )


def require_small(name: str, board: str, optimise: str, run: BoardRun) -> None:
    """Hold the figures against what is allowed."""
    assert run.stack_bytes <= STACK_BYTES
    assert run.state_bytes <= STATE_BYTES[name]
    if optimise == "-Os" and board == "m4":
        assert run.flash_bytes <= FLASH_BYTES[name]
    if optimise == "-O2":
        assert run.frame_instructions <= FRAME_INSTRUCTIONS[board][name]
        assert run.most_instructions <= CALL_INSTRUCTIONS[board][name]
        assert 0 < run.onset_instructions <= ONSET_INSTRUCTIONS[board][name]
        if board == "m4":
            assert run.step_instructions <= STEP_INSTRUCTIONS[name]


def state_on_this_machine(model: Exported, records: list, folder: Path) -> bytes:  # type: ignore[type-arg]
    """Return the state that the same export saves here after the same records."""
    rates = tuple(sorted({trace.sampling_rate_hz for trace in records}))
    result = export_model(model.manifest.name, folder, ExportOptions(1, rates), build=True)
    c = CDetector(CLibrary(Path(str(result.library))), model.manifest.trigger.onset_thresholds["high"])
    c.push(*records)
    assert ctypes.sizeof(ctypes.c_void_p) == 8  # another kind of machine than the board
    return bytes(c.state()["core"].tobytes())
