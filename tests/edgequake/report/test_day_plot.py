"""The day plot: the positions of hours, shades and marks, and texts that do not overlap."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.report.charts import images
from edgequake.report.charts.day_plot import (
    NS_PER_DAY,
    NS_PER_HOUR,
    Mark,
    StationDay,
    day_figure,
    labelled,
    station_days,
)
from edgequake.report.charts.images import plain_png_uri

from .legibility import cut_off, overlaps, words

DAY_NS = 1276 * NS_PER_DAY  # 1973-06-30
RATE_HZ = 2.0


def at(hours: float) -> int:
    return DAY_NS + round(hours * NS_PER_HOUR)


def trace(start_h: float, length_h: float, channel: str = "H_Z", values: np.ndarray | None = None) -> Trace:
    n_samples = round(length_h * 3600 * RATE_HZ)
    samples = np.random.default_rng(1).normal(0, 10, n_samples).astype(np.int32) if values is None else values
    return Trace(f"FDSN:XX_LUN_00_M_{channel}", at(start_h), RATE_HZ, samples)


def day(*traces: Trace, kept: tuple[tuple[float, float], ...] = (), marks: tuple[float, ...] = ()) -> StationDay:
    return StationDay(
        "XX_LUN", DAY_NS, traces, tuple((at(a), at(b)) for a, b in kept),
        tuple(Mark(at(hours), i + 1) for i, hours in enumerate(marks)),
    )  # fmt: skip


def test_record_over_midnight_becomes_two_days() -> None:
    over = trace(22.0, 4.0)
    first, second = station_days("XX_LUN", [over], [(at(23.5), at(24.5))], [Mark(at(23.6), 1), Mark(at(25.0), 2)])
    assert (first.date, second.date) == ("1973-06-30", "1973-07-01")
    assert sum(len(part.samples) for part in first.traces) == 2 * 3600 * RATE_HZ
    assert second.traces[0].start_ns == at(24.0)
    assert (first.kept_ns, second.kept_ns) == (((at(23.5), at(24.0)),), ((at(24.0), at(24.5)),))
    assert ([mark.number for mark in first.marks], [mark.number for mark in second.marks]) == ([1], [2])


def test_days_without_data_are_left_out() -> None:
    dates = [found.date for found in station_days("XX_LUN", [trace(1, 1), trace(49, 1)], [], [])]
    assert dates == ["1973-06-30", "1973-07-02"]


def test_a_day_has_24_lines_and_a_short_record_only_its_own() -> None:
    assert day(trace(2, 12)).hours == range(24)
    assert day(trace(2.5, 2.0)).hours == range(2, 5)
    assert day(trace(2.0, 1.0)).hours == range(2, 3)  # half-open: nothing at 03:00


def test_marks_close_together_share_a_label() -> None:
    minutes = (10.0, 10.5, 11.0, 30.0, 59.9)
    marks = (*(3 + minute / 60 for minute in minutes), 4.0)
    placed = labelled(day(trace(2, 4), marks=marks))
    assert [hour for _, hour, _ in placed] == [3, 3, 3, 3, 3, 4]
    assert [label for _, _, label in placed] == ["1…3", "", "", "4", "5", "6"]
    assert [minute for minute, _, _ in placed] == pytest.approx([*minutes, 0.0], abs=1e-6)


@pytest.mark.parametrize(
    "drawn",
    [
        day(trace(0, 24), kept=((1.2, 2.1),), marks=tuple(np.linspace(0.01, 23.99, 60))),
        day(trace(0, 24), kept=((1.2, 2.1),), marks=(1.999, *np.linspace(5, 5.3, 40), *np.linspace(23.9, 23.999, 9))),
        day(trace(3, 0.2)),
        day(trace(3, 1.2), marks=(3.5,)),
    ],
    ids=["many", "crowded", "short", "two hours"],
)
def test_texts_do_not_overlap(drawn: StationDay) -> None:
    figure = day_figure(drawn)
    texts = words(figure)
    assert overlaps(texts) == [] and cut_off(figure, texts) == []
    said = " ".join(text for text, _ in texts)
    assert "minutes after the hour" in said and "UTC" in said and "counts" in said


def test_kept_time_is_shaded_and_nothing_else() -> None:
    """Pixels of the shade, counted, against the share of the drawn area that was kept."""
    figure = day_figure(day(trace(0, 24, values=np.zeros(172_800, np.int32)), kept=((6.0, 9.5), (23.75, 24.0))))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    box = axes.transData.transform([(0, 23.5), (60, -0.5)])
    pixels = np.asarray(canvas.buffer_rgba())[::-1][int(box[0, 1]) : int(box[1, 1]), int(box[0, 0]) : int(box[1, 0])]
    orange = np.array([int(images.KEPT[i : i + 2], 16) for i in (1, 3, 5)])
    shade = 255 + images.KEPT_ALPHA * (orange - 255)
    shaded = (np.abs(pixels[..., :3].astype(float) - shade) < 4).all(axis=-1)
    assert shaded.mean() == pytest.approx(3.75 / 24, rel=0.08)  # lines and grid take a little of it


def test_a_live_channel_is_drawn_where_the_vertical_one_is_dead() -> None:
    dead = trace(0, 24, values=np.full(172_800, 511, np.int32))
    title = " ".join(text for text, _ in words(day_figure(day(dead, trace(0, 24, "H_1")))))
    assert "XX LUN MH1" in title
    assert "XX LUN MHZ" in " ".join(text for text, _ in words(day_figure(day(dead))))


def test_motion_is_drawn_upwards_at_its_hour() -> None:
    values = np.zeros(172_800, np.int32)
    values[5 * 7200 : 6 * 7200 : 2] = 1
    values[5 * 7200 + 3600 : 5 * 7200 + 3700] = 40  # half past five
    figure = day_figure(day(trace(0, 24, values=values)))
    lines = [filled.get_paths()[0].get_extents() for filled in figure.axes[0].collections]
    assert len(lines) == 24
    assert lines[5].y0 == pytest.approx(5 - 0.95)  # the axis runs downwards: nearly up to the line of four o'clock
    assert lines[5].y1 == pytest.approx(5.5)  # a count below the median, where two counts are the space
    assert [(line.y0, line.y1) for i, line in enumerate(lines) if i != 5] == [(i, i) for i in range(24) if i != 5]


def test_a_day_with_gaps_alone_is_drawn_empty() -> None:
    figure = day_figure(day(trace(0, 24, values=np.full(172_800, -1, np.int32))))
    assert len(figure.axes[0].collections) == 0
    assert overlaps(words(figure)) == []


def test_picture_of_a_noisy_day_is_small() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 30, 24 * 3600 * 7).astype(np.int32)
    noisy = StationDay("XX_LUN", DAY_NS, (Trace("FDSN:XX_LUN_00_M_H_Z", DAY_NS, 7.0, values),), (), ())
    assert len(plain_png_uri(day_figure(noisy))) < 600_000
    assert NS_PER_DAY == 86_400 * NS_PER_S


def test_small_marks_keep_their_colours_in_the_palette() -> None:
    uri = plain_png_uri(day_figure(day(trace(0, 24), kept=((1.2, 2.1),), marks=(1.5,))))
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    counts = picture.getcolors(1 << 24) or []
    seen = {colour for _, colour in counts}
    assert max(counts)[1] == (255, 255, 255)
    assert tuple(int(images.ONSET[i : i + 2], 16) for i in (1, 3, 5)) in seen
