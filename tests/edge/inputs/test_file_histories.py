"""Random histories of followed files: after any of them, each sample of the final files has been read once."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from edgequake.edge.base.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from edgequake.edge.inputs import folder

from .following import E, Follower, N, Z, packed, plain_samples, renew_time, replace_file, rows, write_in_place

pytestmark = pytest.mark.disk  # whose inodes are used again

N_SAMPLES = 3000
NAMES = (Z, N, E)


class Writer:
    """Another program: it writes the file of one channel, a little longer each time and packed as it likes."""

    def __init__(self, i: int, folder: Path, choice: random.Random) -> None:
        self.path, self._folder = folder / f"{i}.mseed", folder
        self._samples, self._source_id, self._choice = rows(N_SAMPLES, i), NAMES[i], choice
        self._stop = 0

    def content(self) -> bytes:
        self._stop = min(N_SAMPLES, self._stop + self._choice.randrange(1, 600))
        flush, record_bytes = self._choice.choice([None, 50, 77]), self._choice.choice([256, 512])
        return packed(self._samples[: self._stop], 0, self._source_id, record_bytes, flush)

    def act(self) -> None:
        action = self._choice.choice([self.replace, self.rewrite, self.allocate, self.cut, self.rename])
        if self.path.exists() or action in (self.replace, self.rewrite, self.allocate):
            action()
        if self.path.exists():
            renew_time(self.path)

    def replace(self) -> None:
        replace_file(self.path, self.content())

    def rewrite(self) -> None:
        data = self.content()
        if self.path.exists() and self.path.stat().st_size <= len(data) and self._choice.random() < 0.5:
            write_in_place(self.path, data)
        else:
            self.path.write_bytes(data)

    def allocate(self) -> None:
        self.path.write_bytes(self.content() + bytes(self._choice.randrange(2000)))

    def cut(self) -> None:
        os.truncate(self.path, self._choice.choice([0, self._choice.randrange(self.path.stat().st_size + 1)]))

    def rename(self) -> None:
        target = self._folder / self._choice.choice(["a", "b"]) / self.path.name
        target.parent.mkdir(exist_ok=True)
        self.path = self.path.rename(target)

    def end(self) -> None:
        replace_file(self.path, packed(self._samples, 0, self._source_id))


@pytest.mark.parametrize("seed", range(8))
def test_every_sample_is_read_once(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_REST_S", 1e9 if seed % 2 else 0.0)
    choice, place = random.Random(seed), tmp_path / "in"
    place.mkdir()
    writers, follower = [Writer(i, place, choice) for i in range(3)], Follower(place)
    for _ in range(25):
        choice.choice(writers).act()
        follower.look(choice.choice([0, 1, 2, 6]))
        if choice.random() < 0.15:
            write_checkpoint(tmp_path / "checkpoint", Checkpoint({}, follower.source.state()))
            traces = follower.traces
            follower = Follower(place, state=read_checkpoint(tmp_path / "checkpoint").state)
            follower.traces = traces
    for writer in writers:
        writer.end()
    follower.settle()
    follower.finish()
    assert follower.samples == plain_samples(place)
