"""The labelled records of a training, split into training and validation records, and their samples as traces.

No event group is in both splits. miniSEED is read with obspy, the CSV of the Space Apps packet by the device's reader.
Earth records with manual picks in PhaseNet's layout (.npz) become labelled records like those of the tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import obspy

from edgequake.data.dataset import load
from edgequake.data.phasenet import phasenet_record, phasenet_split, phasenet_traces, read_phasenet
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.source_ids import source_id_of
from edgequake.edge.formats.space_apps_csv import read_packet_csv
from edgequake.edge.formats.waveforms import Trace

PHASENET_FOLDER = Path("earth", "phasenet")  # below the data folder
HELD_OUT = 5  # in data without a val split every fifth event group is held out


def train_and_val(folder: Path, body: str) -> tuple[list[LabelledRecord], list[LabelledRecord]]:
    """Return the training and the validation records of a data folder.

    The splits are those of the tables. The NASA packet has none: every fifth event group, in the order of the names,
    is then held out for validation.

    Raises
    ------
    DataError
        No records of this body, no training records, too few groups to hold one out, or a group in both splits.
    """
    records = load(folder, body)
    train = [record for record in records if record.split == "train"]
    val = [record for record in records if record.split == "val"]
    if not train:
        raise DataError(f"{folder} holds no record of body '{body}' in split 'train'; expected some to learn from")
    if not val:
        return _hold_out(train, folder)
    shared = {record.group for record in train} & {record.group for record in val}
    if shared:
        raise DataError(f"event group '{min(shared)}' is in both train and val; give each group to one split")
    return train, val


def phasenet_records(data: Path, split: str) -> list[LabelledRecord]:
    """Return the PhaseNet records of a split; the manual P pick is the arrival.

    Raises
    ------
    DataError
        The data folder has none, or one of them cannot be read.
    """
    folder = data / PHASENET_FOLDER
    paths = [path for path in sorted(folder.glob("*.npz")) if phasenet_split(path.name) == split]
    if not paths:
        raise DataError(
            f"examples.picked_records needs PhaseNet's .npz files of split '{split}' in {folder}; "
            "add some, or set it to false"
        )
    return [phasenet_record(path, read_phasenet(path)) for path in paths]


def record_traces(record: LabelledRecord) -> list[Trace]:
    """Read the listed channels of a record as traces, sorted by start time.

    Raises
    ------
    DataError
        The file cannot be read, or holds none of the listed channels.
    """
    if record.file.suffix == ".csv":
        return list(read_packet_csv(record.file))
    if record.file.suffix == ".npz":
        return phasenet_traces(read_phasenet(record.file))
    try:
        stream = obspy.read(str(record.file))
    except Exception as problem:  # obspy raises TypeError, ValueError and errors of its own for a bad file
        raise DataError(f"record {record.file} cannot be read as a seismogram: {problem}") from problem
    traces = [_trace(read, record.file.name) for read in stream if read.stats.channel in record.channels]
    if not traces:
        found = ", ".join(sorted({read.stats.channel for read in stream})) or "nothing"
        raise DataError(f"record {record.file} holds {found}; expected channels {', '.join(record.channels)}")
    return sorted(traces, key=lambda trace: (trace.start_ns, trace.source_id))


def _hold_out(records: list[LabelledRecord], folder: Path) -> tuple[list[LabelledRecord], list[LabelledRecord]]:
    groups = sorted({record.group for record in records})
    if len(groups) < 2:
        raise DataError(f"{folder} has one event group and no val split; expected two groups or more, to hold one out")
    held_out = set(groups[::HELD_OUT])
    train = [record for record in records if record.group not in held_out]
    return train, [record for record in records if record.group in held_out]


def _trace(read: Any, file: str) -> Trace:
    stats = read.stats
    source_id = source_id_of(stats.network, stats.station, stats.location, stats.channel)
    return Trace(source_id, int(stats.starttime.ns), float(stats.sampling_rate), np.asarray(read.data), file)
