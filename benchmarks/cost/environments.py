"""Where costs are measured: a Python environment, and the TFLite runtime that its processes use.

Every measurement runs in processes of the environment's own interpreter, so that a lander's environment can be measured
from a desktop's. If both runtimes are installed, each gets processes of its own, from which the other one is hidden.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgequake.edge.base.errors import ConfigError, ModelError

IMPORT_NAMES = {"tflite-runtime": "tflite_runtime", "ai-edge-litert": "ai_edge_litert"}

_LONGEST_PROCESS_S = 600.0
_HERE = "edgequake.benchmarks.cost"
_HIDING = (
    "import runpy, sys; hidden, sys.argv = sys.argv[1].split(','), sys.argv[2:]; "
    "sys.modules.update(dict.fromkeys(hidden)); "  # None there: the import fails
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True)
class PythonEnvironment:
    """An interpreter, and the runtime that its processes use."""

    python: str  # path of the interpreter
    runtime: str  # "tflite-runtime 2.14.0"
    hidden: tuple[str, ...]  # import names of the other installed runtimes
    versions: dict[str, str]  # of python and of the packages that a run needs
    packages: tuple[str, ...]  # names of all distributions in the environment

    def command(self, module: str, *arguments: str) -> list[str]:
        """Return the command that runs a module in this environment with this runtime."""
        if not self.hidden:
            return [self.python, "-m", module, *arguments]
        return [self.python, "-c", _HIDING, ",".join(self.hidden), module, *arguments]

    def measure(self, process: str, *arguments: str) -> Any:
        """Run one of the modules `*_process` in this environment and return the JSON that it prints.

        Raises
        ------
        ModelError
            The process fails; the message ends with its last output.
        """
        return json.loads(output_of(self.command(process_module(process), *arguments)))


def process_module(process: str) -> str:
    """Return the module of a process: "step" is `edgequake.benchmarks.cost.step_process`."""
    return f"{_HERE}.{process}_process"


def find_environments(pythons: Sequence[str] = ()) -> list[PythonEnvironment]:
    """Return an environment for each runtime of each interpreter; by default of the interpreter of this process.

    Raises
    ------
    ConfigError
        An interpreter that cannot be run, has no runtime or none that works, or another edgequake than this one.
    """
    found = []
    for python in pythons or (sys.executable,):
        described = _ask(python)
        if described["code"] != code_sha256():
            raise ConfigError(
                f"{python} has another edgequake than this one, so its figures would be another's: install this one "
                f"there ('make landers' makes such environments)"
            )
        runtimes = described["runtimes"]
        if not runtimes:
            raise ConfigError(f"{python} has no TFLite runtime: pip install 'edgequake[edge]' there")
        for name, version in runtimes.items():
            hidden = tuple(IMPORT_NAMES[other] for other in runtimes if other != name)
            versions, packages = described["versions"], tuple(described["packages"])
            found.append(PythonEnvironment(python, f"{name} {version}", hidden, versions, packages))
    return found


def measure_process(command: Sequence[str]) -> Any:
    """Run a command and return its wall and CPU time in s, its peak memory in bytes, and its output.

    Raises
    ------
    ModelError
        It fails; the message ends with its last output.
    """
    return json.loads(output_of([sys.executable, "-m", f"{_HERE}.process_cost", *command]))


def output_of(command: Sequence[str]) -> str:
    """Run a command and return its standard output.

    Raises
    ------
    ModelError
        It fails or takes too long; the message ends with its last output.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST_PROCESS_S)
    except subprocess.TimeoutExpired:
        raise ModelError(f"'{_short(command)}' took longer than {_LONGEST_PROCESS_S:g} s") from None
    if done.returncode != 0:
        last_lines = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise ModelError(f"'{_short(command)}' gave exit code {done.returncode}: {last_lines}")
    return done.stdout


def code_sha256() -> str:
    """Return a hash of the code on board and of the code that measures it, to compare two environments."""
    import edgequake.benchmarks
    import edgequake.edge

    digest = hashlib.sha256()
    for package in (edgequake.edge, edgequake.benchmarks):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _ask(python: str) -> Any:
    try:
        return json.loads(output_of([python, "-m", f"{_HERE}.environments"]))
    except OSError as problem:
        raise ConfigError(f"{python} cannot be run: {problem.strerror}; give a Python interpreter") from problem
    except ModelError as problem:
        raise ConfigError(f"{python} cannot be used as an environment: {problem}") from problem


def _describe() -> dict[str, Any]:
    """Describe the environment of this process."""
    import platform
    from importlib import metadata

    installed = {str(one.metadata["Name"]).lower(): one.version for one in metadata.distributions()}
    needed = ("edgequake", "numpy", "pymseed")
    return {
        "code": code_sha256(),
        "runtimes": {name: installed[name] for name in IMPORT_NAMES if name in installed},
        "versions": {"python": platform.python_version(), **{name: installed.get(name, "?") for name in needed}},
        "packages": sorted(installed),
    }


def _short(command: Sequence[str]) -> str:
    shown = [part for part in command if not part.startswith("import ")][1:]
    return " ".join(shown[:5]) + (" ..." if len(shown) > 5 else "")


if __name__ == "__main__":
    print(json.dumps(_describe()))
