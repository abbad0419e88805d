"""The `install` command: checks a new model and offers it to the run in a folder, which switches to it by itself.

docs/installing-models.md describes what happens when.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from edgequake.edge.base.atomic_files import remove_leftovers, sync, write_bytes_atomically
from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError, DataError, ModelError
from edgequake.edge.base.layout import CHECKPOINT, HEARTBEAT, STATUS, SUMMARY
from edgequake.edge.detection.self_test import read_golden
from edgequake.edge.manifest.manifest import SENSITIVITIES
from edgequake.edge.manifest.signature import SUFFIX
from edgequake.edge.operation.model_check import Candidate, Check, key_of, read_candidate, require_authentic
from edgequake.edge.operation.model_store import Installed, ModelStore

_POLL_S = 0.05
_UMASK = 0o027  # as of the runner's files
_ENDS = ("switched", "refused", "rolled back")


def add_install_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `install`."""
    parser.add_argument("model", metavar="MANIFEST", help="manifest of the new model, or the name of a shipped one")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN_DIR", help="the run's --out")
    parser.add_argument("--variant", help="graph of the model (default: the manifest's)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sensitivity", choices=SENSITIVITIES, help="from now on (default: as the run was started)")
    which.add_argument("--threshold", type=float, help="onset probability that declares an event, instead")
    parser.add_argument(
        "--public-key",
        type=Path,
        metavar="FILE",
        help="refuse a model that is not signed by this key (default: RUN_DIR/model-key.pub, if any)",
    )
    parser.add_argument(
        "--wait",
        dest="wait_s",
        type=float,
        metavar="SECONDS",
        help="wait so long for the run to switch; exit code 1 where it has refused the model, or has not switched",
    )


def install_command(arguments: argparse.Namespace, control: Control) -> int:
    """Check a model and offer it to a run.

    Raises
    ------
    EdgequakeError
        The model must not be run; nothing was offered.
    """
    out: Path = arguments.out
    threshold = arguments.threshold
    if threshold is not None and not 0 < threshold <= 1:
        raise ConfigError(f"threshold {threshold:g}: expected a probability above 0 and up to 1")
    candidate = read_candidate(arguments.model, arguments.variant)
    check_candidate(candidate, key_of(out, arguments.public_key))
    before = os.umask(_UMASK)
    try:
        offer = stage(out, candidate, arguments.sensitivity, threshold)
    finally:
        os.umask(before)
    whom = f"the run in {out}, or to the next one that starts there"
    if not any((out / name).exists() for name in (STATUS, SUMMARY, HEARTBEAT, CHECKPOINT)):
        whom = f"the first run in {out}: none is there yet"  # a name that was mistyped, perhaps
    control.log(f"model {offer.mark} has passed and is offered to {whom}")
    return 0 if arguments.wait_s is None else _wait(ModelStore(out), offer, arguments.wait_s, control)


def check_candidate(candidate: Candidate, key: Path | None) -> None:
    """Check signature, operators and golden vector of a model.

    Raises
    ------
    EdgequakeError
        It must not be run.
    """
    require_authentic(candidate, key)
    if candidate.is_shipped:
        return
    check = Check(candidate, needs_golden=True)
    try:
        while not check.has_ended:
            time.sleep(_POLL_S)
        check.require_passed()
    finally:
        check.close()


def stage(out: Path, candidate: Candidate, sensitivity: str | None = None, threshold: float | None = None) -> Installed:
    """Copy a model into a run folder and offer it to the run; return the offer.

    Every file is complete and durable before the offer names it. Doing it again after a power loss does no harm.

    Raises
    ------
    DataError
        A file cannot be written, or read.
    """
    store = ModelStore(out)
    remove_leftovers(store.folder)
    manifest = candidate.manifest
    common = (manifest.name, manifest.body, candidate.sha256, candidate.variant_name, sensitivity, threshold)
    if candidate.is_shipped:
        offer = Installed(None, candidate.path.stem, *common)
        _make(store.folder)
    else:
        key, files = candidate.sha256[:16], _files(candidate)
        offer = Installed(key, candidate.path.name, *common)
        _make(store.folder)
        _remove_unused(store, key)
        _make(store.folder / key)
        remove_leftovers(store.folder / key)
        for name, data in files.items():
            write_bytes_atomically(store.folder / key / name, data)
    store.write_offer(offer)
    return offer


def _files(candidate: Candidate) -> dict[str, bytes]:
    """Return the files that the runner needs of a model: of its variants, the one that is installed."""
    folder, variant = candidate.path.parent, candidate.variant
    files = {variant.file: candidate.graph}
    if variant.golden is not None:
        files[variant.golden.file] = read_golden(candidate.manifest, folder, variant)
    signature = candidate.path.name + SUFFIX
    with suppress(FileNotFoundError):
        files[signature] = (folder / signature).read_bytes()
    return {**files, candidate.path.name: candidate.data}


def _make(folder: Path) -> None:
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            sync(path.parent)
    except OSError as problem:
        raise DataError(f"cannot make {folder}: {problem.strerror or problem}") from problem


def _remove_unused(store: ModelStore, key: str) -> None:
    """Remove the models that nothing refers to any more."""
    used = {key}
    for slot in store.slots().values():
        used |= {one.folder for one in (slot.current, slot.previous, slot.next) if one is not None and one.folder}
    with suppress(DataError):
        if (offer := store.offer()) is not None and offer.folder:
            used.add(offer.folder)
    for path in store.folder.iterdir():
        if path.is_dir() and path.name not in used:
            shutil.rmtree(path, ignore_errors=True)


def _wait(store: ModelStore, offer: Installed, wait_s: float, control: Control) -> int:
    """Wait until the run has switched to an offer.

    Raises
    ------
    ModelError
        It has refused it, or has not switched in time.
    """
    until_s = time.monotonic() + wait_s
    while not control.stop:
        outcome = store.outcome()
        if outcome is not None and outcome.get("id") == offer.id and outcome.get("state") in _ENDS:
            if outcome["state"] != "switched":
                raise ModelError(f"model {offer.mark} was {outcome['state']}: {outcome.get('why')}")
            control.log(f"the run has switched to model {offer.mark}")
            return 0
        if time.monotonic() >= until_s:
            raise ModelError(
                f"the run has not switched to model {offer.mark} in {wait_s:g} s; the offer stands, "
                f"`edgequake-edge status` tells how far it is"
            )
        time.sleep(_POLL_S)
    return 1
