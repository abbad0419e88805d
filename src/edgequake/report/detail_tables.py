"""Onsets, windows, classes, stations and peers as tables; nothing for files of before these were measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgequake.report.details import Details, Part
from edgequake.report.results import Accuracy, Figures, Result
from edgequake.results.tables.table import Table
from edgequake.results.tables.words import percent, seconds, thousands

NONE = "–"
LAST = ("blank", "not found")  # what is told when no class is
NO_EVENT = "no event"  # the label of a false alarm
WINDOW_RATES = ("accuracy", "precision", "recall", "f1", "auc")

Detailed = Sequence[tuple[str, Figures, Details]]  # the detector's name in tables, its figures and details


def detail_tables(results: Sequence[Result]) -> list[Table]:
    """Return the tables of each result of `bench accuracy` that has details."""
    tables: list[Table] = []
    for result in results:
        if not isinstance(result, Accuracy):
            continue
        found = [
            (result.detector_title(figures.name), figures, figures.details)
            for figures in result.detectors
            if figures.details is not None
        ]
        if found:
            where = f"{result.body.capitalize()} {result.split}"
            tables += [_onsets(where, found), _windows(where, found), *_parts(where, found), *_confusions(where, found)]
    return tables


def peer_table(results: Sequence[Result]) -> Table | None:
    """Return what SeisBench's models cost, or None where none were measured; of a model measured twice, the last."""
    peers = {
        (peer.name, peer.weights): (peer, result)
        for result in results
        if isinstance(result, Accuracy)
        for peer in result.peers
    }
    if not peers:
        return None
    columns = ("model", "weights", "parameters", "environment", "us per second of signal", "note")
    rows = tuple(
        (
            peer.name, peer.weights or "untrained", thousands(peer.parameters),
            f"{result.provenance.computer}, {peer.n_threads} thread{'s'[: peer.n_threads > 1]}, "
            + ", ".join(f"{name} {version}" for name, version in peer.versions.items()),
            f"{peer.us_per_signal_s:.0f}", peer.note or NONE,
        )
        for peer, result in peers.values()
    )  # fmt: skip
    note = "Wall time of SeisBench's annotate over three components at the model's rate, reading not counted."
    return Table("What other pickers cost", columns, rows, (note,))


def _onsets(where: str, found: Detailed) -> Table:
    within = tuple(found[0][2].onset_within)
    columns = ("detector", "median error", "mean error", *(f"within {name} s" for name in within))
    rows = tuple(
        (
            title,
            seconds(figures.mean.get("onset_error_s")),
            seconds(figures.mean.get("mean_onset_error_s")),
            *(percent(details.onset_within[name]) for name in within),
        )
        for title, figures, details in found
    )
    note = (
        "Errors are absolute and of the recalled arrivals. Within: share of all arrivals with an onset of their own so "
        "near the label, whatever the tolerance of recall is."
    )
    return Table(f"{where}: how near the onsets are", columns, rows, (note,))


def _windows(where: str, found: Detailed) -> Table:
    first = found[0][2].windows
    columns = ("detector", "accuracy", "precision", "recall", "F1", "AUC")
    rows = tuple((title, *(_rate(details, name) for name in WINDOW_RATES)) for title, _, details in found)
    note = (
        f"{first.n_event:.3g} windows with an event and {first.n_quiet:.3g} quiet ones, means over the random starts; "
        f"{first.n_left_out:.3g} in codas and at the edges of events are left out. AUC: chance that a window with an "
        "event scores higher than a quiet one."
    )
    return Table(f"{where}: by windows of {first.window_s:g} s", columns, rows, (note,))


def _parts(where: str, found: Detailed) -> list[Table]:
    classes = _part_table(f"{where}: recall by class of the label", "class", found, lambda details: details.by_class)
    stations = _part_table(
        f"{where}: recall and false alarms per quiet day by station",
        "station",
        found,
        lambda details: details.by_station,
    )
    return [table for table in (classes, stations) if table.rows]


def _part_table(title: str, what: str, found: Detailed, parts_of: Callable[[Details], Mapping[str, Part]]) -> Table:
    rows = []
    for name, first in parts_of(found[0][2]).items():
        cells = (_part_cell(parts_of(details)[name]) for _, _, details in found)
        rows.append((name, str(first.n_arrivals), str(first.n_groups), *cells))
    return Table(title, (what, "arrivals", "events", *(title for title, _, _ in found)), tuple(rows))


def _part_cell(part: Part) -> str:
    recall, rate = part.mean.get("recall"), part.mean.get("false_per_quiet_day")
    found = NONE if recall is None else f"{recall:.2f}"
    return found if rate is None else f"{found}, {rate:.1f}"


def _confusions(where: str, found: Detailed) -> list[Table]:
    return [
        _confusion(f"{where}: classes told by {title}", details.confusion)
        for title, _, details in found
        if details.confusion
    ]


def _confusion(title: str, counts: Mapping[str, Mapping[str, float]]) -> Table:
    told = sorted({name for row in counts.values() for name in row} - set(LAST)) + list(LAST)
    labels = sorted(counts, key=lambda label: (label == NO_EVENT, label))
    rows = tuple((label, *(f"{counts[label].get(name, 0.0):.3g}" for name in told)) for label in labels)
    note = f"Arrivals, means over the random starts; '{NO_EVENT}' are false alarms. Blank: an event without a class."
    return Table(title, ("label", *told), rows, (note,))


def _rate(details: Details, name: str) -> str:
    mean = details.windows.mean.get(name)
    return NONE if mean is None else f"{mean:.2f} ± {details.windows.deviation[name]:.2f}"
