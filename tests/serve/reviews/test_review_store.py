"""Reviews: the state of an event, undo, two reviewers at once, torn lines, and what is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgequake.edge.base.errors import ConfigError, DataError
from edgequake.edge.formats.waveforms import parse_time
from edgequake.serve.reviews.review_log import ACCEPT, CLASS, MOST_EVENTS, NOTE, ONSET, REJECT, UNDO
from edgequake.serve.reviews.review_store import ReviewStore

ONE, TWO = "XA_S12_1970-01-01T00:00:01.000000", "XA_S12_1970-01-01T00:00:02.000000"


@pytest.fixture
def store(tmp_path: Path) -> ReviewStore:
    (tmp_path / "run").mkdir()
    return ReviewStore.beside(tmp_path / "run")


def _again(store: ReviewStore) -> ReviewStore:
    return ReviewStore.of_folder(store.folder)


def test_the_last_verdict_class_onset_and_note_count(store: ReviewStore) -> None:
    store.review(ACCEPT, [ONE, TWO], "ann")
    store.review(REJECT, [ONE], "bob")
    store.review(CLASS, [TWO], "ann", "deep")
    store.review(ONSET, [TWO], "ann", "1970-01-01T00:00:03.5Z")
    store.review(NOTE, [ONE], "ann", " a truck, I think ")

    for read in (store, _again(store)):
        one, two = read.of(ONE), read.of(TWO)
        assert (one.verdict, one.note, one.judge, one.reviewer) == (REJECT, "a truck, I think", "bob", "ann")
        assert (two.verdict, two.mq_type, two.onset_ns) == (ACCEPT, "deep", 3_500_000_000)
        assert read.counts() == {ACCEPT: 1, REJECT: 1}
        assert read.of("unknown").verdict is None


def test_a_class_accepts_an_event_that_has_no_verdict_and_leaves_one_that_has(store: ReviewStore) -> None:
    store.review(CLASS, [ONE], "ann", "deep")
    store.review(REJECT, [TWO], "ann")
    store.review(CLASS, [TWO], "ann", "vehicle")

    assert (store.of(ONE).verdict, store.of(TWO).verdict) == (ACCEPT, REJECT)


def test_undo_takes_back_ones_own_actions_one_by_one_and_bulk_ones_whole(store: ReviewStore) -> None:
    store.review(REJECT, [ONE, TWO], "ann")
    store.review(ACCEPT, [ONE], "bob")
    store.review(REJECT, [ONE], "ann")

    assert store.undo("ann").events == (ONE,)  # type: ignore[union-attr]
    assert store.of(ONE).verdict == ACCEPT
    assert store.undo("ann").events == (ONE, TWO)  # type: ignore[union-attr]
    assert store.undo("ann") is None
    assert (_again(store).of(ONE).verdict, _again(store).of(TWO).verdict) == (ACCEPT, None)
    assert set(store.all()) == {ONE}
    assert [action.reviewer for action in store.history(ONE)] == ["bob"]


def test_two_reviewers_at_once_lose_nothing(store: ReviewStore) -> None:
    def work(reviewer: str) -> None:
        mine = _again(store)
        for i in range(40):
            mine.review(ACCEPT if i % 2 else REJECT, [f"{reviewer}-{i}"], reviewer)
            if i % 10 == 9:
                mine.undo(reviewer)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ("ann", "bob")))

    assert store.refresh()
    assert store.counts() == {ACCEPT: 2 * 16, REJECT: 2 * 20}
    lines = (store.folder / "reviews.jsonl").read_text().splitlines()
    assert len(lines) == 2 * 44 and {json.loads(line)["reviewer"] for line in lines} == {"ann", "bob"}


@pytest.mark.parametrize("n_bytes", [1, 40, 100])
def test_a_torn_last_line_does_no_harm(store: ReviewStore, n_bytes: int) -> None:
    store.review(ACCEPT, [ONE], "ann")
    whole = (store.folder / "reviews.jsonl").read_bytes()
    (store.folder / "reviews.jsonl").write_bytes(whole + whole[:n_bytes])

    after = _again(store)
    assert after.of(ONE).verdict == ACCEPT and after.n_damaged == 0
    after.review(REJECT, [TWO], "bob")
    for read in (after, _again(store)):
        assert (read.of(ONE).verdict, read.of(TWO).verdict, read.n_damaged) == (ACCEPT, REJECT, 1)


@pytest.mark.parametrize(
    "line",
    [b"{}", b"[1]", b"\xff\xfe", b'{"action":"accept","events":[1],"reviewer":"a","value":"","key":"","utc":""}'],
)
def test_a_damaged_line_costs_only_itself(store: ReviewStore, line: bytes) -> None:
    store.review(ACCEPT, [ONE], "ann")
    with (store.folder / "reviews.jsonl").open("ab") as log:
        log.write(line + b"\n")
    store.review(REJECT, [TWO], "ann")

    assert (store.of(ONE).verdict, store.of(TWO).verdict, store.n_damaged) == (ACCEPT, REJECT, 1)


@pytest.mark.parametrize(
    ("action", "events", "reviewer", "value"),
    [
        ("delete", [ONE], "ann", ""),
        (UNDO, [ONE], "ann", ""),
        (ACCEPT, [], "ann", ""),
        (ACCEPT, ["e"] * 2 + [str(i) for i in range(MOST_EVENTS)], "ann", ""),
        (ACCEPT, [ONE], "  ", ""),
        (ACCEPT, [ONE], "a" * 65, ""),
        (ONSET, [ONE], "ann", "soon"),
        (NOTE, [ONE], "ann", "n" * 4001),
        (CLASS, [ONE], "ann", "c" * 65),
    ],
)
def test_unusable_reviews_are_refused_and_not_written(
    store: ReviewStore, action: str, events: list[str], reviewer: str, value: str
) -> None:
    with pytest.raises(ConfigError):
        store.review(action, events, reviewer, value)
    assert not (store.folder / "reviews.jsonl").exists()


def test_reviews_lie_beside_the_run_folder_and_belong_to_it(store: ReviewStore, tmp_path: Path) -> None:
    assert store.folder == tmp_path / "run-reviews"
    with pytest.raises(ConfigError, match="would lie in the run folder"):
        ReviewStore(tmp_path / "run" / "reviews", tmp_path / "run")
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="has the reviews of"):
        ReviewStore(store.folder, tmp_path / "other")
    with pytest.raises(DataError, match="is no folder of reviews"):
        ReviewStore.of_folder(tmp_path / "other")


def test_both_folders_can_move_together(store: ReviewStore, tmp_path: Path) -> None:
    store.move_onset(ONE, parse_time("1970-01-01T00:00:03Z"), "ann")
    (tmp_path / "elsewhere").mkdir()
    for name in ("run", "run-reviews"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)

    moved = ReviewStore.of_folder(tmp_path / "elsewhere" / "run-reviews")
    assert moved.run == tmp_path / "elsewhere" / "run"
    assert moved.of(ONE).onset_ns == 3_000_000_000


def test_a_log_that_is_put_back_from_a_backup_is_read_anew(store: ReviewStore) -> None:
    store.review(ACCEPT, [ONE], "ann")
    early = (store.folder / "reviews.jsonl").read_bytes()
    store.review(REJECT, [ONE], "ann")
    (store.folder / "reviews.jsonl").write_bytes(early)

    assert store.refresh() and store.of(ONE).verdict == ACCEPT
