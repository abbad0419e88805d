"""Convert networks that people have published, and write docs/conversion-survey.md.

    EDGEQUAKE_LANDER_PYTHONS="tflite-runtime=PYTHON;ai-edge-litert=PYTHON" \\
        python studies/conversion/survey.py [NAME ...]

`make survey` sets the variable. Each network is built, trained for a few steps on rows with bursts in noise, and saved
as its authors' version of Keras saves it; the file is converted by the command, in a process of its own (forked from
one that has loaded TensorFlow), and the graphs run in both runtimes. A network that is refused is changed as the
refusal says and tried again. WORK keeps the trained networks and the results (`measured.jsonl`), so that an interrupted
run can be continued; with names, only these are converted again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from studies.conversion.conformance import ROOT, load
from studies.conversion.published import prepared, seismic, sensors, sound, survey_page
from studies.conversion.published.conversions import Converter
from studies.conversion.published.file_parts import file_parts
from studies.conversion.published.network import Network

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0", CUDA_VISIBLE_DEVICES="-1")
NETWORKS: dict[str, Network] = {**seismic.NETWORKS, **sound.NETWORKS, **sensors.NETWORKS}


def main() -> int:
    """Survey the networks that have not been, write the page, and return 1 where a figure misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks to convert again")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "survey", help="folder for networks and results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "conversion-survey.md", help="page to write")
    parser.add_argument("--prepare", action="store_true", help="only build, train and save the networks")
    parser.add_argument("--list", action="store_true", help="only print the networks and where they were published")
    parser.add_argument("--only-page", action="store_true", help="only write the page, from the stored results")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name} | {network.source} | {network.field}" for name, network in NETWORKS.items()))
        return 0
    stored = options.work / "measured.jsonl"
    stored.parent.mkdir(parents=True, exist_ok=True)
    rows = {row["name"]: row for row in map(json.loads, stored.read_text().splitlines() if stored.exists() else [])}
    if not options.only_page:
        measure(options, rows, stored)
    measured = [rows[name] for name in NETWORKS if name in rows]
    if measured:
        versions = [f"{package} {metadata.version(package)}" for package in ("tensorflow", "keras", "tf-keras")]
        remarks = {name: network.remark for name, network in NETWORKS.items()}
        parts = {
            row["name"]: file_parts(path, row["parameters"])
            for row in measured
            if row["converted"] and (path := options.work / row["name"] / "out" / "net.int8.tflite").is_file()
        }
        options.page.write_text(survey_page.page(measured, ", ".join(versions), remarks, parts), encoding="utf-8")
    for row in measured:
        if found := survey_page.faults(row):
            print(f"{row['name']}: {', '.join(found)}")
    return 1 if any(map(survey_page.faults, measured)) else 0


def measure(options: argparse.Namespace, rows: dict[str, dict[str, Any]], stored: Path) -> None:
    """Survey the networks of which there is no row, or those that are named; add the rows, and store them."""
    from edgequake.edge.detection.network import import_runtime

    converter = Converter()
    import_runtime()  # before TensorFlow
    landers = load("conformance_run").interpreters()
    if not landers:
        sys.exit("EDGEQUAKE_LANDER_PYTHONS names no interpreter with a runtime; use `make survey`")
    for name in options.names or NETWORKS:
        if name in rows and not options.names:
            continue
        if options.prepare:
            try:
                folders(name, options.work)
                print("prepared", name, flush=True)
            except Exception as problem:
                print("FAILED", name, repr(problem)[:300], flush=True)
            continue
        rows[name] = survey(name, options.work, landers, converter)
        print(survey_page.line(rows[name]), flush=True)
        with stored.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[name]) + "\n")
    converter.close()


def folders(name: str, work: Path) -> tuple[Path, Path | None]:
    """Prepare a network, and that which follows the advice of its refusal."""
    network = NETWORKS[name]
    folder = prepared.prepare(network, network.make, network.settings, work / name)
    if network.way is None:
        return folder, None
    settings = network.settings if network.way_settings is None else network.way_settings
    return folder, prepared.prepare(network, network.way, settings, work / f"{name}, way out")


def survey(name: str, work: Path, landers: dict[str, str], converter: Converter) -> dict[str, Any]:
    """Convert a network by the command, and run its graphs; where it is refused, follow the advice."""
    network = NETWORKS[name]
    folder, way = folders(name, work)
    row: dict[str, Any] = {"name": name, "field": network.field, "source": network.source, "saved": network.saved}
    row.update(converted(folder, landers, converter))
    if not row["converted"] and way is not None:
        row["way"] = converted(way, landers, converter)
    return row


def converted(folder: Path, landers: dict[str, str], converter: Converter) -> dict[str, Any]:
    """Convert a folder's network, and compare the graphs with what Keras computed when it was saved."""
    arguments = [prepared.file_in(folder), "--describe", folder / "net.toml", "--out", folder / "out", "--json"]
    started = time.monotonic()
    code, printed, complaint = converter.convert(list(map(str, arguments)), folder)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    row = {**facts, "converted": code == 0, "took_s": time.monotonic() - started}
    if code:
        return {**row, "refusal": complaint.strip().splitlines()[-1], "traceback": "Traceback" in complaint}
    report = json.loads(printed)
    manifest = json.loads((folder / "out" / "net.json").read_text(encoding="utf-8"))
    (folder / "out" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    np.save(folder / "out" / "rows.npy", np.load(folder / "rows.npy"))
    expected = np.load(folder / "expected.npy").astype(np.float64)
    made = {lander: load("conformance_run").run(python, lander, folder / "out") for lander, python in landers.items()}
    row.update(
        left_out=report.get("left_out", {}),
        bytes=manifest["variants"].get("int8", manifest["variants"]["float32"])["size_bytes"],
        default=manifest["default_variant"],
        mode=manifest["network"]["mode"],
        lag_rows=manifest["network"].get("lag_rows", 0),
        rows_per_step=manifest["network"]["rows_per_step"],
    )
    for lander, arrays in made.items():
        row[lander] = {name: errors(arrays[name], expected) for name in manifest["variants"]}
    return row


def errors(got: Any, expected: Any) -> dict[str, float]:
    """Return the errors of outputs of shape (n_sequences, n_steps, n_columns); the last steps may be missing."""
    wanted = expected[:, : got.shape[1]]
    error, size = got.astype(np.float64) - wanted, float(np.abs(wanted).max())
    rms = float(np.sqrt(np.mean(error**2)))
    return {
        "relative": float(np.abs(error).max()) / size,
        "rms": rms / max(1.0, size),  # of the largest output, where that is above 1
        "deviation": float(np.std(wanted)),
        "n_steps": int(got.shape[1]),
        "n_expected": int(expected.shape[1]),
    }


if __name__ == "__main__":
    sys.exit(main())
