"""Whether the texts in a figure overlap."""

from __future__ import annotations

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

Words = list[tuple[str, Bbox]]


def words(figure: Figure) -> Words:
    """Return every text that is drawn, with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    # Ticks beyond the axes' limits exist and are not drawn.
    return [
        (text, box) for text, box in boxes if box.x1 > 0 and box.x0 < figure.bbox.width and _drawn(figure, text, box)
    ]


def overlaps(drawn: Words) -> list[tuple[str, str]]:
    """Return the pairs of texts whose boxes overlap."""
    return [(a, b) for (a, one), (b, other) in combinations(drawn, 2) if _meet(one, other)]


def cut_off(figure: Figure, drawn: Words) -> list[str]:
    """Return the texts that extend beyond the picture by more than a pixel."""
    width, height = figure.bbox.width, figure.bbox.height
    return [text for text, box in drawn if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1]


def _meet(one: Bbox, other: Bbox) -> bool:
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width > 0.5 and height > 0.5


def _drawn(figure: Figure, text: str, box: Bbox) -> bool:
    for axes in figure.axes:
        for axis, low, high in ((axes.xaxis, *sorted(axes.get_xlim())), (axes.yaxis, *sorted(axes.get_ylim()))):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                for label in (tick.label1, tick.label2):
                    if label.get_text() == text and label.get_window_extent().bounds == box.bounds:
                        shown = axis.get_visible() and label.get_visible()
                        slack = 1e-9 * max(1.0, abs(low), abs(high))
                        return bool(shown and low - slack <= tick.get_loc() <= high + slack)
    return True
