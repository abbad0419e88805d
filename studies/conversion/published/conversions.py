"""Run `edgequake convert` again and again, each time in a process of its own, without loading TensorFlow again.

A process that has loaded TensorFlow, and used nothing of it, is forked for every command line; the fork is both the
command and its worker. Loading TensorFlow takes more time than most of the survey's conversions.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


class Converter:
    """The process that is forked; it ends with this one."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "studies.conversion.published.conversions"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def convert(self, arguments: list[str], folder: Path) -> tuple[int, str, str]:
        """Return the exit code of `edgequake convert ARGUMENTS`, and what it wrote to both of its outputs."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder.resolve()), *arguments]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        said, warned = ((folder / name).read_text(encoding="utf-8") for name in ("stdout.txt", "stderr.txt"))
        return code, said, warned

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class _EndedWorker:
    """Stands for the worker's process: its work is done within this one before anybody waits for it."""

    def __init__(self, command: list[str], **options: Any) -> None:
        from edgequake.convert import worker

        with contextlib.redirect_stdout(sys.stderr):
            self.returncode = worker.main(command[-1:])

    def wait(self, timeout_s: float | None = None) -> int:
        return self.returncode

    def kill(self) -> None:
        """Do nothing: it has ended."""


def _serve() -> None:
    from edgequake.convert import launcher, worker
    from edgequake.edge.detection.network import import_runtime

    worker._quieten()
    import_runtime()  # before TensorFlow
    importlib.import_module("edgequake.cli")
    importlib.import_module("edgequake.convert.verification.comparison")  # it loads TensorFlow and Keras

    names = {"DEVNULL": subprocess.DEVNULL, "TimeoutExpired": subprocess.TimeoutExpired}
    launcher.subprocess = SimpleNamespace(Popen=_EndedWorker, **names)  # type: ignore[attr-defined, assignment]
    for line in sys.stdin:
        folder, *arguments = json.loads(line)
        child = os.fork()
        if not child:
            _convert(Path(folder), arguments)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _convert(folder: Path, arguments: list[str]) -> None:
    """Run the command and end this process."""
    for name, number in (("stdout.txt", 1), ("stderr.txt", 2)):
        with (folder / name).open("wb") as file:
            os.dup2(file.fileno(), number)
    from edgequake.cli import main

    code = 1
    try:
        code = main(["convert", *arguments])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
