"""Profiles of missions for `bench budget --mission`: every figure with its source, or marked as assumed or unknown.

No figure here is a guess at a mission's design: what no public source gives is `UNKNOWN`, which an option replaces, or
`ASSUMED`, a scenario that the report names as such.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from edgequake.edge.base.errors import ConfigError
from edgequake.results.missions import ASSUMED, DERIVED, OPTION, PUBLIC, UNKNOWN, MissionProfile, ProfileFigure

# Of the routine stream, as default daily budgets: scenarios, as are the budgets of `bench budget`.
ALERT_SHARES = (0.01, 0.1)

DAY_S = 86_400.0
SOL_S = 88_775.244  # Allison & McEwen 2000, doi:10.1016/S0032-0633(99)00092-6

_LEMS = "Marusiak, UCLA EPSS seminar, 2026-01-27, https://epss.ucla.edu/?p=14339"
_SEIS = "Lognonne et al. 2019, doi:10.1007/s11214-018-0574-6"
_SED = "https://www.insight.ethz.ch/en/mission/"
_JPL = "https://photojournal.jpl.nasa.gov/catalog/PIA26299"
_DAILY = ProfileFigure(DAY_S, ASSUMED, "one short contact a day; no public source says how often one is possible")

PROFILES = {
    "lems": MissionProfile(
        name="lems",
        title="LEMS-A3, Artemis III",
        body="moon",
        stored_sps=ProfileFigure(
            600.0, ASSUMED, f"100 samples/s of BB and SP ({_LEMS}), with three components each, which is assumed"
        ),
        routine_sps=ProfileFigure(90.0, ASSUMED, f"15 samples/s ({_LEMS}) of the same six channels"),
        sample_bits=ProfileFigure(24.0, ASSUMED, "not public; the routine stream is then 187 Mbit a day uncompressed"),
        look_every_s=ProfileFigure(30 * DAY_S, PUBLIC, f"'once a month' ({_LEMS}), taken as 30 days"),
        contact_every_s=_DAILY,
        facts=(
            f"Events are then backfilled at 100 samples/s, iteratively ({_LEMS}).",
            f"At least two years of operation ({_LEMS}).",
        ),
    ),
    "insight": MissionProfile(
        name="insight",
        title="InSight SEIS",
        body="mars",
        stored_sps=ProfileFigure(
            360.0, DERIVED, f"taken as VBB 3 x 20 and SP 3 x 100 samples/s: events are requested at 20 to 100 ({_SEIS})"
        ),
        routine_sps=ProfileFigure(17.0, PUBLIC, f"VBB 3 x 2, SP energy 1 and a composite at 10 samples/s ({_SEIS})"),
        sample_bits=ProfileFigure(24.0, ASSUMED, "uncompressed"),
        look_every_s=ProfileFigure(SOL_S / 2, PUBLIC, f"twice daily ({_SED}), taken as half a sol of 88 775.244 s"),
        contact_every_s=ProfileFigure(SOL_S / 2, DERIVED, "alerts go with the same transmissions"),
        facts=(f"SEIS keeps more than 50 h on board, within which an event must be requested ({_SED}).",),
    ),
    "farside": MissionProfile(
        name="farside",
        title="Farside Seismic Suite",
        body="moon",
        stored_sps=ProfileFigure(
            None,
            UNKNOWN,
            "a digitizer for DC to 100 Hz (abstract of 'Short Period Seismometer for the Lunar Farside Seismic Suite "
            "Mission'); no public rate of what is stored of VBB vertical and three-component SP",
        ),
        routine_sps=ProfileFigure(None, UNKNOWN, "no public rate, in samples or in Mbit a day"),
        sample_bits=ProfileFigure(None, UNKNOWN, "not public"),
        look_every_s=ProfileFigure(None, UNKNOWN, f"by two relay satellites ({_JPL}); how often is not public"),
        contact_every_s=_DAILY,
        facts=(
            f"At least 4.5 months of continuous operation, through lunar nights ({_JPL}).",
            "One vertical VBB and one three-component SP, on the lander's deck "
            "(https://www.ipgp.fr/en/research/research-projects/far-side-seismic-suite/).",
            "50 seismic events are expected in that time (https://cnes.fr/en/projects/fss).",
            "No trigger on board is described in a public source.",
        ),
    ),
}


def find_profile(
    name: str, look_every_s: float | None = None, contact_every_s: float | None = None, stored_sps: float | None = None
) -> MissionProfile:
    """Return a profile, with the figures that are given in place of its own.

    Raises
    ------
    ConfigError
        No such mission, no interval of the look, a figure that is not positive, or contacts that are rarer
        than the look or than the runner allows.
    """
    if name not in PROFILES:
        raise ConfigError(f"--mission {name}: expected one of {', '.join(PROFILES)}")
    given = {"look_every_s": look_every_s, "contact_every_s": contact_every_s, "stored_sps": stored_sps}
    for field, value in given.items():
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"{_OPTIONS[field]}: expected a positive number, got {value:g}")
    in_place: dict[str, Any] = {
        field: ProfileFigure(value, OPTION, _OPTIONS[field]) for field, value in given.items() if value is not None
    }
    profile = dataclasses.replace(PROFILES[name], **in_place)
    look_s, contact_s = profile.look_every_s.value, profile.contact_every_s.value
    if look_s is None:
        raise ConfigError(f"{profile.title}: no public source says how often its data come; give --look-every DAYS")
    assert contact_s is not None, "every profile has contacts, if only assumed ones"
    if not 1.0 <= contact_s <= DAY_S:
        raise ConfigError(f"--contact-every: the runner has a pass each 1 to 86400 s, got {contact_s:g} s")
    if contact_s > look_s:
        raise ConfigError(
            f"contacts each {contact_s:g} s are rarer than the routine look, each {look_s:g} s; "
            "give a smaller --contact-every or a larger --look-every"
        )
    return profile


def default_budgets(profile: MissionProfile) -> tuple[int, ...]:
    """Return `ALERT_SHARES` of the routine stream in bytes a day.

    Raises
    ------
    ConfigError
        The size of the routine stream is not public.
    """
    routine = profile.routine_bytes_a_day
    if routine is None:
        raise ConfigError(f"{profile.title}: no public source gives its data volume; give --budget BYTES a day")
    return tuple(round(share * routine) for share in ALERT_SHARES)


_OPTIONS = {
    "look_every_s": "--look-every",
    "contact_every_s": "--contact-every",
    "stored_sps": "--stored-sps",
}
