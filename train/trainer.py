"""`edgequake train`: a data folder comes in; NAME.keras, train.json and calibration.npz go out."""

from __future__ import annotations

import io
import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgequake._version import __version__
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.checkpoint import set_aside
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.tables import ClassConfig
from edgequake.results.progress import Progress, part_of, silent
from edgequake.train import networks
from edgequake.train.classes.fit import learn_classes
from edgequake.train.configuration.recipe import Recipe, load_recipe
from edgequake.train.data.training_data import TrainingData, find_training_data
from edgequake.train.examples.examples import NO_MARKS, Examples, join, recorded_examples, synthetic_examples
from edgequake.train.fitting import CHECKPOINT_FILE, HISTORY_FILE, Epoch, fit

VAL_STARTS = 5  # random starts of each validation record
N_CALIBRATION = 48  # sequences kept for the converter's calibration
IDENTITY_FILE = "identity.json"  # which recipe, fold and data a checkpoint belongs to
CHECKPOINT_FORMAT = 2  # raised when an earlier version's checkpoint can no longer be continued


@dataclass(frozen=True)
class TrainResult:
    """A finished training."""

    keras_file: Path
    parameters: int
    history: tuple[Epoch, ...]
    n_train_records: int
    n_val_records: int
    fold: str | None = None  # "K/N" of a cross-validation

    def table(self) -> str:
        """Return a line of text for the terminal."""
        last = self.history[-1]
        of_fold = f" of fold {self.fold}" if self.fold else ""
        return (
            f"{self.keras_file}: {self.parameters} parameters, {last.step} steps in {last.seconds:.0f} s, "
            f"loss {last.loss:.4f}, val loss {last.val_loss:.4f}{_start_error(last)} "
            f"({self.n_train_records} train and {self.n_val_records} val records{of_fold})"
        )


def train(
    recipe_name: str,
    data: Path,
    out: Path,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    fold: str | None = None,
) -> TrainResult:
    """Train a recipe on the training records of a folder and write the result to `out`.

    The loss on the validation records is reported and influences nothing. With a fold "K/N" the network learns from the
    other folds of train and val together (`edgequake.data.selection`), and the fold itself is the validation part. An
    interrupted training continues from its last checkpoint in `out` if recipe, fold and data are the same.

    Raises
    ------
    ConfigError
        An unusable recipe or fold, or `out` holds the checkpoint of another recipe, fold or data.
    DataError
        Records that cannot be read, an event group in both splits, fewer groups than folds, or too few labelled events
        for the recipe's classes.
    """
    recipe = load_recipe(recipe_name, overrides)
    return train_recipe(recipe, find_training_data(recipe, data, fold), out, progress, fold)


def train_recipe(
    recipe: Recipe,
    training_data: TrainingData,
    out: Path,
    progress: Progress = silent,
    fold: str | None = None,
    marks_ns: Mapping[Path, Sequence[int]] = NO_MARKS,
    new_share: float = 1.0,
    classes: ClassConfig | None = None,
) -> TrainResult:
    """Train a resolved recipe on records that have been found; otherwise as `train`.

    marks_ns : further times to begin recorded examples before, see `recorded_examples`.
    new_share : of the trained weights in the result, beside those of `fit.start_from`, see `networks.blend`.
    classes : how the model tells classes apart, where that is not to be learned from the records.
    """
    identity = {
        "format": CHECKPOINT_FORMAT,
        "recipe": asdict(recipe),
        "fold": fold,
        "data_sha256": training_data.sha256(),
    }
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, identity)
    if classes is None and recipe.classes:
        classes = learn_classes(recipe, training_data.train)
    examples = _examples(recipe, training_data, progress, marks_ns)
    n_val = VAL_STARTS * len(training_data.val)
    val = recorded_examples(recipe, training_data.val, n_val, 0, part_of(progress, 0, 1, "validation records"))
    network = networks.build(recipe.network, recipe.front_end.n_features, recipe.fit.seed)
    if recipe.fit.start_from is not None:
        networks.copy_weights(networks.saved_network(recipe.fit.start_from), network)
    progress(0.0, "training")

    def report(epoch: Epoch) -> None:
        done = max(epoch.step / recipe.fit.steps, epoch.seconds / recipe.fit.time_budget_s)
        losses = f"loss {epoch.loss:.4f}, val {epoch.val_loss:.4f}{_start_error(epoch)}"
        progress(min(1.0, done), f"step {epoch.step}/{recipe.fit.steps}, {losses}")

    history = fit(network, recipe, examples, val, out, report)
    if recipe.fit.start_from is not None and new_share < 1.0:
        networks.blend(Path(recipe.fit.start_from), network, new_share)
    keras_file = out / f"{recipe.name}.keras"
    n_train, n_val = len(training_data.train), len(training_data.val)
    result = TrainResult(keras_file, int(network.count_params()), tuple(history), n_train, n_val, fold)
    _write(result, network, recipe, identity, examples, classes)
    return result


def _examples(
    recipe: Recipe, training_data: TrainingData, progress: Progress, marks_ns: Mapping[Path, Sequence[int]]
) -> Examples:
    plan, seed = recipe.examples, recipe.fit.seed
    n_recorded = round(plan.n_examples * plan.real_share)
    report = part_of(progress, 0, 1, "injected examples")
    injected = synthetic_examples(recipe, training_data.banks(recipe), plan.n_examples - n_recorded, seed, report)
    report = part_of(progress, 0, 1, "recorded examples")
    return join([injected, recorded_examples(recipe, training_data.train, n_recorded, seed, report, marks_ns)])


def _write(
    result: TrainResult,
    network: keras.Model,
    recipe: Recipe,
    identity: Mapping[str, Any],
    examples: Examples,
    classes: ClassConfig | None,
) -> None:
    """Write the three files of a training, train.json last, and delete its checkpoint."""
    out, last = result.keras_file.parent, result.history[-1]
    _write_calibration(examples, out)
    temporary = out / f".{recipe.name}.part.keras"
    networks.without_loss(recipe.network, network).save(temporary, include_optimizer=False)
    temporary.replace(result.keras_file)
    training = {
        "recipe": recipe.name,
        "seed": recipe.fit.seed,
        "data_sha256": identity["data_sha256"],
        "fold": identity["fold"],
        "n_train_records": result.n_train_records,
        "n_val_records": result.n_val_records,
        "steps": last.step,
        "val_loss": round(last.val_loss, 5),
        "val_start_error_s": last.val_start_error_s,
        "versions": {"edgequake": __version__, "keras": keras.__version__, "python": platform.python_version()},
    }
    values = {
        "manifest": partial_manifest(recipe, training, classes),
        "recipe": identity["recipe"],
        "data_sha256": identity["data_sha256"],
        "fold": identity["fold"],
        "history": [asdict(epoch) for epoch in result.history],
    }
    write_bytes_atomically(out / "train.json", (json.dumps(values, indent=1) + "\n").encode())
    for name in (CHECKPOINT_FILE, HISTORY_FILE, IDENTITY_FILE):
        (out / name).unlink(missing_ok=True)


def partial_manifest(recipe: Recipe, training: dict[str, Any], classes: ClassConfig | None = None) -> dict[str, Any]:
    """Return the part of the manifest that the recipe determines; the converter adds the description of the graph."""
    network = recipe.network
    return {
        "name": recipe.name,
        "body": recipe.body,
        "sampling_rate_hz": recipe.sampling_rate_hz,
        "channels": list(recipe.channels),
        "front_end": asdict(recipe.front_end),
        "network": {
            "mode": network.mode,
            "rows_per_step": 2 if network.kind == "seed" else network.rows_per_output,
            "n_features": recipe.front_end.n_features,
            "outputs": list(network.outputs),
            "window_rows": network.window_rows,
            "window_hop_rows": network.window_hop_rows,
        },
        "trigger": asdict(recipe.trigger),
        "onset": asdict(recipe.onset) if recipe.onset else None,
        "classes": asdict(classes) if classes else None,
        "training": training,
    }


def _write_calibration(examples: Examples, out: Path) -> None:
    """Write some sequences of consecutive rows, injected and recorded, for the calibration of integer graphs."""
    index = np.linspace(0, len(examples.rows) - 1, min(N_CALIBRATION, len(examples.rows))).astype(int)
    n, n_blocks, per_block, n_features = examples.rows[index].shape
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rows=examples.rows[index].reshape(n, n_blocks * per_block, n_features))
    write_bytes_atomically(out / "calibration.npz", buffer.getvalue())


def _claim(out: Path, identity: Mapping[str, Any]) -> None:
    """Refuse a folder with the checkpoint of another training; set one of an earlier version aside."""
    path, text = out / IDENTITY_FILE, json.dumps(identity, sort_keys=True)
    if path.is_file() and path.read_text() != text:
        if json.loads(path.read_text()).get("format") == CHECKPOINT_FORMAT:
            raise ConfigError(
                f"{out} holds an unfinished training of another recipe, fold or data; choose another --out"
            )
        files = [out / name for name in (CHECKPOINT_FILE, HISTORY_FILE, IDENTITY_FILE)]
        moved = ", ".join(set_aside(file).name for file in files if file.is_file())
        logging.getLogger(__name__).warning(
            "%s holds an unfinished training of an earlier version; set aside as %s, the training starts over",
            out,
            moved,
        )
    write_bytes_atomically(path, text.encode())


def _start_error(epoch: Epoch) -> str:
    return "" if epoch.val_start_error_s is None else f", start error {epoch.val_start_error_s:.1f} s"
