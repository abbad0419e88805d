"""Which files of a folder are read: those on other disks too, none twice, and what cannot be looked at is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgequake.edge.base.folder_listing import files_in


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return an archive with a year on another disk, a link that leads back, hidden files and a hidden copy of all."""
    root, disk = tmp_path / "archive", tmp_path / "disk"
    for path in (root / "2020" / "b", root / "2020" / "a", root / ".snapshot" / "a", root / ".hidden", disk / "c"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (root / "2021").symlink_to(disk)
    (root / "2020" / "all").symlink_to(root)
    (root / "2020" / "gone").symlink_to(tmp_path / "nowhere")
    return root


def names(root: Path, out: Path | None = None) -> list[str]:
    return [path.relative_to(root).as_posix() for path in files_in(root, out)]


def test_links_are_followed_and_each_file_is_there_once(archive: Path) -> None:
    assert names(archive) == ["2020/a", "2020/b", "2021/c"]


def test_what_a_run_writes_is_left_out(archive: Path) -> None:
    assert names(archive, archive / "2020") == ["2021/c"]
    assert names(archive, archive / "2021") == ["2020/a", "2020/b"]  # on the other disk
    assert names(archive, archive) == []


def test_a_folder_that_cannot_be_listed_is_told(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refused(path: Any) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("2021"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    problems: list[OSError] = []
    assert [path.name for path in files_in(archive, None, problems.append)] == ["a", "b"]
    assert [problem.filename for problem in problems] == [str(archive / "2021")]
