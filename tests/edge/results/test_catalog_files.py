"""The catalogue's files: whatever is torn, rotten, gone or of another program, a run starts and says what it lost."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.formats.miniseed import encode
from edgequake.edge.formats.waveforms import NS_PER_S, Trace
from edgequake.edge.results.catalog import COLUMNS, CatalogRow, Segment, read_catalog
from edgequake.edge.results.catalog_files import CHECKED_BYTES, Block, CatalogFiles, read_blocks
from edgequake.edge.results.catalog_repair import repair
from edgequake.edge.results.ledger import Ledger, UniqueNames, event_id

HOUR_NS = 3600 * NS_PER_S


def segment_of(i: int, station_id: str = "XX_LUN") -> tuple[Segment, tuple[CatalogRow, ...]]:
    """Return a segment of one hour's first minute, with one event, or two where `i` is odd."""
    start_ns = i * HOUR_NS
    name = f"segments/{event_id(station_id, start_ns)}.mseed"
    rows = tuple(
        CatalogRow(
            filename=f"day, {i}", onset_ns=onset_ns, time_rel_s=1.5, evid=event_id(station_id, onset_ns), mq_type="",
            station_id=station_id, channels=("MH1", "MHZ"), stop_ns=onset_ns + NS_PER_S, peak_probability=0.75,
            priority=0.5, segment=name, n_samples=60, size_bytes=512, onset_uncertainty_s=None,
        )
        for onset_ns in (start_ns + k * 20 * NS_PER_S for k in range(1, 2 + i % 2))
    )  # fmt: skip
    return Segment(name, station_id, start_ns, start_ns + 60 * NS_PER_S, 60, 512), rows


def append(files: CatalogFiles, segments: list[tuple[Segment, tuple[CatalogRow, ...]]]) -> list[int]:
    offsets = files.append(segments)
    files.complete()
    return offsets


def write_all(out: Path, n_segments: int) -> CatalogFiles:
    files = opened(out)
    for i in range(n_segments):
        append(files, [segment_of(i)])
    return files


def opened(out: Path) -> CatalogFiles:
    out.mkdir(parents=True, exist_ok=True)
    files = CatalogFiles(out)
    assert files.open()
    return files


def evids(out: Path) -> list[str]:
    with (out / "catalog.csv").open(newline="") as file:
        return [row["evid"] for row in csv.DictReader(file)]


def all_evids(n_segments: int) -> list[str]:
    return [row.evid for i in range(n_segments) for row in segment_of(i)[1]]


def test_rows_are_appended_and_earlier_bytes_never_change(tmp_path: Path) -> None:
    files, before = opened(tmp_path), b""
    for i in range(5):
        (offset,) = append(files, [segment_of(i)])
        block = files.block(offset)
        assert block is not None and (block.segment(block.rows), block.rows) == segment_of(i)
        data = (tmp_path / "catalog.csv").read_bytes()
        assert data.startswith(before) and len(data) > len(before)
        before = data
    assert evids(tmp_path) == all_evids(5)
    assert (tmp_path / "catalog.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert opened(tmp_path).count_rows() == len(all_evids(5))


@pytest.mark.parametrize("n_lost", [1, 40, 300, 900])
def test_rows_that_a_power_loss_took_from_the_end_are_restored(n_lost: int, tmp_path: Path) -> None:
    write_all(tmp_path, 6)
    whole = (tmp_path / "catalog.csv").read_bytes()
    (tmp_path / "catalog.csv").write_bytes(whole[:-n_lost])
    files = opened(tmp_path)
    assert (tmp_path / "catalog.csv").read_bytes() == whole and files.n_restored > 0
    (tmp_path / "catalog.csv").write_bytes(whole[:-n_lost] + bytes(n_lost))  # its length was durable, its data not
    assert opened(tmp_path).n_restored > 0 and (tmp_path / "catalog.csv").read_bytes() == whole


@pytest.mark.parametrize("n_left", [0, 1, 9, 60])
def test_a_torn_last_line_of_the_check_file_is_cut_off(n_left: int, tmp_path: Path) -> None:
    write_all(tmp_path, 3)
    size_bytes, catalog = (tmp_path / "catalog.check").stat().st_size, (tmp_path / "catalog.csv").read_bytes()
    append(opened(tmp_path), [segment_of(3)])
    whole = (tmp_path / "catalog.check").read_bytes()
    (tmp_path / "catalog.check").write_bytes(whole[: size_bytes + n_left])
    (tmp_path / "catalog.csv").write_bytes(catalog)  # rows follow their line
    files = opened(tmp_path)
    append(files, [segment_of(3)])
    assert (tmp_path / "catalog.check").read_bytes() == whole and evids(tmp_path) == all_evids(4)


def damage_middle(data: bytes) -> bytes:
    return data[:300] + b"\xff" + data[301:]


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "one byte": damage_middle,
    "header": lambda data: b"F" + data[1:],
    "half": lambda data: data[: len(data) // 2],
    "a hole": lambda data: data[:400] + data[700:],
    "empty": lambda data: b"",
    "gone": lambda data: None,
    "zeros": lambda data: bytes(len(data)),
    "another file": lambda data: b"PK\x03\x04" * 1000,
    "from the future": lambda data: data.replace(b"evid,", b"event,"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["catalog.csv", "catalog.check"])
def test_either_file_is_restored_from_the_other(name: str, damage: str, tmp_path: Path) -> None:
    write_all(tmp_path, 8)
    whole = (tmp_path / "catalog.csv").read_bytes()
    data = DAMAGES[damage]((tmp_path / name).read_bytes())
    if data is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(data)
    files = CatalogFiles(tmp_path)
    if not files.open():
        repair(files, lambda station_id: 5.0)
    assert (tmp_path / "catalog.csv").read_bytes() == whole
    append(files, [segment_of(8)])
    assert evids(tmp_path) == all_evids(9) and opened(tmp_path).n_restored == 0
    assert all(block is not None for _, block in read_blocks(tmp_path / "catalog.check"))


def test_rows_are_written_from_segments_where_both_files_are_gone(tmp_path: Path) -> None:
    write_all(tmp_path, 3)
    (tmp_path / "segments").mkdir()
    for i in range(3):
        segment, _ = segment_of(i)
        traces = [Trace(f"FDSN:XX_LUN_00_M_H_{c}", segment.start_ns, 1.0, np.arange(60, dtype=np.int32)) for c in "1Z"]
        (tmp_path / segment.file).write_bytes(encode(traces))
    (tmp_path / "segments" / "torn.mseed").write_bytes(b"\0" * 100)
    for name in ("catalog.csv", "catalog.check"):
        (tmp_path / name).write_bytes(b"\xff" * 500)
    files = CatalogFiles(tmp_path)
    assert not files.open()
    said = repair(files, lambda station_id: 20.0)
    assert "3 row(s) were written from segments" in said
    found = read_catalog(tmp_path / "catalog.csv")
    assert [row.segment for row in found] == [segment_of(i)[0].file for i in range(3)]
    assert [row.onset_ns for row in found] == [i * HOUR_NS + 20 * NS_PER_S for i in range(3)]
    assert {(row.station_id, row.channels, row.n_samples, row.peak_probability) for row in found} == {
        ("XX_LUN", ("MH1", "MHZ"), 120, 0.0)
    }


def test_rows_of_others_at_the_end_are_kept_and_a_torn_one_is_cut(tmp_path: Path) -> None:
    """A catalogue that was restored from a copy without its check file, or continued by another program."""
    write_all(tmp_path / "whole", 6)
    write_all(tmp_path / "out", 4)
    shutil.copy(tmp_path / "whole" / "catalog.csv", tmp_path / "out" / "catalog.csv")
    with (tmp_path / "out" / "catalog.csv").open("ab") as file:
        file.write(b"day,1970-01-01T0")
    files = CatalogFiles(tmp_path / "out")
    assert not files.open() and repair(files, None) == ""
    append(files, [segment_of(6)])
    assert evids(tmp_path / "out") == all_evids(7) and opened(tmp_path / "out").n_restored == 0


def test_a_start_reads_the_ends_of_the_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = opened(tmp_path)
    n = 4 * CHECKED_BYTES // 400
    append(files, [segment_of(2 * i) for i in range(n)])
    n_lines = 0

    def counted(path: Path, offset: int = 0, read: Callable[..., object] = read_blocks) -> object:
        nonlocal n_lines
        for found in read(path, offset):  # type: ignore[attr-defined]
            n_lines += 1
            yield found

    monkeypatch.setattr("edgequake.edge.results.catalog_files.read_blocks", counted)
    again = opened(tmp_path)
    assert 0 < n_lines < n / 2
    n_lines = 0
    ledger = Ledger(again)
    ledger.restore({**Ledger(again).state(), "n_rows": n}, comes_again=False)
    assert n_lines == 0 and ledger.n_rows == n


def test_a_start_without_a_checkpoint_parses_no_line_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(opened(tmp_path), [segment_of(2 * i) for i in range(1200)])
    parsed: list[int] = []
    parse = Block.parse

    def counted(line: bytes, offset: int) -> Block | None:
        parsed.append(offset)
        return parse(line, offset)

    monkeypatch.setattr(Block, "parse", counted)
    files = opened(tmp_path)
    ledger = Ledger(files)
    ledger.restore(None, comes_again=False)
    pending, others = ledger.pending(), ledger.last_entries()
    assert len(pending) == 1000 and len(others) == 200
    assert [entry.segment.file for entry in [*others, *pending]] == [segment_of(2 * i)[0].file for i in range(1200)]
    assert others[-1] == ledger.entry(others[-1].offset or 0)
    assert len(parsed) == len(set(parsed)) == 1200
    files.start_is_over()
    assert ledger.entry(others[-1].offset or 0) == others[-1] and len(parsed) == 1201


def test_names_are_unique_whatever_the_clock_does() -> None:
    names, rng = UniqueNames(), np.random.default_rng(5)
    given: list[str] = []
    time_ms = 0
    for _ in range(5000):
        time_ms = time_ms + int(rng.integers(-3, 6)) if rng.random() < 0.95 else int(rng.integers(0, 4000))
        if rng.random() < 0.3:
            restored = UniqueNames()
            restored.restore(names.state())
            names = restored
        given.append(names.assign("XX_LUN", time_ms * 1_000_000)[0])
    assert len(set(given)) == len(given)
    newest = names.state()["newest"]["xx_lun"]
    assert newest == sorted(newest) and len(newest) < 1000


def test_increasing_times_need_no_number_and_one_memory() -> None:
    names = UniqueNames()
    for i in range(1000):
        name, plain = names.assign("XX_LUN", i * 1_000_000)
        assert (name, plain) == (event_id("XX_LUN", i * 1_000_000), None)
    assert names.state() == {"newest": {"xx_lun": [-999]}, "n_beyond": 0}


def test_more_series_than_are_remembered_still_have_names_of_their_own() -> None:
    names = UniqueNames()
    given = [names.assign("XX_LUN", 7)[0] for _ in range(1500)]
    assert len(set(given)) == 1500 and len(names.state()["newest"]["xx_lun"]) == 1000
