"""The journal: what is on the disk, whenever the node dies."""

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.gossip import journal as module
from examples.gossip.entries import Entry, Map
from examples.gossip.journal import Journal

pytestmark = pytest.mark.slow

A1 = Entry("a", "1", 1, "x")
A2 = Entry("a", None, 2, "x", deleted_at=5.5)
B1 = Entry("b", "é\n\0", 1, "y")


def append(journal: Journal, *entries: Entry, held: tuple[Entry, ...] = ()) -> None:
    asyncio.run(journal.append(entries, Map(held)))


def test_a_new_one_is_empty(tmp_path: Path) -> None:
    assert Journal(tmp_path / "entries").load() == []


def test_the_newest_of_each_key_is_found_again(tmp_path: Path) -> None:
    append(Journal(tmp_path / "entries"), A2, A1, B1)
    assert Map(Journal(tmp_path / "entries").load()) == Map([A2, B1])


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_line_cut_by_a_crash_is_left_out_and_not_gone_on_with(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "entries"
    append(Journal(path), A1, B1)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path)
    assert again.load() == [A1]
    append(again, B1)
    assert Journal(path).load() == [A1, B1]


def test_anything_else_in_it_is_an_error_that_says_where(tmp_path: Path) -> None:
    path = tmp_path / "entries"
    append(Journal(path), A1)
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(ValueError, match=r"entries, line 1: "):
        Journal(path).load()


def test_the_file_does_not_grow_with_the_writes_to_one_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SLACK", 10)
    path = tmp_path / "entries"
    journal = Journal(path)
    held = B1
    for version in range(1, 100):
        written = Entry("b", "1", version, "z")
        append(journal, written, held=(held,))
        held = written
    assert path.read_bytes().count(b"\n") <= 14
    assert Journal(path).load() == [held]


# A full disk.


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may be longer: the kernel takes what fits, and then says EFBIG."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("room", range(0, 60, 3))
def test_a_full_disk_leaves_no_part_of_what_was_not_acknowledged(tmp_path: Path, room: int) -> None:
    path = tmp_path / "entries"
    journal = Journal(path)
    append(journal, A1)
    size = path.stat().st_size
    with room_for(size + room), pytest.raises(OSError, match="File too large"):
        append(journal, B1, Entry("c", "x" * 60, 1, "y"))
    assert path.stat().st_size == size
    append(journal, B1)
    assert Journal(path).load() == [A1, B1]


@pytest.mark.parametrize("call", ["fsync", "pwrite", "ftruncate"])
def test_a_disk_that_fails_at_any_step_is_gone_on_with_once_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "entries"
    journal = Journal(path)
    append(journal, A1)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space"):
            append(journal, B1)
    append(journal, A2)
    assert Journal(path).load() == [A2]


def test_half_a_line_that_could_not_be_taken_back_goes_before_the_next_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "entries"
    journal = Journal(path)
    append(journal, A1)
    truncate, calls = os.ftruncate, []

    def once(file: int, size: int) -> None:
        calls.append(size)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        truncate(file, size)

    with room_for(path.stat().st_size + 10), monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", once)
        with pytest.raises(OSError, match="Input/output"):
            append(journal, B1)
    assert Journal(path).load() == [A1], "it may be read as it is"
    append(journal, B1)
    assert Journal(path).load() == [A1, B1]


def test_on_a_full_disk_it_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "entries"
    append(Journal(path), A1, B1)
    path.write_bytes(path.read_bytes()[:-3])
    with room_for(0):
        assert Journal(path).load() == [A1]


def test_where_it_cannot_be_written_anew_the_old_file_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SLACK", 2)
    path = tmp_path / "entries"
    journal = Journal(path)
    held = [Entry(f"key-{number}", "x" * 200, 1, "y") for number in range(4)]
    append(journal, *held, *held, *held)
    write, calls = os.pwrite, []

    def full_at_first(file: int, data: bytes, at: int) -> int:
        calls.append(at)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        return write(file, data, at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full_at_first)
        append(journal, A1, held=(*held,))
    assert [file.name for file in tmp_path.iterdir()] == ["entries"]
    assert Map(Journal(path).load()) == Map([*held, A1])
    append(journal, A2, held=(*held, A1))
    assert Map(Journal(path).load()) == Map([*held, A2])


def test_an_append_whose_caller_was_cancelled_is_not_mixed_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "entries"
    journal = Journal(path)
    big = [Entry(f"key-{number}", "x" * 1000, 1, "y") for number in range(500)]

    async def scenario() -> None:
        for number in range(20):
            task = asyncio.create_task(journal.append(big, Map()))
            await asyncio.sleep(0)
            task.cancel()
            await journal.append([Entry("a", str(number), number + 1, "x")], Map())

    asyncio.run(scenario())
    assert Entry("a", "19", 20, "x") in Journal(path).load()


# Damage.


def test_each_flipped_bit_is_found_and_told(tmp_path: Path) -> None:
    path = tmp_path / "entries"
    append(Journal(path), A1, A2, B1)
    whole = path.read_bytes()
    for at in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"entries, line \d: .*damaged; take it away"):
            Journal(path).load()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole.replace(b"x", b"y", 1),
        lambda whole: b"\0" * 20 + whole[20:],
        lambda whole: whole[:30] + whole[31:],
        lambda whole: whole[:30] + b"\n" + whole[30:],
        lambda whole: b"[" * 100_000 + b"\n" + whole,
        lambda whole: b'["a", "1", 1, "x", null]\n' + whole,
        lambda whole: b"\n" + whole,
    ],
)
def test_other_damage_is_found_too(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "entries"
    append(Journal(path), A1, A2, B1)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"entries, line 1: "):
        Journal(path).load()


def test_what_a_power_cut_left_behind_the_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "entries"
    append(Journal(path), A1, B1)
    whole = path.read_bytes()
    for left in (b"\0" * 4096, b"\xff" * 7, whole[:9], whole[: whole.index(b"\n")]):
        path.write_bytes(whole + left)
        assert Journal(path).load() == [A1, B1]
