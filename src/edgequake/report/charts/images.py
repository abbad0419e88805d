"""Figures as pictures embedded in a page: PNG for dense traces, SVG for charts.

The colours are those of Okabe and Ito, which people with any common form of colour blindness can distinguish; every
picture also distinguishes its parts by line style, marker or position.

References
----------
Okabe, M. and Ito, K. (2008), Color Universal Design, https://jfly.uni-koeln.de/color/.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Rgb = tuple[int, int, int]

BLACK, WHITE, GREY, GRID = "#000000", "#ffffff", "#5f6368", "#d9dce0"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

TRACE, KEPT, ONSET, ONSET_PROBABILITY, EVENT_PROBABILITY = "#2f3640", ORANGE, VERMILLION, VERMILLION, BLUE
KEPT_ALPHA = 0.32

PNG_DPI = 110
PICTURE_WIDTH_IN = 10.0
N_COLOURS = 160  # with a palette a picture of a spectrogram is a third as large, and looks the same
N_SHADES = 12  # from each background to each colour drawn on it


def png_uri(figure: Figure) -> str:
    """Return a figure as a `data:` address of a PNG with an adaptive palette."""
    picture = _drawn(figure)
    return _png_uri(picture.quantize(N_COLOURS))


def plain_png_uri(figure: Figure) -> str:
    """Return a figure of traces, shades and marks as a `data:` address of a PNG.

    Its palette holds those colours and the shades between them: an adaptive one would lose the colour of a few small
    marks, and without one the picture of a noisy day is several times as large.
    """
    from PIL import Image

    grounds = [_rgb(WHITE), _blend(_rgb(WHITE), _rgb(KEPT), KEPT_ALPHA)]
    drawn = [_rgb(colour) for colour in (TRACE, BLACK, ONSET)]
    shares = [i / (N_SHADES - 1) for i in range(N_SHADES)]
    shades = {_blend(ground, colour, share) for ground in grounds for colour in drawn for share in shares}
    shades |= {_blend(ground, _rgb(GRID), 1.0) for ground in grounds}  # its lighter shades would replace white
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for shade in sorted(shades) for part in shade])
    return _png_uri(_drawn(figure).quantize(palette=palette, dither=Image.Dither.NONE))


def _drawn(figure: Figure) -> Image:
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=PNG_DPI, facecolor=WHITE)
    return Image.open(drawn).convert("RGB")


def _png_uri(picture: Image) -> str:
    packed = io.BytesIO()
    picture.save(packed, format="png", optimize=True)
    return _uri("image/png", packed.getvalue())


def _rgb(colour: str) -> Rgb:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _blend(ground: Rgb, colour: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(ground, colour, strict=True))
    return red, green, blue


def svg_uri(figure: Figure) -> str:
    """Return a figure as a `data:` address of an SVG; letters are outlines, so that no font can be missing."""
    import matplotlib

    drawn = io.BytesIO()
    # A fixed salt and no date: the same figures give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "edgequake"}):
        figure.savefig(drawn, format="svg", facecolor=WHITE, metadata={"Date": None})
    return _uri("image/svg+xml", drawn.getvalue())


def pixels_of(uri: str) -> tuple[int, int]:
    """Return width and height of a picture of `png_uri`, which a page needs before it is shown."""
    head = base64.b64decode(uri.partition(",")[2][:44])  # a PNG's first chunk: signature, length, IHDR, width, height
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
