"""Earth records with manual picks in PhaseNet's layout (.npz), as labelled records beside those of the tables."""

from __future__ import annotations

from pathlib import Path

from edgequake.dataset import Arrival, Record
from edgequake.edge.errors import DataError
from edgequake.edge.piece import Piece, duration_ns, source_id_of
from edgequake.phasenet import PICK_PRECISION_S, SAMPLING_RATE_HZ, PhaseNetFile, phasenet_split, read_phasenet

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
    return [_record(path, read_phasenet(path)) for path in paths]


def picked_pieces(record: Record) -> list[Piece]:
    """Read the channels of such a record.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    read = read_phasenet(record.file)
    return [
        Piece(source_id_of(read.network, read.station, "", code), read.start_ns, SAMPLING_RATE_HZ, samples)
        for code, samples in zip(read.channels, read.samples, strict=True)
    ]


def _record(path: Path, read: PhaseNetFile) -> Record:
    p_ns = read.start_ns + duration_ns(read.p_sample, SAMPLING_RATE_HZ)
    return Record(
        file=path,
        body="earth",
        split=phasenet_split(path.name),
        group=path.stem,
        station_id=f"{read.network}_{read.station}",
        channels=read.channels,
        start_ns=read.start_ns,
        stop_ns=read.start_ns + duration_ns(read.samples.shape[1], SAMPLING_RATE_HZ),
        sampling_rate_hz=SAMPLING_RATE_HZ,
        arrivals=(Arrival(p_ns, PICK_PRECISION_S, True, path.stem, "earthquake P (manual pick)", path.stem),),
        note="",
    )
