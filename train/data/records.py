"""Earth records with manual picks in PhaseNet's layout (.npz), as labelled records beside those of the tables.

Labelled records to traces: miniSEED through obspy, the packet's CSV through the device's reader, manual picks.

Which records to learn from and which to watch: always whole event groups.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import obspy

from edgequake.data.dataset import load
from edgequake.data.phasenet import phasenet_split, read_phasenet, record_of, traces_of
from edgequake.data.tables import LabelledRecord
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.space_apps_csv import read_packet_csv
from edgequake.edge.formats.waveforms import Trace, source_id_of

FOLDER = Path("earth", "phasenet")  # below the data folder


def picked_records(data: Path, split: str) -> list[LabelledRecord]:
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


def picked_traces(record: LabelledRecord) -> list[Trace]:
    """Read the channels of such a record.

    Raises
    ------
    DataError
        The file cannot be read.
    """
    return traces_of(read_phasenet(record.file))


def record_traces(record: LabelledRecord) -> list[Trace]:
    """Read a record's listed channels as traces in the order of their start times.

    Raises
    ------
    DataError
        The file cannot be read, or holds none of the listed channels.
    """
    if record.file.suffix == ".csv":
        return list(read_packet_csv(record.file))
    if record.file.suffix == ".npz":
        return picked_traces(record)
    try:
        stream = obspy.read(str(record.file))
    except Exception as problem:  # obspy raises TypeError, ValueError and errors of its own for a bad file
        raise DataError(f"record {record.file} cannot be read as a seismogram: {problem}") from problem
    traces = [
        _trace(obspy_trace, record.file.name) for obspy_trace in stream if obspy_trace.stats.channel in record.channels
    ]
    if not traces:
        found = ", ".join(sorted({obspy_trace.stats.channel for obspy_trace in stream})) or "nothing"
        raise DataError(f"record {record.file} holds {found}; expected channels {', '.join(record.channels)}")
    return sorted(traces, key=lambda trace: (trace.start_ns, trace.source_id))


def _trace(trace: Any, file: str) -> Trace:
    stats = trace.stats
    source_id = source_id_of(stats.network, stats.station, stats.location, stats.channel)
    return Trace(source_id, int(stats.starttime.ns), float(stats.sampling_rate), np.asarray(trace.data), file)


HELD_OUT = 5  # where the data names no val split, every fifth event group is held out


def train_and_val(folder: Path, body: str) -> tuple[list[LabelledRecord], list[LabelledRecord]]:
    """Return the records to train on and those to validate on; no event group is in both.

    The splits are the data's own. The NASA packet's layout has none: then every fifth event group, in the order of
    their names, is held out for validation.

    Raises
    ------
    DataError
        No records of this body, no train records, too few groups to hold one out, or a group in both splits.
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


def _hold_out(records: list[LabelledRecord], folder: Path) -> tuple[list[LabelledRecord], list[LabelledRecord]]:
    groups = sorted({record.group for record in records})
    if len(groups) < 2:
        raise DataError(f"{folder} has one event group and no val split; expected two groups or more, to hold one out")
    held = set(groups[::HELD_OUT])
    train = [record for record in records if record.group not in held]
    return train, [record for record in records if record.group in held]
