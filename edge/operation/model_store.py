"""DIR/models: the models that were installed in a run folder, which of them runs, and what became of the last one.

- `offer.json`: the model that is to be run next. `install` writes it last, when the model's files are complete in
  DIR/models/KEY; the run deletes it when the model runs, or was refused.
- `active.json`: for each model of the run that has been replaced, its *slot*, the model that runs (`current`), the one
  before it (`previous`), and during a switch the one that is to run (`next`).
- `trial.json`: the model that is being tried, and how many processes have begun to try it.
- `outcome.json`: what became of the last offer.

Each is replaced or deleted as a whole, and its folder is synced. A switch is three steps: `active.json` names the next
model; the checkpoint is written by that model, and says so; `active.json` makes it the current one. The second decides:
a start in between compares the checkpoint with `active.json` and runs the model that wrote the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgequake.edge.base.atomic_files import sync, write_bytes_atomically
from edgequake.edge.base.checkpoint import read_checkpoint
from edgequake.edge.base.errors import DataError
from edgequake.edge.base.layout import CHECKPOINT, MODELS
from edgequake.edge.formats.waveforms import format_time
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import SENSITIVITIES
from edgequake.edge.operation.config import RunConfig

OFFER, ACTIVE, TRIAL, OUTCOME = "offer.json", "active.json", "trial.json", "outcome.json"
INSTALLED = "installed"  # key in the checkpoint's state: the models that wrote it, by slot
MOST_STARTS = 3  # processes that may end while they try a model: a power loss is no fault of the model
_MOST_HISTORY = 50
_MOST_BYTES = 1 << 20
_KEY_DIGITS = 16


@dataclass(frozen=True)
class Installed:
    """A model as it was offered."""

    folder: str | None  # in DIR/models; None: it comes with the package
    manifest: str  # file name in that folder, or the name of a shipped model
    name: str
    body: str
    sha256: str  # of the manifest, which names the graph's
    variant: str
    sensitivity: str | None = None  # None: the run's own
    threshold: float | None = None  # None: the sensitivity's

    def __post_init__(self) -> None:
        is_key = self.folder is None or (
            len(self.folder) == _KEY_DIGITS and set(self.folder) <= set("0123456789abcdef")
        )
        if not is_key or Path(self.manifest).name != self.manifest or self.sensitivity not in (None, *SENSITIVITIES):
            raise ValueError("no model that install has offered")

    @property
    def id(self) -> str:
        """Identifies the offer: model, variant and thresholds."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]

    @property
    def mark(self) -> str:
        """Names the model in the catalogue and for people."""
        threshold = self.sensitivity if self.threshold is None else f"{self.threshold:g}"
        return f"{self.name} {self.variant} {self.sha256[:12]}" + ("" if threshold is None else f" at {threshold}")

    def options(self, config: RunConfig) -> RunConfig:
        """Return the options of a run that make it use this model."""
        model = self.manifest if self.folder is None else str(config.out / MODELS / self.folder / self.manifest)
        threshold, sensitivity = self.threshold, self.sensitivity or config.sensitivity
        if threshold is None and self.sensitivity is None:
            threshold = config.threshold
        own = replace(config, model=model, variant=self.variant, sensitivity=sensitivity, threshold=threshold)
        return replace(own, model_copy=None)


@dataclass(frozen=True)
class Slot:
    """A model of the run that has been replaced; None stands for the one that the run's options name."""

    current: Installed | None = None
    previous: Installed | None = None
    next: Installed | None = None
    history: tuple[dict[str, Any], ...] = field(default=())  # of switches: when, from and to which model, for people


@dataclass(frozen=True)
class Trial:
    """The model that is being tried, beside the current one or as the current one."""

    id: str
    n_starts: int  # of processes that have tried it


class ModelStore:
    """Reads and writes DIR/models; files that cannot be read count as missing."""

    def __init__(self, out: Path, log: Callable[[str], None] = lambda line: None) -> None:
        self.folder, self._out, self._log = out / MODELS, out, log

    def offer(self) -> Installed | None:
        """Return the model that is to be run next.

        Raises
        ------
        DataError
            The file is there, but is no offer.
        """
        path = self.folder / OFFER
        try:
            return _installed(_read_json(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError) as problem:
            raise DataError(f"{path} is no offer of a model: {ascii(str(problem))[1:200]}") from problem

    def write_offer(self, offer: Installed) -> None:
        """Offer a model, whose files are complete; raises DataError where it cannot be written."""
        self._write(OFFER, asdict(offer))

    def withdraw_offer(self) -> None:
        """Delete the offer."""
        self._delete(OFFER)

    def slots(self) -> dict[str, Slot]:
        """Return the models that have been replaced."""
        try:
            values = _read_json(self.folder / ACTIVE)
            return {str(name): _slot(fields) for name, fields in values.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, DataError) as problem:
            self._log(f"{self.folder / ACTIVE} cannot be read ({problem}): the run's own model is used")
            return {}

    def write_slot(self, name: str, slot: Slot) -> None:
        """Replace a slot; raises DataError where it cannot be written."""
        self._write(ACTIVE, {name: asdict(one) for name, one in {**self.slots(), name: slot}.items()})

    def trial(self) -> Trial | None:
        """Return the model that is being tried."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            fields = _read_json(self.folder / TRIAL)
            return Trial(str(fields["id"]), int(fields["n_starts"]))
        return None

    def write_trial(self, trial: Trial) -> None:
        """Note that this process tries a model, before it does; raises DataError where it cannot be written."""
        self._write(TRIAL, asdict(trial))

    def end_trial(self) -> None:
        """Note that no model is being tried."""
        self._delete(TRIAL)

    def outcome(self) -> dict[str, Any] | None:
        """Return what became of the last offer: `id`, `model`, `why`, `state` (switched, refused or rolled back)."""
        with suppress(OSError, ValueError):
            fields = _read_json(self.folder / OUTCOME)
            return fields if isinstance(fields, dict) else None
        return None

    def write_outcome(self, offer: Installed | None, state: str, why: str) -> dict[str, Any]:
        """Note and return what became of an offer; raises DataError where it cannot be written."""
        model, id_ = ("unknown", "") if offer is None else (offer.mark, offer.id)
        fields = {"id": id_, "model": model, "state": state, "why": why, "at": f"{format_time(time.time_ns())}Z"}
        self._write(OUTCOME, fields)
        return fields

    def _write(self, name: str, fields: dict[str, Any]) -> None:
        write_bytes_atomically(self.folder / name, json.dumps(fields, indent=1).encode() + b"\n")

    def _delete(self, name: str) -> None:
        path = self.folder / name
        try:
            path.unlink(missing_ok=True)
            if self.folder.is_dir():
                sync(self.folder)
        except OSError as problem:
            raise DataError(f"cannot delete {path}: {problem.strerror or problem}") from problem


def starting_models(config: RunConfig, log: Callable[[str], None]) -> tuple[dict[str, Slot], bool]:
    """Return the slots that a run starts with, and whether one of their models is still on trial.

    A switch that a power loss has interrupted is completed, or undone; a model that `MOST_STARTS` processes did not
    survive is taken back.

    Raises
    ------
    DataError
        What was decided cannot be written.
    """
    store = ModelStore(config.out, log)
    slots = store.slots()
    wrote = _writers(config.out) if any(slot.next is not None for slot in slots.values()) else {}
    for name, slot in slots.items():
        if slot.next is not None and wrote.get(name) == slot.next.id:
            slots[name] = replace(slot, current=slot.next, previous=slot.current, next=None)
        elif slot.next is not None:
            slots[name] = replace(slot, next=None)
    trial = store.trial()
    for name, slot in slots.items():
        if trial is None or slot.current is None or slot.current.id != trial.id:
            continue
        if trial.n_starts < MOST_STARTS:
            store.write_trial(replace(trial, n_starts=trial.n_starts + 1))
            return slots, True
        slots[name] = _rolled_back(store, name, slot, f"{trial.n_starts} processes ended soon after they ran it", log)
        store.end_trial()
    return slots, False


def _rolled_back(store: ModelStore, name: str, slot: Slot, why: str, log: Callable[[str], None]) -> Slot:
    """Return a slot with the model before the current one, after it has been written."""
    before = replace(slot, current=slot.previous, previous=None, next=None)
    assert slot.current is not None
    store.write_slot(name, before)
    store.write_outcome(slot.current, "rolled back", why)
    store.withdraw_offer()
    log(f"model {slot.current.mark} is taken back: {why}; the one before it runs again")
    return before


def _writers(out: Path) -> dict[str, str]:
    """Return which models wrote the checkpoint, by slot."""
    with suppress(DataError, AttributeError, TypeError, ValueError):
        return dict(read_checkpoint(out / CHECKPOINT).state.get(INSTALLED, {}))
    return {}


def with_history(slot: Slot, entry: dict[str, Any]) -> Slot:
    """Return a slot whose history ends with a switch, which is made now."""
    entry = {"switched_at": f"{format_time(time.time_ns())}Z", **entry}
    return replace(slot, history=(*slot.history, entry)[-_MOST_HISTORY:])


def _installed(fields: Any) -> Installed:
    """Raises DataError."""
    return schema.build(Installed, fields, "installed model", DataError)


def _slot(fields: dict[str, Any]) -> Slot:
    models = {key: None if fields[key] is None else _installed(fields[key]) for key in ("current", "previous", "next")}
    return Slot(**models, history=tuple(fields["history"]))


def _read_json(path: Path) -> Any:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    return json.loads(data)
