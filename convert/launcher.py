"""The worker process seen from outside: started, watched, ended, and its every ending made into one line."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edgequake.edge.base import errors
from edgequake.edge.base.errors import EdgequakeError, ModelError

WORKER_COMMAND = (sys.executable, "-m", "edgequake.convert.worker")
POLL_S = 0.1
_CHATTER = re.compile(r"[IW]\d{4} |INFO|WARNING|warnings.warn|\* |Saved artifact")  # of TensorFlow, in any process


def run_worker(folder: Path, time_limit_s: float, memory_limit_bytes: int, progress: Callable[[str], None]) -> str:
    """Run the worker on a job folder and return the manifest's file name; every other ending becomes one error."""
    limits = f"limits are {time_limit_s:.0f} s and {memory_limit_bytes / 2**30:.1f} GiB"
    with (folder / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(
            [*WORKER_COMMAND, str(folder)], cwd=folder, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr
        )
        try:
            finished = _wait(process, folder, time_limit_s, progress)
        finally:
            process.kill()  # nothing happens if it has ended; after a timeout or Ctrl-C it must not live on
            process.wait()
    if not finished:
        raise ModelError(
            f"the converter took more than {time_limit_s:.0f} s {_whereabouts(folder)}; allow it more time"
        )
    result = _result(folder)
    if process.returncode == 0 and "manifest" in result:
        return str(result["manifest"])
    if "error" in result:
        raise _ERRORS.get(result["error"], ModelError)(result["message"])
    raise ModelError(
        f"the converter process {_ending(process.returncode)} {_whereabouts(folder)}; {limits}: allow it more, or "
        "convert with --quantize float32 to see whether the network or its quantization is at fault"
    )


def _wait(process: subprocess.Popen[bytes], folder: Path, time_limit_s: float, progress: Callable[[str], None]) -> bool:
    """Wait for the process, telling the stages; False when time ran out."""
    deadline, n_told, finished = time.monotonic() + time_limit_s, 0, False
    while not finished and time.monotonic() < deadline:
        try:
            process.wait(POLL_S)
            finished = True
        except subprocess.TimeoutExpired:
            pass
        stages = _stages(folder)
        for stage in stages[n_told:]:
            progress(stage)
        n_told = len(stages)
    return finished


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    return f"was stopped by {signal.Signals(-returncode).name}"


def _whereabouts(folder: Path) -> str:
    """Return what the worker was busy with and the last line it wrote."""
    stage = (_stages(folder) or ["starting"])[-1]
    lines = [line.strip() for line in _read_text(folder / "stderr.txt").splitlines() if line.strip()]
    lines = [line for line in lines if not _CHATTER.match(line)]
    return f"while {stage} (its last words: {lines[-1][:300]})" if lines else f"while {stage}, without a word"


def _result(folder: Path) -> dict[str, str]:
    text = _read_text(folder / "done.json")
    return dict(json.loads(text)) if text else {}


def _stages(folder: Path) -> list[str]:
    """Return the stages that the worker has begun; a line it is just writing is left for the next look."""
    return _read_text(folder / "stages.txt").split("\n")[:-1]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


_ERRORS: dict[str, type[EdgequakeError]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgequakeError)
}
