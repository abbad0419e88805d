"""Live input: records in any reasonable order with junk between, raw samples, and a folder that is being written."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.control import Control
from edgequake.edge.base.diagnostics import Diagnostics
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.formats.miniseed import index_file
from edgequake.edge.formats.waveforms import Trace, duration_ns, parse_time
from edgequake.edge.inputs.folder_watch import FolderWatch, Sighting
from edgequake.edge.inputs.model_choice import ModelChoice
from edgequake.edge.inputs.ordering import ChannelRouter, ReorderBuffer
from edgequake.edge.manifest.manifest import Manifest, Variant
from edgequake.edge.results.summary import Summary
from edgequake.edge.runner import RunConfig, run
from edgequake.synthetic import synthetic_dataset

from ..live_command import live_command

Moon = tuple[Manifest, bytes, Variant]
Write = Callable[..., Path]
S = 1_000_000_000
RATE_HZ = synthetic_dataset.SAMPLING_RATE_HZ


def events_of(summary: Summary) -> list[tuple[int, int, float, int]]:
    return [(row.onset_ns, row.stop_ns, row.peak_probability, row.n_samples) for row in summary.events]


def in_order(path: Path) -> list[bytes]:
    """Return a file's records in the order in which they would arrive."""
    data = path.read_bytes()
    return [data[header.offset : header.offset + header.size_bytes] for header in index_file(path).headers]


@pytest.fixture(scope="module")
def from_file(quake_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return run(RunConfig((str(quake_file),), tmp_path_factory.mktemp("file") / "out"))


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Summary]:
    """Return a function that runs bytes as standard input."""

    def run_stream(data: bytes, **options: object) -> Summary:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return run(RunConfig(("-",), tmp_path / "out", **options))  # type: ignore[arg-type]

    return run_stream


# --- order ---------------------------------------------------------------------------------------------------------


def trace(start_s: float, n: int = 100, code: str = "Z", rate_hz: float = 1.0) -> Trace:
    return Trace(f"FDSN:XX_LUN_00_M_H_{code}", round(start_s * S), rate_hz, np.zeros(n, np.int32))


def released(buffer: ReorderBuffer, traces: list[Trace]) -> list[float]:
    out = [one for p in traces for one in buffer.push(p)[0]]
    return [one.start_ns / S for one in [*out, *buffer.flush()]]


def test_contiguous_traces_are_returned_at_once() -> None:
    buffer = ReorderBuffer(300 * S)
    for start in (0, 100, 200, 250):  # the last overlaps
        assert [p.start_ns for p in buffer.push(trace(start))[0]] == [start * S]


def test_records_that_arrive_out_of_order_are_sorted() -> None:
    buffer = ReorderBuffer(300 * S)
    assert released(buffer, [trace(s, 10) for s in (0, 20, 10, 30, 50, 60, 40, 70)]) == [0, 10, 20, 30, 40, 50, 60, 70]
    assert buffer.n_dropped == 0


def test_a_missing_trace_is_waited_for_no_longer_than_twice_its_length() -> None:
    buffer = ReorderBuffer(300 * S)
    assert released(buffer, [trace(0, 10)]) == [0]
    assert buffer.push(trace(20, 10))[0] == []
    assert buffer.push(trace(30, 10))[0] == []
    assert buffer.push(trace(35, 10, "N"))[0][0].source_id.endswith("N")
    assert [p.start_ns / S for p in buffer.push(trace(41, 10, "N"))[0]] == [20, 41]


def test_a_gap_near_the_longest_that_is_interpolated_is_not_waited_for() -> None:
    buffer = ReorderBuffer(300 * S)
    buffer.push(trace(0, 10))
    assert len(buffer.push(trace(295, 10))[0]) == 1  # a gap of 285 s and 20 s of waiting: too long for the front end
    assert len(buffer.push(trace(3000, 10))[0]) == 1


def test_a_lone_time_far_ahead_is_dropped_and_two_that_agree_are_accepted() -> None:
    buffer = ReorderBuffer(300 * S)
    starts = [0, 1e9, 100, 200, 5e8, 300, 2e9, 400, 3e9, 500]
    assert [p.start_ns / S for s in starts for p in buffer.push(trace(s))[0]] == [0, 100, 200, 300, 400, 500]
    assert buffer.n_dropped == 1  # three may wait
    assert [p.start_ns / S for s in (9e8, 9e8 + 100) for p in buffer.push(trace(s))[0]] == [9e8, 9e8 + 100]
    assert [p.start_ns / S for p in buffer.push(trace(9e8, code="N"))[0]] == [9e8]


def test_late_traces_are_set_apart_until_three_are_contiguous() -> None:
    buffer = ReorderBuffer(300 * S)
    for start in (10_000, 10_100):
        buffer.push(trace(start))
    assert buffer.push(trace(5000)) == ([], False)
    assert buffer.push(trace(7000)) == ([], False)
    assert [late.start_ns / S for late in buffer.take_late()] == [5000]  # the other may yet be continued
    assert len(buffer.push(trace(10_200))[0]) == 1
    assert [late.start_ns / S for late in buffer.take_late()] == [7000] and buffer.n_dropped == 0
    answers = [buffer.push(trace(start)) for start in (1000, 1100, 1200)]
    assert [len(traces) for traces, _ in answers] == [0, 0, 3] and [back for _, back in answers] == [False, False, True]
    assert buffer.take_late(at_end=True) == []


def test_a_clock_set_back_starts_a_new_station_run(moon: Moon) -> None:
    diagnostics = Diagnostics()
    router = ChannelRouter(ModelChoice(moon[0], ("MH?",)), diagnostics)
    starts = [*range(100_000, 101_000, 100), *range(50_000, 51_000, 100)]
    batches = [b for s in starts for code in "ZN" for b in router.push(trace(s, 663, code, RATE_HZ))]
    keys = [batch.key for batch in batches]
    assert sorted(set(keys)) == ["XX_LUN#0", "XX_LUN#1"] and [b.key for b in batches if b.over] == ["XX_LUN#0"]
    assert keys.index("XX_LUN#1") == len(keys) - keys[::-1].index("XX_LUN#0")
    assert sum(len(batch.traces) for batch in batches) == 40
    assert diagnostics.texts() == ["1 time(s) a clock was set back; the station starts anew there"]


def test_many_stations_and_channels_take_bounded_memory(moon: Moon) -> None:
    diagnostics = Diagnostics()
    router = ChannelRouter(ModelChoice(moon[0], ("MH?",)), diagnostics)
    in_use: set[str] = set()
    for i in range(300):
        for p in (
            Trace(f"FDSN:XX_S{i}_00_M_H_Z", 0, RATE_HZ, np.zeros(5, np.int32)),
            Trace(f"FDSN:XX_LUN_{i}_M_H_Z", i * S, RATE_HZ, np.zeros(5, np.int32)),
            Trace(f"FDSN:XX_LUN_{i}_B_H_Z", i * S, RATE_HZ, np.zeros(5, np.int32)),
            Trace("FDSN:XX_LUN_00_M_H_Z", i * S, 177.0, np.zeros(5, np.int32)),
        ):
            for batch in router.push(p):
                in_use = in_use - {batch.key} if batch.over else in_use | {batch.key}
        assert len(in_use) <= 16
    assert len(router.ignored_channels) == 100
    text = " / ".join(diagnostics.texts())
    assert "288 record(s) of more than 12 channels" in text and "300 record(s) of a sampling rate" in text
    assert "285 record(s) of further stations than 16 left out" in text


def test_what_a_link_sends_again_is_used_once_and_a_clock_set_back_starts_anew(moon: Moon) -> None:
    rng = np.random.default_rng(8)
    records = [
        Trace(
            "FDSN:XX_LUN_00_M_H_Z", duration_ns(400 * i, RATE_HZ), RATE_HZ, rng.integers(-99, 99, 400).astype(np.int32)
        )
        for i in range(300)
    ]
    for is_resent in (True, False):
        diagnostics = Diagnostics()
        router = ChannelRouter(ModelChoice(moon[0], ("MH?",)), diagnostics)
        again = records[20:200]  # three hours
        if not is_resent:
            again = [replace(one, samples=one.samples + 1) for one in again]
        batches = [batch for one in [*records[:250], *again, *records[250:]] for batch in router.push(one)]
        assert any(batch.over for batch in batches) is not is_resent
        assert ("a clock was set back" in " ".join(diagnostics.texts())) is not is_resent
        if is_resent:
            used = [one.start_ns for batch in batches for one in batch.traces]
            assert used == [one.start_ns for one in records]


# --- streams -------------------------------------------------------------------------------------------------------


def test_disorder_junk_and_duplicates_do_not_change_the_events(
    quake_file: Path, from_file: Summary, stream: Callable[..., Summary]
) -> None:
    """Three channels, each delayed by up to two minutes, junk between records, every tenth record twice."""
    rng = np.random.default_rng(4)
    headers, data = index_file(quake_file).headers, quake_file.read_bytes()
    lag = {name: int(rng.integers(0, 60)) * S for name in {h.source_id for h in headers}}
    by_arrival = sorted(headers, key=lambda h: h.start_ns + lag[h.source_id])
    parts = []
    for i, header in enumerate(by_arrival):
        record = data[header.offset : header.offset + header.size_bytes]
        parts += [record, record if i % 10 == 0 else b"", rng.bytes(int(rng.integers(0, 700))) if i % 7 == 0 else b""]
    summary = stream(b"".join(parts))
    assert events_of(summary) == events_of(from_file) and len(summary.events) == 1
    assert summary.unreadable_bytes > 0 and summary.overlap_samples > 0
    assert summary.samples_kept == from_file.samples_kept


def test_a_live_run_says_its_model_and_each_event_without_waiting_for_a_checkpoint(
    loud: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[tuple[str, str]] = []  # each line, and the model of the status at that moment

    def log(line: str) -> None:
        status = tmp_path / "out" / "status.json"
        said.append((line, json.loads(status.read_text())["model"] if status.exists() else ""))

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(loud.astype("int32").tobytes())))
    options = RunConfig(("-",), tmp_path / "out", raw=f"{RATE_HZ!r},int32,FDSN:XX_LUN_00_M_H_Z,2030-01-01T00:00:00")
    summary = run(options, control=Control(log=log))
    lines = [(line, model) for line, model in said if ": event from " in line]
    assert len(lines) == len(summary.events) > 0
    for (line, model), row in zip(lines, summary.events, strict=True):
        (when,) = re.fullmatch(r"XX_LUN: event from (2030-01-01T[0-9:]{8}) UTC on", line).groups()  # type: ignore[union-attr]
        assert abs(parse_time(when) - row.onset_ns) < 300 * S and model == "moon"


def test_a_stream_of_nothing_but_junk_ends_with_an_error_message(stream: Callable[..., Summary]) -> None:
    with pytest.raises(Exception, match="no sample to process in -"):
        stream(np.random.default_rng(1).bytes(200_000))


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_raw_samples_give_the_events_of_the_records(
    dtype: str, loud: np.ndarray, write: Write, stream: Callable[..., Summary], tmp_path: Path
) -> None:
    samples = loud.astype(dtype)
    path = write("a.mseed", samples.astype(np.int32) if dtype == "int16" else samples)
    expected = run(RunConfig((str(path),), tmp_path / "file"))
    raw = f"{RATE_HZ!r},{dtype},FDSN:XX_LUN_00_M_H_Z,2030-01-01T00:00:00"
    summary = stream(samples.tobytes() + b"\0", raw=raw)
    assert summary.samples_in == len(samples) and summary.unreadable_bytes == 1
    assert events_of(summary) == events_of(expected) and len(summary.events) > 0


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "1,2,3,4",
        "6.625,int32,FDSN:XX_LUN_00_M_H_Z",
        "x,int32,FDSN:A_B_C_D_E_F,now",
        "6.6,int64,FDSN:A_B_C_D_E_F,now",
        "6.6,int32,LUN,now",
        "6.6,int32,FDSN:A_B_C_D_E_F,then",
    ],
)
def test_an_invalid_raw_format_is_refused(raw: str, stream: Callable[..., Summary]) -> None:
    with pytest.raises(ConfigError, match="expected RATE,DTYPE,SOURCE_ID,START"):
        stream(b"", raw=raw)


def test_options_of_live_input_are_refused_for_files(quake_file: Path, tmp_path: Path) -> None:
    for options in ({"idle_stop_s": 1.0}, {"stall_after_s": 1.0}):
        with pytest.raises(ConfigError, match="watch a live input"):
            run(RunConfig((str(quake_file),), tmp_path / "out", **options))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--raw describes samples on standard input"):
        run(RunConfig((str(quake_file),), tmp_path / "out", raw="x"))
    with pytest.raises(ConfigError, match="--follow takes folders and files, got -"):
        run(RunConfig(("-",), tmp_path / "out", follow=True))
    with pytest.raises(ConfigError, match=r"--follow takes folders and files that exist, got .*none"):
        run(RunConfig((str(tmp_path / "none"),), tmp_path / "out", follow=True))


@pytest.mark.slow
def test_a_stalled_pipe_is_reported_and_an_idle_one_ends_the_run(quake_file: Path, tmp_path: Path) -> None:
    command = live_command(tmp_path / "out", "--json", "--model", "moon", "--stall-after", "0.3", "--idle-stop", "2")
    records = in_order(quake_file)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"".join(records[:60]))
        process.stdin.flush()
        assert process.stderr is not None and process.stdout is not None
        lines = [process.stderr.readline().decode().rstrip()]
        process.stdin.write(b"".join(records[60:100]))
        process.stdin.flush()
        assert process.wait(timeout=30) == 0
        summary = json.loads(process.stdout.read())
        lines += process.stderr.read().decode().splitlines()
    assert "no input for" in lines[0] and "check its source" in lines[0]
    assert lines[1] == "edgequake-edge: the input continues"
    assert any("time(s) the input stalled" in text for text in summary["warnings"]) and summary["samples_in"] > 1000


# --- a folder that is being written --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["one file", "a file a channel"])
def test_a_folder_followed_while_it_grows_gives_the_events_of_the_whole(
    layout: str, quake_file: Path, from_file: Summary, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    headers, data = index_file(quake_file).headers, quake_file.read_bytes()

    def write_slowly() -> None:
        for i, header in enumerate(headers):
            name = "all" if layout == "one file" else header.source_id[-1]
            record = data[header.offset : header.offset + header.size_bytes]
            with (folder / f"{name}.mseed").open("ab", buffering=0) as file:
                file.write(record[:200])
                if i % 50 == 0:
                    time.sleep(0.05)  # an incomplete record
                file.write(record[200:])

    writer = threading.Thread(target=write_slowly)
    writer.start()
    out = folder / "out"  # inside: its segments must not be read
    summary = run(RunConfig((str(folder),), out, follow=True, poll_s=0.02, idle_stop_s=1.5))
    writer.join()
    # A poll may fall between the files of two channels: one is then late, which is reported and does no harm.
    assert all(layout == "a file a channel" and "time order" in warning for warning in summary.warnings)
    assert summary.samples_in == from_file.samples_in
    assert events_of(summary) == events_of(from_file) and len(summary.events) == 1
    assert summary.bytes_in == quake_file.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("way", ["replaced", "rewritten", "allocated"])
def test_followed_files_that_are_written_again_give_the_catalogue_of_the_final_ones(
    way: str, quake_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = tmp_path / "in", tmp_path / "in" / "a.mseed"
    folder.mkdir()
    records = in_order(quake_file)
    stops = iter((len(records) // 4, len(records) // 2, len(records)))
    n_looks, look = 0, FolderWatch.look

    def write_and_look(self: FolderWatch) -> list[Sighting]:
        nonlocal n_looks
        n_looks += 1
        if n_looks % 5 == 1 and (stop := next(stops, None)) is not None:
            data = b"".join(records[:stop])
            if way == "replaced":
                (folder / ".part").write_bytes(data)
                (folder / ".part").rename(path)
            else:
                path.write_bytes(data + bytes(512 * len(records) - len(data)) * (way == "allocated"))
        return look(self)

    monkeypatch.setattr(FolderWatch, "look", write_and_look)
    summary = run(RunConfig((str(folder),), tmp_path / "out", follow=True, poll_s=0.005, idle_stop_s=2.0))
    assert path.read_bytes() == b"".join(records)
    plain = run(RunConfig((str(path),), tmp_path / "plain"))
    assert summary.samples_in == plain.samples_in and summary.overlap_samples == plain.overlap_samples
    assert events_of(summary) == events_of(plain) and len(summary.events) == 1 and summary.warnings == ()


@pytest.mark.slow
def test_a_followed_folder_is_resumed_where_it_was(quake_file: Path, from_file: Summary, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    records, at, n_runs = in_order(quake_file), 0, 0
    config = RunConfig((str(folder),), out, follow=True, poll_s=0.02, idle_stop_s=0.1, resume=True)
    for stop in (50, 51, 200, len(records)):
        with (folder / "a.mseed").open("ab") as file:
            file.write(b"".join(records[at:stop]))
        at, n_runs = stop, n_runs + 1
        summary = run(config)
    assert summary.resumed == n_runs - 1 and summary.samples_in == from_file.samples_in


def test_the_output_folder_is_not_read_as_input(quake_file: Path, from_file: Summary, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.mseed").write_bytes(quake_file.read_bytes())
    out = folder / "results"
    run(RunConfig((str(folder),), out))
    again = run(RunConfig((str(folder),), out, force=True))
    assert again.samples_in == from_file.samples_in and again.warnings == ()


# --- signals and faults -------------------------------------------------------------------------------------------


def test_thresholds_are_read_again_on_sighup(
    quake_file: Path, moon_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    model = tmp_path / "model"
    shutil.copytree(moon_path.parent, model)
    values = json.loads((model / "moon.json").read_text())
    values["trigger"]["onset_thresholds"]["normal"] = 1.0
    (model / "moon.json").write_text(json.dumps(values))
    control, logged = Control(), []
    control.log = logged.append
    records = in_order(quake_file)

    class Telling(io.BytesIO):
        n_reads = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            self.n_reads += 1
            if self.n_reads == 3:
                values["trigger"]["onset_thresholds"]["normal"] = 0.3
                (model / "moon.json").write_text(json.dumps(values))
                control.reload = True
            if self.n_reads == 4:
                (model / "moon.json").write_text("{")
                control.reload = True
            return super().read1(4096)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Telling(b"".join(records))))
    summary = run(RunConfig(("-",), tmp_path / "out", model=str(model / "moon.json")), control=control)
    assert summary.onset_threshold == 0.3 and len(summary.events) >= 1
    assert logged[0] == "thresholds reloaded: onset probability 0.3 declares an event"
    assert logged[1].startswith("threshold unchanged, 0.3: ") and "is not JSON" in logged[1]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_a_hangup_does_not_end_the_run(quake_file: Path, tmp_path: Path) -> None:
    command = live_command(tmp_path / "out")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)) as process:  # fmt: skip
        assert process.stdin is not None
        records = in_order(quake_file)
        process.stdin.write(b"".join(records[:100]))
        process.stdin.flush()
        for _ in range(400):
            if (tmp_path / "out" / "checkpoint.edgequake").exists():
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGHUP)
        time.sleep(0.6)
        _, logged = process.communicate(b"".join(records[100:]), timeout=60)
    assert process.returncode == 0 and b"thresholds reloaded" in logged


def test_a_damaged_model_is_replaced_by_its_copy(quake_file: Path, moon_path: Path, tmp_path: Path) -> None:
    import shutil

    for name in ("model", "copy"):
        shutil.copytree(moon_path.parent, tmp_path / name)
    (graph,) = (tmp_path / "model").glob("moon.int8.tflite")
    data = bytearray(graph.read_bytes())
    data[1000] ^= 1
    graph.write_bytes(data)
    logged: list[str] = []
    config = RunConfig((str(quake_file),), tmp_path / "out", model=str(tmp_path / "model" / "moon.json"),
                       model_copy=str(tmp_path / "copy" / "moon.json"))  # fmt: skip
    assert len(run(config, control=Control(log=logged.append)).events) == 1
    assert len(logged) == 1 and "is damaged or another file" in logged[0] and "is used instead" in logged[0]


def test_samples_are_dropped_before_the_first_decision(write: Write, moon: Moon, tmp_path: Path) -> None:
    """A channel that has nothing but fill values for a long time must not fill the memory."""
    from edgequake.edge.detection.detector import Detector
    from edgequake.edge.operation.station_run import RunCounters, StationRun
    from edgequake.edge.results.ledger import Ledger

    manifest, graph, variant = moon
    (tmp_path / "segments").mkdir()
    station = StationRun(Detector(manifest, graph, variant, 0.5), "XX_LUN", manifest, tmp_path, Ledger(), RunCounters())
    n_kept = []
    for i in range(600):
        start_ns = duration_ns(500 * i, RATE_HZ)
        station.push([Trace("FDSN:XX_LUN_00_M_H_Z", start_ns, RATE_HZ, np.full(500, -1, np.int32))])
        n_kept.append(len(station.state()["segments"]["traces"]["FDSN:XX_LUN_00_M_H_Z"]))
    assert max(n_kept) == max(n_kept[:60]) < 40
