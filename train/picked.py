"""Earth records with manual picks in PhaseNet's layout (.npz), as labelled records beside those of the tables."""

from __future__ import annotations

from pathlib import Path

from edgequake.dataset import Record
from edgequake.edge.errors import DataError
from edgequake.edge.piece import Piece
from edgequake.phasenet import phasenet_split, pieces_of, read_phasenet, record_of

FOLDER = Path("earth", "phasenet")  # below the data folder


def picked_records(data: Path, split: str) -> list[Record]:
    """Return the records of a split; their P pick is the arrival.

    Raises
    ------
    DataError
        The data folder has none, or one of them cannot be read.
    """
    paths = [path for path in sorted((data / FOLDER).glob("*.npz")) if phasenet_split(path.name) == split]
    if not paths:
        raise DataError(
            f"examples.picked_records needs PhaseNet's .npz files of split '{split}' in {data / FOLDER}; "
            "add some, or set it to false"
        )
    return [record_of(path, read_phasenet(path)) for path in paths]


def picked_pieces(record: Record) -> list[Piece]:
    """Read the channels of such a record.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    return pieces_of(read_phasenet(record.file))
