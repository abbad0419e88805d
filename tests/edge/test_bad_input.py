"""Bad input to the device's command: one line, exit code 1, and no output that looks complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.__main__ import main

Write = Callable[..., Path]
MakeModel = Callable[[Callable[[dict[str, Any]], Any]], Path]
Said = Callable[..., str]
NO_RECORD = "is not miniSEED (byte 0: No miniSEED data detected); expected a miniSEED file with samples"


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs `run` with arguments that must be refused, and returns the one line it says."""

    def run_refused(*arguments: object, out: Path | None = None) -> str:
        folder = tmp_path / "out" if out is None else out
        assert main(["run", *map(str, arguments), "--out", str(folder)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("edgequake-edge: error: ") and said.err.count("\n") == 1, said.err
        assert not (folder / "summary.json").exists()
        return said.err.removeprefix("edgequake-edge: error: ").rstrip("\n")

    return run_refused


@pytest.fixture
def record(write: Write, noise: np.ndarray) -> Path:
    return write("a.mseed", noise)


# --- records ---------------------------------------------------------------------------------------------------------


def test_a_missing_file(refused: Said, tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere.mseed").endswith(
        "nowhere.mseed is no file or folder; expected miniSEED files, packet CSVs, folders, or - alone"
    )


def test_a_missing_file_among_others(refused: Said, record: Path, tmp_path: Path) -> None:
    assert "nowhere.mseed is no file or folder" in refused(record, tmp_path / "nowhere.mseed")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; expected a miniSEED file with samples"),
        (b"dear reader, " * 1000, NO_RECORD),
        (b"\0" * 100_000, NO_RECORD),
        (b"000001D ", "is not miniSEED"),
        (b"MS\x03" * 20_000, "is not miniSEED"),
    ],
    ids=["empty", "text", "zeros", "short", "nearly"],
)
def test_a_file_that_is_not_miniseed(content: bytes, sentence: str, refused: Said, tmp_path: Path) -> None:
    path = tmp_path / "a.mseed"
    path.write_bytes(content)
    assert sentence in refused(path)


def test_a_line_break_in_a_name_does_not_break_the_line(refused: Said, tmp_path: Path) -> None:
    path = tmp_path / "a\nb.mseed"
    path.write_bytes(b"")
    assert "a b.mseed is empty" in refused(path)


def test_a_name_too_long_for_the_disk(refused: Said, record: Path) -> None:
    assert "File name too long" in refused("x" * 300)
    assert "File name too long" in refused(record, "--model", "x" * 300)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_but_nan(value: float, refused: Said, write: Write) -> None:
    path = write("a.mseed", np.full(20_000, value, np.float32))
    assert refused(path).startswith("all 20000 samples of ") and "ground motion" in refused(path)


@pytest.mark.parametrize("value", [0, -1])
def test_nothing_but_fill_values(value: int, refused: Said, write: Write) -> None:
    assert "are NaN, infinite or fill values" in refused(write("a.mseed", np.full(20_000, value, np.int32)))


@pytest.mark.parametrize("rate_hz", [-2.0, 1e-3, 5.0, 6.4, 1e6])
def test_a_sampling_rate_that_the_model_does_not_accept(
    rate_hz: float, refused: Said, write: Write, noise: np.ndarray
) -> None:
    path = write("a.mseed", noise, rate_hz=rate_hz)
    assert "this model takes 6.492 to 106 Hz" in refused(path, "--model", "moon")
    assert "(no shipped model takes this rate)" in refused(path)


def test_no_matching_channel(refused: Said, record: Path) -> None:
    for pattern in ("BH?", "", "mhz", "[", "M"):
        assert "has no channel that matches" in refused(record, "--channels", pattern)


def test_an_empty_folder(refused: Said, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert refused(tmp_path / "in").endswith("holds no usable record")


def test_a_closed_standard_input(refused: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in refused("-")


def test_a_stream_beside_files(refused: Said, record: Path) -> None:
    assert "or - alone" in refused("-", record)


def test_a_truncated_record_is_used_as_far_as_it_goes(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record.write_bytes(record.read_bytes()[:-300])
    assert main(["run", str(record), "--model", "moon", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("warning: ") and said.err.count("\n") == 1
    assert "a.mseed: 212 bytes belong to no readable record: byte 14848: Incomplete miniSEED record" in said.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["unreadable_bytes"] == 212 and 19_000 < summary["samples_in"] < 20_000


# --- packet CSVs -----------------------------------------------------------------------------------------------------

PACKET_NAME = "xa.s12.00.mhz.1970-01-19HR00_evid00002.csv"
PACKET_HEADER = "time_abs(%Y-%m-%dT%H:%M:%S.%f),time_rel(sec),velocity(m/s)\n"


def packet_rows(n_rows: int = 100) -> list[str]:
    return [f"1970-01-19T00:00:00.665000,{i / 6.625!r},{i % 7}e-10\n" for i in range(n_rows)]


def changed(line: str) -> list[str]:
    return [*packet_rows(50), line, *packet_rows(100)[51:]]


@pytest.mark.parametrize(
    ("header", "rows", "sentence"),
    [
        ("", [], "expected the columns time_abs, time_rel(sec), velocity, got nothing"),
        ("a,b\n", packet_rows(), "expected the columns time_abs, time_rel(sec), velocity, got a, b"),
        (PACKET_HEADER, [], "holds no sample"),
        (PACKET_HEADER, packet_rows(1), "the time column does not rise"),
        (PACKET_HEADER, packet_rows()[::-1], "the time column does not rise"),
        (PACKET_HEADER, changed("1970-01-19T00:00:00,nan,1\n"), "the time column holds NaN or infinity"),
        (PACKET_HEADER, changed("1970-01-19T00:00:00,inf,1\n"), "the time column holds NaN or infinity"),
        (
            PACKET_HEADER,
            changed("1970-01-19T00:00:00,7.5,loud\n"),
            "row 52: expected a number in the column velocity(m/s), got 'loud'",
        ),
        (PACKET_HEADER, changed("1970-01-19T00:00:00,7.5\n"), "row 52: 2 cells, expected 3 as in the first line"),
        (PACKET_HEADER, ["yesterday,0.0,1\n", *packet_rows()], "time 'yesterday': expected ISO 8601"),
        (PACKET_HEADER, ["0001-01-01T00:00:00,0.0,1\n", *packet_rows()], "expected a year from 1678 to 2261"),
    ],
)
def test_a_file_that_is_not_a_packet_csv(
    header: str, rows: list[str], sentence: str, refused: Said, tmp_path: Path
) -> None:
    path = tmp_path / PACKET_NAME
    path.write_text(header + "".join(rows))
    said = refused(path)
    assert sentence in said and PACKET_NAME in said


def test_a_packet_csv_of_random_bytes(refused: Said, tmp_path: Path) -> None:
    path = tmp_path / PACKET_NAME
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    assert "cannot be read as a packet CSV" in refused(path)


@pytest.mark.parametrize("name", ["a.csv", "xa.s12.00.mh.x.csv"])
def test_a_packet_csv_without_codes_in_its_name(name: str, refused: Said, tmp_path: Path) -> None:
    (tmp_path / name).write_text(PACKET_HEADER + "".join(packet_rows()))
    said = refused(tmp_path / name)
    sentences = ("expected a name that begins with network, station, location", "expected three letters such as MHZ")
    assert any(sentence in said for sentence in sentences)


# --- models ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(moon_path: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], Any]], Path]:
    """Return a function that copies the shipped model with its manifest changed, and returns the manifest's path."""

    def changed_model(change: Callable[[dict[str, Any]], Any]) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(moon_path.parent, folder)
        values = json.loads(moon_path.read_text())
        change(values)
        (folder / "moon.json").write_text(json.dumps(values))
        return folder / "moon.json"

    return changed_model


def _graph_of(values: dict[str, Any]) -> dict[str, Any]:
    variant: dict[str, Any] = values["variants"][values["default_variant"]]
    return variant


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.update(format_version=2), "has manifest version 2, this edgequake reads version 1"),
        (lambda m: m.pop("format_version"), "has manifest version None"),
        (lambda m: m.update(format="other"), "is no edgequake manifest: field 'format' must be 'edgequake-manifest'"),
        (lambda m: m.update(colour="red"), "unknown field 'colour'; known fields are format, format_version"),
        (lambda m: m["trigger"].update(colour="red"), "moon.json.trigger: unknown field 'colour'"),
        (lambda m: m.pop("channels"), "field 'channels' is missing"),
        (lambda m: m["front_end"].pop("bridge_s"), "moon.json.front_end: field 'bridge_s' is missing"),
        (lambda m: m.update(sampling_rate_hz="fast"), "moon.json.sampling_rate_hz: expected float, got 'fast'"),
        (lambda m: m.update(channels="MH?"), "moon.json.channels: expected a list, got str"),
        (lambda m: m.update(default_variant="int4"), "default_variant 'int4' is not among the variants"),
        (lambda m: m["trigger"].update(event_threshold=2.0), "thresholds must lie in (0, 1]"),
        (
            lambda m: m["network"].update(n_features=3),
            "network.n_features differs from the number of features of the front end",
        ),
        (lambda m: _graph_of(m).update(file="nothing.tflite"), "nothing.tflite named by the manifest cannot be read"),
        (lambda m: _graph_of(m).update(sha256="0" * 64), "is damaged or another file: expected"),
        (lambda m: m.update(sampling_rate_hz=0), "sampling_rate_hz must lie between 0 and 1e6, got 0"),
        (lambda m: m.update(sampling_rate_hz=float("nan")), "is not JSON (NaN is no number)"),
        (lambda m: m["trigger"].update(post_roll_s=1e300), "durations must be at most 1e+08 s"),
        (lambda m: m["front_end"].update(bridge_s=-1), "bridge_s and stuck_s must be 0 to 1e+08 s"),
        (
            lambda m: m["front_end"]["spectrogram"].update(window_samples=0),
            "window_samples must be 2 to 1000000, got 0",
        ),
        (lambda m: m["front_end"]["spectrogram"]["band_edges_hz"].__setitem__(0, -1), "its front end cannot run"),
        (lambda m: m["network"].update(rows_per_step=0), "rows_per_step must be at least 1"),
        (
            lambda m: m["network"].update(rows_per_step=2),
            "its manifest says (1, 2, ",
        ),
        (lambda m: m["network"]["states"][0].update(name="x"), "must name a tensor for every state"),
        (lambda m: _graph_of(m).update(frame_tensor="x"), "the graph has no input tensor 'x' that its manifest names"),
    ],
)
def test_an_unusable_manifest(
    change: Callable[[dict[str, Any]], Any],
    sentence: str,
    refused: Said,
    record: Path,
    tmp_path: Path,
    model: MakeModel,
) -> None:
    assert sentence in refused(record, "--model", model(change))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}" * 2])
def test_a_file_that_is_not_a_manifest(content: bytes, refused: Said, record: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert "x.json" in refused(record, "--model", path)


def test_a_truncated_graph(refused: Said, record: Path, model: MakeModel) -> None:
    path = model(lambda m: None)
    (graph,) = path.parent.glob("moon.int8.tflite")
    graph.write_bytes(graph.read_bytes()[:5000])
    assert "is damaged or another file" in refused(record, "--model", path)


@pytest.mark.parametrize("n_bytes", [0, 4, 100, 5000])
def test_a_file_that_is_not_a_graph_although_its_hash_is_right(
    n_bytes: int, refused: Said, record: Path, model: MakeModel
) -> None:
    def cut(values: dict[str, Any]) -> None:
        _graph_of(values)["sha256"] = hashlib.sha256(b"x" * n_bytes).hexdigest()

    path = model(cut)
    (path.parent / _graph_of(json.loads(path.read_text()))["file"]).write_bytes(b"x" * n_bytes)
    assert "cannot load the graph" in refused(record, "--model", path)


def test_unknown_names(refused: Said, record: Path, tmp_path: Path) -> None:
    assert "no model 'pluto': expected a manifest file or one of the shipped models" in refused(
        record, "--model", "pluto"
    )
    assert "model 'moon' has no variant 'int4': it has" in refused(record, "--variant", "int4")
    assert "no model" in refused(record, "--model", tmp_path)


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", ["0", "-1", "1.01", "nan", "inf"])
def test_a_threshold_out_of_range(threshold: str, refused: Said, record: Path) -> None:
    assert "expected a probability above 0 and up to 1" in refused(record, f"--threshold={threshold}")


@pytest.mark.parametrize("text", ["yesterday", "", "2030-13-01", "12:00", "2030-01-01T00:00:00.1.2"])
def test_a_malformed_time(text: str, refused: Said, record: Path) -> None:
    assert "expected ISO 8601 such as" in refused(record, "--start", text)
    assert "expected ISO 8601 such as" in refused(record, "--stop", text)


@pytest.mark.parametrize(
    "span",
    [("--start", "2031-01-01"), ("--stop", "2029-01-01"), ("--start", "2030-01-01T00:20:00", "--stop", "2030-01-01")],
)
def test_a_span_without_samples(span: tuple[str, ...], refused: Said, record: Path) -> None:
    assert "check --start, --stop and --channels" in refused(record, *span)


def test_an_output_that_is_a_file(refused: Said, record: Path, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("mine")
    assert "cannot use output folder" in refused(record, out=target)
    assert "cannot use output folder" in refused(record, out=target / "deeper")
    assert target.read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_permission(refused: Said, record: Path, tmp_path: Path) -> None:
    target = tmp_path / "locked"
    target.mkdir(mode=0o500)
    assert "cannot use output folder" in refused(record, out=target / "out")


def test_usage_errors_are_2(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        [],
        ["run"],
        ["run", str(record)],
        ["fly"],
        ["run", str(record), "--out", "o", "--threshold", "x"],
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert "usage: " in capsys.readouterr().err


def test_the_process_prints_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.mseed"
    path.write_bytes(b"no record\n" * 100)
    command = [sys.executable, "-m", "edgequake.edge", "run", str(path), "--out", str(tmp_path / "out")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        f"edgequake-edge: error: {path} is not miniSEED (byte 0: No miniSEED data detected); "
        f"expected a miniSEED file with samples\n"
    )
