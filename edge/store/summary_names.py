"""The names of the summary channels."""

from __future__ import annotations

from functools import lru_cache

# First character of the location code: low, middle and high band of a channel whose own code is empty or begins with 0;
# of locations 10 to 19, 20 to 29 and so on the next three.
_BAND_LETTERS = ("LMH", "ABC", "DEF", "GIJ", "KNO", "PQR", "STU", "VWX", "YZ0", "123")
# Band codes of the FDSN's source identifiers, for as many samples a second and more.
_RATE_LETTERS = ((10.0, "B"), (1.0, "M"), (0.5, "L"), (0.1, "V"), (0.01, "U"), (0.001, "W"), (0.0001, "R"), (0.0, "P"))


@lru_cache(maxsize=1024)
def band_source_id(source_id: str, band: int, frame_s: int) -> str:
    """Return the identifier of a channel's summary in one band: ``FDSN:XA_S12_L0_W_H_Z`` of ``FDSN:XA_S12_00_M_H_Z``.

    The channel code keeps instrument and component, with the band code of its own rate; the location code names the
    band: L (low), M (middle) or H (high) instead of a leading 0. Locations that are not two digits get the letter
    behind: L of an empty one.
    """
    codes = (source_id.removeprefix("FDSN:") + "_____").split("_")[:6]
    location = codes[2]
    if location.isdigit() and len(location) == 2:
        codes[2] = _BAND_LETTERS[int(location[0])][band] + location[1]
    else:
        codes[2] = location + _BAND_LETTERS[0][band]
    codes[3] = next(letter for least_hz, letter in _RATE_LETTERS if 1.0 / frame_s >= least_hz)
    return "FDSN:" + "_".join(codes)
