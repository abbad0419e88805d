"""A mission's report as tables: its profile, when events come home, and which come first."""

from __future__ import annotations

import dataclasses

from edgequake.results.missions import MissionCurve, MissionPoint, MissionReport, Quartiles, QueueDepth, figures
from edgequake.results.tables.accuracy_tables import spread_cell, starts
from edgequake.results.tables.table import Table
from edgequake.results.words import NONE, duration, percent, rate, size

_DAY_S = 86_400.0


def mission_tables(report: MissionReport) -> list[Table]:
    """Return the profile, and two tables for each detector; below the last, what the figures mean."""
    several = len(report.seeds) > 1
    tables = [_profile_table(report)]
    for curve in report.curves:
        tables += [_link_table(report, curve, several), _queue_table(report, curve)]
    notes = (_method(report), _bytes_note(report), _limits(report))
    return [*tables[:-1], dataclasses.replace(tables[-1], notes=notes)]


def _profile_table(report: MissionReport) -> Table:
    model, profile = report.model, report.mission
    title = (
        f"{profile.title}: {report.body.capitalize()} {report.split}, {report.n_records} records, {report.n_arrivals} "
        f"arrivals of {report.n_groups} events, {starts(report.seeds)}; data sha256 {report.data_sha256[:12]}; model "
        f"{model.title}, sha256 {model.sha256[:12]}"
    )
    rows = tuple(
        (name, NONE if figure.value is None else f"{figure.value:.9g}", figure.basis, figure.source)
        for name, figure in figures(profile)
    )
    return Table(title, ("figure", "value", "basis", "source"), rows, profile.facts)


def _link_table(report: MissionReport, curve: MissionCurve, several: bool) -> Table:
    columns = (
        "B/day (of routine)", "contact every", "reported", "delay", "days before the look", "mean, all arrivals",
        "whole onset", "delay (whole)", "days before the backfill", "mean, all", "sent", "of the routine",
    )  # fmt: skip
    title = f"{report.mission.title}, {curve.name}: recall {curve.recalled.mean:.2f}; {curve.settings}"
    rows = tuple(_link_row(report, point, several) for point in curve.points)
    return Table(title, columns, rows)


def _link_row(report: MissionReport, point: MissionPoint, several: bool) -> tuple[str, ...]:
    sent, stream, a_day = point.sent_bytes.mean, report.routine_bytes, report.mission.routine_bytes_a_day
    return (
        str(point.budget_bytes) if a_day is None else f"{point.budget_bytes} ({percent(point.budget_bytes / a_day)})",
        duration(point.contact_every_s),
        spread_cell(point.reported, several),
        _quartiles(point.report_delay_h, " h"),
        _quartiles(point.report_earlier_days),
        rate(point.report_earlier_mean_days),
        spread_cell(point.whole, several),
        _quartiles(point.whole_delay_h, " h"),
        _quartiles(point.whole_earlier_days),
        rate(point.whole_earlier_mean_days),
        size(round(sent)),
        NONE if not stream else percent(sent / stream),
    )


def _quartiles(values: Quartiles | None, unit: str = "") -> str:
    if values is None:
        return NONE
    return f"{values.median:.2f}{unit} ({values.lower:.2f} to {values.upper:.2f})"


def _queue_table(report: MissionReport, curve: MissionCurve) -> Table:
    columns = ("first events", "labelled quakes", "in their codas", "false", "share of the arrivals")
    title = (
        f"{report.mission.title}, {curve.name}: what is sent first if the events of all records wait for one contact"
    )
    return Table(title, columns, tuple(map(_queue_row, curve.queue)))


def _queue_row(depth: QueueDepth) -> tuple[str, ...]:
    name = f"all {depth.n:.4g}" if depth.n_asked is None else str(depth.n_asked)
    return (name, *(f"{n:.3g}" for n in (depth.n_quakes, depth.n_coda, depth.n_false)), rate(depth.arrivals))


def _method(report: MissionReport) -> str:
    look_days = (report.mission.look_every_s.value or 0.0) / _DAY_S
    return (
        "Delay: from the labelled onset to the contact that brings the event report, or the last of the samples around "
        f"the onset; median and quartiles over arrivals and starts. The routine look takes place every {look_days:.3g} "
        "days, at a contact, whose phase is even over the interval; it shows every event at once, and its samples at "
        f"the full rate come one interval ({look_days:.3g} days) later. Days before: how much earlier alerts are, 0 "
        "where the look is first; quartiles over the arrivals that came, and the mean over all arrivals, where one "
        "that did not counts as 0. If alerts can only go with the routine transmissions, reports are not earlier than "
        f"the look, and whole onsets come {look_days:.3g} days before the backfill as far as the transmission has "
        "room for them."
    )


def _bytes_note(report: MissionReport) -> str:
    stored, bits = report.mission.stored_sps.value, report.mission.sample_bits.value
    if stored is None or report.byte_ratios is None:
        return (
            "Bytes are those of the records at their own rate and in their own encoding: what the mission stores is "
            "not public (--stored-sps scales them)."
        )
    low, high = report.byte_ratios
    encoded = "in the encoding of the records" if bits is None else f"of {bits:g} bits, uncompressed"
    return (
        "The records are not at the mission's rate, and no sample at that rate exists here. The channels of a record "
        f"have {low:.2%} to {high:.2%} of the bytes of the {stored:g} samples a second stored, {encoded}: each record "
        "is sent under that share of the budget, at least 1024 bytes a day, and the bytes of its samples are divided "
        "by it. Event reports are not scaled."
    )


def _limits(report: MissionReport) -> str:
    return (
        "Each record is a mission of its own, in which an event competes with those of its record only; the second "
        f"table is for all records at once. They hold {report.scored_days:.3g} days, chosen for their events, and what "
        "was sent until the second look after each is compared with the routine stream of these days: in a mission, "
        "with its quiet days, the share is less. Light time and the time on the relay are left out."
    )
