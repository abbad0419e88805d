"""The states that a file system may be in after a power loss: known sequences of calls, states worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgequake.benchmarks.robustness.crash_states import (
    LOSSES,
    CallTrace,
    Disk,
    Kept,
    Names,
    Operation,
    Resize,
    Sync,
    Tree,
    Write,
    crash_state,
    crash_states,
    read_tree,
    write_tree,
)

ROOT, OLD, NEW, FOLDER = 0, 1, 2, 3
CREATE = Names(((ROOT, "part", NEW),))
WRITE = Write(NEW, 0, b"new")
RENAME = Names(((ROOT, "part", None), (ROOT, "name", NEW)))


def trace(*operations: Operation) -> CallTrace:
    """Return operations on a disk with one file, `name`, and an empty folder that has no name yet."""
    return CallTrace(Disk(ROOT, {ROOT: {"name": OLD}, FOLDER: {}}, {OLD: bytearray(b"old")}), operations)


def states(made: CallTrace) -> list[Tree]:
    """Return the states after the last operation."""
    rng, n_done = np.random.default_rng(1), len(made.operations)
    trees = [crash_state(made, n_done, name, rng).tree for _ in range(120) for name in LOSSES]
    return [dict(items) for items in {tuple(sorted(tree.items())) for tree in trees}]


def contents(trees: Sequence[Tree], name: str) -> set[bytes | None]:
    return {tree.get(name) for tree in trees}


def test_a_rename_without_a_sync_of_the_file_may_give_an_empty_or_a_torn_file_or_one_of_zeros() -> None:
    found = contents(states(trace(CREATE, WRITE, RENAME, Sync(ROOT))), "name")
    assert found == {b"", b"n", b"ne", b"new", b"\0\0\0", b"n\0\0", b"ne\0"}


def test_a_rename_without_a_sync_of_the_folder_may_leave_the_old_file() -> None:
    found = states(trace(CREATE, WRITE, Sync(NEW), RENAME))
    assert contents(found, "name") == {b"old", b"new"}
    assert contents(found, "part") == {None, b"new"}
    assert {"name": b"new", "part": b"new"} not in found  # a rename is there as a whole or not at all


def test_a_file_that_is_written_atomically_is_the_old_or_the_new_one() -> None:
    done = trace(CREATE, WRITE, Sync(NEW), RENAME, Sync(ROOT))
    assert states(done) == [{"name": b"new"}]
    for n_done in range(5):
        assert contents(states(CallTrace(done.before, done.operations[:n_done])), "name") <= {b"old", b"new"}


def test_a_synced_file_without_its_name_is_not_found() -> None:
    assert {} in [
        {name: data for name, data in tree.items() if name != "name"}
        for tree in states(trace(CREATE, WRITE, Sync(NEW)))
    ]


def test_the_name_of_a_folder_is_its_parents() -> None:
    inside = (Names(((ROOT, "folder", FOLDER),)), Names(((FOLDER, "file", NEW),)), WRITE, Sync(NEW), Sync(FOLDER))
    assert contents(states(trace(*inside)), "folder/file") == {None, b"new"}
    assert contents(states(trace(*inside, Sync(ROOT))), "folder/file") == {b"new"}


def test_two_appends_may_be_there_in_any_order_and_what_was_synced_stays() -> None:
    first, second = Write(OLD, 3, b"A"), Write(OLD, 4, b"B")
    assert contents(states(trace(first, second)), "name") == {b"old", b"oldA", b"old\0", b"oldAB", b"old\0B", b"oldA\0",
                                                               b"old\0\0"}  # fmt: skip
    assert contents(states(trace(first, Sync(OLD), second)), "name") == {b"oldA", b"oldAB", b"oldA\0"}


def test_a_removed_file_is_there_again_until_its_folder_is_synced() -> None:
    remove = Names(((ROOT, "name", None),))
    assert contents(states(trace(remove)), "name") == {None, b"old"}
    assert states(trace(remove, Sync(OLD))) != [{}]
    assert states(trace(remove, Sync(ROOT))) == [{}]


def test_a_cut_and_a_write_after_it_may_be_there_one_without_the_other() -> None:
    found = contents(states(trace(Resize(OLD, 1), Write(OLD, 1, b"X"))), "name")
    assert {b"old", b"o", b"oX", b"oXd"} <= found
    assert contents(states(trace(Resize(OLD, 1), Sync(OLD))), "name") == {b"o"}


def test_space_that_is_allocated_reads_as_zeros_and_cuts_nothing() -> None:
    assert contents(states(trace(Resize(OLD, 5, only_grows=True))), "name") == {b"old", b"old\0\0"}
    assert contents(states(trace(Resize(OLD, 2, only_grows=True))), "name") == {b"old"}


def test_a_rename_between_two_folders_needs_both_synced() -> None:
    move = Names(((ROOT, "name", None), (FOLDER, "name", OLD)))
    made = (Names(((ROOT, "folder", FOLDER),)), Sync(ROOT), move)
    for syncs, n_states in (((), 2), ((FOLDER,), 2), ((ROOT,), 2), ((FOLDER, ROOT), 1)):
        found = states(trace(*made, *map(Sync, syncs)))
        assert len(found) == n_states and {"folder": None, "folder/name": b"old"} in found


def test_a_large_write_is_torn_at_sectors_of_the_file() -> None:
    write = Write(OLD, 3, bytes(range(1, 250)) * 5)
    allowed = {0, 509, 1021, 1245}  # from byte 3 of the file, to its bytes 512, 1024, and the last
    rng = np.random.default_rng(0)
    kept = [LOSSES["any part"]({0: write}, rng).get(0) for _ in range(400)]
    pieces = [one.pieces for one in kept if one is not None]
    assert {edge for one in pieces for piece in one for edge in piece} == allowed


def test_all_states_are_different_and_the_same_seed_gives_the_same() -> None:
    made = trace(CREATE, WRITE, Sync(NEW), RENAME, Write(NEW, 3, b"tail" * 500), Sync(ROOT))
    first, second = (list(crash_states(made, 60, np.random.default_rng(5))) for _ in range(2))
    assert [state.digest for state in first] == [state.digest for state in second]
    assert len({state.digest for state in first}) == len(first) > 30


def test_every_state_keeps_what_was_synced_and_invents_nothing() -> None:
    """Random calls; each byte of each state was written there, or is zero; and the durable part is there."""
    rng = np.random.default_rng(3)
    operations: list[Operation] = []
    for i in range(60):
        operations.append(Write(OLD, int(rng.integers(0, 40)), bytes([65 + i]) * int(rng.integers(1, 9))))
        if rng.uniform() < 0.2:
            operations.append(Sync(OLD))
    made = trace(*operations)
    for state in crash_states(made, 200, rng):
        data = state.tree["name"]
        assert data is not None
        for at, value in enumerate(data):
            values = {one.data[at - one.at] for one in operations if isinstance(one, Write)
                      and one.at <= at < one.at + len(one.data)} | set(b"old"[at : at + 1]) | {0}  # fmt: skip
            assert value in values
        last_sync = max((i for i in range(state.n_done) if isinstance(operations[i], Sync)), default=-1)
        durable = made.disk(last_sync + 1).tree()["name"]
        assert durable is not None and len(data) >= len(durable)


def test_a_part_of_a_write_leaves_what_was_there() -> None:
    disk = trace().before.copy()
    disk.do(Write(OLD, 0, b"NEWER"), Kept(((1, 2),), 0))
    assert disk.tree() == {"name": b"oEd"}
    disk.do(Write(OLD, 0, b"NEWER"), Kept((), 5))
    assert disk.tree() == {"name": b"oEd\0\0"}


def test_a_tree_is_written_as_it_is_read(tmp_path: Path) -> None:
    tree: Tree = {"a": None, "a/b": b"1", "c": b""}
    write_tree(tree, tmp_path / "new")
    assert read_tree(tmp_path / "new") == tree
