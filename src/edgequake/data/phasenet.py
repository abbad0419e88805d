"""Convert PhaseNet's records with manual picks (.npz) to miniSEED, which every other part of the project reads.

A file holds 90 s of up to three components at 100 Hz around one earthquake: `data` (n_samples, 3) with the columns
east, north, vertical, `itp` and `its` (samples of an analyst's P and S picks) and `channels` (codes joined by "_").
Where only the vertical was recorded, the other columns are zero. The conversion keeps every sample as it is.

References
----------
Zhu, W. & Beroza, G. C. (2019), PhaseNet: a deep-neural-network-based seismic arrival-time picking method, Geophys. J.
Int. 216, 261-273, doi:10.1093/gji/ggy423. The files are published with its code under the MIT licence.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.base.atomic_files import write_bytes_atomically
from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.source_ids import source_id_of
from edgequake.edge.formats.waveforms import NS_PER_S, Trace, duration_ns, parse_time

SAMPLING_RATE_HZ = 100.0
PICK_PRECISION_S = 0.1  # a residual below this counts as correct in the paper, section 5
# NET_STA_ and a time to a hundredth of a second; a further part distinguishes files of the same time.
_NAME = re.compile(
    r"([A-Z0-9]{1,2})_([A-Z0-9]{1,5})_(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:_[A-Z0-9]+)?", re.ASCII
)
_N_COMPONENTS = 3


@dataclass(frozen=True)
class PhaseNetFile:
    """The contents of one file.

    Attributes
    ----------
    start_ns : the time in the file's name, taken as that of the first sample; nothing depends on its accuracy.
    samples : float64, shape (n_channels, n_samples), the columns of the recorded channels.
    """

    network: str
    station: str
    start_ns: int
    channels: tuple[str, ...]
    samples: npt.NDArray[np.float64]
    p_sample: int
    s_sample: int


def phasenet_split(name: str) -> str:
    """Return the split of a file by the CRC-32 of its name: one fifth is "val", one fifth "test", the rest "train"."""
    return {0: "val", 1: "test"}.get(zlib.crc32(name.encode()) % 5, "train")


def convert_phasenet(folder: Path, out: Path, split: str | None = None) -> list[LabelledRecord]:
    """Write the .npz files of a folder as miniSEED into `out`; return them as labelled records in order of name.

    Raises
    ------
    DataError
        The folder holds no such file (of this split), a file has another layout, or `out` cannot be written.
    """
    paths = [path for path in sorted(folder.glob("*.npz")) if split in (None, phasenet_split(path.name))]
    if not paths:
        raise DataError(f"{folder} holds no .npz file of split '{split or 'any'}'; expected PhaseNet's waveform files")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"cannot use folder {out}: {problem.strerror or problem}; choose another") from problem
    records = []
    for path in paths:
        contents = read_phasenet(path)
        file = out / f"{path.stem}.mseed"
        write_bytes_atomically(file, encode(phasenet_traces(contents)))
        records.append(replace(phasenet_record(path, contents), file=file))
    return records


def read_phasenet(path: Path) -> PhaseNetFile:
    """Read one .npz file.

    Raises
    ------
    DataError
        The file cannot be read, lacks an array, or its arrays, picks, channels or name have another layout.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            data = np.asarray(arrays["data"], np.float64)
            p_sample, s_sample = int(arrays["itp"]), int(arrays["its"])
            channels = tuple(str(arrays["channels"]).split("_"))
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as problem:
        raise DataError(f"{path} cannot be read as a PhaseNet file: {problem}") from problem
    if data.ndim != 2 or data.shape[1] != _N_COMPONENTS or len(channels) not in (1, _N_COMPONENTS):
        raise DataError(
            f"{path}: expected data of shape (n_samples, 3) and 1 or 3 channels, "
            f"got {data.shape} and {', '.join(channels)}"
        )
    if not 0 <= p_sample < s_sample < len(data):
        raise DataError(f"{path}: expected picks with 0 <= itp < its < {len(data)}, got {p_sample} and {s_sample}")
    network, station, start_ns = _identity(path)
    columns = data[:, _N_COMPONENTS - len(channels) :]  # a single channel is the vertical, the last column
    return PhaseNetFile(network, station, start_ns, channels, columns.T.copy(), p_sample, s_sample)


def _identity(path: Path) -> tuple[str, str, int]:
    """Return the network, station and time in a file's name."""
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise DataError(f"{path}: expected a name such as BG_ACR_2012120413330715.npz (network, station, time)")
    network, station, year, month, day, hour, minute, second, hundredth = match.groups()
    return network, station, parse_time(f"{year}-{month}-{day}T{hour}:{minute}:{second}.{hundredth}")


def phasenet_record(path: Path, contents: PhaseNetFile) -> LabelledRecord:
    """Return a file as a labelled record; the P pick is its only arrival, and its note gives the S pick."""
    p_ns = contents.start_ns + duration_ns(contents.p_sample, SAMPLING_RATE_HZ)
    s_after_p_ns = duration_ns(contents.s_sample - contents.p_sample, SAMPLING_RATE_HZ)
    return LabelledRecord(
        file=path,
        body="earth",
        split=phasenet_split(path.name),
        group=path.stem,
        station_id=f"{contents.network}_{contents.station}",
        channels=contents.channels,
        start_ns=contents.start_ns,
        stop_ns=contents.start_ns + duration_ns(contents.samples.shape[1], SAMPLING_RATE_HZ),
        sampling_rate_hz=SAMPLING_RATE_HZ,
        arrivals=(Arrival(p_ns, PICK_PRECISION_S, True, path.stem, "earthquake P (manual pick)", path.stem),),
        note=f"S picked {s_after_p_ns / NS_PER_S:.2f} s after P",
    )


def phasenet_traces(contents: PhaseNetFile) -> list[Trace]:
    """Return a file's channels, one trace each."""
    return [
        Trace(source_id_of(contents.network, contents.station, "", code), contents.start_ns, SAMPLING_RATE_HZ, samples)
        for code, samples in zip(contents.channels, contents.samples, strict=True)
    ]
