"""A live run that is killed while an event goes on: its onset is told once, its end too, whoever tells it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgequake.benchmarks.robustness.shake_signal import RATE_HZ, START_NS, shake_signal
from edgequake.edge.detection.detector import Detector
from edgequake.edge.formats.miniseed import records_of
from edgequake.edge.formats.waveforms import Trace, duration_ns
from edgequake.edge.results.catalog import read_catalog

from ...live_command import live_command

PACKET = 250
LIVE = ("--resume", "--spool-bytes", "0", "--checkpoint-every", "1e9")


def packets() -> list[list[Trace]]:
    """Return four minutes of a Shake with a quake, in steps of 2.5 s."""
    samples = shake_signal(np.random.default_rng(3), 240.0).samples
    return [
        [
            Trace(f"FDSN:AM_R0E05_00_E_H_{name}", START_NS + duration_ns(first, RATE_HZ), RATE_HZ, row)
            for name, row in zip("ZNE", samples[:, first : first + PACKET], strict=True)
        ]
        for first in range(0, samples.shape[1], PACKET)
    ]


def n_until_the_first_onset(parts: list[list[Trace]]) -> int:
    detector = Detector.load("earth")
    return next(i for i, traces in enumerate(parts) if detector.feed(*traces)) + 1


def records(parts: list[list[Trace]]) -> bytes:
    return b"".join(record for traces in parts for trace in traces for record in records_of(trace))


@pytest.mark.slow
def test_a_killed_run_tells_each_alarm_once(tmp_path: Path) -> None:
    """Its hook kills it at the onset; the next process goes on from the checkpoint of that instant."""
    parts, out, told = packets(), tmp_path / "out", tmp_path / "told"
    n_first = n_until_the_first_onset(parts) + 2  # records that are not full yet wait in the sender
    hook = f"sh -c 'cat >> {told}; test $EDGEQUAKE_PHASE = final || kill -KILL $PPID'"
    with subprocess.Popen(live_command(out, *LIVE, "--on-event", hook), stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(records(parts[:n_first]))
        process.stdin.flush()
        assert process.wait(120) == -9
    done = subprocess.run(
        live_command(out, *LIVE, "--on-event", hook), input=records(parts[n_first:]), capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    onset, final = (json.loads(line) for line in told.read_text().splitlines())
    assert (onset["phase"], final["phase"]) == ("onset", "final") and onset["alarm"] == final["alarm"]
    (row,) = read_catalog(out / "catalog.csv")
    assert final["evid"] == row.evid and abs(onset["onset_ns"] - row.onset_ns) < 10 * 10**9
