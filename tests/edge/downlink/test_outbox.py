"""The outbox: files get their names whatever fails; `acknowledge` deletes what the radio has sent."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from edgequake.edge.__main__ import main
from edgequake.edge.downlink.journal import Pass
from edgequake.edge.downlink.outbox import Outbox, outbox_files, pass_files
from edgequake.edge.formats.waveforms import NS_PER_S

Ground = Any  # of conftest.py


@pytest.fixture
def full(ground: Ground) -> Ground:
    """Return a run folder with four passes in its outbox: one of two files, three of one."""
    ground.find(0.1)
    for hour in (5, 6, 7, 8):
        ground.pass_at(hour)
    return ground


def names(ground: Ground) -> list[str]:
    return list(ground.files())


ALL = ["00000001.csv", "00000001.mseed", "00000002.mseed", "00000003.mseed", "00000004.mseed"]


@pytest.mark.parametrize(
    ("arguments", "left", "said"),
    [
        (["1"], ALL[2:], "2 file(s), {} bytes deleted from the outbox; 3 left"),
        (["3", "2"], [*ALL[:2], ALL[4]], "2 file(s), {} bytes deleted from the outbox; 3 left"),
        (["--up-to", "2"], ALL[3:], "3 file(s), {} bytes deleted from the outbox; 2 left"),
        (["--all"], [], "5 file(s), {} bytes deleted from the outbox; 0 left"),
    ],
)
def test_files_are_deleted(
    arguments: list[str], left: list[str], said: str, full: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    before = full.files()
    assert names(full) == ALL
    assert main(["acknowledge", str(full.out), *arguments]) == 0
    assert names(full) == left
    n_bytes = sum(len(data) for name, data in before.items() if name not in left)
    assert capsys.readouterr().err.strip() == f"edgequake-edge: {said.format(n_bytes)}"


def test_an_unknown_number_is_refused_and_nothing_is_deleted(full: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["acknowledge", str(full.out), "2", "9"]) == 1
    said = capsys.readouterr().err
    assert said == f"edgequake-edge: error: the outbox of {full.out} does not contain 9; it contains 1 to 4\n"
    assert names(full) == ALL


def test_a_folder_without_an_outbox_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["acknowledge", str(tmp_path), "--all"]) == 1
    assert f"{tmp_path} has no outbox; a run with --budget makes one" in capsys.readouterr().err


def test_no_argument_is_a_usage_error(full: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["acknowledge", str(full.out)])
    assert stop.value.code == 2 and names(full) == ALL


def test_deleted_files_are_not_sent_again(full: Ground) -> None:
    sent = full.sent_records()
    main(["acknowledge", str(full.out), "--all"])
    full.open()
    for hour in range(9, 300):
        full.pass_at(hour)
    assert not set(sent) & set(full.sent_records()) and names(full)[0] > ALL[-1]


def test_a_folder_in_the_outbox_does_not_keep_the_files_from_being_deleted(full: Ground) -> None:
    (full.out / "outbox" / "00000007.mseed").mkdir()
    (full.out / "outbox" / "00000008.mseed").symlink_to("00000008.mseed")
    assert main(["acknowledge", str(full.out), "--all"]) == 0
    assert [path.name for path in sorted((full.out / "outbox").glob("0*"))] == ["00000007.mseed"]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_file_that_could_not_be_named_is_named_at_the_next_start(
    is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pass is in the journal: the checkpoint after it tells, or the next start reads the whole journal."""

    def fail(*arguments: object) -> None:
        raise OSError(errno.EDQUOT, "no quota")

    files, contents = pass_files(1, b"report", b"records")
    outbox = Outbox(tmp_path, lambda n_bytes: False)
    assert list(outbox.recover()) == []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        outbox.deliver(Pass(1, 600 * NS_PER_S, 0, tuple(files), ()), contents)
    assert outbox_files(tmp_path) == [] and outbox.hidden == ["00000001.csv", "00000001.mseed"]
    at_byte, hidden = (outbox.journal_bytes(), outbox.hidden) if is_told else (0, [])
    passes = list(Outbox(tmp_path, lambda n_bytes: False).recover(None, at_byte, hidden))
    assert [one.number for one in passes] == ([] if is_told else [1])
    assert [path.read_bytes() for path in outbox_files(tmp_path)] == contents
