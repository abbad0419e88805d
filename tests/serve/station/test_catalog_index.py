"""The index of the catalogue against the catalogue read whole: filters, orders, growth, damage."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from edgequake.edge.base.errors import DataError
from edgequake.edge.results.catalog import HEADER, CatalogRow, catalog_text, read_catalog
from edgequake.serve.station.catalog_index import DOUBTFUL, NEWEST, ORDERS, RANDOM, CatalogIndex, EventFilter

N_ROWS = 2000
START_NS = 1_640_000_000_000_000_000


def make_rows(n: int, seed: int = 1) -> list[CatalogRow]:
    rng = random.Random(seed)
    rows, onset_ns = [], START_NS
    for i in range(n):
        onset_ns += rng.randrange(-20, 200) * 1_000_000_000 + rng.randrange(10**6) * 1000
        station_id = rng.choice(["AM_R1", "XA_S12", 'X"_,q', "=A_1"])
        mq_type, file = rng.choice(["", "deep_mq", "a b"]), rng.choice(["-", "a,b", "x'y"])
        rows.append(
            CatalogRow(
                file, onset_ns, float(i), f"{station_id}_{i}", mq_type,
                station_id, ("EHZ",), onset_ns + 10**10, round(rng.random(), 4), 0.5,
                f"segments/{i}.mseed", 10, 20, None,
            )
        )  # fmt: skip
    return rows


def write(out: Path, rows: list[CatalogRow]) -> Path:
    out.mkdir(exist_ok=True)
    (out / "catalog.csv").write_bytes(HEADER + catalog_text(rows).encode())
    return out


@pytest.fixture(scope="module")
def rows() -> list[CatalogRow]:
    return make_rows(N_ROWS)


@pytest.fixture
def index(rows: list[CatalogRow], tmp_path: Path) -> CatalogIndex:
    made = CatalogIndex(write(tmp_path / "run", rows))
    while not made.is_complete:
        made.refresh(10_000)
    return made


def selected(index: CatalogIndex, wanted: EventFilter, order: str = NEWEST) -> list[int]:
    """Return the numbers of all rows that a filter lets through."""
    n, numbers = index.page(wanted, order, 0, len(index))
    assert n == len(numbers)
    return [int(number) for number in numbers]


FILTERS = (
    EventFilter(),
    EventFilter(station_id="XA_S12"),
    EventFilter(station_id='X"_,q', mq_type=""),
    EventFilter(mq_type="a b", least_peak=0.5),
    EventFilter(start_ns=START_NS + 10**13, stop_ns=START_NS + 5 * 10**13),
    EventFilter(station_id="none"),
)


def fits(row: CatalogRow, wanted: EventFilter) -> bool:
    return (
        wanted.station_id in (None, row.station_id)
        and wanted.mq_type in (None, row.mq_type)
        and (wanted.start_ns is None or row.onset_ns >= wanted.start_ns)
        and (wanted.stop_ns is None or row.onset_ns < wanted.stop_ns)
        and (wanted.least_peak is None or row.peak_probability >= wanted.least_peak)
    )


@pytest.mark.parametrize("wanted", FILTERS)
def test_filters_and_orders(index: CatalogIndex, rows: list[CatalogRow], wanted: EventFilter) -> None:
    expected = [row for row in rows if fits(row, wanted)]
    for order in ORDERS:
        found = index.rows(map(int, selected(index, wanted, order)))
        assert sorted(row.evid for row in found) == sorted(row.evid for row in expected)
        if order == NEWEST:
            assert [row.onset_ns for row in found] == sorted((row.onset_ns for row in expected), reverse=True)
        if order == DOUBTFUL:
            assert [row.peak_probability for row in found] == sorted(row.peak_probability for row in expected)
        n, page = index.page(wanted, order, 30, 7)
        assert n == len(expected) and index.rows(map(int, page)) == found[30:37]


def test_rows_are_those_of_the_catalogue(index: CatalogIndex, tmp_path: Path) -> None:
    assert sorted(index.rows(range(len(index))), key=lambda row: row.evid) == sorted(
        read_catalog(tmp_path / "run" / "catalog.csv"), key=lambda row: row.evid
    )


def test_a_random_order_is_none_of_the_others_and_stays(index: CatalogIndex, rows: list[CatalogRow]) -> None:
    numbers = selected(index, EventFilter(), RANDOM)
    assert 0.2 < (np.diff(numbers) > 0).mean() < 0.8
    before = list(numbers)
    with (index._path).open("ab") as file:
        file.write(catalog_text(make_rows(5, seed=2)).encode())
    index.refresh()
    after = [number for number in selected(index, EventFilter(), RANDOM) if number < len(rows)]
    assert after == before


def test_events_are_found_by_name(index: CatalogIndex, rows: list[CatalogRow]) -> None:
    wanted = [rows[0].evid, rows[-1].evid, "nobody", 'X"_,q_7']
    assert index.find(wanted) == {row.evid: i for i, row in enumerate(rows) if row.evid in wanted}
    assert index.number_of(rows[5].evid) == 5 and index.number_of("nobody") is None


def test_states_filter_and_stay_as_rows_come(index: CatalogIndex, rows: list[CatalogRow]) -> None:
    index.set_state([3, 5], 1)
    with (index._path).open("ab") as file:
        file.write(catalog_text(make_rows(5, seed=2)).encode())
    assert index.refresh() == 5
    assert sorted(selected(index, EventFilter(state=1))) == [3, 5]
    assert len(selected(index, EventFilter(state=0))) == N_ROWS + 5 - 2


def test_neighbours(index: CatalogIndex) -> None:
    wanted = EventFilter(state=0)
    listed = [int(number) for number in selected(index, wanted, DOUBTFUL)]
    assert index.around(listed[0], wanted, DOUBTFUL) == (None, listed[1], 1, N_ROWS)
    index.set_state([listed[7]], 1)  # just reviewed
    assert index.around(listed[7], wanted, DOUBTFUL) == (listed[6], listed[8], 8, N_ROWS - 1)


def test_a_row_that_is_being_written_is_left_for_later(rows: list[CatalogRow], tmp_path: Path) -> None:
    text = catalog_text(rows[:3]).encode()
    out = write(tmp_path / "run", rows[:2])
    path = out / "catalog.csv"
    path.write_bytes(HEADER + text[:-10])
    index = CatalogIndex(out)
    assert index.refresh() == 2
    path.write_bytes(HEADER + text)
    assert index.refresh() == 1 and index.row(2).evid == rows[2].evid


def test_another_catalogue_in_its_place_is_read_anew(index: CatalogIndex, tmp_path: Path) -> None:
    generation = index.generation
    other = write(tmp_path / "other", make_rows(10, seed=3)) / "catalog.csv"
    other.replace(tmp_path / "run" / "catalog.csv")
    index.refresh()
    assert len(index) == 10 and index.generation > generation and len(selected(index, EventFilter())) == 10


def test_damaged_rows_are_counted_and_left_out(rows: list[CatalogRow], tmp_path: Path) -> None:
    out = write(tmp_path / "run", rows[:3])
    lines = (out / "catalog.csv").read_bytes().split(b"\n")
    lines[2:2] = [b"\xff\xfe\x00", b"a,b,c", b"," * 13]
    (out / "catalog.csv").write_bytes(b"\n".join(lines))
    index = CatalogIndex(out)
    index.refresh()
    assert (len(index), index.n_unreadable) == (3, 3)
    assert [row.evid for row in index.rows(range(3))] == [row.evid for row in rows[:3]]


def test_no_catalogue_and_one_of_others(tmp_path: Path) -> None:
    index = CatalogIndex(tmp_path)
    assert index.refresh() == 0 and index.is_complete
    (tmp_path / "catalog.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no edgequake catalogue"):
        index.refresh()
    with pytest.raises(DataError):
        index.row(0)
