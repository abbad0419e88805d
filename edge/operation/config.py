"""The configuration of a run, and the source of samples that it selects."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgequake.edge.base.control import Control
from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.base.layout import CHECKPOINT, SPOOL, SUMMARY
from edgequake.edge.inputs.files import plan_streams
from edgequake.edge.inputs.model_choice import AUTO, ModelChoice
from edgequake.edge.inputs.source import FileSource, Source, is_address
from edgequake.edge.results.priority import PriorityFunction

if TYPE_CHECKING:
    from edgequake.edge.inputs.live import StallMonitor
    from edgequake.edge.inputs.ordering import ChannelRouter

CORES = ("python", "c")
USUAL_HOURS = 24.0  # of --monitor
LEAST_BUDGET_BYTES = 1024  # of a UTC day: an event report or a record must fit


@dataclass(frozen=True)
class RunConfig:
    """Inputs, output folder and options of a run: the command line of `run` with units."""

    # miniSEED files, packet CSVs, folders; or "-" alone for a live record stream on stdin; or addresses, udp://...
    inputs: tuple[str, ...]
    out: Path
    model: str = AUTO  # one of the shipped models for each station; or the name of one, or the path of a manifest
    variant: str | None = None  # by default the manifest's
    core: str = "python"  # the detector's code: "python" or "c"
    core_library: Path | None = None  # folder of the models' libraries in C
    sensitivity: str = "normal"
    threshold: float | None = None  # onset probability, instead of the sensitivity's
    start_ns: int | None = None  # process only samples with start <= time < stop
    stop_ns: int | None = None
    channels: tuple[str, ...] | None = None  # patterns of channel codes, by default each model's
    stations: tuple[str, ...] | None = None  # patterns of NET_STA: no other station is run; by default any
    force: bool = False  # replace the results of an earlier run in `out`
    resume: bool = False  # continue from the checkpoint in `out`, if there is one
    checkpoint_s: float = 60.0  # wall time between checkpoints; 0: after every batch
    follow: bool = False  # the inputs are folders and files that are still being written
    raw: str | None = None  # RATE,DTYPE,SOURCE_ID,START: the input "-" is raw samples
    poll_s: float = 1.0  # time between two looks at followed folders and files
    idle_stop_s: float | None = None  # end when a live input is silent for so long
    spool_bytes: int = 64 << 20  # of recorded data from the input "-" are stored and sorted; 0: read them as they come
    stall_after_s: float | None = None  # report a live input that is silent for so long as stalled
    model_copy: str | None = None  # a second manifest, with its graph beside it, for when the first is damaged
    public_key: Path | None = None  # of who signs models; None: that in the run folder, if there is one
    archive_bytes: int | None = None  # archive all samples, the newest so many bytes of them
    summary_channel: bool = False  # write SSAM channels
    monitor_h: float | None = None  # keep a ring of so many hours for the station's page, see `archive.monitor`
    budget_bytes: int | None = None  # deliver at most so much to the radio per UTC day
    pass_s: float = 3600.0  # mission time between two passes
    # MODULE:FUNCTION that assigns priorities, or the function; by default that of edge/results/priority.py
    priority: str | PriorityFunction | None = None
    on_event: str | None = None  # command to run for each event
    on_event_timeout_s: float = 10.0
    metrics: Path | None = None  # file of figures for Prometheus

    def __post_init__(self) -> None:
        if self.core not in CORES:
            raise ConfigError(f"--core {self.core}: expected one of {', '.join(CORES)}")
        if self.budget_bytes is not None and self.budget_bytes < LEAST_BUDGET_BYTES:
            raise ConfigError(f"--budget {self.budget_bytes}: expected at least {LEAST_BUDGET_BYTES} bytes a day")
        if not 1.0 <= self.pass_s <= 86_400.0:
            raise ConfigError(f"--pass-every {self.pass_s:g}: expected 1 to 86400 seconds")
        if self.monitor_h is not None and not 1.0 <= self.monitor_h <= 240.0:
            raise ConfigError(f"--monitor {self.monitor_h:g}: expected 1 to 240 hours")
        if self.spool_bytes < 0:
            raise ConfigError(f"--spool-bytes {self.spool_bytes}: expected 0 or more")
        for name in self.stations or ():
            if "_" not in name and not set(name) & set("*?["):
                raise ConfigError(f"--station '{name}' matches no station; expected NET_STA, as XA_S12, or a pattern")

    @property
    def has_services(self) -> bool:
        """Whether the run archives, measures, shows or delivers anything beside the event segments."""
        services = (self.archive_bytes, self.budget_bytes, self.monitor_h)
        return self.summary_channel or any(service is not None for service in services)

    @property
    def is_live(self) -> bool:
        """Whether the samples arrive while the run goes on."""
        return self.follow or self.inputs == ("-",) or any(map(is_address, self.inputs))


def open_source(
    config: RunConfig, choice: ModelChoice, control: Control, progress: Callable[[float], None] | None
) -> Source:
    """Return the source of a run's samples, of the channels that `choice` takes.

    Raises
    ------
    ConfigError
        Options that contradict each other.
    DataError
        As `plan_streams`, `open_stdin`, `SpooledPipe.receive` and `open_sockets`.
    Stopped
        The run was asked to stop while recorded data from a pipe were stored; nothing has been processed.
    """
    if config.raw is not None and config.inputs != ("-",):
        raise ConfigError("--raw describes samples on standard input: give - as the only input")
    if config.is_live:
        return _live_source(config, choice, control, progress)
    if config.idle_stop_s is not None or config.stall_after_s is not None:
        raise ConfigError("--idle-stop and --stall-after watch a live input: give -, an address or --follow")
    plan = plan_streams(config.inputs, choice, config.out)
    return FileSource(plan, config.start_ns, config.stop_ns, progress)


def _live_source(
    config: RunConfig, choice: ModelChoice, control: Control, progress: Callable[[float], None] | None
) -> Source:
    from edgequake.edge.base.diagnostics import Diagnostics
    from edgequake.edge.base.station_places import StationPlaces
    from edgequake.edge.inputs.live import LiveSource, StallMonitor
    from edgequake.edge.inputs.ordering import ChannelRouter

    diagnostics = Diagnostics()
    monitor = StallMonitor(config.stall_after_s, config.idle_stop_s, control, diagnostics)
    places = StationPlaces(diagnostics, config.stations, control.log)
    router = ChannelRouter(choice, diagnostics, config.start_ns, config.stop_ns, control.log, places)
    if config.follow:
        from edgequake.edge.inputs.folder import FolderSource

        if others := [name for name in config.inputs if name == "-" or is_address(name)]:
            raise ConfigError(f"--follow takes folders and files, got {', '.join(others)}")
        paths = tuple(Path(name) for name in config.inputs)
        if missing := [str(path) for path in paths if not path.exists()]:
            raise ConfigError(f"--follow takes folders and files that exist, got {', '.join(missing)}")
        return FolderSource(paths, config.out, router, diagnostics, monitor, config.poll_s)
    if config.inputs == ("-",):
        return _stdin_source(config, choice, router, monitor, progress)
    from edgequake.edge.inputs.udp import open_sockets

    receiver = open_sockets(config.inputs, diagnostics, control.log, places)
    return LiveSource(receiver, router, diagnostics, monitor)


def _stdin_source(
    config: RunConfig,
    choice: ModelChoice,
    router: ChannelRouter,
    monitor: StallMonitor,
    progress: Callable[[float], None] | None,
) -> Source:
    """Return standard input as a file, if it is one or has been stored as one, or else as a live source."""
    from edgequake.edge.inputs.live import LiveSource
    from edgequake.edge.inputs.stdin import StdinFileSource, open_stdin, receiver, stdin_path

    folder, diagnostics = config.out / SPOOL, monitor.diagnostics
    if config.force and not config.resume:
        shutil.rmtree(folder, ignore_errors=True)
    span = (config.start_ns, config.stop_ns)
    path = None if config.raw is not None or folder.exists() else stdin_path()
    if path is not None:
        return StdinFileSource(path, choice, *span, progress)
    stream = open_stdin()
    backlog = None
    if config.raw is None:
        from edgequake.edge.inputs.spool import Outcome, Spool, SpooledBacklog, SpooledPipe

        spool = Spool(folder, config.spool_bytes)
        is_new = spool.outcome() is None
        outcome = SpooledPipe(stream, spool, monitor).receive(
            is_live=config.resume and (config.out / CHECKPOINT).exists(),
            may_be_file=not (config.resume and (config.out / SUMMARY).exists()),
        )
        if outcome is Outcome.FILE:
            path = spool.path(outcome)
            try:
                return StdinFileSource(path, choice, *span, progress, is_spooled=True)
            except DataError as problem:  # as a channel that changes its sampling rate, which a live run takes
                monitor.control.log(f"{problem}; its records are taken one by one, in order of time")
                outcome = spool.make_backlog()
        if outcome is Outcome.BACKLOG:
            backlog = SpooledBacklog(spool.path(outcome), diagnostics)
            stream.put_back(backlog.incomplete if is_new else b"")
    return LiveSource(receiver(stream, config.raw, diagnostics), router, diagnostics, monitor, backlog)
