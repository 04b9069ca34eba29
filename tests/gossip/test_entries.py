"""The versioned map and the exchange of two of them: laws that hold for any entries."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.gossip import exchange
from examples.gossip.entries import TOMBSTONES_FOR, Entry, Map
from examples.gossip.messages import Compare, Differences, Swap, Swapped, decode, encode


def entry(key: str, version: int, writer: str) -> Entry:
    """A stamp belongs to one write: what is written follows from it."""
    if version % 3:
        return Entry(key, f"{key} {version} {writer}", version, writer)
    return Entry(key, None, version, writer, deleted_at=float(version))


entries = st.lists(
    st.builds(entry, st.sampled_from("abcdefgh"), st.integers(1, 9), st.sampled_from("xyz"))
)


def merged(*parts: Sequence[Entry]) -> Map:
    found = Map()
    for part in parts:
        found.merge(part)
    return found


def talk(one: Map, other: Map) -> bool:
    """One exchange, as two nodes have it; tells whether there was a difference."""
    told = exchange.differences(other, Compare("one", one.summary()), "other")
    asked = exchange.to_swap(one, told, "one")
    if asked is None:
        return False
    other.merge(asked.entries)
    one.merge(exchange.swapped(other, asked, "other").entries)
    return True


# Merging.


@given(entries, entries)
def test_merging_is_commutative(one: list[Entry], other: list[Entry]) -> None:
    assert merged(one, other) == merged(other, one)


@given(entries, entries, entries)
def test_merging_is_associative(a: list[Entry], b: list[Entry], c: list[Entry]) -> None:
    assert merged(list(merged(a, b)), c) == merged(a, list(merged(b, c)))


@given(entries)
def test_merging_is_idempotent(some: list[Entry]) -> None:
    assert merged(some, some) == merged(some)


@given(entries)
def test_of_each_key_the_highest_stamp_is_held(some: list[Entry]) -> None:
    for key in {one.key for one in some}:
        newest = max((one for one in some if one.key == key), key=lambda one: one.stamp)
        assert merged(some).get(key) == newest


@given(entries)
def test_a_write_wins_over_all_that_its_node_has_seen(some: list[Entry]) -> None:
    held = merged(some)
    for key in "abcdefgh":
        written = held.write(key, "new", "a", 0)
        assert held.news([written]) == [written]


@given(entries, entries)
def test_summaries_are_equal_where_the_writes_are(one: list[Entry], other: list[Entry]) -> None:
    equal = merged(one) == merged(other)
    assert (merged(one).summary() == merged(other).summary()) is equal


# Tombstones.


def test_a_tombstone_wins_over_what_it_deletes_and_goes_after_its_time() -> None:
    held = merged([Entry("a", "1", 1, "x")])
    held.merge([held.write("a", None, "x", now=100.0)])
    held.forget_tombstones(100.0 + TOMBSTONES_FOR)
    found = held.get("a")
    assert found is not None
    assert found.value is None
    held.forget_tombstones(100.1 + TOMBSTONES_FOR)
    assert held.get("a") is None
    assert held == Map()
    assert held.summary() == Map().summary()


def test_what_is_no_tombstone_is_never_forgotten() -> None:
    held = merged([Entry("a", "1", 1, "x")])
    held.forget_tombstones(1e12)
    assert len(held) == 1


def test_the_version_goes_on_after_its_tombstone_is_forgotten() -> None:
    held = merged([Entry("a", None, 7, "x", deleted_at=0.0)])
    held.forget_tombstones(1e12)
    assert held.write("a", "again", "x", 1e12).version == 8


def test_a_node_that_was_away_for_longer_brings_a_deleted_key_back() -> None:
    # The limit of the promise, held here so that nobody believes in more.
    away = merged([Entry("a", "1", 1, "x")])
    others = merged([Entry("a", None, 2, "y", deleted_at=0.0)])
    others.forget_tombstones(1 + TOMBSTONES_FOR)
    talk(away, others)
    found = others.get("a")
    assert found is not None
    assert found.value == "1"


# Two maps.


@given(entries, entries)
def test_after_one_exchange_two_maps_hold_all_that_either_held(
    one: list[Entry], other: list[Entry]
) -> None:
    left, right, both = merged(one), merged(other), merged(one, other)
    talk(left, right)
    assert left == right == both
    assert not talk(left, right)


def test_what_does_not_fit_into_one_exchange_comes_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "MAX_STAMPS", 10)
    monkeypatch.setattr(exchange, "MAX_WEIGHT", 40)
    left = merged([entry(f"left-{n}", 1, "x") for n in range(100)])
    right = merged([entry(f"right-{n}", 1, "y") for n in range(100)])
    rounds = next(n for n in itertools.count() if not talk(left, right))
    assert rounds > 10
    assert left == right
    assert len(left) == 200


# Messages.


@given(entries)
def test_messages_come_out_as_they_went_in(some: list[Entry]) -> None:
    held = merged(some)
    compare = Compare("x", held.summary())
    told = exchange.differences(held, Compare("y", Map().summary()), "x")
    for message in (
        compare,
        told,
        Swap("x", tuple(some), ("a", "b")),
        Swapped("x", tuple(some)),
    ):
        assert decode(encode(message)) == message
    assert isinstance(told, Differences)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"kind": "Nonsense"}',
        b'{"kind": ["Swap"]}',
        b'{"kind": "Compare", "node": "x", "summary": "0"}',
        b'{"kind": "Compare", "node": 1, "summary": ""}',
        b'{"kind": "Look", "node": 1}',
        b'{"kind": "View", "node": "x", "ready": true, "keys": "many"}',
        b'{"kind": "Swap", "node": "x", "entries": [["a", "1", 0, "x", null]], "wanted": []}',
        b'{"kind": "Swap", "node": "x", "entries": [["a", "1", true, "x", null]], "wanted": []}',
        b'{"kind": "Swap", "node": "x", "entries": [["a", null, 1, "x", NaN]], "wanted": []}',
        b'{"kind": "Swap", "node": "x", "entries": [["a", "1", 1, "x", 1]], "wanted": []}',
        b'{"kind": "Swap", "node": "x", "entries": [["a", "1", 1e3, "x", null]], "wanted": []}',
        b'{"kind": "Swap", "node": "x", "entries": [["\\ud800", "1", 1, "x", null]], "wanted": []}',
        b'{"kind": "Swap", "node": "x", "entries": [["a", "1", 9007199254740992, "x", null]]'
        b', "wanted": []}',
        b'{"kind": "Swap", "node": "x", "entries": [["' + b"a" * 513 + b'", "1", 1, "x", null]]'
        b', "wanted": []}',
        b"[" * 100_000,
    ],
)
def test_what_no_node_says_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of every kind
        decode(text)
