"""Labelled records to pieces: miniSEED through obspy, the packet's CSV through the device's reader, manual picks."""

from __future__ import annotations

from typing import Any

import numpy as np
import obspy

from edgequake.dataset import Record
from edgequake.edge.errors import DataError
from edgequake.edge.packet import read_packet_csv
from edgequake.edge.piece import Piece, source_id_of
from edgequake.train.picked import picked_pieces


def record_pieces(record: Record) -> list[Piece]:
    """Read a record's listed channels as pieces in the order of their start times.

    Raises
    ------
    DataError
        The file cannot be read, or holds none of the listed channels.
    """
    if record.file.suffix == ".csv":
        return list(read_packet_csv(record.file))
    if record.file.suffix == ".npz":
        return picked_pieces(record)
    try:
        stream = obspy.read(str(record.file))
    except Exception as problem:  # obspy raises TypeError, ValueError and errors of its own for a bad file
        raise DataError(f"record {record.file} cannot be read as a seismogram: {problem}") from problem
    pieces = [_piece(trace, record.file.name) for trace in stream if trace.stats.channel in record.channels]
    if not pieces:
        found = ", ".join(sorted({trace.stats.channel for trace in stream})) or "nothing"
        raise DataError(f"record {record.file} holds {found}; expected channels {', '.join(record.channels)}")
    return sorted(pieces, key=lambda piece: (piece.start_ns, piece.source_id))


def _piece(trace: Any, file: str) -> Piece:
    stats = trace.stats
    source_id = source_id_of(stats.network, stats.station, stats.location, stats.channel)
    return Piece(source_id, int(stats.starttime.ns), float(stats.sampling_rate), np.asarray(trace.data), file)
