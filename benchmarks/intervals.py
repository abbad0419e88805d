"""Confidence intervals for small counts."""

from __future__ import annotations

import math
from statistics import NormalDist

from scipy.special import gammaincinv

CONFIDENCE = 0.90


def wilson(k: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion `k` of `n`; (0, 1) when there is nothing to count.

    `k` may be fractional: the sum of shares over event groups, or a mean over seeds.

    References
    ----------
    Wilson, E. B. (1927), doi:10.1080/01621459.1927.10502953: centre (p + z²/2n) / (1 + z²/n) and half-width
    z √(p(1 - p)/n + z²/4n²) / (1 + z²/n), with p = k/n and z the two-sided normal quantile.
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = k / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def poisson(count: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact central interval of a Poisson mean after `count` events were seen.

    `count` may be fractional (a mean over seeds): the gamma function fills in between the integers.

    References
    ----------
    Garwood, F. (1936), doi:10.1093/biomet/28.3-4.437: lower χ²(α/2; 2k)/2, upper χ²(1 - α/2; 2k + 2)/2, written here
    with the incomplete gamma function, as χ²(q; 2a)/2 = P⁻¹(a, q).
    """
    tail = (1 - confidence) / 2
    lower = float(gammaincinv(count, tail)) if count > 0 else 0.0
    return lower, float(gammaincinv(count + 1, 1 - tail))
