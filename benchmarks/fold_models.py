"""Models of a cross-validation: which fold each belongs to, and which make a round together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.errors import ConfigError
from edgequake.edge.manifest import load_manifest
from edgequake.folds import Fold


@dataclass(frozen=True)
class FoldModel:
    """A model, and the fold whose held-out records it never learned from."""

    manifest: str
    fold: Fold

    @classmethod
    def parse(cls, text: str) -> FoldModel:
        """Read "MANIFEST:K/N".

        Raises
        ------
        ConfigError
            The text is no such pair.
        """
        manifest, colon, fold = text.rpartition(":")
        if not (manifest and colon):
            raise ConfigError(f"'{text}': expected MANIFEST:K/N, for example out/fold0/moon.json:0/3")
        return cls(manifest, Fold.parse(fold))


def group_rounds(models: Sequence[FoldModel]) -> list[list[FoldModel]]:
    """Deal models out into rounds, each with one model of every fold, in the order in which they came.

    Raises
    ------
    ConfigError
        Fewer than two folds, folds of different counts, or rounds that lack a fold.
    """
    by_fold: dict[int, list[FoldModel]] = {}
    for model in models:
        by_fold.setdefault(model.fold.index, []).append(model)
    counts = {model.fold.count for model in models}
    if len(counts) != 1 or len(by_fold) < 2:
        raise ConfigError(f"expected models of two or more folds of one N, got {_names(models)}")
    n_models = {len(found) for found in by_fold.values()}
    if len(n_models) != 1:
        raise ConfigError(f"every fold needs as many models as the others, one a round; got {_names(models)}")
    return [[by_fold[index][i] for index in sorted(by_fold)] for i in range(n_models.pop())]


def body_of(models: Sequence[FoldModel]) -> str:
    """Return the one body that the models are for.

    Raises
    ------
    ConfigError
        They are for several.
    """
    bodies = {load_manifest(model.manifest)[0].body for model in models}
    if len(bodies) != 1:
        raise ConfigError(f"expected models of one body, got {', '.join(sorted(bodies))}")
    return bodies.pop()


def _names(models: Sequence[FoldModel]) -> str:
    return ", ".join(f"{Path(m.manifest).name}:{m.fold.index}/{m.fold.count}" for m in models) or "none"
