"""Judge a detector of quakes on continuous hours, quickly: python studies/continuous_hours.py MODEL DATA.

MODEL is a `.keras` file with its `train.json` beside it, a manifest (NAME.json) with its graph, or the name of a
shipped model. Prints recall or events a day of each group of records at eight onset thresholds. From a training:

    from continuous_hours import table_of_keras          # with studies/ on sys.path
    print(table_of_keras(model, partial, DATA))          # partial: train.json's field `manifest`

Rows of features are computed once for each record and front end, and kept in --cache.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgequake.benchmarks.detectors.cached_rows import CACHE_FOLDER, CachedTracer, KerasTracer, RowCache
from edgequake.benchmarks.detectors.replay import DecisionTrace, replay
from edgequake.benchmarks.scoring.continuous import HoursMeasured, MeasuredStratum, SweptDetector, measure, select
from edgequake.benchmarks.scoring.random_starts import random_start_ns
from edgequake.benchmarks.scoring.scoring import Detections
from edgequake.benchmarks.scoring.strata import HOURS, KEPT, NS_PER_HOUR
from edgequake.data.tables import LabelledRecord
from edgequake.edge.manifest.manifest import Manifest

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def table_of_keras(
    network: Any,
    partial: Mapping[str, Any],
    data: Path,
    split: str = "val",
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    seeds: Sequence[int] = (0,),
    cache: Path = CACHE_FOLDER,
    refined: bool = False,
) -> str:
    """Return the table of a Keras network that is still being trained.

    Parameters
    ----------
    network : a Keras model: rows, shape (n, n_rows, n_features), to probabilities, shape (n, n_steps, n_outputs).
    partial : the manifest that training begins: front end, network, trigger (`train.json`, field `manifest`).
    seeds : of random starts.
    refined : whether onsets are refined from the samples as in a run; it takes longer and hardly changes recall.
    """
    if not refined:
        partial = {**partial, "onset": None}
    tracer = KerasTracer(_compiled(network), partial, RowCache(cache))
    with tempfile.TemporaryDirectory(prefix="edgequake-hours-") as folder:
        strata = select(data, tracer.manifest.body, Path(folder), split)
        records = {record.file: record for one in strata for record in one.records}.values()
        tracer.prepare([(record, random_start_ns(record, seed)) for record in records for seed in seeds])
        measured = measure(_swept(tracer, tracer.manifest, thresholds), strata, seeds)
    return table(measured, strata, thresholds)


def table_of_manifest(
    model: str,
    data: Path,
    split: str = "val",
    *,
    variant: str | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    seeds: Sequence[int] = (0,),
    cache: Path = CACHE_FOLDER,
) -> str:
    """Return the table of a converted model, with the onsets of a run."""
    tracer = CachedTracer(model, variant, RowCache(cache))
    with tempfile.TemporaryDirectory(prefix="edgequake-hours-") as folder:
        strata = select(data, tracer.manifest.body, Path(folder), split)
        detector = _swept(tracer, tracer.manifest, thresholds)
        measured = measure(detector, strata, seeds)
    return table(measured, strata, thresholds)


def table(measured: HoursMeasured, strata: Sequence[MeasuredStratum], thresholds: Sequence[float]) -> str:
    """Return one line for each stratum: recall, or events a day for hours, at each threshold."""
    head = f"{'records':30} {'part':8} {'files':>5} {'hours':>6} {'P':>4}  " + "".join(f"{t:>7g}" for t in thresholds)
    lines = [head]
    for one in strata:
        outcomes = [measured.outcomes[t].get(one.stratum.name) for t in thresholds] if measured.outcomes else [None]
        name = one.stratum.name + {HOURS: ", events/day", KEPT: ", kept"}.get(one.stratum.kind, "")
        first = outcomes[0]
        n_unread = len(measured.unread.get(one.stratum.name, ()))
        unread = f"  ({n_unread} of {len(one.records)} files not read)" if n_unread else ""
        if first is None:
            lines.append(f"{name:30} {one.part:8}{unread}")
            continue
        counts = [outcome.total for outcome in outcomes if outcome]
        n = len(first.passes)
        values = [c.events_per_day if one.stratum.kind == HOURS else c.share_found for c in counts]
        cells = "".join(
            "      -" if v is None else f"{v:7.1f}" if one.stratum.kind == HOURS else f"{v:7.2f}" for v in values
        )
        hours = first.total.scored_ns / n / NS_PER_HOUR
        about = f"{first.total.n_records // n:5d} {hours:6.1f} {first.total.n_arrivals // n:4d}"
        lines.append(f"{name:30} {one.part + ('' if one.asked else '*'):8} {about}  {cells}{unread}")
        if one.stratum.kind == HOURS:
            kept = "".join(f"{100 * (c.share_kept or 0.0):6.2f}%" for c in counts)
            lines.append(f"{'   kept':30} {'':8} {'':5} {'':6} {'':4}  {kept}")
    if not all(one.asked for one in strata):
        lines.append("* no record of the split: measured on train, so not held out from a model trained on it")
    return "\n".join(lines)


def _compiled(network: Any) -> Callable[[Any], Any]:
    """Return the network as one TensorFlow graph for all shapes: called eagerly, an LSTM takes a millisecond a row."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, network.input_shape[-1]), tf.float32)]
    return tf.function(lambda rows: network(rows, training=False), input_signature=signature)


def _swept(
    trace: Callable[[LabelledRecord, int], DecisionTrace], manifest: Manifest, thresholds: Sequence[float]
) -> SweptDetector:
    def detector(record: LabelledRecord, start_ns: int) -> dict[float, Detections]:
        found = trace(record, start_ns)
        return {threshold: replay(found, manifest.trigger, threshold) for threshold in thresholds}

    return detector


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=("train", "val", "test"), default="val")
    parser.add_argument("--variant", default=None, help="of a converted model; by default the manifest's")
    parser.add_argument("--seeds", type=int, default=1, help="random starts of each record")
    parser.add_argument("--thresholds", type=float, nargs="+", default=THRESHOLDS)
    parser.add_argument("--cache", type=Path, default=CACHE_FOLDER)
    parser.add_argument("--refined", action="store_true", help="refine the onsets of a .keras file's events too")
    options = parser.parse_args(arguments)
    common: dict[str, Any] = {
        "thresholds": sorted(options.thresholds), "seeds": range(options.seeds), "cache": options.cache
    }  # fmt: skip
    if not options.model.endswith(".keras"):
        print(table_of_manifest(options.model, options.data, options.split, variant=options.variant, **common))
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    partial = json.loads((Path(options.model).parent / "train.json").read_text(encoding="utf-8"))["manifest"]
    network = keras.saving.load_model(options.model, compile=False)
    print(table_of_keras(network, partial, options.data, options.split, refined=options.refined, **common))
    return 0


if __name__ == "__main__":
    sys.exit(main())
