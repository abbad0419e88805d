"""The report of `bench energy` as text: the label first and last, and every constant with its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from edgequake.benchmarks.cost.device_profiles import Constant, DeviceProfile
from edgequake.benchmarks.cost.energy import Consumer, EnergyReport
from edgequake.benchmarks.cost.measured import significant
from edgequake.benchmarks.text_tables import NONE, align


def energy_text(report: EnergyReport) -> str:
    """Return the report as text for people."""
    parts = [report.label, _work(report.consumers)]
    parts += [_device(report, profile.name) for profile in report.profiles]
    parts += ["Constants (read: seen in the source or a copy of it; recalled: from memory, or a guess)"]
    parts += ["\n".join(_constants(profile)) for profile in report.profiles]
    return "\n\n".join([*parts, report.label])


def _work(consumers: tuple[Consumer, ...]) -> str:
    rows = [["for a second of signal, three channels", "MACs", "elementwise", "front end operations", "bytes moved"]]
    for one in consumers:
        work = one.work
        rows.append(
            [f"{one.name}, {one.body}", f"{work.macs_per_s:.0f}", f"{work.elementwise_per_s:.0f}",
             f"{work.front_end_operations_per_s:.0f}", f"{work.bytes_per_s:.0f}"]
        )  # fmt: skip
    return align(rows)


def _device(report: EnergyReport, device: str) -> str:
    rows = [
        [f"estimate: {device}", "awake", "front end", "awake [J/day]", "memory [J/day]", "asleep [J/day]", "mean [mW]",
         "as Python [J/day]"]
    ]  # fmt: skip
    for consumer in report.consumers:
        (one,) = (estimate for estimate in consumer.estimates if estimate.device == device)
        joules = (one.awake_j_per_day, one.memory_j_per_day, one.asleep_j_per_day, one.mean_mw)
        rows.append(
            [f"{consumer.name}, {consumer.body}", f"{significant(100 * one.duty_cycle)} %",
             f"{100 * one.front_end_share:.0f} %", *map(significant, joules),
             NONE if one.python_j_per_day is None else significant(one.python_j_per_day)]
        )  # fmt: skip
    return align(rows)


def _constants(profile: DeviceProfile) -> Iterator[str]:
    yield profile.name
    for field in fields(profile):
        constant = getattr(profile, field.name)
        if isinstance(constant, Constant):
            how = "read" if constant.read else "recalled"
            yield f"  {field.name} = {constant.value:.4g} ({how}: {constant.source})"
