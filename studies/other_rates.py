"""Does the `earth` model find the same in records of 50 to 250 Hz as it does once these are slowed to usual rates?

    python studies/other_rates.py DATA

Runs `edgequake run` over every record of DATA/earth_other_rates as it was recorded, and over the same record resampled
by scipy to 100, 40 and 20 Hz, and compares the events. Prints the table of docs/earth-card.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rates_and_clocks import (  # type: ignore[import-not-found]  # beside this script
    CLEANED,
    Case,
    Found,
    Record,
    as_recorded,
    cleaned,
    compare,
    frame_s,
    resampled,
)

from edgequake.benchmarks.scoring.strata import label_snr
from edgequake.data.tables import Arrival, LabelledRecord
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.manifest import load_manifest

SLOWER_HZ = (100.0, 40.0, 20.0)
LABEL_S = 5.0  # beside a label's own precision, as in the scores of Earth
HEARD_SNR = 2.0


@dataclass
class AtRate:
    """The records of one rate: what is found as recorded, and how the slowed ones compare."""

    n_records: int = 0
    hours: float = 0.0
    heard: int = 0  # arrivals whose label states a signal-to-noise ratio of 2 or more, or that are primary
    found: dict[float, int] = field(default_factory=lambda: defaultdict(int))  # rate in Hz -> of these
    events: dict[float, int] = field(default_factory=lambda: defaultdict(int))
    matched: dict[float, int] = field(default_factory=lambda: defaultdict(int))
    moved: dict[float, int] = field(default_factory=lambda: defaultdict(int))
    late_s: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))

    def row(self, rate_hz: float) -> str:
        """Return a line of the table."""
        cells = [f"{rate_hz:g}", str(self.n_records), f"{self.hours:.1f}", str(self.events[rate_hz])]
        cells.append(f"{self.found[rate_hz]}/{self.heard}")
        for slower in SLOWER_HZ:
            if slower >= rate_hz:
                cells.append("")
                continue
            n, same, moved = self.events[slower], self.matched[slower], self.moved[slower]
            late = f", {np.median(self.late_s[slower]):+.2f} s" if self.late_s[slower] else ""
            cells.append(f"{n}: {same} same, {moved} moved{late}; P {self.found[slower]}/{self.heard}")
        return "| " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="earth")
    parser.add_argument("--verbose", action="store_true", help="name the events that differ")
    options = parser.parse_args(arguments)
    manifest, _ = load_manifest(options.model)
    threshold, same_s = manifest.trigger.onset_thresholds["normal"], 1.01 * frame_s(manifest)
    rates: dict[float, AtRate] = defaultdict(AtRate)
    with tempfile.TemporaryDirectory(prefix="edgequake-rates-") as folder:
        labelled = as_recorded(options.data, Path(folder) / "data")
        records = [cleaned(one, i, CLEANED["earth"]) for i, one in enumerate(labelled)]
        for rate_hz in (None, *SLOWER_HZ):
            chosen = [i for i, one in enumerate(records) if one.pieces and (rate_hz or 0.0) < one.rate_hz]
            case = Case([_at(records[i], rate_hz) for i in chosen], Path(folder) / f"{rate_hz}", "even")
            found = case.events(options.model, threshold)
            if rate_hz is None:
                native = found
            for i in chosen:
                _count(
                    rates[records[i].rate_hz], rate_hz, labelled[i], records[i], native, found, same_s, options.verbose
                )
    print("| Hz | records | hours | events | P heard | at 100 Hz | at 40 Hz | at 20 Hz |\n|" + 8 * "---|")
    for rate_hz in sorted(rates):
        print(rates[rate_hz].row(rate_hz))
    return 0


def _at(record: Record, rate_hz: float | None) -> Record:
    return record if rate_hz is None else resampled(record, rate_hz)


def _count(
    at: AtRate,
    rate_hz: float | None,
    labelled: LabelledRecord,
    record: Record,
    native: Sequence[Found],
    found: Sequence[Found],
    same_s: float,
    verbose: bool,
) -> None:
    own, other = ([one for one in events if one.station == record.station] for events in (native, found))
    arrivals = [arrival for arrival in labelled.arrivals if _is_heard(arrival)]
    key = record.rate_hz if rate_hz is None else rate_hz
    at.events[key] += len(other)
    at.found[key] += sum(_finds(other, arrival, record) for arrival in arrivals)
    if rate_hz is None:
        at.n_records += 1
        at.heard += len(arrivals)
        at.hours += max(piece.start_s + len(piece.samples) / record.rate_hz for piece in record.pieces) / 3600
        return
    compared = compare(own, other, same_s)
    at.matched[key] += len(compared.pairs)
    at.moved[key] += len(compared.moved)
    at.late_s[key] += [b.onset_s - a.onset_s for a, b in [*compared.pairs, *compared.moved]]
    if verbose:
        for kind, events in (("missed", compared.missed), ("extra", compared.extra)):
            for one in events:
                print(f"{kind} at {key:g} Hz: {record.name}, {one.onset_s:.1f} s, peak {one.peak:.2f}", flush=True)
        for a, b in compared.moved:
            print(
                f"moved at {key:g} Hz: {record.name}, {a.onset_s:.1f} s by {b.onset_s - a.onset_s:+.1f} s", flush=True
            )


def _is_heard(arrival: Arrival) -> bool:
    snr = label_snr(arrival)
    return arrival.primary if snr is None else snr >= HEARD_SNR


def _finds(events: Sequence[Found], arrival: Arrival, record: Record) -> bool:
    at_s = (arrival.time_ns - record.start_ns) / NS_PER_S
    return any(abs(one.onset_s - at_s) <= LABEL_S + arrival.precision_s for one in events)


if __name__ == "__main__":
    sys.exit(main())
