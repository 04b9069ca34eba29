"""The journal: what is on the disk, whenever the node dies."""

import asyncio
from pathlib import Path

import pytest

from examples.gossip import journal as module
from examples.gossip.entries import Entry, Map
from examples.gossip.journal import Journal

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


def test_a_write_that_did_not_go_through_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "entries"
    journal = Journal(path)
    append(journal, A1)

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            append(journal, B1)
    append(journal, A2)
    assert Journal(path).load() == [A2]
