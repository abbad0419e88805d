"""Teach a converted model event classes: python -m edgequake.train.add_classes MODEL --data DIR --out DIR.

MODEL is a shipped model's name or a manifest; DIR holds labelled records, of which the train split is learned from. The
recipe of the model's name (or `--recipe`) says how. OUT gets the manifest with its table `classes`, and the graphs.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import ConfigError, EdgequakeError
from edgequake.edge.manifest.manifest import Manifest, load_manifest, read_graph
from edgequake.train.classes.fit import learn_classes
from edgequake.train.configuration.recipe import Recipe, load_recipe
from edgequake.train.data.records import train_and_val


def with_classes(manifest: Manifest, recipe: Recipe, data: Path) -> Manifest:
    """Return a manifest with classes learned from a folder's train split through the model's own front end.

    Raises
    ------
    ConfigError
        The recipe has no table `classes`.
    DataError
        Records that cannot be read, or too few labelled events of a class.
    """
    if recipe.classes is None:
        raise ConfigError(f"recipe '{recipe.name}' has no table [classes]; docs/event-classes.md shows one")
    records, _ = train_and_val(data, manifest.body)
    classes = learn_classes(
        recipe.classes,
        records,
        manifest.front_end,
        manifest.sampling_rate_hz,
        manifest.trigger.max_event_s,
        recipe.examples.scales,
    )
    return dataclasses.replace(manifest, classes=classes)


def add_classes(model: str, recipe_name: str | None, data: Path, out: Path) -> Path:
    """Write a model with classes to a folder, the manifest last, and return the manifest's path.

    Raises
    ------
    EdgequakeError
        A model or recipe that cannot be read, or what `with_classes` raises.
    """
    manifest, folder = load_manifest(model)
    taught = with_classes(manifest, load_recipe(recipe_name or manifest.name), data)
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() != folder.resolve():
        for variant in manifest.variants:
            described, graph = read_graph(manifest, folder, variant)
            write_bytes_atomically(out / described.file, graph)
    path = out / f"{manifest.name}.json"
    write_bytes_atomically(path, taught.to_json().encode())
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgequake.train.add_classes", description=__doc__)
    parser.add_argument("model", help="a shipped model's name or a manifest")
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
