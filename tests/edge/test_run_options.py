"""The options of `run` from a configuration file: the same as on the command line, which goes before it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.base.errors import ConfigError
from edgequake.edge.run_options import RunOptions

TOML = """
inputs = ["shake://0.0.0.0:8888/AM_R0E05"]  # the Shake
out = "/var/lib/edgequake"
station = "AM_R0E05"
channels = ["EHZ", "EH?"]
archive-bytes = 2_000_000_000
checkpoint-every = 30
on-event = "sh -c 'cat'"
sensitivity = "high"
start = "2024-01-01T00:00:00"
summary-channel = true
"""
VALUES = {
    "inputs": ("shake://0.0.0.0:8888/AM_R0E05",), "out": Path("/var/lib/edgequake"), "stations": ("AM_R0E05",),
    "channels": ("EHZ", "EH?"), "archive_bytes": 2_000_000_000, "checkpoint_s": 30.0, "on_event": "sh -c 'cat'",
    "sensitivity": "high", "start_ns": 1_704_067_200 * 10**9, "summary_channel": True, "resume": True,
    "stall_after_s": 60.0, "force": False, "model": "auto",
}  # fmt: skip


def options() -> tuple[argparse.ArgumentParser, RunOptions]:
    parser = argparse.ArgumentParser()
    return parser, RunOptions(parser)


def merged(*words: str) -> dict[str, Any]:
    parser, declared = options()
    return declared.merged(vars(parser.parse_args(words)))


def in_toml(folder: Path, text: str) -> str:
    (folder / "run.conf").write_text(text)
    return str(folder / "run.conf")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no reader of TOML")
def test_a_file_gives_what_the_command_line_would(tmp_path: Path) -> None:
    values = merged("--config", in_toml(tmp_path, TOML))
    assert {name: values[name] for name in VALUES} == VALUES
    words = (
        "shake://0.0.0.0:8888/AM_R0E05 --out /var/lib/edgequake --station AM_R0E05 --channels EHZ,EH? --archive-bytes"
    )
    words += " 2000000000 --checkpoint-every 30 --sensitivity high --start 2024-01-01T00:00:00 --summary-channel"
    assert merged(*words.split(), "--on-event", "sh -c 'cat'") == values


def test_the_command_line_goes_before_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.conf"
    path.write_text(json.dumps({"inputs": "day.mseed", "out": "a", "station": ["XA_S12"], "poll": 3, "force": True}))
    values = merged("--config", str(path), "--out", "b", "--station", "XA_S15", "other.mseed")
    assert (values["inputs"], values["out"], values["stations"]) == (("other.mseed",), Path("b"), ("XA_S15",))
    assert (values["poll_s"], values["force"], values["resume"]) == (3.0, True, False)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"stal-after": 60}, "unknown option 'stal-after'; did you mean 'stall-after'?"),
        ({"on_event": "true"}, "unknown option 'on_event'; did you mean 'on-event'?"),
        ({"config": "x"}, "unknown option 'config'"),
        ({"zzzzz": 1}, "the options are those of run --help, without dashes"),
        ({"resume": "yes"}, "resume: expected true or false, got 'yes'"),
        ({"poll": True}, "poll: expected text or a number, got True"),
        ({"poll": "soon"}, "poll: could not convert string to float: 'soon'"),
        ({"station": 3}, "station: expected text, or a list of texts, got 3"),
        ({"inputs": []}, "inputs: expected text, or a list"),
        ({"core": "rust"}, "core: expected one of python, c, got 'rust'"),
        ({"start": "yesterday"}, "start: "),
    ],
)
def test_what_a_file_may_not_hold_is_refused_by_name(found: dict[str, Any], expected: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        merged("day.mseed", "--out", "o", "--config", in_toml(tmp_path, json.dumps(found)))
    assert expected in str(refused.value)


@pytest.mark.parametrize("text", ["{", "\0", "a = ", "[1]"])
def test_a_file_that_is_neither_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", in_toml(tmp_path, text)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and ("neither TOML nor JSON" in said or "unknown option" in said)


@pytest.mark.parametrize(
    ("words", "expected"), [((), "missing: INPUT, --out; expected"), (("day.mseed",), "missing: --out")]
)
def test_what_is_missing_is_named(words: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", *words])
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", "no-such-file"]) == 1
    assert capsys.readouterr().err.endswith("--config no-such-file cannot be read: No such file or directory\n")


def test_a_shake_needs_no_further_option(tmp_path: Path) -> None:
    values = merged("shake://0.0.0.0/AM_R0E05", "--out", str(tmp_path))
    assert (values["resume"], values["stall_after_s"]) == (True, 60.0)
    values = merged("shake://0.0.0.0/AM_R0E05", "--out", str(tmp_path), "--force", "--stall-after", "5")
    assert (values["resume"], values["stall_after_s"]) == (False, 5.0)
    assert merged("day.mseed", "--out", "kept")["resume"] is False
