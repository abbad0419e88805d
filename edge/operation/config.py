"""What to run on what, and the feed that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.inputs.addresses import is_address
from edgequake.edge.inputs.files import plan_inputs
from edgequake.edge.inputs.source import FileSource, Source
from edgequake.edge.manifest.manifest import Manifest
from edgequake.edge.results.priority import PriorityFunction

LEAST_BUDGET_BYTES = 1024  # of a UTC day: a notice or a record must fit


@dataclass(frozen=True)
class RunConfig:
    """What to run on what."""

    # miniSEED files, packet CSVs, folders; or "-" alone for a live record stream on stdin; or addresses, udp://...
    inputs: tuple[str, ...]
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
    archive_bytes: int | None = None  # keep all samples too, the newest so many bytes of them
    summary_channel: bool = False  # keep an account of how loud the signal is, all the time
    budget_bytes: int | None = None  # hand over to the radio at most so much a UTC day
    pass_s: float = 3600.0  # mission time between two hand-overs
    # MODULE:FUNCTION that ranks events, or the function; by default `edge.store.priority.priority`
    priority: str | PriorityFunction | None = None
    on_event: str | None = None  # a command to run for each event
    on_event_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.budget_bytes is not None and self.budget_bytes < LEAST_BUDGET_BYTES:
            raise ConfigError(f"--budget {self.budget_bytes}: expected at least {LEAST_BUDGET_BYTES} bytes a day")
        if not 1.0 <= self.pass_s <= 86_400.0:
            raise ConfigError(f"--pass-every {self.pass_s:g}: expected 1 to 86400 seconds")

    @property
    def stores(self) -> bool:
        """Whether more is kept or handed over than the flagged segments."""
        return self.archive_bytes is not None or self.summary_channel or self.budget_bytes is not None

    @property
    def is_live(self) -> bool:
        """Whether the input is still coming in."""
        return self.follow or self.inputs == ("-",) or any(map(is_address, self.inputs))


def open_source(
    config: RunConfig, manifest: Manifest, control: Control, progress: Callable[[float], None] | None
) -> Source:
    """Return the feed of a run's inputs.

    Raises
    ------
    ConfigError
        Options that do not go together.
    DataError
        As `plan_inputs` and `open_receiver`.
    """
    if config.raw is not None and config.inputs != ("-",):
        raise ConfigError("--raw describes samples on standard input: give - as the only input")
    if config.is_live:
        return _live_source(config, manifest, control)
    if config.idle_stop_s is not None or config.stall_after_s is not None:
        raise ConfigError("--idle-stop and --stall-after watch a live input: give -, an address or --follow")
    plan = plan_inputs(config.inputs, manifest, config.channels, config.out)
    return FileSource(plan, config.start_ns, config.stop_ns, progress)


def _live_source(config: RunConfig, manifest: Manifest, control: Control) -> Source:
    from edgequake.edge.base.diagnostics import Diagnostics
    from edgequake.edge.inputs.live import LiveSource, StallMonitor
    from edgequake.edge.inputs.ordering import ChannelRouter
    from edgequake.edge.inputs.udp import open_receiver

    diagnostics = Diagnostics()
    watch = StallMonitor(config.stall_after_s, config.idle_stop_s, control, diagnostics)
    router = ChannelRouter(manifest, config.channels or manifest.channels, diagnostics, config.start_ns, config.stop_ns)
    if config.follow:
        from edgequake.edge.inputs.folder import FolderSource

        folder = Path(config.inputs[0])
        if len(config.inputs) != 1 or not folder.is_dir():
            raise ConfigError(f"--follow takes one folder, got {', '.join(config.inputs)}")
        return FolderSource(folder, config.out, router, diagnostics, watch, config.poll_s)
    return LiveSource(open_receiver(config.inputs, config.raw, diagnostics, control.tell), router, diagnostics, watch)
