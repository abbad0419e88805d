"""Followed folders and files: whatever other programs do with them, each sample of the final files is read once."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgequake.edge.base.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from edgequake.edge.formats.waveforms import Trace
from edgequake.edge.inputs import file_memory, folder

from .following import (
    RATE_HZ,
    E,
    Follower,
    N,
    Samples,
    Z,
    failing,
    packed,
    plain_samples,
    renew_time,
    replace_file,
    rows,
    samples_of,
    time_ns,
    write_in_place,
)

pytestmark = pytest.mark.disk  # whose inodes are used again

X = rows(6000)
DATA = packed(X)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return the followed folder."""
    path = tmp_path / "in"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare a file as soon as it is the same at two looks."""
    monkeypatch.setattr(folder, "_REST_S", 0.0)
    monkeypatch.setattr(folder, "_REST_S_PER_BYTE", 0.0)


def resumed(follower: Follower, tmp_path: Path, *inputs: Path) -> Follower:
    """Continue from a checkpoint on disk, as another process would; what was read before counts on."""
    write_checkpoint(tmp_path / "checkpoint", Checkpoint({}, follower.source.state()))
    after = Follower(*inputs, state=read_checkpoint(tmp_path / "checkpoint").state)
    after.traces = list(follower.traces)
    return after


def is_once(samples: Samples) -> bool:
    return set(samples.values()) <= {1}


# --- growth ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [100, 512, 700, 5000])
def test_a_growing_file_is_read_record_by_record(step: int, place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    for at in range(0, len(DATA), step):
        with path.open("ab") as file:
            file.write(DATA[at : at + step])
        follower.look()
    assert follower.samples == plain_samples(place)
    assert follower.source.size_bytes == len(DATA) and follower.diagnostics.texts() == []


def test_a_truncated_record_before_the_writer_began_again_costs_no_other(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(DATA[:2048] + DATA[2048:2300])  # the power failed
    follower.look()
    with path.open("ab") as file:
        file.write(DATA[4096:])
    follower.settle()
    assert follower.samples == plain_samples(place) and len(follower.diagnostics.texts()) == 1


def test_an_incomplete_record_is_said_once_and_read_when_it_is_complete(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(DATA[:1500])
    follower.settle()
    assert follower.log == [f"{path} holds an incomplete record: it is read when it is complete"]
    assert follower.diagnostics.texts() == ["1 file(s) hold an incomplete record"]
    path.write_bytes(DATA)
    follower.settle()
    assert follower.samples == plain_samples(place)
    assert len(follower.log) == 1 and follower.diagnostics.texts() == []


# --- the same content written again --------------------------------------------------------------------------------


WAYS = {
    "renamed into place": replace_file,
    "truncated and written": lambda path, data: (path.write_bytes(data), renew_time(path)),
    "over the old bytes": write_in_place,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("record_bytes", [512, 256, 4096])
def test_a_longer_copy_adds_what_is_new(record_bytes: int, way: str, place: Path) -> None:
    """Each version is packed anew, so that the last record of the one before is another one in the next."""
    path, follower = place / "a.mseed", Follower(place)
    for stop in range(500, 6001, 500):
        if way == "over the old bytes" and path.exists():
            write_in_place(path, packed(X[:stop], record_bytes=record_bytes))
        else:
            (replace_file if way == "renamed into place" else Path.write_bytes)(
                path, packed(X[:stop], record_bytes=record_bytes)
            )
        follower.look(5)
    assert follower.samples == plain_samples(place) and is_once(follower.samples)
    assert follower.diagnostics.texts() == []


@pytest.mark.parametrize("way", ["renamed into place", "truncated and written"])
def test_a_file_of_three_channels_written_again_has_its_channels_elsewhere(way: str, place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    for stop in range(600, 3001, 600):
        WAYS[way](path, b"".join(packed(rows(stop, i), source_id=name) for i, name in enumerate((Z, N, E))))
        follower.look(5)
    assert follower.samples == plain_samples(place) and is_once(follower.samples)


@pytest.mark.parametrize("record_bytes", [256, 4096])
def test_a_file_packed_into_other_records_is_not_read_again(record_bytes: int, place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X[:5000], flush=70))
    follower.settle()
    replace_file(path, packed(X, record_bytes=record_bytes))
    assert follower.settle() == 1000
    assert follower.samples == plain_samples(place)


def test_an_emptied_file_that_is_filled_again_is_read_on(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X[:4000]))
    follower.settle()
    for n_bytes in (0, 300, 1024, 3000, len(DATA)):
        path.write_bytes(DATA[:n_bytes])
        follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)


def test_a_shorter_copy_adds_nothing_and_grows_on(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X[:4000]))
    follower.settle()
    for stop in (1500, 3000, 6000):
        replace_file(path, packed(X[:stop]))
        follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)


def test_a_touched_file_is_not_read_again(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(DATA)
    follower.settle()
    renew_time(path)
    assert follower.settle() == 0


# --- other content -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n_samples", [1000, 2000, 4000])  # the new file is shorter, about as long, longer
def test_other_content_under_the_same_name_is_read(n_samples: int, way: str, place: Path) -> None:
    path, follower = place / "current.mseed", Follower(place)
    path.write_bytes(packed(X[:2000]))
    follower.settle()
    expected = plain_samples(place)
    for i in (1, 2):
        data = packed(rows(n_samples, i), first=10_000 * i)
        WAYS[way](path, data + path.read_bytes()[len(data) :] if way == "over the old bytes" else data)
        follower.settle()
        expected |= plain_samples(place)
    assert follower.samples == expected


@pytest.mark.parametrize("way", ["renamed into place", "over the old bytes"])
def test_changed_samples_are_read_and_the_others_are_not(way: str, place: Path) -> None:
    changed = X.copy()
    changed[3000:3010] += 7
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X, flush=100))
    follower.settle()
    WAYS[way](path, packed(changed, flush=100))
    assert 100 <= follower.settle() <= 400  # the records that differ; records are merged for comparison
    assert set(follower.samples) >= set(plain_samples(place))


def test_a_gap_that_is_filled_later_is_read(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X[:2000]) + packed(X[3000:], 3000))
    follower.settle()
    replace_file(path, DATA)
    assert follower.settle() == 1000
    assert follower.samples == plain_samples(place)


def test_a_file_rewritten_with_the_same_size_and_ends_is_found_when_it_rests(place: Path) -> None:
    changed = X.copy()
    changed[3000:3010] += 7
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X[:5900], flush=100))
    follower.look()
    write_in_place(path, packed(changed, flush=100))  # grown, and the first and the last record are as they were
    follower.settle()
    assert set(follower.samples) >= set(plain_samples(place))


# --- space that is allocated first ---------------------------------------------------------------------------------


def fill_in_steps(path: Path, data: bytes, step: int, follower: Follower, n_looks: int) -> None:
    """Write into an allocated file, `step` bytes at a time, with so many looks after each."""
    for at in range(0, len(data), step):
        write_in_place(path, data[at : at + step], at)
        follower.look(n_looks)


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
@pytest.mark.parametrize("step", [512, 700, 4096])
def test_a_preallocated_file_is_read_as_it_is_filled(step: int, fill: bytes, place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(fill * len(DATA))
    follower.settle()
    assert follower.samples == {}
    assert follower.log == [
        f"{path} holds space that has been allocated and not written yet: it is read when it is written"
    ]
    assert follower.diagnostics.texts() == ["1 file(s) hold space that has been allocated and not written"]
    fill_in_steps(path, DATA, step, follower, n_looks=2)
    follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)
    assert len(follower.log) == 1 and follower.diagnostics.texts() == []


def test_a_preallocated_file_of_floats_never_gives_zeros_for_samples(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_REST_S", 1e9)  # the writer does not pause
    floats = X.astype(np.float32)  # such records have no check of their own
    data = packed(floats)
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(bytes(len(data)))
    fill_in_steps(path, data, 300, follower, n_looks=1)
    follower.finish()
    assert follower.samples == plain_samples(place)


def test_sections_of_channels_that_are_filled_side_by_side(place: Path) -> None:
    parts = [packed(rows(2000, i), source_id=name, record_bytes=256) for i, name in enumerate((Z, N, E))]
    path, follower = place / "a.mseed", Follower(place)
    size = max(map(len, parts)) + 1024
    path.write_bytes(bytes(3 * size))
    for at in range(0, size, 1024):
        for i, part in enumerate(parts):
            write_in_place(path, part[at : at + 1024], i * size + at)
        follower.look(5)
    follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)
    assert follower.diagnostics.unreadable_bytes == 0


def test_what_a_preallocated_file_holds_at_the_end_is_read(place: Path) -> None:
    quiet = np.concatenate([X[:200].astype(np.float32), np.zeros(300, np.float32)])  # ends like the hole behind it
    data = packed(quiet)
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(data + bytes(4096))
    follower.settle()
    follower.finish()
    assert follower.samples == plain_samples(place)


# --- names ---------------------------------------------------------------------------------------------------------


def test_a_renamed_file_is_read_on(place: Path) -> None:
    part, follower = place / "a.part", Follower(place)
    part.write_bytes(DATA[:3000])
    follower.settle()
    with part.open("ab") as file:
        file.write(DATA[3000:5000])
    path = part.rename(place / "a.mseed")
    follower.settle()
    (place / "archive").mkdir()
    path = path.rename(place / "archive" / "a.mseed")
    with path.open("ab") as file:
        file.write(DATA[5000:])
    follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)


def test_a_log_that_is_rotated(place: Path) -> None:
    """`current` is renamed, and a new `current` begun: the old one is not read again, the new one is read whole."""
    path, follower = place / "current", Follower(place)
    for day in range(4):
        path.write_bytes(packed(rows(700, day), 700 * day))
        follower.look()
        with path.open("ab") as file:
            file.write(packed(rows(300, day + 10), 700 * day + 2800))
        path.rename(place / f"day-{day}.mseed")
        path.write_bytes(b"")
    follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)


def test_a_visible_part_file_that_replaces_the_file_is_no_second_reading(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X[:3000]))
    follower.settle()
    part = place / "a.mseed.part"
    for n_bytes in (100, 2000, len(DATA)):
        part.write_bytes(DATA[:n_bytes])
        follower.settle()
    part.rename(path)
    follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)


def test_copies_and_second_names_are_no_second_reading(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(DATA)
    follower.settle()
    (place / "link.mseed").hardlink_to(path)
    (place / "soft.mseed").symlink_to(path)
    (place / "copy.mseed").write_bytes(DATA)  # as mv does from one file system to another
    path.unlink()
    assert follower.settle() == 0
    assert is_once(follower.samples) and follower.samples == plain_samples(place / "copy.mseed")


def test_a_deleted_file_is_forgotten_and_a_new_one_of_its_name_is_read(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    for i in range(3):
        path.write_bytes(packed(rows(1000, i), 1000 * i))  # file systems use the inode again
        follower.settle()
        path.unlink()
        follower.settle()
    assert sum(follower.samples.values()) == 3000 and is_once(follower.samples)
    assert follower.diagnostics.texts() == []


# --- access --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EAGAIN])
def test_a_file_that_cannot_be_read_for_a_moment_is_tried_again(
    number: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(DATA[:2048])
    follower.settle()
    with failing(monkeypatch, path, lambda: OSError(number, os.strerror(number))):
        write_in_place(path, DATA)
        follower.look(5)
    follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)
    assert follower.log == [
        f"{path} cannot be read ({os.strerror(number)}): it is tried again",
        f"{path} can be read again",
    ]
    assert follower.diagnostics.texts() == ["1 time(s) a followed file or folder could not be read and was tried again"]


def test_a_folder_that_is_away_for_a_moment(place: Path) -> None:
    follower = Follower(place)
    (place / "a.mseed").write_bytes(DATA[:2048])
    follower.settle()
    away = place.rename(place.with_name("unmounted"))
    follower.look(3)
    away.rename(place)
    (place / "a.mseed").write_bytes(DATA)
    follower.settle()
    assert follower.samples == plain_samples(place) and is_once(follower.samples)
    assert [line.split(" (")[0] for line in follower.log] == [f"{place} cannot be read", f"{place} can be read again"]


def test_no_more_than_a_few_files_are_open(place: Path) -> None:
    for i in range(300):
        (place / f"{i:03d}.mseed").write_bytes(packed(X[i * 20 : i * 20 + 20], 20 * i, record_bytes=256))
    follower, before = Follower(place), resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 20, before[1]))
    try:
        follower.look(2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert follower.samples == plain_samples(place)


def test_a_packet_csv_is_reported_once(place: Path) -> None:
    follower = Follower(place)
    for i in range(3):
        (place / "a.csv").write_text("time,velocity\n" * (i + 1))
        follower.look()
    assert follower.diagnostics.texts() == [f"{place / 'a.csv'} is no miniSEED file and is not followed"]


def test_files_may_be_followed_by_name(tmp_path: Path) -> None:
    paths = [tmp_path / "a.mseed", tmp_path / "b.mseed"]
    follower = Follower(*paths)
    follower.look()
    (tmp_path / "other.mseed").write_bytes(DATA)
    for stop in (1000, 3000, len(DATA)):
        for path, name in zip(paths, (Z, N), strict=True):
            replace_file(path, packed(X, source_id=name)[:stop])
        follower.settle()
    assert follower.samples == plain_samples(*paths)


# --- a round that is interrupted -----------------------------------------------------------------------------------


def test_a_file_written_again_while_it_is_read(place: Path) -> None:
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X, flush=100))
    for _ in range(20):
        follower.next_trace()
    replace_file(path, packed(X, record_bytes=4096))
    follower.settle()
    assert set(follower.samples) == set(plain_samples(place)) and is_once(follower.samples)


@pytest.mark.parametrize("n_traces", [1, 7, 30])
@pytest.mark.parametrize("change", ["none", "grown", "replaced", "renamed", "deleted"])
def test_a_resumed_run_neither_loses_nor_repeats(change: str, n_traces: int, place: Path, tmp_path: Path) -> None:
    paths = [place / f"{name[-1]}.mseed" for name in (Z, N)]
    for path, name in zip(paths, (Z, N), strict=True):
        path.write_bytes(packed(X[:4000], source_id=name, flush=100))
    follower = Follower(place)
    for _ in range(n_traces):
        follower.next_trace()
    longer = packed(X, source_id=Z, flush=100)
    if change == "grown":
        with paths[0].open("ab") as file:
            file.write(longer[paths[0].stat().st_size :])
    elif change == "replaced":
        replace_file(paths[0], packed(X, source_id=Z))
    elif change == "renamed":
        paths[0].rename(place / "other.mseed")
    elif change == "deleted":
        paths[0].unlink()
    expected = plain_samples(place)
    after = resumed(follower, tmp_path, place)
    after.settle()
    assert is_once(after.samples)
    assert after.samples == expected | (follower.samples if change == "deleted" else Samples())


def test_a_checkpoint_that_knows_positions_only_is_continued(place: Path) -> None:
    a, b = place / "a.mseed", place / "b.mseed"
    data = {a: packed(X, source_id=Z, flush=100), b: packed(X, source_id=N, flush=100)}
    for path, content in data.items():
        path.write_bytes(content)
    state: dict[str, Any] = Follower(place).source.state()
    del state["memory"], state["waiting"]
    state |= {
        "size_bytes": 20 * 512,
        "read_until": {str(a): 20 * 512, str(b): 10 * 512},
        "round": [[str(a), 10 * 512, 20 * 512]],
        "n_done": 4,
        "starts_ns": {str(a): time_ns(0), str(b): time_ns(0)},
    }
    follower = Follower(place, state=state)
    follower.settle()
    n_records = {path: len(content) // 512 for path, content in data.items()}
    assert len(follower.traces) == n_records[a] - 14 + n_records[b] - 10
    assert is_once(follower.samples) and len(follower.log) == 1


def test_the_memory_of_many_files_is_small_and_they_are_known_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_memory, "_MOST_FILES", 20)
    paths = [place / f"{i:03d}.mseed" for i in range(200)]
    for i, path in enumerate(paths):
        path.write_bytes(packed(X[i * 20 : i * 20 + 20], 20 * i, record_bytes=256))
    follower = Follower(place)
    follower.settle()
    size = write_checkpoint(tmp_path / "checkpoint", Checkpoint({}, follower.source.state()))
    assert size < 20 * 1000 + 200 * 8 + 1000
    (place / "archive").mkdir()
    for path in paths[:100]:
        path.rename(place / "archive" / path.name)
    for path in paths[100:150]:
        renew_time(path)
    after = resumed(follower, tmp_path, place)
    (place / "new.mseed").write_bytes(packed(X[5000:], 5000))
    after.settle()
    assert after.samples == plain_samples(place) and is_once(after.samples)


def test_a_large_file_is_compared_over_several_rounds(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_MOST_HEADERS", 5)
    monkeypatch.setattr("edgequake.edge.inputs.followed_file._READ_BYTES", 2048)
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X[:5000], flush=100))
    follower.settle()
    replace_file(path, packed(X, flush=90))
    assert follower.settle() == 1000
    assert follower.samples == plain_samples(place) and is_once(follower.samples)


def test_what_has_just_been_rewritten_is_read_when_the_run_ends(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_REST_S", 1e9)
    path, follower = place / "a.mseed", Follower(place)
    path.write_bytes(packed(X[:1000]))
    follower.look()
    path.write_bytes(packed(rows(1000, 1), 1000))
    follower.look()
    follower.finish()
    assert follower.samples == samples_of_both(X[:1000], rows(1000, 1))


def samples_of_both(first: np.ndarray, second: np.ndarray) -> Samples:
    traces = [Trace(Z, time_ns(0), RATE_HZ, first), Trace(Z, time_ns(len(first)), RATE_HZ, second)]
    return samples_of(traces)
