"""Which samples of a file have been read, in little memory and however the file packs them into records.

A program that writes a file again often packs the same samples into other records: a last record that was short is
filled up, channels move, records become longer. Samples are compared, therefore, and not bytes.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edgequake.edge.formats.waveforms import NS_PER_S, Trace

_MOST_SPANS = 64  # of a channel while its file is being written
_HEAD_SAMPLES = 16
_MODULUS = 1 << 64
# Odd multipliers mix all bits modulo 2**64: the golden ratio's fraction, as in Knuth's multiplicative hashing (The Art
# of Computer Programming 3, 6.4), and the 64-bit multiplier of L'Ecuyer's table of congruential generators (1999).
_MIX = 0x9E3779B97F4A7C15
_BASE = 2862933555777941757


@dataclass(order=True)
class _Span:
    """Samples that have been read; `digest` is the sum of each sample's hash times _BASE ** (its position)."""

    start_ns: int
    stop_ns: int
    n_samples: int
    digest: int
    n_head: int
    head: int  # digest of the first samples, by which a file that is cut within the span is still known
    # Of the same samples in the present content of the file:
    n_found: int = field(default=0, init=False)
    digest_found: int = field(default=0, init=False)
    is_head_found: bool = field(default=False, init=False)

    @property
    def is_equal(self) -> bool:
        return self.n_found == self.n_samples and self.digest_found == self.digest


class SamplesRead:
    """The samples of one channel of a file that have been read: spans of time, each with a digest of its samples."""

    def __init__(self, rate_hz: float, spans: list[list[int]] | None = None) -> None:
        """Begin with `spans`, as `state` returned them."""
        self.rate_hz = rate_hz
        self._spans = [_Span(*values) for values in spans or []]  # in order of time, disjoint

    def state(self) -> list[list[int]]:
        """Return start, stop, number and digest of samples, and the same of the first ones, of each span."""
        return [[one.start_ns, one.stop_ns, one.n_samples, one.digest, one.n_head, one.head] for one in self._spans]

    def add(self, trace: Trace) -> None:
        """Note that a trace has been read."""
        for span, piece in list(self._split(trace)):
            if span is None:
                insort(self._spans, _span_of(piece))
            else:
                span.digest = (span.digest + self._digest_in(span, piece)) % _MODULUS
                span.n_samples += len(piece.samples)
        if len(self._spans) > _MOST_SPANS:
            self.condense(_MOST_SPANS)

    def unread(self, trace: Trace) -> list[Trace]:
        """Return the parts of a trace that have not been read."""
        return [piece for span, piece in self._split(trace) if span is None]

    def condense(self, n_spans: int) -> None:
        """Merge neighbouring spans, the shortest first: a difference is then located less exactly."""
        while len(self._spans) > n_spans:
            lengths = [a.n_samples + b.n_samples for a, b in pairwise(self._spans)]
            i = lengths.index(min(lengths))
            first, second = self._spans[i], self._spans.pop(i + 1)
            shift = pow(_BASE, self._position(first, second.start_ns), _MODULUS)
            first.digest = (first.digest + shift * second.digest) % _MODULUS
            first.n_samples += second.n_samples
            first.stop_ns = max(first.stop_ns, second.stop_ns)

    def begin_comparison(self) -> None:
        """Forget what `compare` has found."""
        for span in self._spans:
            span.n_found = span.digest_found = 0
            span.is_head_found = False

    def compare(self, trace: Trace) -> None:
        """Take a trace of the file's present content, for `end_comparison`."""
        for span, piece in self._split(trace):
            if span is not None:
                span.n_found += len(piece.samples)
                span.digest_found = (span.digest_found + self._digest_in(span, piece)) % _MODULUS
                if self._position(span, piece.start_ns) == 0 and len(piece.samples) >= span.n_head:
                    span.is_head_found = _digest(piece.samples[: span.n_head]) == span.head

    @property
    def n_spans(self) -> int:
        """Number of spans."""
        return len(self._spans)

    @property
    def stop_ns(self) -> int:
        """Where the last span stops, 0 without any."""
        return self._spans[-1].stop_ns if self._spans else 0

    @property
    def are_found(self) -> bool:
        """Whether the present content is, as far as it goes, one that has been read."""
        return any(span.is_equal or span.is_head_found for span in self._spans)

    def end_comparison(self, start_ns: int, stop_ns: int, is_copy: bool) -> bool:
        """Drop the spans that differ from the present content, which runs from `start_ns` to `stop_ns`.

        A span that the content does not contain (yet) is kept unless the content begins later. One that the content
        ends in is kept if it `is_copy`, that is, if other samples are those that have been read.
        Return whether spans are left that a longer content may contain.
        """
        kept = []
        for span in self._spans:
            is_later = span.n_found == 0 and start_ns < span.stop_ns
            is_cut = 0 < span.n_found < span.n_samples and is_copy and stop_ns < span.stop_ns
            if span.is_equal or is_later or is_cut:
                kept.append(span)
        self._spans = kept
        return any(not span.is_equal for span in kept)

    def _split(self, trace: Trace) -> Iterator[tuple[_Span | None, Trace]]:
        """Yield the parts of a trace, each with the span that holds its times, or None."""
        if not self._spans or trace.start_ns + self._half_ns >= self._spans[-1].stop_ns:
            yield None, trace
            return
        at_ns: int | None = None  # the samples before it are done
        first = bisect_right(self._spans, trace.start_ns - self._half_ns, key=lambda span: span.stop_ns)
        for span in self._spans[max(0, first - 1) :]:
            if span.start_ns >= trace.stop_ns:
                break
            # Times in headers are rounded: a sample belongs to the span that it is less than half an interval before.
            start_ns, stop_ns = span.start_ns - self._half_ns, span.stop_ns - self._half_ns
            if at_ns is not None:
                start_ns = max(start_ns, at_ns)
            before, inside = trace.between(at_ns, start_ns), trace.between(start_ns, stop_ns)
            at_ns = stop_ns if at_ns is None else max(at_ns, stop_ns)
            if len(before.samples):
                yield None, before
            if len(inside.samples):
                yield span, inside
        rest = trace.between(at_ns, None)
        if len(rest.samples):
            yield None, rest

    @property
    def _half_ns(self) -> int:
        return round(NS_PER_S / self.rate_hz / 2)

    def _position(self, span: _Span, time_ns: int) -> int:
        return max(0, round((time_ns - span.start_ns) * self.rate_hz / NS_PER_S))

    def _digest_in(self, span: _Span, piece: Trace) -> int:
        return pow(_BASE, self._position(span, piece.start_ns), _MODULUS) * _digest(piece.samples) % _MODULUS


def _span_of(piece: Trace) -> _Span:
    n_head = min(_HEAD_SAMPLES, len(piece.samples))
    head = _digest(piece.samples[:n_head])
    return _Span(piece.start_ns, piece.stop_ns, len(piece.samples), _digest(piece.samples), n_head, head)


def _digest(samples: npt.NDArray[np.generic]) -> int:
    """Return the digest of samples from position 0 on; equal numbers of any type have equal digests."""
    bits = samples.astype(np.float64).view(np.uint64)
    hashes = (bits ^ (bits >> np.uint64(32))) * np.uint64(_MIX) + np.uint64(1)
    n = len(samples)
    return int(np.sum(hashes * _powers(1 << max(8, (n - 1).bit_length()))[:n], dtype=np.uint64))


@lru_cache(maxsize=8)
def _powers(n: int) -> npt.NDArray[np.uint64]:
    powers = np.full(n, _BASE, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)
