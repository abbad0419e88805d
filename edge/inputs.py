"""What to run on what, and the feed that follows from it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.control import Control
from edgequake.edge.errors import ConfigError
from edgequake.edge.feed import Feed, FileFeed
from edgequake.edge.manifest import Manifest
from edgequake.edge.sources import plan_inputs


@dataclass(frozen=True)
class RunConfig:
    """What to run on what."""

    inputs: tuple[str, ...]  # miniSEED files, packet CSVs, folders; or "-" alone for a live record stream on stdin
    out: Path
    model: str = "moon"  # a shipped model's name or the path of a manifest
    variant: str | None = None  # by default the manifest's
    sensitivity: str = "normal"
    threshold: float | None = None  # overrides the sensitivity's
    start_ns: int | None = None  # use only samples with start <= time < stop
    stop_ns: int | None = None
    channels: tuple[str, ...] | None = None  # channel code patterns, by default the manifest's
    force: bool = False  # overwrite the results of an earlier run in `out`
    resume: bool = False  # go on from the checkpoint in `out`, if there is one
    checkpoint_s: float = 60.0  # wall time between checkpoints; 0: after every batch
    follow: bool = False  # the input is one folder that is still being written
    raw: str | None = None  # RATE,DTYPE,SOURCE_ID,START: the input "-" is raw samples
    poll_s: float = 1.0  # how often a followed folder is looked at
    idle_stop_s: float | None = None  # a live input that is silent for so long has come to its end
    stall_after_s: float | None = None  # ... is reported as stalled
    model_copy: str | None = None  # a second manifest, with its graph beside it, for when the first is damaged

    @property
    def is_live(self) -> bool:
        """Whether the input is still coming in."""
        return self.follow or self.inputs == ("-",)


def open_feed(
    config: RunConfig, manifest: Manifest, control: Control, progress: Callable[[float], None] | None
) -> Feed:
    """Return the feed of a run's inputs.

    Raises
    ------
    ConfigError
        Options that do not go together.
    DataError
        As `plan_inputs`; or there is no standard input.
    """
    if config.raw is not None and config.inputs != ("-",):
        raise ConfigError("--raw describes samples on standard input: give - as the only input")
    if config.is_live:
        return _live_feed(config, manifest, control)
    if config.idle_stop_s is not None or config.stall_after_s is not None:
        raise ConfigError("--idle-stop and --stall-after watch a live input: give - or --follow")
    plan = plan_inputs(config.inputs, manifest, config.channels, config.out)
    return FileFeed(plan, config.start_ns, config.stop_ns, progress)


def _live_feed(config: RunConfig, manifest: Manifest, control: Control) -> Feed:
    from edgequake.edge.live_feed import LiveFeed, RawFeed, RawFormat, Watch
    from edgequake.edge.notes import Notes
    from edgequake.edge.router import Router

    notes = Notes()
    watch = Watch(config.stall_after_s, config.idle_stop_s, control, notes)
    router = Router(manifest, config.channels or manifest.channels, notes, config.start_ns, config.stop_ns)
    if config.follow:
        from edgequake.edge.follow_feed import FollowFeed

        folder = Path(config.inputs[0])
        if len(config.inputs) != 1 or not folder.is_dir():
            raise ConfigError(f"--follow takes one folder, got {', '.join(config.inputs)}")
        return FollowFeed(folder, config.out, router, notes, watch, config.poll_s)
    stream = sys.stdin.buffer if sys.stdin else None
    if config.raw is not None:
        return RawFeed(stream, router, notes, watch, RawFormat.parse(config.raw))
    return LiveFeed(stream, router, notes, watch)
