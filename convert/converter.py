"""`convert_model`: a .keras file and its train.json in, NAME.json and NAME.VARIANT.tflite out."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgequake.convert.calibration import CalibrationRows, InputLayout, from_file, from_records, synthetic
from edgequake.convert.foreign_model import read_description
from edgequake.convert.inspection.report import ConversionReport, report_of
from edgequake.convert.launcher import run_worker
from edgequake.convert.loading.keras_file import KerasFile, built_shape, read_keras_file
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.manifest import schema
from edgequake.edge.manifest.manifest import parse_manifest
from edgequake.edge.manifest.tables import FrontEndConfig

VARIANTS = ("float32", "dynamic", "int8", "int16x8")
QUANTIZE = {"all": VARIANTS, **{variant: (variant,) for variant in VARIANTS}}
CALIBRATED = {"int8", "int16x8"}
TRAINING_FIELDS = {"name", "body", "sampling_rate_hz", "channels", "front_end", "network", "trigger", "training"}
NETWORK_FIELDS = {"mode", "rows_per_step", "n_features", "outputs"}


def convert_model(
    keras_file: Path,
    out: Path,
    quantize: str = "all",
    calibration: Path | None = None,
    verify: bool = True,
    description: Path | None = None,
    changes: dict[str, Any] | None = None,
    keep_names: bool = False,
    memory_limit_bytes: int = 8 << 30,
    time_limit_s: float = 900.0,
    progress: Callable[[str], None] | None = None,
) -> ConversionReport:
    """Convert a trained network to one-step TFLite graphs and their manifest.

    Parameters
    ----------
    keras_file : the .keras or legacy .h5 file, with the train.json of the same training next to it.
    out : folder for NAME.json, NAME.VARIANT.tflite and NAME.VARIANT.golden.json, created if needed; it is written only
        once everything is done.
    quantize : "all", "float32", "dynamic", "int8" or "int16x8".
    calibration : folder of records to calibrate on, or a file of rows as `edgequake rows` writes it; by default the
        calibration.npz next to the .keras file.
    verify : compare every graph with Keras and refuse those that differ too much.
    description, changes : for a network that `edgequake train` did not make, in place of train.json: a TOML file, and
        values by dotted name that override it (`foreign_model.read_description`).
    keep_names : keep the names of the graphs' inner tensors, and the scales of biases, which no runtime needs.
    memory_limit_bytes, time_limit_s : limits of the converter process.
    progress : called with a few words when a stage begins.

    Raises
    ------
    ConfigError
        `quantize` is unknown, train.json is missing, a description is incomplete, or there are no rows on which to
        calibrate an integer graph.
    ModelError
        The file is not a Keras model, the network cannot be stepped, or the converter failed or crashed.
    GateError
        A quantized graph is too far from Keras.
    """
    started = time.monotonic()
    if quantize not in QUANTIZE:
        raise ConfigError(f"unknown quantization '{quantize}': expected one of {', '.join(QUANTIZE)}")
    keras_file = keras_file.resolve()
    file = read_keras_file(keras_file)  # refuses in a millisecond what TensorFlow would refuse only after its start
    partial, described_in = _partial(file, description, changes or {})
    variants = QUANTIZE[quantize]
    rows = _rows(keras_file, calibration, partial, variants)
    left_out = [] if rows.is_real or quantize != "all" else sorted(CALIBRATED)
    variants = tuple(variant for variant in variants if variant not in left_out)
    partial["training"] = {**partial["training"], "conversion": _provenance(keras_file, rows)}
    with tempfile.TemporaryDirectory(prefix="edgequake-convert-") as name:
        folder = Path(name)
        job = {"keras_file": str(keras_file), "partial": partial, "described_in": described_in, "variants": variants}
        (folder / "job.json").write_text(
            json.dumps(
                {
                    **job,
                    "verify": verify,
                    "may_leave_out": quantize == "all",
                    "keep_names": keep_names,
                    "memory_limit_bytes": memory_limit_bytes,
                }
            ),
            encoding="utf-8",
        )
        np.savez(folder / "rows.npz", calibration=rows.calibration, verification=rows.verification)
        manifest_name = run_worker(folder, time_limit_s, memory_limit_bytes, progress or (lambda stage: None))
        report = _publish(folder, manifest_name, out, started)
    if not left_out:
        return report
    reason = f"there is nothing to calibrate on, neither {keras_file.parent / 'calibration.npz'} nor --calibration DIR"
    return replace(report, left_out={**report.left_out, ", ".join(left_out): reason})


def _partial(file: KerasFile, description: Path | None, changes: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the manifest as far as it is known before the network is loaded, and the name of its source."""
    if description is None and not changes:
        return _read_partial(file.path.parent / "train.json"), "train.json"
    return read_description(
        description, changes, built_shape(file.config)
    ), description.name if description else "description"


def _read_partial(path: Path) -> dict[str, Any]:
    """Return the manifest as far as training knows it."""
    try:
        partial = json.loads(path.read_text(encoding="utf-8"))["manifest"]
        missing = (TRAINING_FIELDS - set(partial)) or (NETWORK_FIELDS - set(partial["network"]))
    except OSError as problem:
        raise ConfigError(
            f"{path} is missing: expected the train.json that train writes next to the .keras file, which describes "
            "the network's rows; copy it there, or describe a network from elsewhere with --describe FILE.toml"
        ) from problem
    except (ValueError, KeyError, TypeError) as problem:
        raise ConfigError(f"{path} contains no manifest ({problem!r}): train again with this release") from problem
    if missing:
        raise ConfigError(f"{path}: the manifest lacks {', '.join(sorted(missing))}; train again with this release")
    return dict(partial)


def _rows(keras_file: Path, folder: Path | None, partial: dict[str, Any], variants: tuple[str, ...]) -> CalibrationRows:
    """Return rows to calibrate on and to compare on."""
    network = partial["network"]
    front_end = schema.build(FrontEndConfig, partial["front_end"], "front_end", ConfigError)
    layout = InputLayout(
        network["mode"],
        network.get("n_features", front_end.n_features),
        network.get("window_rows"),
        network.get("rows_per_step", 1),
    )
    if folder is not None and folder.suffix == ".npz":
        return from_file(folder, layout)
    if folder is not None:
        return from_records(
            folder, partial["body"], tuple(partial["channels"]), front_end, partial["sampling_rate_hz"], layout
        )
    beside = keras_file.parent / "calibration.npz"
    if beside.is_file():
        return from_file(beside, layout)
    if set(variants) <= CALIBRATED:
        raise ConfigError(
            f"integer graphs are calibrated on real rows, but {beside} does not exist; give a folder of records with "
            "--calibration DIR, or convert with --quantize float32 or dynamic"
        )
    return synthetic(layout)


def _provenance(keras_file: Path, rows: CalibrationRows) -> dict[str, Any]:
    return {
        "keras_sha256": hashlib.sha256(keras_file.read_bytes()).hexdigest(),
        "calibration_source": rows.source,
        "calibration_rows": int(rows.calibration.shape[0] * rows.calibration.shape[1]),
        "calibration_parts": {"n_rows": rows.part_rows, "sequence_and_first_row": rows.parts},
    }


def _publish(folder: Path, manifest_name: str, out: Path, started: float) -> ConversionReport:
    """Check the manifest as the device will, then write the graphs and last the manifest to the output folder."""
    manifest = parse_manifest((folder / manifest_name).read_text(encoding="utf-8"), manifest_name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(
            f"output folder {out} cannot be created: {problem.strerror}; choose another --out"
        ) from problem
    for variant in manifest.variants.values():
        write_bytes_atomically(out / variant.file, (folder / variant.file).read_bytes())
        if variant.golden is not None:
            write_bytes_atomically(out / variant.golden.file, (folder / variant.golden.file).read_bytes())
    write_bytes_atomically(out / manifest_name, (folder / manifest_name).read_bytes())
    details = json.loads((folder / "details.json").read_text(encoding="utf-8"))
    return report_of(manifest, out, time.monotonic() - started, details)
