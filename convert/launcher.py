"""Start and watch the worker process, and turn each of its endings into one line."""

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
_LOG_LINE = re.compile(r"[IW]\d{4} |INFO|WARNING|warnings.warn|\* |Saved artifact")  # of TensorFlow, in any run


def run_worker(folder: Path, time_limit_s: float, memory_limit_bytes: int, progress: Callable[[str], None]) -> str:
    """Run the worker on a job folder and return the manifest's file name.

    Raises
    ------
    EdgequakeError
        The worker's own error, or a ModelError where it crashed or exceeded a limit.
    """
    limits = f"limits are {time_limit_s:.0f} s and {memory_limit_bytes / 2**30:.1f} GiB"
    with (folder / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(
            [*WORKER_COMMAND, str(folder)], cwd=folder, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr
        )
        try:
            finished = _wait(process, folder, time_limit_s, progress)
        finally:
            process.kill()  # no effect if it has ended; after a timeout or Ctrl-C it must not go on
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
        "convert with --quantize float32 to see whether the network or its quantization is the cause"
    )


def _wait(process: subprocess.Popen[bytes], folder: Path, time_limit_s: float, progress: Callable[[str], None]) -> bool:
    """Wait for the process and pass on its stages; return False when time ran out."""
    deadline, n_reported, finished = time.monotonic() + time_limit_s, 0, False
    while not finished and time.monotonic() < deadline:
        try:
            process.wait(POLL_S)
            finished = True
        except subprocess.TimeoutExpired:
            pass
        stages = _stages(folder)
        for stage in stages[n_reported:]:
            progress(stage)
        n_reported = len(stages)
    return finished


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    return f"was stopped by {signal.Signals(-returncode).name}"


def _whereabouts(folder: Path) -> str:
    """Return the worker's stage and the last line that it wrote."""
    stage = (_stages(folder) or ["starting"])[-1]
    lines = [line.strip() for line in _read_text(folder / "stderr.txt").splitlines() if line.strip()]
    lines = [line for line in lines if not _LOG_LINE.match(line)]
    return f"while {stage} (its last line: {lines[-1][:300]})" if lines else f"while {stage}, without a message"


def _result(folder: Path) -> dict[str, str]:
    text = _read_text(folder / "done.json")
    return dict(json.loads(text)) if text else {}


def _stages(folder: Path) -> list[str]:
    """Return the stages that the worker has begun, without a line that is still being written."""
    return _read_text(folder / "stages.txt").split("\n")[:-1]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


_ERRORS: dict[str, type[EdgequakeError]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgequakeError)
}
