"""`edgequake train`: records in, NAME.keras, train.json and calibration.npz out."""

from __future__ import annotations

import dataclasses
import io
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgequake import __version__
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest.event_config import ClassConfig
from edgequake.train import networks
from edgequake.train.classes.fit import classes_of
from edgequake.train.configuration.recipe import Recipe, load_recipe
from edgequake.train.data.training_data import TrainingData, find_materials
from edgequake.train.examples.examples import Examples, join, made_examples, real_examples
from edgequake.train.fitting import Epoch, fit

Progress = Callable[[str, float], None]  # what is being done, and how much of it, 0..1

VAL_STARTS = 5  # random starts of each validation record
N_CALIBRATION = 48  # sequences kept for the converter's calibration


@dataclass(frozen=True)
class TrainResult:
    """What a training left."""

    keras_file: Path
    parameters: int
    history: tuple[Epoch, ...]
    n_train_records: int
    n_val_records: int
    fold: str | None = None  # "K/N" of a cross-validation

    def table(self) -> str:
        """Return the result in words."""
        last = self.history[-1]
        return (
            f"{self.keras_file}: {self.parameters} parameters, {last.step} steps in {last.seconds:.0f} s, "
            f"loss {last.loss:.4f}, val loss {last.val_loss:.4f}{_start_error(last)} "
            f"({self.n_train_records} train and {self.n_val_records} val records{self._of_fold()})"
        )

    def _of_fold(self) -> str:
        return f" of fold {self.fold}" if self.fold else ""


def train(
    recipe_name: str,
    data: Path,
    out: Path,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    fold: str | None = None,
) -> TrainResult:
    """Train a recipe on a folder's train split, watch the val split, and write the result to `out`.

    Validation records are whole event groups (`train_and_val`). With a fold "K/N" the network learns from the other
    folds of train and val together (`edgequake.data.folds`), and the records held out are those watched: their loss is
    printed and decides nothing. A run stopped half-way goes on from its last checkpoint in `out` when the recipe, the
    fold and the data are the same.

    Raises
    ------
    ConfigError
        An unusable recipe or fold, or an `out` that holds a checkpoint of another recipe or other data.
    DataError
        Records that cannot be read, or an event group that is in both splits, or fewer groups than folds,
        or too few labelled events for the recipe's classes.
    """
    say = progress or (lambda what, share: None)
    recipe = load_recipe(recipe_name, overrides)
    materials = find_materials(recipe, data, fold)
    identity = {"recipe": dataclasses.asdict(recipe), "fold": fold, "data_sha256": materials.sha256()}
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, identity)
    classes = classes_of(recipe, materials.train)
    examples = _examples(recipe, materials, say)
    n_val = VAL_STARTS * len(materials.val)
    val = real_examples(recipe, materials.val, n_val, 0, lambda share: say("val records", share))
    network = networks.build(recipe.network, recipe.front_end.n_features, recipe.fit.seed)
    if recipe.fit.start_from is not None:
        networks.copy_weights(Path(recipe.fit.start_from), network)
    say("training", 0.0)

    def report(epoch: Epoch) -> None:
        say(_line(epoch, recipe), _share(epoch, recipe))

    history = fit(network, recipe, examples, val, out, report)
    network = networks.plain(recipe.network, recipe.front_end.n_features, network)
    return _write(network, recipe, identity, history, examples, out, len(materials.train), len(materials.val), classes)


def _examples(recipe: Recipe, materials: TrainingData, say: Progress) -> Examples:
    bank = materials.bank(recipe)
    n_real = round(recipe.examples.n_examples * recipe.examples.real_share)
    seed = recipe.fit.seed
    made = made_examples(
        recipe, bank, recipe.examples.n_examples - n_real, seed, lambda share: say("making examples", share)
    )
    real = real_examples(recipe, materials.train, n_real, seed, lambda share: say("cutting real examples", share))
    return join([made, real])


def _write(
    network: keras.Model,
    recipe: Recipe,
    identity: dict[str, Any],
    history: list[Epoch],
    examples: Examples,
    out: Path,
    n_train: int,
    n_val: int,
    classes: ClassConfig | None,
) -> TrainResult:
    _write_calibration(examples, out)
    path = out / f"{recipe.name}.keras"
    temporary = out / f".{recipe.name}.part.keras"
    network.save(temporary, include_optimizer=False)
    temporary.replace(path)
    training = {
        "recipe": recipe.name,
        "seed": recipe.fit.seed,
        "data_sha256": identity["data_sha256"],
        "fold": identity["fold"],
        "n_train_records": n_train,
        "n_val_records": n_val,
        "steps": history[-1].step,
        "val_loss": round(history[-1].val_loss, 5),
        "val_start_error_s": history[-1].val_start_error_s,
        "versions": {"edgequake": __version__, "keras": keras.__version__, "python": platform.python_version()},
    }
    text = json.dumps(
        {
            "manifest": partial_manifest(recipe, training, classes),
            "recipe": identity["recipe"],
            "data_sha256": identity["data_sha256"],
            "fold": identity["fold"],
            "history": [dataclasses.asdict(epoch) for epoch in history],
        },
        indent=1,
    )
    write_bytes_atomically(out / "train.json", (text + "\n").encode())
    for leftover in ("checkpoint.keras", "history.json", "identity.json"):
        (out / leftover).unlink(missing_ok=True)
    return TrainResult(path, int(network.count_params()), tuple(history), n_train, n_val, identity["fold"])


def partial_manifest(recipe: Recipe, training: dict[str, Any], classes: ClassConfig | None = None) -> dict[str, Any]:
    """Return what the recipe says of the manifest; the converter adds what only the graph knows."""
    config = recipe.network
    return {
        "name": recipe.name,
        "body": recipe.body,
        "sampling_rate_hz": recipe.sampling_rate_hz,
        "channels": list(recipe.channels),
        "front_end": dataclasses.asdict(recipe.front_end),
        "network": {
            "mode": config.mode,
            "rows_per_step": 2 if config.kind == "seed" else config.rows_per_output,
            "n_features": recipe.front_end.n_features,
            "outputs": list(config.outputs),
            "window_rows": config.window_rows,
            "window_hop_rows": config.window_hop_rows,
        },
        "trigger": dataclasses.asdict(recipe.trigger),
        "onset": dataclasses.asdict(recipe.onset) if recipe.onset else None,
        "classes": dataclasses.asdict(classes) if classes else None,
        "training": training,
    }


def _write_calibration(examples: Examples, out: Path) -> None:
    """Keep some sequences of consecutive rows, made and real ones alike, for calibrating the integer graphs."""
    index = np.linspace(0, len(examples.rows) - 1, min(N_CALIBRATION, len(examples.rows))).astype(int)
    n, n_blocks, per_block, n_features = examples.rows[index].shape
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rows=examples.rows[index].reshape(n, n_blocks * per_block, n_features))
    write_bytes_atomically(out / "calibration.npz", buffer.getvalue())


def _claim(out: Path, identity: dict[str, Any]) -> None:
    """Refuse a folder whose checkpoint belongs to another training."""
    path, text = out / "identity.json", json.dumps(identity, sort_keys=True)
    if path.is_file() and path.read_text() != text:
        raise ConfigError(f"{out} holds an unfinished training of another recipe, fold or data; choose another --out")
    write_bytes_atomically(path, text.encode())


def _share(epoch: Epoch, recipe: Recipe) -> float:
    return min(1.0, max(epoch.step / recipe.fit.steps, epoch.seconds / recipe.fit.time_budget_s))


def _line(epoch: Epoch, recipe: Recipe) -> str:
    return f"step {epoch.step}/{recipe.fit.steps}, loss {epoch.loss:.4f}, val {epoch.val_loss:.4f}{_start_error(epoch)}"


def _start_error(epoch: Epoch) -> str:
    return "" if epoch.val_start_error_s is None else f", start error {epoch.val_start_error_s:.1f} s"
