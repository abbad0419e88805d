"""docs/runner.md is right about the library and the options."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.run_options import RunOptions
from edgequake.synthetic import synthetic_dataset


def test_the_example_finds_the_quake(
    root: Path, quake: synthetic_dataset.SyntheticRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "runner.md").read_text(), re.DOTALL)
    samples = quake.samples[2]
    blocks = [(quake.sample_time_ns(i), samples[i : i + 1000]) for i in range(0, len(samples), 1000)]
    exec(compile(example, "docs/runner.md", "exec"), {"blocks": blocks})
    first, *_, last = capsys.readouterr().out.strip().splitlines()
    onset_ns, stop_ns, peak = first.split()
    assert abs(int(onset_ns) - quake.onsets_ns[0]) < 300 * 10**9 < int(stop_ns) - int(onset_ns) + 3 * 10**11
    assert 0.5 < float(peak) <= 1.0 and last.startswith("[")
    assert np.issubdtype(samples.dtype, np.integer)


def test_every_option_is_explained(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    text = "".join((root / name).read_text() for name in ("docs/commands.md", "docs/runner.md"))
    undocumented = {option for option in options if option not in text}
    assert undocumented <= {
        "--force",
        "--start",
        "--stop",
        "--variant",
        "--threshold",
        "--channels",
        "--json",
        "--sensitivity",
    }


def option_rows() -> list[str]:
    """Return the rows of the table of keys, from the declared options."""
    parser = argparse.ArgumentParser()
    declared = RunOptions(parser)
    by_name = {(one.option_strings or [one.dest])[0].removeprefix("--"): one for one in parser._actions}
    rows = []
    for name in declared.names:
        one = by_name[name]
        kind = "true or false" if one.nargs == 0 else "number" if one.type in (int, float) else "text"
        kind = {"SECONDS": "seconds", "HOURS": "hours"}.get(str(one.metavar), kind)
        kind = "text, or a list of texts" if name in ("inputs", "channels", "station") else kind
        rows.append(f"| `{name}` | {kind} | {one.help} |")
    return rows


def test_the_table_of_keys_is_that_of_the_options(root: Path) -> None:
    text = (root / "docs" / "runner.md").read_text()
    section = text.split("## Configuration file")[1].split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == option_rows(), "\n".join(option_rows())


def test_the_service_uses_options_that_exist(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unit = (root / "docs" / "edgequake-edge.service").read_text()
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"--[a-z-]+", unit.split("[Service]")[1].split("ExecReload")[0])) <= known
