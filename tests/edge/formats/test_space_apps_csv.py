"""Packet CSVs against the csv module and the samples that were written: spellings, rounded times, and refusals."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.errors import DataError
from edgequake.edge.formats.space_apps_csv import packet_span, read_packet_csv
from edgequake.edge.formats.waveforms import merge_contiguous, parse_time

NAME = "xa.s12.00.mhz.1970-01-19HR00_evid00002.csv"
ABS, REL, VEL = "time_abs(%Y-%m-%dT%H:%M:%S.%f)", "time_rel(sec)", "velocity(m/s)"
START = datetime(1970, 1, 19, 0, 0, 0, 665000)
START_NS = parse_time("1970-01-19T00:00:00.665000")


def table(
    n_rows: int = 20_000, rate_hz: float = 6.625, decimals: int | None = None, first_s: float = 0.0
) -> list[dict[str, str]]:
    rows = []
    for i in range(n_rows):
        seconds = first_s + i / rate_hz
        moment = START + timedelta(seconds=i / rate_hz)
        text = repr(seconds) if decimals is None else f"{seconds:.{decimals}f}"
        rows.append(
            {"abs": moment.isoformat(timespec="microseconds"), "rel": text, "vel": f"{(i * 7919) % 1000 - 500}e-10"}
        )
    return rows


def text_of(header: Sequence[str], keys: Sequence[str], rows: list[dict[str, str]], eol: str = "\n") -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator=eol)
    writer.writerow(header)
    writer.writerows([row.get(key, "x") for key in keys] for row in rows)
    return buffer.getvalue()


def require_read(path: Path, rows: list[dict[str, str]], rate_hz: float, relative: float = 1e-12) -> None:
    (trace,) = merge_contiguous(read_packet_csv(path))
    np.testing.assert_array_equal(trace.samples, [float(row["vel"]) for row in rows])
    assert trace.start_ns == START_NS and trace.source_id == "FDSN:XA_S12_00_M_H_Z"
    assert trace.sampling_rate_hz == pytest.approx(rate_hz, rel=relative)
    source_id, start_ns, stop_ns, span_rate_hz = packet_span(path)
    assert (source_id, start_ns, span_rate_hz) == (trace.source_id, START_NS, trace.sampling_rate_hz)
    assert abs(stop_ns - trace.stop_ns) * rate_hz < 1.1e9 + 1e9 * rate_hz * (relative > 1e-6)


@pytest.mark.parametrize(
    ("header", "keys"),
    [
        ((ABS, REL, VEL), ("abs", "rel", "vel")),
        (("time(%Y-%m-%dT%H:%M:%S.%f)", "rel_time(sec)", "velocity(c/s)"), ("abs", "rel", "vel")),
        ((VEL, REL, ABS), ("vel", "rel", "abs")),
        (("", ABS, REL, VEL), ("", "abs", "rel", "vel")),
        ((ABS, REL, VEL, "filtered"), ("abs", "rel", "vel", "")),
        ((" Time_Abs ", "Time_Rel(sec)", "Velocity"), ("abs", "rel", "vel")),
        ((ABS, "time(sec)", "counts"), ("abs", "rel", "vel")),
        ((ABS, VEL), ("abs", "vel")),
    ],
)
def test_columns_are_found_by_their_names(header: tuple[str, ...], keys: tuple[str, ...], tmp_path: Path) -> None:
    rows = table(9000)
    (tmp_path / NAME).write_text(text_of(header, keys, rows))
    require_read(tmp_path / NAME, rows, 6.625, 1e-12 if "rel" in keys else 1e-6)


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("tail", ["", "\n\n", "\r\n , ,\r\n"])
def test_line_ends_marks_and_blank_lines(eol: str, bom: str, tail: str, tmp_path: Path) -> None:
    rows = table(200)
    quoted = text_of((ABS, REL, VEL), ("abs", "rel", "vel"), rows, eol).replace(rows[3]["rel"], f'"{rows[3]["rel"]}"')
    (tmp_path / NAME).write_bytes((bom + quoted + tail).encode())
    require_read(tmp_path / NAME, rows, 6.625)


@pytest.mark.parametrize(
    ("rate_hz", "decimals", "relative"),
    [(6.625, 3, 1e-9), (6.625, 2, 1e-9), (6.625, 1, 1e-5), (20.0, 2, 1e-9), (20.0, 1, 1e-9), (20.0, 0, 1e-9),
     (53.0, 2, 1e-9), (6.6248, 2, 1e-6)],
)  # fmt: skip
def test_rounded_seconds_give_the_rate_and_no_gaps(
    rate_hz: float, decimals: int, relative: float, tmp_path: Path
) -> None:
    rows = table(20_000, rate_hz, decimals)
    (tmp_path / NAME).write_text(text_of((ABS, REL, VEL), ("abs", "rel", "vel"), rows))
    (trace,) = merge_contiguous(read_packet_csv(tmp_path / NAME))
    assert len(trace.samples) == 20_000 and trace.sampling_rate_hz == pytest.approx(rate_hz, rel=relative)
    np.testing.assert_array_equal(trace.samples, [float(row["vel"]) for row in rows])


@pytest.mark.parametrize("decimals", [None, 2])
def test_a_gap_stays_a_gap(decimals: int | None, tmp_path: Path) -> None:
    rows = table(20_000, decimals=decimals)
    (tmp_path / NAME).write_text(text_of((ABS, REL, VEL), ("abs", "rel", "vel"), rows[:12_000] + rows[12_010:]))
    before, after = merge_contiguous(read_packet_csv(tmp_path / NAME))
    assert (len(before.samples), len(after.samples)) == (12_000, 7990) and before.sampling_rate_hz == 6.625
    assert abs(after.start_ns - START_NS - round(12_010 / 6.625 * 1e9)) <= (1000 if decimals is None else 5_000_001)


def test_seconds_from_midnight_do_not_move_the_record(tmp_path: Path) -> None:
    rows = table(500, first_s=40_000.0)
    (tmp_path / NAME).write_text(text_of((ABS, REL, VEL), ("abs", "rel", "vel"), rows))
    require_read(tmp_path / NAME, rows, 6.625, 1e-9)


def test_absolute_times_without_a_fraction(tmp_path: Path) -> None:
    rows = [{**row, "abs": row["abs"][:19]} for row in table(500)]
    (tmp_path / NAME).write_text(text_of((ABS, REL, VEL), ("abs", "rel", "vel"), rows))
    (trace,) = read_packet_csv(tmp_path / NAME)
    assert trace.sampling_rate_hz == 6.625 and trace.start_ns == START_NS - 665_000_000


def test_an_empty_cell_is_a_missing_sample(tmp_path: Path) -> None:
    rows = table(50)
    rows[7]["vel"] = ""
    (tmp_path / NAME).write_text(text_of((ABS, REL, VEL), ("abs", "rel", "vel"), rows))
    (trace,) = read_packet_csv(tmp_path / NAME)
    assert np.flatnonzero(np.isnan(trace.samples)).tolist() == [7]


@pytest.mark.parametrize(
    ("name", "source_id"),
    [
        ("XB.ELYSE.02.BHV.2022-01-02HR04_evid0006.csv", "FDSN:XB_ELYSE_02_B_H_V"),
        ("xb.elyse..bhv.csv", "FDSN:XB_ELYSE__B_H_V"),
        ("xb.elyse.--.bhv.csv", "FDSN:XB_ELYSE__B_H_V"),
    ],
)
def test_the_name_gives_the_codes(name: str, source_id: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text_of((ABS, REL, VEL), ("abs", "rel", "vel"), table(50)))
    assert packet_span(tmp_path / name)[0] == source_id


ROWS = text_of((ABS, REL, VEL), ("abs", "rel", "vel"), table(50))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ROWS.partition("\n")[2], "its first line is data, not the names of the columns; expected the columns"),
        (ROWS.replace(",", ";"), "separated by semicolons or tabs; expected commas"),
        (ROWS.replace("0.1509", "0,1509"), "row 3: 4 cells, expected 3 as in the first line"),
        (ROWS.replace(repr(1 / 6.625), '"0,15"'), "row 3: expected a number in the column time_rel(sec), got '0,15'"),
        (ROWS.replace(ABS, "when"), "expected the columns time_abs, time_rel(sec), velocity, got when"),
        (ROWS.replace(VEL, ""), "expected the columns time_abs"),
        (text_of((ABS, REL, "a", "b"), ("abs", "rel", "vel", "vel"), table(9)), "expected the columns time_abs"),
        (ROWS.replace("-500e-10", "loud"), "row 2: expected a number in the column velocity(m/s), got 'loud'"),
        (ROWS[:-12], "row 51: 2 cells, expected 3"),
    ],
)  # fmt: skip
def test_another_table_is_refused_for_the_right_reason(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DataError) as caught:
        list(read_packet_csv(tmp_path / NAME))
    assert reason in str(caught.value) and NAME in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["header", "time", "velocity", "row", pytest.param("commas", marks=pytest.mark.long)])
def test_a_cell_of_megabytes_is_refused_in_bounded_memory_and_one_short_line(where: str, tmp_path: Path) -> None:
    huge = {"commas": ","}.get(where, "9") * 30_000_000
    lines = ROWS.splitlines(keepends=True)
    old = {"header": VEL, "time": repr(1 / 6.625), "velocity": "-500e-10"}.get(where)
    text = ROWS.replace(old, huge, 1) if old else "".join([*lines[:9], huge, *lines[9:]])
    (tmp_path / NAME).write_text(text)
    del text, huge
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            list(read_packet_csv(tmp_path / NAME))
        assert tracemalloc.get_traced_memory()[1] < 16e6  # of 30 MB
    finally:
        tracemalloc.stop()
    assert NAME in str(caught.value) and len(str(caught.value)) < 1000


def test_utf_16_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(ROWS, encoding="utf-16")
    with pytest.raises(DataError, match="cannot be read as a packet CSV"):
        list(read_packet_csv(tmp_path / NAME))
