"""docs/downlink.md agrees with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.downlink import send_queue
from edgequake.edge.downlink.send_queue import SendLevel
from edgequake.edge.results import priority
from edgequake.edge.results.priority import EventFacts

Ground = Any  # of conftest.py


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "downlink.md").read_text(encoding="utf-8")


def test_the_example_ranks_impacts_first(text: str) -> None:
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(example, "docs/downlink.md", "exec"), names)
    facts = [EventFacts("XX_LUN", 0, 60.0, 3300.0, 0.9, 4.0, kind, None) for kind in ("impact_mq", "deep_mq")]
    impact, deep = map(names["impacts_first"], facts)
    assert impact == 2 * priority.priority(facts[0]) > deep == priority.priority(facts[1])


def test_the_formula_is_that_of_the_code(text: str) -> None:
    (formula,) = re.findall(r"priority = peak \* class \* .*", text)
    assert formula in (priority.__doc__ or "")
    for kind, weight in priority.CLASS_WEIGHTS.items():
        assert f"{weight:g} {kind or 'without a class'}" in text


def test_weights_and_levels_are_those_of_the_code(text: str) -> None:
    assert send_queue.CODA_WEIGHT == 1 / 8 and "window / (window + t) / 8" in text
    assert send_queue.PRE_ROLL_WEIGHT == 1 / 512 and "| 1/512 |" in text
    assert send_queue.LEAD_SHARE == 1 / 6 and "onset - window / 6" in text
    levels = re.findall(r"^\| (\d) \| (.*?) \|", text, re.MULTILINE)
    words = {
        SendLevel.REQUEST: "requested",
        SendLevel.EVENT_REPORT: "event reports",
        SendLevel.RECORD: "records",
        SendLevel.SSAM: "SSAM channels",
    }
    for (_, said), level in zip(levels, sorted(SendLevel, reverse=True), strict=True):
        assert words[level] in said


def test_the_journals_fields_are_named(text: str, ground: Ground) -> None:
    ground.find(0.1)
    ground.pass_at(5)
    (line,) = (ground.out / "downlink.log").read_text().splitlines()
    for name in json.loads(line):
        assert f"`{name}`" in text
    assert "`again`" in text


@pytest.mark.parametrize("command", ["run", "status", "request", "acknowledge"])
def test_options_in_its_synopsis_exist(command: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    lines = [line for line in text.splitlines() if line.startswith(f"    edgequake-edge {command} ")]
    assert lines and {option for line in lines for option in re.findall(r"--[a-z-]+", line)} <= known


def test_every_field_of_the_status_is_explained(text: str, root: Path) -> None:
    code = (root / "edge" / "operation" / "status.py").read_text()
    fields = set(re.findall(r'^        "([a-z0-9_]+)":', code.split("def read_status")[0], re.MULTILINE))
    assert len(fields) > 10
    unexplained = {name for name in fields if f"`{name}`" not in text}
    assert unexplained <= {"state", "written_at", "heard_at", "stall_after_s", "checkpoint_every_s", "samples_in",
                           "peak_memory_bytes"}  # fmt: skip
