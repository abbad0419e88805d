"""`edgequake train MODEL --reviewed REVIEWS`: a network fine-tuned on reviews, and by folds whether that helps.

The reviewed hours are shared out into folds. For each fold the network is fine-tuned on the other hours, converted, and
compared on the fold with the network as it was, by the runner's own detector: so that no hour judges what it has
taught. Then it is fine-tuned on all hours; that network is the result.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.replay import DecisionTracer, replay
from edgequake.benchmarks.scoring.bootstrap import bootstrap_interval
from edgequake.benchmarks.scoring.pooling import NS_PER_DAY, Counts, ratio
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.convert.converter import convert_model
from edgequake.data.selection import Fold, split_fold
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base import errors
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, DataError, EdgequakeError, ModelError
from edgequake.edge.base.layout import STATUS, SUMMARY
from edgequake.edge.manifest.manifest import shipped_models
from edgequake.results.progress import Progress, part_of, silent
from edgequake.serve.reviews.labelled_folder import ReviewedFolder, export_reviews, table_of_reviews
from edgequake.serve.reviews.review_log import REJECT
from edgequake.serve.reviews.review_store import ReviewStore
from edgequake.train.fine_tuning import STEPS, FineTuningJob, find_network, write_job

RESULT = "reviewed.json"
VARIANT = "int8"
MOST_RECALL_LOST = 0.02  # for fewer false alarms to count as a help
LEAST_REJECTED = 10  # quakes can be injected; the station's own noise is what only reviews can show
SAID = {
    "helped": "it helped",
    "did not help": "it did not help",
    "may cost quakes": "fewer false alarms, but it may cost quakes; lower thresholds with `edgequake tune --reviewed`",
    "cannot be told": "too few reviews to say whether it helped",
}
# What share of a fine-tuning each stage takes, as the worker calls it; the rest is the optimisation.
_STAGES = {"injected examples": (0.0, 0.15), "recorded examples": (0.15, 0.3), "validation records": (0.3, 0.35)}
_FITTING = (0.35, 1.0)
WORKER = (sys.executable, "-m", "edgequake.train.fine_tuning")


@dataclass(frozen=True)
class HeldOutFigures:
    """What a network finds in reviewed hours that it has not learned from, or that the first one has not."""

    n_arrivals: int  # accepted events
    n_recalled: int
    n_false: int  # rejected events that it still declares, and new ones
    quiet_days: float

    @classmethod
    def of(cls, counts: Sequence[Counts]) -> HeldOutFigures:
        """Return the figures of records."""
        total = Counts.total(counts) if counts else Counts()
        return cls(total.n_arrivals, total.n_recalled, total.n_false, total.quiet_ns / NS_PER_DAY)

    @property
    def recall(self) -> float | None:
        """Share of the accepted events that are found; None without any."""
        return ratio(self.n_recalled, self.n_arrivals)

    @property
    def false_per_day(self) -> float | None:
        """False alarms a day of quiet time."""
        return ratio(self.n_false, self.quiet_days)


@dataclass(frozen=True)
class Learned:
    """A fine-tuned network, and whether it helped; intervals are of 90 %, by the bootstrap over records."""

    keras_file: Path
    trained: str  # what the last fine-tuning says of itself
    folder: ReviewedFolder
    n_folds: int
    before: HeldOutFigures
    after: HeldOutFigures
    recall_change: tuple[float, float] | None
    false_ratio: tuple[float, float] | None  # false alarms after, over those before

    @property
    def verdict(self) -> str:
        """Whether it helped, one of the keys of `SAID`; blank where it was not compared."""
        if not self.n_folds:
            return ""
        lost = 0.0
        if self.before.recall is not None and self.after.recall is not None:
            lost = round(self.before.recall - self.after.recall, 6)
        surely_lost = self.recall_change is not None and self.recall_change[1] < -MOST_RECALL_LOST
        if self.after.n_false >= self.before.n_false or surely_lost:
            return "did not help"
        if self.before.recall is None or self.false_ratio is None or self.false_ratio[1] >= 1.0:
            return "cannot be told"
        return "may cost quakes" if lost > MOST_RECALL_LOST else "helped"

    def to_json(self) -> dict[str, Any]:
        """Return all figures."""
        return {
            "written": str(self.keras_file),
            "reviewed": {**asdict(self.folder), "folder": str(self.folder.folder)},
            "folds": self.n_folds,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "recall_change_interval": self.recall_change,
            "false_ratio_interval": self.false_ratio,
            "verdict": self.verdict,
        }

    def text(self) -> str:
        """Return the figures, and what to do next, for the terminal."""
        lines = [self.folder.text(), *(self._comparison() if self.n_folds else ()), self.trained]
        model = self.keras_file.parent / "model"
        lines.append(
            f"next: edgequake convert {self.keras_file} --out {model}, then edgequake-edge install {model}/"
            f"{self.keras_file.stem}.json RUN"
        )
        return "\n".join(lines)

    def _comparison(self) -> list[str]:
        lines = [f"on {self.n_folds} folds of hours that each network has not learned from:"]
        for name, figures in (("before", self.before), ("after", self.after)):
            lines.append(
                f"  {name:7s} {figures.n_recalled} of {figures.n_arrivals} accepted events found, "
                f"{figures.n_false} false alarm(s) in {figures.quiet_days:.2f} quiet days"
            )
        lines.append(
            f"  recall changes by {_interval(self.recall_change)}, false alarms to {_interval(self.false_ratio)} of "
            f"what they were (90 %): {SAID[self.verdict]}"
        )
        return lines


def _interval(interval: tuple[float, float] | None) -> str:
    return "an unknown part" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def learn(
    model: str,
    reviews: Path,
    out: Path,
    n_folds: int = 3,
    steps: int = STEPS,
    body: str | None = None,
    progress: Progress = silent,
) -> Learned:
    """Fine-tune a network on a folder of reviews, and write it to `out`.

    Parameters
    ----------
    model : as `edgequake.train.fine_tuning.find_network` takes it.
    reviews : folder of a `ReviewStore`.
    n_folds : of the comparison, 2 or more; 0: none is made.
    steps : of each fine-tuning.

    Raises
    ------
    ConfigError
        No such network, a single fold, or `out` holds something else.
    DataError
        Too few reviews, or records that cannot be read or written.
    ModelError
        A fine-tuning or a conversion failed.
    """
    if n_folds == 1 or n_folds < 0:
        raise ConfigError(f"--folds {n_folds}: expected 2 or more, or 0 to compare nothing")
    network, store = find_network(model), ReviewStore.of_folder(reviews)
    out.mkdir(parents=True, exist_ok=True)
    folder = export_reviews(store, out / "reviewed", body, progress=part_of(progress, 0, 0.05))
    if folder.n_rejected < LEAST_REJECTED:
        raise DataError(
            f"{reviews} has {folder.n_rejected} rejected events with samples; expected {LEAST_REJECTED} or more to "
            f"learn from: review more, or choose thresholds with `edgequake tune --reviewed`"
        )
    table = table_of_reviews(folder.folder)
    marks = {name: tuple(t for t, verdict in events if verdict == REJECT) for name, events in table.items()}
    manifest = shipped_models().get(model)
    job = FineTuningJob(
        str(network), str(folder.folder), "", marks, manifest=str(manifest) if manifest else "", steps=steps
    )
    before, after = _by_folds(job, model, out, folder, n_folds, threshold_of(store.run), progress)
    trained = _fine_tune(job, out, None, part_of(progress, 0.8, 1))
    keras_file = out / f"{_name_of(network)}.keras"

    def recall_change(index: Sequence[int]) -> float | None:
        old, new = (HeldOutFigures.of([counts[i] for i in index]).recall for counts in (before, after))
        return None if old is None or new is None else new - old

    def false_ratio(index: Sequence[int]) -> float | None:
        old, new = (sum(counts[i].n_false for i in index) for counts in (before, after))
        return ratio(new, old)

    n = len(before)
    result = Learned(
        keras_file, trained, folder, n_folds, HeldOutFigures.of(before), HeldOutFigures.of(after),
        bootstrap_interval(n, recall_change), bootstrap_interval(n, false_ratio),
    )  # fmt: skip
    write_bytes_atomically(out / RESULT, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    return result


def _by_folds(
    job: FineTuningJob,
    model: str,
    out: Path,
    folder: ReviewedFolder,
    n_folds: int,
    threshold: float | None,
    progress: Progress,
) -> tuple[list[Counts], list[Counts]]:
    """Return the counts of each held-out record, with the network as it was and with that of its fold."""
    network = Path(job.network)
    if not n_folds:
        return [], []
    manifest = shipped_models().get(model) or _convert(network, out / "before")
    before: list[Counts] = []
    after: list[Counts] = []
    for k in range(n_folds):
        report = part_of(progress, 0.05 + 0.75 * k / n_folds, 0.05 + 0.75 * (k + 1) / n_folds)
        fold = Fold(k, n_folds)
        records = split_fold(folder.folder, folder.body, fold)[1]
        place = out / "folds" / str(k)
        _fine_tune(job, place, f"{k}/{n_folds}", part_of(report, 0, 0.8))
        report(0.8, f"fold {k}/{n_folds}: converting")
        tuned = _convert(place / f"{_name_of(network)}.keras", place / "model")
        before += count_records(str(manifest), records, threshold)
        after += count_records(str(tuned), records, threshold)
        report(1.0, f"fold {k}/{n_folds}")
    return before, after


def threshold_of(run: Path) -> float | None:
    """Return the onset threshold that a run was made with; None where it says none, or several."""
    for name in (SUMMARY, STATUS):
        try:
            found = json.loads((run / name).read_text(encoding="utf-8"))["onset_threshold"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return float(found) if isinstance(found, float | int) else None
    return None


def count_records(model: str, records: Sequence[LabelledRecord], threshold: float | None = None) -> list[Counts]:
    """Return what the runner's detector finds in each record from its start.

    threshold : onset probability that declares an event; None: the model's normal one.
    """
    tracer = DecisionTracer(model, None)
    trigger = tracer.manifest.trigger
    counts = []
    for record in records:
        trace = tracer(record, record.start_ns)
        found = replay(trace, trigger, trigger.onset_thresholds["normal"] if threshold is None else threshold)
        counts.append(Counts.of([score_record(record, record.start_ns, found)]))
    return counts


def _name_of(network: Path) -> str:
    """Return the name of the recipe that a network was trained by: so are the files of a fine-tuning called."""
    return str(json.loads((network.parent / "train.json").read_text(encoding="utf-8"))["recipe"]["name"])


def _convert(network: Path, out: Path) -> Path:
    convert_model(network, out, VARIANT, verify=False)
    return out / f"{_name_of(network)}.json"


def _fine_tune(job: FineTuningJob, out: Path, fold: str | None, progress: Progress) -> str:
    """Fine-tune in a process of its own, which may load TensorFlow; return its line for the terminal.

    Raises
    ------
    EdgequakeError
        That of the process; a ModelError where it ended without one.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, log = out / "job.json", out / "stderr.txt"
    write_job(path, FineTuningJob(**{**vars(job), "out": str(out), "fold": fold}))
    what = "all reviews" if fold is None else f"fold {fold}"
    last: dict[str, Any] = {}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*WORKER, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                last = _fields(line) or last
                if "share" in last:
                    start, stop = _STAGES.get(last["doing"], _FITTING)
                    progress(start + (stop - start) * last["share"], f"{what}: {last['doing']}")
        finally:
            process.kill()  # no effect if it has ended; after Ctrl-C it must not go on
            process.wait()
    if "result" in last:
        for left in (path, log):
            left.unlink(missing_ok=True)
        return str(last["result"])
    if "error" in last:
        kind = getattr(errors, str(last["error"]), ModelError)
        raise kind(last["message"]) if issubclass(kind, EdgequakeError) else ModelError(last["message"])
    raise ModelError(f"the fine-tuning ended with exit code {process.returncode} without a result; see {log}")


def _fields(line: bytes) -> dict[str, Any]:
    """Return a line of JSON that the worker prints; empty for what anything else prints."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
