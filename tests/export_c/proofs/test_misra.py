"""cppcheck's MISRA addon reports no rule that docs/c99-misra.md does not list with a reason. In `make c99` only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ..exports import IS_LONG, MODELS
from .misra import by_rule, has_addon, listed, reports

STYLE = {"variableScope"}  # what else cppcheck may report


def test_the_page_lists_rules_with_files_and_reasons(root: Path) -> None:
    page = (root / "docs" / "c99-misra.md").read_text(encoding="utf-8")
    rules = listed(page)
    assert rules["15.5"] >= {"detector.c", "clock.c"}
    assert rules["20.5"] == {"unprefix.h"}
    rows = [line for line in page.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == len(rules)
    for row in rows:
        rule, category, total, files, reason = (cell.strip() for cell in row.strip("|").split("|"))
        assert category in ("required", "advisory"), rule
        assert int(total) == sum(int(part.split()[1]) for part in files.split(", ")), rule
        assert reason.endswith("."), rule


@pytest.mark.slow
@pytest.mark.skipif(not IS_LONG, reason="ten seconds a model: make c99")
def test_the_tool_reports_no_other_rule(root: Path, tmp_path: Path) -> None:
    if shutil.which("cppcheck") is None or not has_addon(tmp_path):
        assert not os.environ.get("EDGEQUAKE_REQUIRE_C"), (
            "no cppcheck with its MISRA addon, and EDGEQUAKE_REQUIRE_C is set"
        )
        pytest.skip("no cppcheck with its MISRA addon: apt-get install cppcheck")
    found = set().union(*(reports(name, tmp_path / name) for name in MODELS))
    rules = listed((root / "docs" / "c99-misra.md").read_text(encoding="utf-8"))
    counts = by_rule(found)
    unlisted = {rule: set(files) - rules.get(rule, set()) for rule, files in counts.items()}
    assert {rule: files for rule, files in unlisted.items() if files} == {}
    assert set(rules) == set(counts)  # nor does the page keep what was mended
    assert {name for name, _, _ in found if not name.startswith("misra-")} <= STYLE
