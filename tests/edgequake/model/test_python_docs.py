"""docs/python.md and the notebooks: every block and every cell runs, and finds what it is meant to find."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgequake.model.classified_events import EventList

NOTEBOOKS = ("moon", "my-network", "my-shake")


def run_blocks(blocks: list[str], where: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, where, "exec"), names)
    return names


def cells(root: Path, name: str) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads((root / "docs/notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return notebook


def run_notebook(root: Path, name: str) -> dict[str, Any]:
    sources = ["".join(cell["source"]) for cell in cells(root, name)["cells"] if cell["cell_type"] == "code"]
    return run_blocks(sources, f"{name}.ipynb")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of its own, without a display."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")


def test_every_block_of_the_page_runs(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (root / "docs/python.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    names = run_blocks(blocks, "docs/python.md")
    said = capsys.readouterr().out
    assert len(names["events"]) == 2 == len(names["catalog"]) and (tmp_path / "events.xml").is_file()
    assert re.findall(r"^(onset|final) (\d)", said, re.MULTILINE) == [
        ("onset", "0"), ("final", "0"), ("onset", "1"), ("final", "1")
    ]  # fmt: skip
    assert "no channel matches HH?" in said.splitlines()[-1]


@pytest.mark.slow
def test_the_lunar_day(root: Path, tmp_path: Path) -> None:
    names = run_notebook(root, "moon")
    record, events = names["record"], names["events"]
    assert len(events) == len(record.onsets_ns) == 2
    for event, onset_ns in zip(events, record.onsets_ns, strict=True):
        assert abs(event.onset_ns - onset_ns) < 120e9 and event.kept_start_ns < onset_ns < event.kept_stop_ns
    assert (tmp_path / "moonquakes.xml").is_file()
    names["plt"].close(names["figure"])


def test_my_shake(root: Path) -> None:
    names = run_notebook(root, "my-shake")
    assert len(names["events"]) == len(names["signal"].onsets_ns) == 2
    told = [(notice.phase, notice.number) for notice in names["notices"]]
    assert told == [("onset", 0), ("final", 0), ("onset", 1), ("final", 1)]
    finals = [notice.onset_ns for notice in names["notices"] if notice.phase == "final"]
    assert finals == [event.onset_ns for event in names["events"]]


@pytest.mark.slow
@pytest.mark.usefixtures("worker_here")
def test_my_network(root: Path, tmp_path: Path) -> None:
    names = run_notebook(root, "my-network")
    losses = names["history"].history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert (tmp_path / "converted" / "mine.int8.tflite").is_file()
    assert isinstance(names["events"], EventList) and len(names["events"]) >= 1
    assert names["model"].variant == "int8" and names["events"][0].station_id == "AM_R0E05"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_results_and_its_links_lead_somewhere(name: str, root: Path) -> None:
    notebook = cells(root, name)
    assert (notebook["nbformat"], notebook["metadata"]["kernelspec"]["language"]) == (4, "python")
    folder = root / "docs/notebooks"
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("code", "markdown") and cell["id"]
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
        for target in re.findall(r"\]\(([^)#]+)\)", "".join(cell["source"])):
            assert (folder / target).exists(), target


def test_the_page_names_every_notebook_and_its_links_lead_somewhere(root: Path) -> None:
    text = (root / "docs/python.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert {f"notebooks/{name}.ipynb" for name in NOTEBOOKS} <= set(targets)
    assert all((root / "docs" / target).exists() for target in targets)
    assert "docs/python.md" in (root / "README.md").read_text(encoding="utf-8")
