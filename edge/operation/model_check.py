"""Checks a model that does not come with the package before it is run: files, signature, and a self-test.

The self-test (`detection/self_test.py`) is a process of its own with limits of time and memory: a hostile graph may
kill or hang that one.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base import errors
from edgequake.edge.base.control import beat
from edgequake.edge.base.errors import EdgequakeError, ManifestError, ModelError
from edgequake.edge.base.layout import MODEL_KEY
from edgequake.edge.manifest.manifest import (
    Manifest,
    Variant,
    is_shipped,
    load_manifest,
    parse_manifest,
    read_graph,
    shipped_models,
)

MOST_MANIFEST_BYTES, MOST_GRAPH_BYTES = 4 << 20, 64 << 20
MEMORY_LIMIT_BYTES = 256 << 20  # interpreter, numpy and runtime take 40 MB of it, a graph of ours 1 MB
# A tenth of a second on a desktop; the same work took a Raspberry Pi Zero some 5 s.
CPU_LIMIT_S, TIME_LIMIT_S = 60, 120.0
COMMAND = ("-m", "edgequake.edge.detection.self_test")
_MOST_ANSWER_BYTES = 1 << 16
_POLL_S = 0.02
# What this process has seen pass: SHA-256 of manifest and graph, and whether with a golden vector.
_passed: set[tuple[str, str, bool]] = set()


@dataclass(frozen=True)
class Candidate:
    """A model as it was read: what is checked is what is used, whatever happens to its files."""

    path: Path  # of the manifest
    data: bytes  # the manifest
    manifest: Manifest
    variant_name: str
    variant: Variant
    graph: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the manifest."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with the package."""
        return is_shipped(self.path.parent, self.variant)


def read_candidate(name: str | Path, variant: str | None = None) -> Candidate:
    """Read a manifest and the graph of a variant, by the name of a shipped model or by the manifest's path.

    Raises
    ------
    ManifestError
        No such model, or its files are too large, damaged, or not those that belong together.
    """
    path = shipped_models().get(str(name), Path(name))
    try:
        is_large = path.stat().st_size > MOST_MANIFEST_BYTES
        data = b"" if is_large else path.read_bytes()
    except OSError:
        load_manifest(name)  # says what is wrong
        raise
    if is_large:
        raise ManifestError(f"{path} has more than {MOST_MANIFEST_BYTES} bytes: it is no manifest")
    try:
        manifest = parse_manifest(data.decode("utf-8"), str(path))
    except (UnicodeDecodeError, RecursionError) as problem:
        raise ManifestError(f"{path} cannot be read as a manifest: {problem}") from problem
    for one in manifest.variants.values():
        for file in (one.file, *(() if one.golden is None else (one.golden.file,))):
            if not file or Path(file).name != file or file.startswith("."):
                raise ManifestError(f"{path} names the file {ascii(file)[:100]}: expected one beside the manifest")
    chosen = variant or manifest.default_variant
    _require_size(manifest, path.parent, chosen)
    described, graph = read_graph(manifest, path.parent, chosen)
    return Candidate(path, data, manifest, chosen, described, graph)


def _require_size(manifest: Manifest, folder: Path, variant: str) -> None:
    if variant in manifest.variants:  # `read_graph` says it where it is not
        path = folder / manifest.variants[variant].file
        if path.is_file() and path.stat().st_size > MOST_GRAPH_BYTES:
            raise ManifestError(f"graph {path} has more than {MOST_GRAPH_BYTES} bytes: no lander could run it")


def key_of(out: Path, public_key: Path | None) -> Path | None:
    """Return the file of the public key that is configured for a run folder: the option's, or the folder's own."""
    own = out / MODEL_KEY
    return public_key if public_key is not None else own if own.exists() else None


def require_sound(name: str, variant: str | None, key: Path | None) -> Candidate:
    """Read a model and check it; a shipped one is what the package says it is, and needs no check.

    Raises
    ------
    EdgequakeError
        The model must not be run.
    """
    candidate = read_candidate(name, variant)
    if not candidate.is_shipped:
        require_authentic(candidate, key)
        check = Check(candidate)
        try:
            while not check.has_ended:
                beat()
                time.sleep(_POLL_S)
            check.require_passed()
        finally:
            check.close()
    return candidate


def require_authentic(candidate: Candidate, key: Path | None) -> None:
    """Check the signature of a candidate where a public key is configured; raises as `require_signature`."""
    if key is not None and not candidate.is_shipped:
        from edgequake.edge.manifest.signature import require_signature

        require_signature(candidate.data, candidate.path, key)


class Check:
    """The self-test of a candidate, while it runs in a process of its own."""

    def __init__(self, candidate: Candidate, needs_golden: bool = False) -> None:
        """Start it.

        needs_golden : refuse a model without a golden vector.

        Raises
        ------
        ModelError
            The process cannot be started.
        """
        self._candidate = candidate
        self._begun_s = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_late = False
        self._what = (candidate.sha256, candidate.variant.sha256, needs_golden)
        if self._what in _passed:
            return
        limits = (str(MEMORY_LIMIT_BYTES), str(CPU_LIMIT_S), "required" if needs_golden else "optional")
        command = [sys.executable, *COMMAND, str(candidate.path), candidate.variant_name, *limits]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError as problem:
            raise ModelError(f"the self-test of a model cannot be started: {problem}") from problem

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended; one that takes too long is ended here."""
        if self._process is None or self._process.poll() is not None:
            return True
        if time.monotonic() - self._begun_s > TIME_LIMIT_S:
            self._is_late = True
            self._process.kill()
            self._process.wait()
            return True
        return False

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()

    def require_passed(self) -> None:
        """Refuse the model where the test that has ended did not pass.

        Raises
        ------
        EdgequakeError
            The test's own error, or that the graph has killed its process or taken too long.
        """
        if self._process is None:
            return
        name, code = self._candidate.manifest.name, self._process.returncode
        assert self._process.stdout is not None
        answer = b"" if self._is_late else self._process.stdout.read(_MOST_ANSWER_BYTES)
        if self._is_late or code == -getattr(signal, "SIGXCPU", 0):
            raise ModelError(f"model '{name}': its self-test took too long and was ended; the graph must not be run")
        try:
            result = json.loads(answer)
            problem, kind, found = result["problem"], result["kind"], (result["manifest"], result["graph"])
        except (ValueError, KeyError, TypeError):
            ending = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise ModelError(
                f"model '{name}': its graph ended the process of its self-test ({ending}); it must not be run"
            ) from None
        if problem is not None:
            raise _ERRORS.get(str(kind), ModelError)(str(problem)[:1000])
        if code != 0 or found != self._what[:2]:
            raise ModelError(f"model '{name}': its files changed while they were tested; install it again")
        _passed.update({self._what, (*self._what[:2], False)})


_ERRORS: dict[str, type[EdgequakeError]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EdgequakeError)
}
