"""When events come home over a mission's link: delays computed by hand, and orders compared with the downlink's."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from edgequake.benchmarks.downlink.mission_delays import (
    QueuedEvent,
    look_waits_ns,
    mission_point,
    queue_depths,
    queued_events,
    sending_order,
)
from edgequake.benchmarks.downlink.mission_profiles import PROFILES, default_budgets, find_profile
from edgequake.benchmarks.downlink.missions import Link, bench_mission, send_over
from edgequake.benchmarks.downlink.simulation import SimulatedMission, deliver
from edgequake.benchmarks.scoring.scoring import score_record
from edgequake.cli import main
from edgequake.data.dataset import load
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import OUTBOX
from edgequake.edge.detection.trigger import Event
from edgequake.edge.formats.waveforms import NS_PER_S
from edgequake.edge.manifest.schema import build
from edgequake.edge.operation.run_models import LoadedModel
from edgequake.results.missions import UNKNOWN, MissionReport, ProfileFigure, figures
from edgequake.results.tables.report_text import report_text

from .drawn import HOUR_NS, ONSET_NS, drawn, drawn_mission

HOUR_S, DAY_S = 3600.0, 86_400.0
REPORT_BYTES = len("XX_LUN_19700102T070000.000,600,0.5000,,,0.3728,6656\n")


def test_delays_are_those_of_the_passes_and_the_look_comes_at_any_of_its_phases(mission: SimulatedMission) -> None:
    # Of 2000 bytes a day, 52 + 512 are there from hour 7 on, 52 + 1024 from 13 and 52 + 1536 from 20: the report goes
    # at 8, for the segment is over at 07:11, and the last of the three records around the onset at 20.
    link = Link(contact_every_s=HOUR_S, look_every_s=2 * DAY_S, stored_sps=None, sample_bits=None)
    missed_ns = ONSET_NS + 600 * NS_PER_S  # no detection is within 300 s of it
    sent = send_over(link, drawn(ONSET_NS, missed_ns, hours=12), mission, [2000])
    point = mission_point(2000, HOUR_S, 2 * DAY_S, [[sent.sent[2000]]])
    assert (point.reported.mean, point.whole.mean) == (0.5, 0.5)
    for delay, hours in ((point.report_delay_h, 1.0), (point.whole_delay_h, 13.0)):
        assert delay is not None
        assert (delay.n, delay.lower, delay.median, delay.upper) == (1, hours, hours, hours)
    # The onset is at a full hour and the look at one of 48 contacts, so that it is 0, 1 ... 47 h later.
    waits_h = range(48)
    report_h = sorted(max(0, wait - 1) for wait in waits_h)
    whole_h = sorted(wait + 48 - 13 for wait in waits_h)
    assert point.report_earlier_days is not None and point.whole_earlier_days is not None
    assert point.report_earlier_days.n == point.whole_earlier_days.n == 48
    assert point.report_earlier_days.median == pytest.approx((report_h[23] + report_h[24]) / 2 / 24)
    assert point.report_earlier_days.lower == pytest.approx((report_h[11] + 0.75 * (report_h[12] - report_h[11])) / 24)
    assert point.whole_earlier_days.median == pytest.approx(58.5 / 24)
    assert point.whole_earlier_days.upper == pytest.approx((whole_h[35] + 0.25 * (whole_h[36] - whole_h[35])) / 24)
    # The arrival that is not detected comes home with the look, no earlier.
    assert point.report_earlier_mean_days == pytest.approx(sum(report_h) / 48 / 24 / 2)
    assert point.whole_earlier_mean_days == pytest.approx(58.5 / 24 / 2)


def test_the_look_takes_place_at_contacts() -> None:
    onset_ns = 10 * HOUR_NS
    assert look_waits_ns(onset_ns, 12 * HOUR_S, 4 * HOUR_S) == [2 * HOUR_NS, 6 * HOUR_NS, 10 * HOUR_NS]
    assert look_waits_ns(onset_ns, 12 * HOUR_S, 12 * HOUR_S) == [2 * HOUR_NS]
    assert look_waits_ns(12 * HOUR_NS, 12 * HOUR_S, 12 * HOUR_S) == [0]


def test_where_alerts_go_with_the_routine_stream_only_samples_come_earlier(mission: SimulatedMission) -> None:
    link = Link(contact_every_s=DAY_S, look_every_s=DAY_S, stored_sps=None, sample_bits=None)
    sent = send_over(link, drawn(ONSET_NS), mission, [6708])
    point = mission_point(6708, DAY_S, DAY_S, [[sent.sent[6708]]])
    assert point.report_delay_h is not None and point.report_delay_h.median == 17.0  # until midnight
    assert point.report_earlier_mean_days == 0.0
    assert point.whole_earlier_mean_days == 1.0  # the backfill comes a day after the look


def test_a_budget_at_the_stored_rate_is_scaled_to_the_record_and_bytes_back(mission: SimulatedMission) -> None:
    record = drawn(ONSET_NS)
    by_samples = Link(HOUR_S, 2 * DAY_S, stored_sps=4.0, sample_bits=None)
    assert by_samples.byte_ratio(record, mission) == 0.25  # one sample a second
    by_bytes = Link(HOUR_S, 2 * DAY_S, stored_sps=4.0, sample_bits=24.0)
    assert by_bytes.byte_ratio(record, mission) == pytest.approx((6656 / 720) / (4 * 3))  # 13 records hold 720 samples
    own = send_over(Link(HOUR_S, 2 * DAY_S, None, None), record, mission, [2000]).sent[2000]
    scaled = send_over(by_samples, record, mission, [8000]).sent[8000]
    assert scaled.arrivals == own.arrivals
    assert own.sent_bytes == REPORT_BYTES + 13 * 512  # the rest goes on the following days
    assert scaled.sent_bytes == REPORT_BYTES + 13 * 512 * 4


@pytest.fixture
def three(model: LoadedModel, tmp_path: Path) -> SimulatedMission:
    """Return a mission of three events, of which the second is the best and the last the next."""
    starts_s, peaks = (600, 2400, 5400), (0.3, 0.9, 0.6)
    first_ns = ONSET_NS - HOUR_NS
    events = [
        Event(first_ns + start_s * NS_PER_S, first_ns + (start_s + 120) * NS_PER_S, peak)
        for start_s, peak in zip(starts_s, peaks, strict=True)
    ]
    return drawn_mission(tmp_path, model, events)


def test_events_that_wait_for_one_contact_are_ordered_as_the_downlink_sends_them(three: SimulatedMission) -> None:
    first, second, _ = (row.onset_ns for row in three.rows)
    record = drawn(first)
    deliver(three, 20_000, DAY_S)
    (file,) = sorted((three.folder / OUTBOX).glob("*.csv"))
    with file.open(newline="") as lines:
        sent = [cells[0] for cells in csv.reader(lines)]
    score = score_record(record, three.start_ns, deliver(three, 20_000, DAY_S).detections(three.rows))
    order = sending_order(queued_events(three, score))
    assert [event.evid for event in order] == sent
    assert [event.evid[-10:] for event in order] == ["064000.000", "073000.000", "061000.000"]
    # The second is half an hour after the quake, in its coda; the third 80 minutes, which is not.
    assert [event.kind for event in order] == ["coda", "false", "quake"]
    assert [event.primary for event in order] == [False, False, True]
    assert second - first == HOUR_NS // 2


def test_the_first_of_the_queue_are_counted_over_the_starts() -> None:
    def queue(kinds: str) -> list[QueuedEvent]:
        names = {"q": "quake", "c": "coda", "f": "false"}
        return [QueuedEvent(1.0, i, str(i), names[kind], kind == "q") for i, kind in enumerate(kinds)]

    five, every = queue_depths([queue("qqfqcqf"), queue("qqqq")], n_arrivals=8)
    assert (five.n_asked, five.n, five.n_quakes, five.n_coda, five.n_false) == (5, 4.5, 3.5, 0.5, 0.5)
    assert five.arrivals == 3.5 / 8
    assert (every.n_asked, every.n, every.n_quakes, every.n_coda, every.n_false) == (None, 5.5, 4.0, 0.5, 1.0)


def test_every_figure_of_a_profile_has_a_source_and_unknown_ones_no_value() -> None:
    for name, profile in PROFILES.items():
        assert profile.name == name
        for _, figure in figures(profile):
            assert figure.source
            assert (figure.value is None) == (figure.basis == UNKNOWN)


def test_streams_are_those_of_the_sources() -> None:
    lems, insight = PROFILES["lems"], PROFILES["insight"]
    assert lems.stored_sps.value is not None and insight.stored_sps.value is not None
    assert lems.stored_sps.value * 24 * DAY_S == pytest.approx(1.24e9, rel=0.005)  # bits a day
    assert lems.routine_bytes_a_day == pytest.approx(187e6 / 8, rel=0.005)
    assert (insight.routine_sps.value or 0) / insight.stored_sps.value == pytest.approx(0.047, abs=0.0005)
    assert default_budgets(lems) == (233_280, 2_332_800)


def test_what_is_not_public_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"no public source says how often its data come; give --look-every DAYS"):
        find_profile("farside")
    profile = find_profile("farside", look_every_s=7 * DAY_S)
    assert profile.look_every_s == ProfileFigure(7 * DAY_S, "option", "--look-every")
    with pytest.raises(ConfigError, match=r"no public source gives its data volume; give --budget BYTES a day"):
        default_budgets(profile)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "viking"}, "--mission viking: expected one of lems, insight, farside"),
        ({"name": "lems", "look_every_s": -1.0}, "--look-every: expected a positive number"),
        ({"name": "lems", "stored_sps": math.nan}, "--stored-sps: expected a positive number"),
        ({"name": "lems", "contact_every_s": math.inf}, "--contact-every: expected a positive number"),
        ({"name": "lems", "contact_every_s": 7 * DAY_S}, "--contact-every: the runner has a pass each 1 to 86400 s"),
        ({"name": "insight", "contact_every_s": DAY_S}, "contacts each 86400 s are rarer than the routine look"),
    ],
)
def test_unusable_figures_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_profile(**given)  # type: ignore[arg-type]


def test_models_and_budgets_that_cannot_be_run_are_refused_at_once(data: Path) -> None:
    with pytest.raises(ConfigError, match="InSight SEIS is on the body 'mars', the model moon for moon"):
        bench_mission("insight", data, model="moon")
    with pytest.raises(ConfigError, match="--budget 500: expected at least 1024 bytes a day"):
        bench_mission("lems", data, budgets=(500,))


def test_options_of_missions_without_a_mission_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "budget", "--data", str(data), "--look-every", "7"]) != 0
    assert "--look-every belongs to --mission" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_reports_a_mission(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lems.json"
    words = ["--mission", "lems", "--split", "val", "--seeds", "2", "--contact-every", "6", "--out", str(file)]
    assert main(["bench", "budget", "--data", str(data), *words]) == 0
    shown = capsys.readouterr().out
    assert "LEMS-A3, Artemis III: Moon val, 3 records" in shown
    assert "https://epss.ucla.edu/?p=14339" in shown
    values = json.loads(file.read_text())
    assert values.pop("benchmark") == "mission"
    report = build(MissionReport, values, "lems.json", DataError)
    assert report_text(report).strip() == shown.strip()
    assert report.n_arrivals == sum(arrival.primary for one in load(data, "moon", "val") for arrival in one.arrivals)
    (point, more), queue = report.curves[0].points, report.curves[0].queue
    assert (point.budget_bytes, more.budget_bytes, point.contact_every_s) == (233_280, 2_332_800, 6 * HOUR_S)
    assert 0.5 < point.reported.mean <= report.curves[0].recalled.mean
    assert point.whole.mean <= more.whole.mean <= more.reported.mean
    assert point.report_delay_h is not None and 0 < point.report_delay_h.upper <= 12
    # The look is half of 30 days away on the average.
    expected_days = report.curves[0].points[0].reported.mean * (15 - point.report_delay_h.median / 24)
    assert point.report_earlier_mean_days == pytest.approx(expected_days, abs=0.3)
    assert queue[-1].arrivals == pytest.approx(report.curves[0].recalled.mean)
