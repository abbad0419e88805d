"""Pieces of one station in, events out: front end, network and trigger in a row.

With any acquisition loop::

    manifest, folder = load_manifest("moon")
    variant, graph = read_graph(manifest, folder)
    detector = Detector(manifest, graph, variant, manifest.trigger.onset_thresholds["normal"])
    for piece in pieces:
        for event in detector.push(piece):
            print(event)
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edgequake.edge.errors import ManifestError
from edgequake.edge.manifest import Manifest, Variant
from edgequake.edge.network import StepNetwork
from edgequake.edge.piece import Piece, duration_ns
from edgequake.edge.station import ChannelFrontEnd, Rows, StationFrontEnd
from edgequake.edge.trigger import Decision, Event, Trigger

Float32 = npt.NDArray[np.float32]


class Detector:
    """The detector of one station; pieces come in the order of their start times."""

    def __init__(self, manifest: Manifest, graph: bytes, variant: Variant, onset_threshold: float) -> None:
        _require_front_end(manifest)
        self.front_end = StationFrontEnd(manifest.front_end, manifest.sampling_rate_hz)
        self.network = StepNetwork(manifest, graph, variant)
        self._trigger = Trigger(manifest.trigger, onset_threshold)
        self._clock = _RowClock(manifest)
        stepper = _Windowed if manifest.network.mode == "windowed" else _Continuous
        self._stepper = stepper(self.network, manifest)
        self._lag_ns = round(manifest.trigger.onset_lag_s * 1e9)
        self._decided_until_ns: int | None = None
        self.restarts = 0

    @property
    def horizon_ns(self) -> int | None:
        """No event that is still to be returned begins before this time; None before the first decision."""
        if self._decided_until_ns is None:
            return None
        undecided = self._decided_until_ns - self._lag_ns
        waiting = self._trigger.earliest_onset_ns
        return undecided if waiting is None else min(undecided, waiting)

    def push(self, piece: Piece) -> list[Event]:
        """Take a piece, return the events that closed.

        Raises
        ------
        DataError
            The piece's sampling rate does not fit the model.
        """
        return list(self._events(self.front_end.push(piece)))

    def finish(self) -> list[Event]:
        """No further piece will come: return what is still open."""
        return [*self._events(self.front_end.finish()), *self._close()]

    def decide(self, rows: Rows) -> Iterator[Decision]:
        """Yield the network's decisions on rows that follow one another without a restart."""
        n_per_block = rows.rows.shape[1]
        flat = rows.rows.reshape(-1, rows.rows.shape[2])
        for last_row, n_rows, probability in self._stepper.push(flat):
            block, row = int(rows.block[last_row // n_per_block]), last_row % n_per_block
            stop_ns = self._clock.stop_ns(rows.t0_ns, block, row)
            start_ns = stop_ns - self._clock.rows_ns(n_rows)
            yield Decision(start_ns, stop_ns, float(probability[0]), float(probability[-1]))

    def _events(self, rows: Rows) -> Iterator[Event]:
        for part in _between_restarts(rows):
            if part.restart[0]:
                yield from self._restart()
            for decision in self.decide(part):
                event = self._trigger.push(decision)
                self._decided_until_ns = decision.stop_ns
                if event is not None:
                    yield event

    def _restart(self) -> Iterator[Event]:
        self.restarts += 1
        yield from self._close()
        self._trigger.reset()
        self._stepper.restart()

    def _close(self) -> list[Event]:
        event = self._trigger.close()
        return [] if event is None else [event]


def _require_front_end(manifest: Manifest) -> None:
    """Refuse constants that no channel could be processed with, before any channel comes."""
    try:
        ChannelFrontEnd(manifest.front_end, manifest.sampling_rate_hz, manifest.sampling_rate_hz)
    except (ValueError, ArithmeticError) as problem:
        raise ManifestError(f"model '{manifest.name}': its front end cannot run: {problem}") from problem


class _RowClock:
    """When a row of features was recorded."""

    def __init__(self, manifest: Manifest) -> None:
        config = manifest.front_end
        self._rate_hz = manifest.sampling_rate_hz
        self._hop = config.hop_samples
        self._samples_per_row = config.hop_samples // config.rows_per_block
        # A spectrogram's window reaches over earlier hops; its news is in the newest one.
        window = config.spectrogram.window_samples if config.spectrogram and config.kind == "spectrogram" else self._hop
        self._lead = window - self._hop

    def stop_ns(self, t0_ns: int, block: int, row: int) -> int:
        samples = block * self._hop + self._lead + (row + 1) * self._samples_per_row
        return t0_ns + duration_ns(samples, self._rate_hz)

    def rows_ns(self, n_rows: int) -> int:
        return duration_ns(n_rows * self._samples_per_row, self._rate_hz)


class _Continuous:
    """State carried on from step to step."""

    def __init__(self, network: StepNetwork, manifest: Manifest) -> None:
        self._network = network
        self._rows_per_step = manifest.network.rows_per_step
        self._held = np.zeros((0, manifest.network.n_features), np.float32)  # rows that do not fill a step yet

    def restart(self) -> None:
        self._network.reset()
        self._held = self._held[:0]

    def push(self, rows: Float32) -> Iterator[tuple[int, int, Float32]]:
        """Yield (index of the last row of a step, rows in it, probabilities)."""
        n_before = len(self._held)
        joined = np.concatenate([self._held, rows])
        n_steps = len(joined) // self._rows_per_step
        n_taken = n_steps * self._rows_per_step
        self._held = joined[n_taken:]
        steps = joined[:n_taken].reshape(n_steps, self._rows_per_step, rows.shape[1])
        for i, probability in enumerate(self._network.run(steps)):
            yield (i + 1) * self._rows_per_step - 1 - n_before, self._rows_per_step, probability


class _Windowed:
    """State reset every window: the textbook classifiers."""

    def __init__(self, network: StepNetwork, manifest: Manifest) -> None:
        config = manifest.network
        self._network = network
        self._rows_per_step, self._warmup_steps = config.rows_per_step, config.warmup_steps
        self._window_rows, self._hop_rows = int(config.window_rows or 0), int(config.window_hop_rows or 0)
        self._held = np.zeros((0, config.n_features), np.float32)

    def restart(self) -> None:
        self._held = self._held[:0]

    def push(self, rows: Float32) -> Iterator[tuple[int, int, Float32]]:
        """Yield (index in `rows` of a window's last row, rows from window to window, probabilities)."""
        n_before = len(self._held)
        joined = np.concatenate([self._held, rows])
        start = 0
        while start + self._window_rows <= len(joined):
            probability = self._classify(joined[start : start + self._window_rows])
            yield start + self._window_rows - n_before - 1, self._hop_rows, probability
            start += self._hop_rows
        self._held = joined[start:]

    def _classify(self, window: Float32) -> Float32:
        steps = window.reshape(-1, self._rows_per_step, window.shape[1])
        self._network.reset()
        for i in range(self._warmup_steps):
            self._network.run(steps[i : i + 1])
            self._network.reset_recurrent()
        probability: Float32 = self._network.run(steps[self._warmup_steps :])[-1]
        return probability


def _between_restarts(rows: Rows) -> Iterator[Rows]:
    cuts = [0, *(int(i) for i in np.flatnonzero(rows.restart) if i > 0), len(rows.block)]
    for a, b in pairwise(cuts):
        if a < b:
            yield Rows(rows.t0_ns, rows.block[a:b], rows.rows[a:b], rows.live[a:b], rows.restart[a:b])
