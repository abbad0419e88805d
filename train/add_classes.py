"""Add event classes to a converted model: python -m edgequake.train.add_classes MODEL --data DIR --out DIR.

MODEL is the name of a shipped model or a manifest. Classes are learned from the training records in `--data` by the
recipe of the model's name (or `--recipe`), through the model's own front end. `--out` receives the manifest, with its
table `classes`, and the graphs.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import EdgequakeError
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph
from edgequake.train.classes.fit import learn_classes
from edgequake.train.configuration.recipe import Recipe, load_recipe
from edgequake.train.data.records import train_and_val


def recipe_for(manifest: Manifest, recipe_name: str | None = None) -> Recipe:
    """Return a recipe, by default the one of the model's name, with the model's own front end and trigger.

    Raises
    ------
    ConfigError
        No such recipe, or one that does not fit the front end.
    """
    return dataclasses.replace(
        load_recipe(recipe_name or manifest.name),
        front_end=manifest.front_end,
        sampling_rate_hz=manifest.sampling_rate_hz,
        trigger=manifest.trigger,
    )


def add_classes(model: str, recipe_name: str | None, data: Path, out: Path) -> Path:
    """Write a model with classes to a folder, the manifest last, and return the path of the manifest.

    Raises
    ------
    EdgequakeError
        The model, the recipe or a record cannot be read, the recipe has no table `classes`, or a class has too few
        labelled events.
    """
    manifest, folder = load_manifest(model)
    records, _ = train_and_val(data, manifest.body)
    classes = learn_classes(recipe_for(manifest, recipe_name), records)
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() != folder.resolve():
        for variant in manifest.variants:
            described, graph = read_graph(manifest, folder, variant)
            write_bytes_atomically(out / described.file, graph)
    path = out / f"{manifest.name}.json"
    write_bytes_atomically(path, dataclasses.replace(manifest, classes=classes).to_json().encode())
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgequake.train.add_classes", description=__doc__)
    parser.add_argument("model", help="name of a shipped model, or a manifest")
    parser.add_argument("--data", type=Path, required=True, help="folder with records.csv and catalog.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for the manifest and its graphs")
    parser.add_argument("--recipe", help="by default the one of the model's name")
    options = parser.parse_args(arguments)
    try:
        print(f"classes added: {add_classes(options.model, options.recipe, options.data, options.out)}")
    except EdgequakeError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
