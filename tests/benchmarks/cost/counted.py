"""Numbers that count the operations on them, and the front end of a power model written with them, one value at a time.

An oracle for estimates of arithmetic: it shares no code with `edgequake`, and nothing in it is a formula for a count.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence


class Counted:
    """A real number; every addition, multiplication, division, comparison and absolute value is counted."""

    n_operations = 0

    def __init__(self, value: float) -> None:
        self.value = float(value)

    def _count(self, value: float) -> Counted:
        Counted.n_operations += 1
        return Counted(value)

    def __add__(self, other: Counted | float) -> Counted:
        return self._count(self.value + plain(other))

    def __sub__(self, other: Counted | float) -> Counted:
        return self._count(self.value - plain(other))

    def __mul__(self, other: Counted | float) -> Counted:
        return self._count(self.value * plain(other))

    def __truediv__(self, other: Counted | float) -> Counted:
        return self._count(self.value / plain(other))

    def __abs__(self) -> Counted:
        return self._count(abs(self.value))

    def __round__(self) -> Counted:
        return self._count(round(self.value))

    def __lt__(self, other: Counted | float) -> bool:
        return self._count(0.0) is not None and self.value < plain(other)

    def __gt__(self, other: Counted | float) -> bool:
        return self._count(0.0) is not None and self.value > plain(other)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, (Counted, float, int))
        return self._count(0.0) is not None and self.value == plain(other)

    __hash__ = None  # type: ignore[assignment]


def plain(number: Counted | float) -> float:
    """Return a number without its counter."""
    return number.value if isinstance(number, Counted) else number


def operations(work: Callable[[], object]) -> int:
    """Return how many operations on counted numbers some work takes."""
    before = Counted.n_operations
    work()
    return Counted.n_operations - before


def median_of_five(values: Sequence[Counted]) -> Counted:
    """Return the median by seven compare-and-swaps, each a minimum and a maximum."""
    p = list(values)
    for i, j in ((0, 1), (3, 4), (0, 3), (1, 4), (1, 2), (2, 3), (1, 2)):
        p[i], p[j] = min(p[i], p[j]), max(p[i], p[j])
    return p[2]


def despiked(five: Sequence[Counted], threshold: float) -> Counted:
    """Return the middle sample of five, or their median if it is a spike."""
    median = median_of_five(five)
    deviation = median_of_five([abs(sample - median) for sample in five])
    return median if abs(five[2] - median) > deviation * threshold else five[2]


def fft(values: Sequence[tuple[Counted, Counted]]) -> list[tuple[Counted, Counted]]:
    """Return the discrete Fourier transform of complex numbers (real, imaginary), radix 2."""
    n = len(values)
    if n == 1:
        return list(values)
    even, odd = fft(values[::2]), fft(values[1::2])
    out: list[tuple[Counted, Counted]] = [even[0]] * n
    for k in range(n // 2):
        real, imaginary = times(odd[k], cmath.exp(-2j * math.pi * k / n))
        out[k] = even[k][0] + real, even[k][1] + imaginary
        out[k + n // 2] = even[k][0] - real, even[k][1] - imaginary
    return out


def rfft(samples: Sequence[Counted]) -> list[tuple[Counted, Counted]]:
    """Return the first half of the spectrum of real samples, by a complex transform of half the length."""
    half = len(samples) // 2
    packed = fft(list(zip(samples[::2], samples[1::2], strict=True)))
    spectrum = []
    for k in range(half):
        (a, b), (c, d) = packed[k], packed[-k]
        even, odd = ((a + c) * 0.5, (b - d) * 0.5), ((b + d) * 0.5, (c - a) * 0.5)
        real, imaginary = times(odd, cmath.exp(-1j * math.pi * k / half))
        spectrum.append((even[0] + real, even[1] + imaginary))
    return spectrum


def times(number: tuple[Counted, Counted], factor: complex) -> tuple[Counted, Counted]:
    """Multiply a complex number by a constant."""
    real, imaginary = number
    return real * factor.real - imaginary * factor.imag, real * factor.imag + imaginary * factor.real


def log10(number: Counted) -> Counted:
    """Return the logarithm in single precision: the exponent, and a series of the mantissa in (m - 1) / (m + 1)."""
    mantissa, exponent = math.frexp(number.value)
    m = Counted(mantissa) * math.sqrt(2.0)
    t = (m - 1.0) / (m + 1.0)
    square = t * t
    series = Counted(1 / 13)
    for i in (11, 9, 7, 5, 3, 1):
        series = series * square + 1 / i
    return (series * t * 2.0 + (exponent - 0.5) * math.log(2.0)) / math.log(10.0)


def band_powers(window: Sequence[Counted], bands: Sequence[range]) -> list[Counted]:
    """Return the mean spectral power in bands of lines, in decades: line removed, tapered, transformed, squared."""
    n = len(window)
    ramp = [i - (n - 1) / 2 for i in range(n)]
    mean, slope = Counted(0.0), Counted(0.0)
    for sample, x in zip(window, ramp, strict=True):
        mean, slope = mean + sample, slope + sample * x
    mean, slope = mean / n, slope / sum(x * x for x in ramp)
    taper = [0.5 - 0.5 * math.cos(2 * math.pi * i / n) for i in range(n)]
    flat = [(s - mean - slope * x) * w for s, x, w in zip(window, ramp, taper, strict=True)]
    power = [(real * real + imaginary * imaginary) * 2.0 for real, imaginary in rfft(flat)]
    out = []
    for band in bands:
        total = Counted(0.0)
        for line in band:
            total = total + power[line]
        out.append(log10(total / len(band)))
    return out


def above_background(level: Counted, background: Counted, share_above: Counted) -> Counted:
    """Return a level's excess, clipped and rounded as a quantized feature; the background follows the level."""
    excess = level - background
    share_above + ((1.0 if excess > 0.0 else 0.0) - plain(share_above)) * 0.005
    background + (0.01 if share_above > 0.8 or share_above < 0.05 else 0.002)
    return round(min(max(excess, Counted(-1.0)), Counted(3.0)) * 64.0 + 0.5)
