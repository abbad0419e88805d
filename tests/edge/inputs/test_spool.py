"""Recorded data on standard input: the results are those of the file, whatever the order of its records."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError, DataError, Stopped
from edgequake.edge.formats.miniseed import index_file, read_indexed, records_of
from edgequake.edge.formats.record_scanner import RecordHeader
from edgequake.edge.formats.waveforms import Trace, duration_ns, merge_contiguous, parse_time
from edgequake.edge.inputs import spool as spool_module
from edgequake.edge.inputs.spool import Outcome, Pace, Spool, SpooledBacklog
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

ARCHIVE_BYTES = 10_000_000
START_NS = parse_time("1971-02-07T00:00:00")
Feed = Callable[[bytes], None]
Records = dict[str, list[bytes]]  # by channel, in order of time


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of old data, three channels one after another, with one quake."""
    record = synthetic_dataset.synthetic_record(
        np.random.default_rng(11), 9000.0, (4000.0,), ratios=(25.0,), noise_counts=0.5, start_ns=START_NS
    )
    return synthetic_dataset.write_miniseed(record, tmp_path_factory.mktemp("recorded") / "a.mseed")


@pytest.fixture(scope="module")
def from_file(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run over the named file."""
    out = tmp_path_factory.mktemp("named") / "out"
    summary = run(RunConfig((str(recorded),), out, archive_bytes=ARCHIVE_BYTES))
    assert len(summary.events) == 1 and summary.warnings == ()
    return out


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    """Return a function that makes bytes the standard input, in reads of 64 kB."""
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


class EndingStream(io.BytesIO):
    """Ends the process, or asks it to stop, when so many bytes have been read."""

    def __init__(self, data: bytes, n_bytes: int, control: Control | None = None) -> None:
        super().__init__(data)
        self._n_bytes, self._control = n_bytes, control

    def read1(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._n_bytes:
            if self._control is None:
                raise KeyboardInterrupt
            self._control.terminated = True
        return super().read1(4096)


@contextmanager
def pipe_of(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make standard input a pipe into which bytes are written."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(data)

    writer = threading.Thread(target=write)
    with os.fdopen(reading, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        writer.start()
        yield
        writer.join()


def results(out: Path) -> dict[str, bytes]:
    """Return what a run has written, by relative path, except the summary; the input is called "-"."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    files = {name: data for name, data in files.items() if name not in ("summary.json", "status.json")}
    del files["catalog.check"]  # the same rows
    catalog = [line.partition(b",") for line in files["catalog.csv"].splitlines()]
    files["catalog.csv"] = b"\n".join(rest if first != b"filename" else first for first, _, rest in catalog)
    return files


def piped(out: Path, **options: object) -> Summary:
    return run(RunConfig(("-",), out, archive_bytes=ARCHIVE_BYTES, **options))  # type: ignore[arg-type]


def by_channel(path: Path) -> Records:
    data, records = path.read_bytes(), {}  # type: bytes, Records
    for header in index_file(path).headers:
        records.setdefault(header.source_id, []).append(data[header.offset : header.offset + header.size_bytes])
    return records


def in_blocks(records: Records, n_records: int) -> bytes:
    """Return blocks of so many records of a channel, one channel after the other."""
    longest = max(map(len, records.values()))
    return b"".join(b"".join(own[i : i + n_records]) for i in range(0, longest, n_records) for own in records.values())


def samples_in(paths: list[Path]) -> dict[str, dict[int, int]]:
    """Return the samples in files by channel and time; no time may occur twice."""
    found: dict[str, dict[int, int]] = {}
    for path in paths:
        index = index_file(path)
        for trace in read_indexed(index, index.headers):
            own = found.setdefault(trace.source_id, {})
            at = np.arange(len(trace.samples)) / trace.sampling_rate_hz + (trace.start_ns - START_NS) / 1e9
            positions = np.rint(at * trace.sampling_rate_hz).astype(int).tolist()
            assert not own.keys() & set(positions)
            own.update(zip(positions, trace.samples.tolist(), strict=True))
    return found


def archived(out: Path) -> dict[str, dict[int, int]]:
    return samples_in([path for path in (out / "archive").rglob("*.D.*") if path.is_file()])


# --- as a file -----------------------------------------------------------------------------------------------------


def test_standard_input_that_is_a_file_is_read_as_one(
    recorded: Path, from_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        summary = piped(tmp_path / "out")
    assert results(tmp_path / "out") == results(from_file)
    assert summary.inputs == ("-",) and summary.events[0].filename == "-"


@pytest.mark.parametrize("n_records", [100_000, 5])  # the whole channel; about ten minutes of it
def test_a_pipe_gives_the_results_of_the_file(
    n_records: int, recorded: Path, from_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pipe_of(in_blocks(by_channel(recorded), n_records), monkeypatch):
        summary = piped(tmp_path / "out")
    assert results(tmp_path / "out") == results(from_file)
    assert summary.inputs == ("-",) and summary.warnings == () and summary.bytes_in == recorded.stat().st_size


def test_junk_is_reported_of_standard_input(recorded: Path, feed: Feed, tmp_path: Path) -> None:
    feed(recorded.read_bytes() + bytes(100))
    (warning,) = piped(tmp_path / "a").warnings
    assert warning.startswith("input stream '-': 100 bytes belong to no readable record")
    feed(recorded.read_bytes())
    said: list[str] = []
    with pytest.raises(DataError, match="no sample to process in -"):
        run(RunConfig(("-",), tmp_path / "b", channels=("BHZ",)), control=Control(log=said.append))
    assert said[0].startswith("input stream '-' has no channel that matches BHZ")


def test_what_no_file_may_contain_is_taken_record_by_record(
    recorded: Path, feed: Feed, tmp_path: Path, write: Callable[..., Path]
) -> None:
    """A channel changes its sampling rate: the station starts anew there, as in a live run."""
    noise = np.random.default_rng(3).integers(-99, 99, 20_000, np.int32)
    later = write("later.mseed", noise, start_ns=START_NS + 20_000 * 10**9, rate_hz=13.25)
    feed(later.read_bytes() + recorded.read_bytes())
    said: list[str] = []
    summary = run(RunConfig(("-",), tmp_path / "out"), control=Control(log=said.append))
    (line,) = (line for line in said if ": model " not in line and ": event from " not in line)
    assert "changes its sampling rate" in line and "in order of time" in line
    assert len(summary.events) == 1 and any("sampling rate changed" in warning for warning in summary.warnings)


def test_an_interrupted_run_over_standard_input_is_resumed(
    recorded: Path, from_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the first batch; what was piped is in the spool, and standard input is not read again."""
    out, control = tmp_path / "out", Control()
    config = RunConfig(("-",), out, archive_bytes=ARCHIVE_BYTES, checkpoint_s=0.0)
    with pipe_of(recorded.read_bytes(), monkeypatch), pytest.raises(Stopped, match="go on with --resume"):
        run(config, lambda share: setattr(control, "terminated", True), control)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert piped(out, resume=True, checkpoint_s=0.0).resumed == 1
    assert results(out) == results(from_file) and not (out / "spool").exists()


def test_a_complete_run_is_not_mistaken_for_one_over_another_file(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.mseed"
    other.write_bytes(recorded.read_bytes()[: 512 * 20])
    for path, resume in ((recorded, False), (recorded, True), (other, True)):
        with path.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            if path is recorded:
                assert len(piped(tmp_path / "out", resume=resume).events) == 1
            else:
                with pytest.raises(ConfigError, match="contains the results of another run"):
                    piped(tmp_path / "out", resume=resume)


def test_the_same_pipe_again_changes_nothing(recorded: Path, from_file: Path, feed: Feed, tmp_path: Path) -> None:
    for _ in range(2):
        feed(recorded.read_bytes())
        piped(tmp_path / "out", resume=True)
    again, expected = results(tmp_path / "out"), results(from_file)
    assert {name: again[name] for name in expected} == expected


def test_another_pipe_continues_the_results_of_the_first(
    recorded: Path, from_file: Path, feed: Feed, tmp_path: Path
) -> None:
    """The first pipe was a complete run, whose detector is over: the second is read live, in order of time."""
    out, records = tmp_path / "out", by_channel(recorded)
    for part in (
        {name: own[:-10] for name, own in records.items()},
        {name: own[-10:] for name, own in records.items()},
    ):
        feed(in_blocks(part, 100_000))
        piped(out, resume=True)
    assert results(out)["catalog.csv"] == results(from_file)["catalog.csv"]
    assert archived(out) == samples_in([recorded])


# --- killed or stopped while data are stored -----------------------------------------------------------------------


@pytest.mark.parametrize("again", ["all", "the rest"])
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_what_was_stored_before_a_kill_is_not_lost(
    how: str, again: str, recorded: Path, from_file: Path, feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, data, control = tmp_path / "out", recorded.read_bytes(), Control()
    n_bytes = 4096 * (len(data) // 8192)
    stream = EndingStream(data, n_bytes, control if how == "stopped" else None)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    config = RunConfig(("-",), out, archive_bytes=ARCHIVE_BYTES)
    with pytest.raises(Stopped if how == "stopped" else KeyboardInterrupt) as stopped:
        run(config, control=control)
    stored = (out / "spool" / "receiving.mseed").read_bytes()
    assert stored == data[:n_bytes]
    assert how == "killed" or f"with {n_bytes} bytes of it stored" in str(stopped.value)
    with pytest.raises(ConfigError, match="an unfinished one: --resume continues it"):
        run(config)
    feed(data if again == "all" else data[n_bytes:])
    piped(out, resume=True)
    assert results(out) == results(from_file)


def test_a_repeated_start_is_compared_to_the_last_byte(tmp_path: Path) -> None:
    """Other data that begin like the stored ones are stored from the start of the record in which they differ."""
    for n_scanned, received, expected in (
        (0, [b"ABCD", b"EFGH"], b"ABCDEFGH"),
        (0, [b"ABx"], b"ABCDEFABx"),
        (3, [b"ABCD", b"x"], b"ABCDEFDx"),
        (4, [b"ABCD", b"EF", b"GH"], b"ABCDEFGH"),
    ):
        folder = tmp_path / received[0].decode() / str(n_scanned)
        first = Spool(folder, 100)
        first.open()
        first.append(b"ABCDEF", 0)
        second = Spool(folder, 100)
        assert second.is_begun
        second.open()
        assert [second.append(data, n_scanned) for data in received] == [b""] * len(received)
        second.close(Outcome.FILE)
        assert second.outcome() is Outcome.FILE and second.path(Outcome.FILE).read_bytes() == expected


def test_force_deletes_what_was_stored(recorded: Path, from_file: Path, feed: Feed, tmp_path: Path) -> None:
    for name, inputs in (("a", ("-",)), ("b", (str(recorded),))):
        spool = Spool(tmp_path / name / "spool", 100)
        spool.open()
        spool.append(b"other data", 0)
        feed(recorded.read_bytes())
        run(RunConfig(inputs, tmp_path / name, archive_bytes=ARCHIVE_BYTES, force=True))
        assert results(tmp_path / name) == results(from_file)


# --- beyond the bound, and in real time ----------------------------------------------------------------------------


def test_what_exceeds_the_bound_is_read_live_and_archived(
    recorded: Path, feed: Feed, tmp_path: Path, from_file: Path
) -> None:
    """One channel and a half are stored and sorted; the rest is late, and in the archive all the same."""
    out, said = tmp_path / "out", []
    feed(recorded.read_bytes())
    half = recorded.stat().st_size // 2
    config = RunConfig(("-",), out, archive_bytes=ARCHIVE_BYTES, spool_bytes=half)
    summary = run(config, control=Control(log=said.append))
    (line,) = (line for line in said if ": model " not in line and ": event from " not in line)
    assert "the spool is full" in line and "--spool-bytes" in line
    assert not (out / "spool").exists()
    assert archived(out) == samples_in([recorded]) == archived(from_file)
    assert summary.samples_in == sum(map(len, samples_in([recorded]).values()))
    assert len(summary.events) == 1 and summary.bytes_in == recorded.stat().st_size
    late = [warning for warning in summary.warnings if "give the file by name" in warning]
    assert [warning.split()[3:5] for warning in late] == [["XX_LUN", "MH2"], ["XX_LUN", "MHZ"]]
    assert all(int(warning.split()[0]) > 1000 for warning in late)


def test_a_bound_within_the_last_bytes_loses_no_record(recorded: Path, feed: Feed, tmp_path: Path) -> None:
    """The record at the bound begins in the spool and ends on the pipe."""
    data = in_blocks(by_channel(recorded), 1)
    feed(data)
    out = tmp_path / "out"
    summary = piped(out, spool_bytes=len(data) - 1)
    assert archived(out) == samples_in([recorded]) and summary.unreadable_bytes == 0


@pytest.fixture(scope="module")
def mixed() -> tuple[bytes, int]:
    """Return what a data centre's file may hold, two stations one after the other, and how much of it is no record.

    Records of several lengths with jittering times, some of them twice, some twenty minutes late; junk between them.
    """
    rng, parts, n_junk = np.random.default_rng(4), [], 0
    for station in ("LUN", "SOL"):
        for code in "12Z":
            values = np.cumsum(rng.integers(-5, 6, 60_000)).astype(np.int32)
            records, first = [], 0
            while first < len(values):
                n = int(rng.integers(40, 4000))
                late_ns = round(rng.uniform(-0.05, 0.05) * 1e9 / 6.625)
                start_ns = START_NS + duration_ns(first, 6.625) + late_ns
                trace = Trace(f"FDSN:XX_{station}_00_M_H_{code}", start_ns, 6.625, values[first : first + n])
                records += records_of(trace, int(rng.choice([256, 512, 4096])))
                first += n
            for i in range(10, len(records) - 20, 25):
                records[i : i + 9] = [*records[i + 1 : i + 9], records[i], records[i]]
            for i in range(5, len(records), 40):
                junk = rng.bytes(int(rng.integers(1, 700)))
                records[i], n_junk = records[i] + junk, n_junk + len(junk)
            parts += records
    return b"".join(parts), n_junk


@pytest.fixture(scope="module")
def in_mix(mixed: tuple[bytes, int], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, int]]:
    """Return the samples that a run over the mix as a file archives."""
    folder = tmp_path_factory.mktemp("mix")
    (folder / "all.mseed").write_bytes(mixed[0])
    run(RunConfig((str(folder / "all.mseed"),), folder / "file", "moon", archive_bytes=ARCHIVE_BYTES))
    return archived(folder / "file")


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_the_bound_holds_over_a_mix_and_every_readable_sample_is_archived(
    share: float,
    mixed: tuple[bytes, int],
    in_mix: dict[str, dict[int, int]],
    feed: Feed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, (data, n_junk), bound = tmp_path / "out", mixed, round(share * len(mixed[0]))
    sizes, append = [], Spool.append

    def measured(self: Spool, data: bytes, n_scanned: int) -> bytes:
        exceeding = append(self, data, n_scanned)
        sizes.append(sum(path.stat().st_size for path in (out / "spool").iterdir()))
        return exceeding

    monkeypatch.setattr(Spool, "append", measured)
    feed(data)
    summary = piped(out, spool_bytes=bound, model="moon")
    read_bytes = 1 << 16  # one read that does not fit ends the spool
    assert bound - read_bytes < max(sizes) <= bound < len(data)
    assert {name: len(own) for name, own in in_mix.items()} == dict.fromkeys(in_mix, 60_000) and len(in_mix) == 6
    assert archived(out) == in_mix
    assert summary.unreadable_bytes == n_junk and not (out / "spool").exists()


@pytest.mark.slow
def test_a_full_disk_is_a_bound(recorded: Path, feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def append(self: Spool, data: bytes, n_scanned: int) -> bytes:
        return data if self.size_bytes else appended(self, data, n_scanned)

    appended = Spool.append
    monkeypatch.setattr(Spool, "append", append)
    feed(recorded.read_bytes())
    piped(tmp_path / "out")
    assert archived(tmp_path / "out") == samples_in([recorded])


def test_without_a_spool_data_are_taken_as_they_come(recorded: Path, feed: Feed, tmp_path: Path) -> None:
    feed(recorded.read_bytes())
    out = tmp_path / "out"
    piped(out, spool_bytes=0)
    assert (out / "checkpoint.edgequake").exists() and archived(out) == samples_in([recorded])
    with pytest.raises(ConfigError, match="--spool-bytes -1: expected 0 or more"):
        piped(out, spool_bytes=-1)


def test_the_pace_is_that_of_the_channel_of_which_most_comes() -> None:
    pace = Pace(100.0)

    def add(n_records: int) -> None:
        for code in "NEZ":
            for _ in range(n_records if code == "Z" else 1):
                pace.add(RecordHeader(0, 512, f"FDSN:XX_LUN_00_M_H_{code}", 0, 1.0, 60))

    add(1)
    assert not pace.is_live(101.0)  # too early to tell
    add(50)
    assert not pace.is_live(140.0)  # 3060 s in 40 s
    add(1)
    assert pace.is_live(175.0)  # 60 s in 35 s
    assert not pace.is_live(200.0) and pace.is_live(206.0)  # nothing at all


def test_data_in_real_time_go_on_live_after_those_that_were_stored(
    recorded: Path, from_file: Path, feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_PACE_S", 0.0)
    monkeypatch.setattr(spool_module, "_LIVE_PACE", float("inf"))  # decided at the first read
    out, said = tmp_path / "out", []
    feed(in_blocks(by_channel(recorded), 1))
    config = RunConfig(("-",), out, archive_bytes=ARCHIVE_BYTES)
    summary = run(config, control=Control(log=said.append))
    (line,) = (line for line in said if ": model " not in line and ": event from " not in line)
    assert "arrives in real time" in line
    assert not (out / "spool").exists() and (out / "checkpoint.edgequake").exists()
    assert results(out)["catalog.csv"] == results(from_file)["catalog.csv"] and summary.warnings == ()
    assert archived(out) == samples_in([recorded])


def test_a_backlog_is_resumed_where_it_was(recorded: Path, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 10_000_000)
    spool.open()
    spool.append(recorded.read_bytes() + recorded.read_bytes()[:100], 0)
    spool.close(Outcome.BACKLOG)
    first = SpooledBacklog(spool.path(Outcome.BACKLOG), Diagnostics())
    assert first.incomplete == recorded.read_bytes()[:100] and first.size_bytes == recorded.stat().st_size
    traces = first.traces()
    begun: list[Trace] = [next(traces) for _ in range(20)]
    state = first.state()
    first.end()
    second = SpooledBacklog(spool.path(Outcome.BACKLOG), Diagnostics())
    second.restore(state)
    rest = list(second.traces())
    second.end()
    assert spool.path(Outcome.BACKLOG).exists()  # no checkpoint says that it is over
    second.state()
    second.end()
    assert not (tmp_path / "spool").exists()
    starts = [trace.start_ns for trace in [*begun, *rest]]
    assert starts == sorted(starts) and len(starts) == len(index_file(recorded).headers)


@pytest.mark.slow
def test_a_kill_in_the_backlog_loses_nothing(
    recorded: Path, feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, data = tmp_path / "out", recorded.read_bytes()
    spool = Spool(out / "spool", len(data))
    spool.open()
    spool.append(data, 0)
    spool.close(Outcome.BACKLOG)
    read, n_read = SpooledBacklog.traces, 0

    def killed(self: SpooledBacklog) -> Iterator[Trace]:
        nonlocal n_read
        for trace in read(self):
            n_read += 1
            if n_read == 8:
                raise KeyboardInterrupt
            yield trace

    feed(b"")
    monkeypatch.setattr(SpooledBacklog, "traces", killed)
    with pytest.raises(KeyboardInterrupt):
        piped(out, resume=True, checkpoint_s=0.0)
    summary = piped(out, resume=True)
    assert summary.resumed == 1 and summary.samples_in == sum(map(len, samples_in([recorded]).values()))
    assert archived(out) == samples_in([recorded]) and summary.bytes_in == len(data)


# --- late records of a live input ----------------------------------------------------------------------------------


def test_late_records_are_archived_once_and_reported(recorded: Path, feed: Feed, tmp_path: Path) -> None:
    """Every twentieth record comes twice, about twenty minutes late."""
    records = by_channel(recorded)
    for own in records.values():
        for i in range(20, len(own) - 20, 20):
            own[i : i + 12] = [*own[i + 1 : i + 12], own[i]]
        own[-5:] = [own[-5], *own[-5:]]
        own.append(own[-60])
    feed(in_blocks(records, 1))
    out = tmp_path / "out"
    summary = piped(out, spool_bytes=0)
    assert archived(out) == samples_in([recorded])
    late = [warning for warning in summary.warnings if "came too late for the detector" in warning]
    assert len(late) == 3 and "XX_LUN MH1" in late[0] and "send channels interleaved" in late[0]


def test_a_late_record_is_in_the_segment_of_its_event(
    recorded: Path, from_file: Path, feed: Feed, tmp_path: Path
) -> None:
    """A record of the pre-roll comes eight minutes late, while the event is still open."""
    (whole,) = (from_file / "segments").glob("*.mseed")
    records = by_channel(recorded)
    own = records["FDSN:XX_LUN_00_M_H_Z"]
    starts = [header.start_ns for header in index_file(recorded).headers if header.source_id.endswith("Z")]
    start_ns = index_file(whole).start_ns
    i = next(i for i, start in enumerate(starts) if start > start_ns + 100_000_000_000)
    n_later = next(n for n in range(1, 100) if starts[i + n] > starts[i] + 480_000_000_000)
    own[i : i + n_later] = [*own[i + 1 : i + n_later], own[i]]
    feed(in_blocks(records, 1))
    summary = piped(tmp_path / "out", spool_bytes=0)
    assert any("came too late" in warning for warning in summary.warnings)
    (segment,) = (tmp_path / "out" / "segments").glob("*.mseed")
    expected, found = samples_in([whole]), samples_in([segment])
    name = "FDSN:XX_LUN_00_M_H_Z"
    assert found[name] == expected[name]
    index = index_file(segment)
    z_parts = merge_contiguous(t for t in read_indexed(index, index.headers) if t.source_id == name)
    starts_found = [part.start_ns for part in z_parts]
    assert starts_found == sorted(starts_found)
