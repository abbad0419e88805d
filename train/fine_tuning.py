"""Fine-tuning a trained network on the reviewed events of a station: NAME.keras and an exported folder of reviews in.

Half of the examples are the station's own records, most of them cut around reviewed events: accepted ones are events,
rejected ones are not, and what nobody has reviewed is not learned from. The other half are quakes, synthetic ones and
accepted ones, injected into the station's own noise, rejected events included: else the network would forget what the
few reviews do not show. For the same reason the weights are the mean of those before and after (`networks.blend`). What
is written is what `edgequake train` writes, and `edgequake convert` takes.

TensorFlow and TFLite's small runtime do not bear each other in one process, so whoever measures the result starts this
in a process of its own: `python -m edgequake.train.fine_tuning JOB.json`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgequake.data.dataset import load
from edgequake.data.selection import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError, EdgequakeError
from edgequake.edge.features.contrast import VERTICAL
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import load_manifest
from edgequake.edge.manifest.tables import ClassConfig
from edgequake.results.progress import Progress, silent
from edgequake.train.configuration.recipe import Recipe
from edgequake.train.data.training_data import TrainingData

SHIPPED = Path(__file__).parent / "models"  # the networks of the shipped models, in a wheel too
RECORDED_SHARE = 0.5
SYNTHETIC_QUAKES, SYNTHETIC_NOISE = 0.6, 0.1
LEARNING_RATE = 0.001  # a third of a training's: the network is to stay what it is where reviews say nothing
# Fields of older recipes that say how a network was trained, and nothing of what it is: `moon` has them.
RETIRED = {"network": ("rounded",), "examples": ("bandpower_share", "earth_quake_share", "earth_stretch")}
# Of the fine-tuned weights in the result, beside those before: on hours of CI.CCA that nobody had reviewed, 1 lost one
# of two quakes and 0.6 none, with 10 and 12 of 59 false alarms left; no other value was tried (docs/reviews.md).
NEW_SHARE = 0.6
STEPS, BATCH, EXAMPLES = 600, 32, 2500


@dataclass(frozen=True)
class FineTuningJob:
    """What to fine-tune, on what, and for how long.

    Attributes
    ----------
    network : NAME.keras, with the train.json of its training beside it.
    reviewed : folder that `edgequake.serve.reviews.labelled_folder` has written.
    out : folder for the result.
    marks_ns : by file under `reviewed`, the onsets of rejected events.
    fold : "K/N": learn from the other folds alone; None: from all records.
    manifest : whose trigger the result gets, which may have been tuned since; blank: that of the training.
    steps, batch, n_examples : of the optimisation.
    """

    network: str
    reviewed: str
    out: str
    marks_ns: dict[str, tuple[int, ...]]
    fold: str | None = None
    manifest: str = ""
    steps: int = STEPS
    batch: int = BATCH
    n_examples: int = EXAMPLES
    seed: int = 1


def find_network(model: str) -> Path:
    """Return the .keras file that a name, a folder of a training or a path means.

    Raises
    ------
    ConfigError
        There is none, or no train.json beside it.
    """
    path = SHIPPED / model if (SHIPPED / model).is_dir() and os.sep not in model else Path(model)
    if path.is_dir():
        found = sorted(path.glob("*.keras"))
        if len(found) != 1:
            raise ConfigError(f"{path} holds {len(found)} .keras files; name one")
        path = found[0]
    if path.suffix != ".keras" or not path.is_file():
        raise ConfigError(
            f"no network '{model}': expected NAME.keras of a training with its train.json, its folder, or the name of "
            f"a shipped model (moon, mars, earth)"
        )
    if not (path.parent / "train.json").is_file():
        raise ConfigError(f"{path} has no train.json beside it: expected the folder that `edgequake train` has written")
    return path


def fine_tuning_recipe(job: FineTuningJob, records: Sequence[LabelledRecord]) -> Recipe:
    """Return the recipe of the network's training, changed for a fine-tuning on records of reviewed events.

    Raises
    ------
    ConfigError
        The train.json beside the network cannot be used.
    """
    path, table = _table_of(job, "recipe")
    for part, retired in RETIRED.items():
        table[part] = {name: value for name, value in table.get(part, {}).items() if name not in retired}
    recipe = schema.build(Recipe, table, str(path), ConfigError)
    plan = recipe.examples
    examples = replace(
        plan,
        n_examples=job.n_examples,
        real_share=RECORDED_SHARE,
        synthetic_noise_share=SYNTHETIC_NOISE,
        synthetic_quake_share=SYNTHETIC_QUAKES,
        picked_records=False,
        rates_hz=_rates_of(recipe, records),
        components=_components_of(plan.components, records),
        thinned_share=0.0,
        emphasis={},
        incomplete=(),
    )
    fit = replace(
        recipe.fit,
        seed=job.seed,
        steps=job.steps,
        batch=job.batch,
        learning_rate=min(LEARNING_RATE, recipe.fit.learning_rate),
        start_from=str(Path(job.network).resolve()),
    )
    trigger = load_manifest(job.manifest)[0].trigger if job.manifest else recipe.trigger
    return replace(recipe, examples=examples, fit=fit, trigger=trigger)


def kept_classes(job: FineTuningJob) -> ClassConfig | None:
    """Return how the network's model tells classes apart, if it does: reviews are too few to learn that anew.

    Raises
    ------
    ConfigError
        The train.json beside the network cannot be used.
    """
    path, table = _table_of(job, "manifest")
    return schema.build(ClassConfig, table["classes"], str(path), ConfigError) if table.get("classes") else None


def _table_of(job: FineTuningJob, name: str) -> tuple[Path, dict[str, Any]]:
    """Return the path of the train.json beside the network, and a table of it."""
    path = Path(job.network).parent / "train.json"
    try:
        return path, dict(json.loads(path.read_text(encoding="utf-8"))[name])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ConfigError(f"{path} cannot be read as the file of a training: {problem}") from problem


def fine_tune(job: FineTuningJob, progress: Progress = silent) -> str:
    """Fine-tune, and return a line for the terminal.

    Raises
    ------
    ConfigError, DataError
        An unusable network or fold, or records that cannot be read.
    """
    from edgequake.train.trainer import train_recipe

    folder = Path(job.reviewed)
    found = load(folder)
    bodies = sorted({record.body for record in found})
    recipe = fine_tuning_recipe(job, found)
    if bodies != [recipe.body]:
        raise DataError(f"{folder} holds records of {', '.join(bodies)}, and the network is for {recipe.body}")
    train, val = (found, found[:1]) if job.fold is None else split_fold(folder, recipe.body, Fold.parse(job.fold))
    marks = {folder / name: times for name, times in job.marks_ns.items()}
    data, classes = TrainingData(train, val, None), kept_classes(job)
    result = train_recipe(recipe, data, Path(job.out), progress, job.fold, marks, NEW_SHARE, classes)
    return result.table()


def _rates_of(recipe: Recipe, records: Sequence[LabelledRecord]) -> tuple[float, ...]:
    """Return the rates of the recipe's injected examples that the records can serve; empty: the model's own."""
    slowest_hz = min(record.sampling_rate_hz for record in records)
    usable = {rate_hz for rate_hz in recipe.examples.rates_hz if rate_hz <= 1.02 * slowest_hz}
    return (max(usable),) if usable else ()


def _components_of(components: Sequence[str], records: Sequence[LabelledRecord]) -> tuple[str, ...]:
    """Return the layouts of the injected examples that the station's channels serve."""
    if not components:
        return ()
    codes = [[channel[-1:] for channel in record.channels] for record in records]
    has_three = all(len(of_record) >= 3 and VERTICAL in of_record for of_record in codes)
    return tuple(layout for layout in dict.fromkeys(components) if has_three or layout == "?") or ("?",)


def main(arguments: Sequence[str]) -> int:
    """Do a job in this process; print its progress, and at last its result or error, as lines of JSON."""

    def say(**fields: Any) -> None:
        print(json.dumps(fields), flush=True)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    table: Mapping[str, Any] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    job = FineTuningJob(**{**table, "marks_ns": {name: tuple(times) for name, times in table["marks_ns"].items()}})
    try:
        say(result=fine_tune(job, lambda share, doing: say(share=share, doing=doing)))
    except EdgequakeError as problem:
        say(error=type(problem).__name__, message=str(problem))
        return 1
    return 0


def write_job(path: Path, job: FineTuningJob) -> None:
    """Write a job for `main`."""
    write_bytes_atomically(path, json.dumps(asdict(job)).encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
