"""Samples of one channel that follow one another and wait to be dealt with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edgequake.edge.piece import Piece, duration_ns
from edgequake.edge.state import State

_Buffer = TypeVar("_Buffer", bound="SampleBuffer")


@dataclass
class SampleBuffer:
    """Grows at its back as pieces come, shrinks at its front; times count from the first sample that ever came.

    Each piece's own time is believed to a hundredth of a sampling interval: a clock that has drifted away by more is a
    tear of the buffer, so that no sample is ever dated wrong by more than that.
    """

    source_id: str
    origin_ns: int  # time of the first sample
    rate_hz: float
    n_done: int  # samples since then that are not held any more
    n_samples: int  # held
    parts: list[npt.NDArray[Any]]  # their arrays; at least one, which tells the dtype

    @classmethod
    def begin(cls: type[_Buffer], piece: Piece) -> _Buffer:
        """Begin where a piece begins; its samples are yet to be added."""
        return cls(piece.source_id, piece.start_ns, piece.sampling_rate_hz, 0, 0, [piece.samples[:0]])

    def __post_init__(self) -> None:
        self._dtype = self.parts[0].dtype
        self._tolerance_ns = duration_ns(1, self.rate_hz) // 100
        self.stop_ns = self._time_ns(self.n_done + self.n_samples)

    def is_followed_by(self, piece: Piece) -> bool:
        """Whether a piece of the channel goes on where this buffer stops."""
        return (
            -self._tolerance_ns <= piece.start_ns - self.stop_ns <= self._tolerance_ns
            and piece.sampling_rate_hz == self.rate_hz
            and piece.samples.dtype == self._dtype
        )

    def add(self, samples: npt.NDArray[Any]) -> None:
        """Append samples."""
        self.parts.append(samples)
        self.n_samples += len(samples)
        self.stop_ns = self._time_ns(self.n_done + self.n_samples)

    def piece(self) -> Piece:
        """Return what is held."""
        self.parts = [np.concatenate(self.parts)]
        return Piece(self.source_id, self._time_ns(self.n_done), self.rate_hz, self.parts[0])

    def drop(self, n_samples: int) -> None:
        """Let go of the first samples."""
        self.parts = [np.concatenate(self.parts)[n_samples:].copy()]  # a view would keep all of them
        self.n_done += n_samples
        self.n_samples -= n_samples

    def state(self) -> State:
        """Return what `SampleBuffer(**state)` goes on from."""
        self.piece()
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _time_ns(self, n_samples: int) -> int:
        return self.origin_ns + duration_ns(n_samples, self.rate_hz)  # from the first one on: rounding never adds up


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Return pieces with those that follow one another made one, per channel, in the order in which these begin.

    A replay's batch has hundreds, each with a fixed cost to everything that takes them. Clocks are believed as in
    `SampleBuffer`, so a buffer that takes joined pieces dates a sample to a fiftieth of its interval.
    """
    buffers: dict[str, SampleBuffer] = {}
    runs: list[SampleBuffer] = []
    for piece in pieces:
        buffer = buffers.get(piece.source_id)
        if buffer is None or not buffer.is_followed_by(piece):
            buffer = buffers[piece.source_id] = SampleBuffer.begin(piece)
            runs.append(buffer)
        buffer.add(piece.samples)
    return [buffer.piece() for buffer in runs]
