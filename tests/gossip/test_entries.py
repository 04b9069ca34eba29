"""The versioned map and the exchange of two of them: laws that hold for any entries."""

import itertools
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.gossip import exchange
from examples.gossip.entries import BUCKETS, MAX_VERSION, TOMBSTONES_FOR, Entry, Map, highest
from examples.gossip.messages import (
    MAX_ITEMS,
    MAX_MESSAGE,
    SUMMARY,
    Compare,
    Differences,
    Message,
    Swap,
    Swapped,
    View,
    decode,
    encode,
)

pytestmark = pytest.mark.slow


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


# The clock.


@pytest.mark.parametrize("version", [MAX_VERSION - 1, MAX_VERSION - 2, MAX_VERSION - 1000])
@pytest.mark.parametrize("key", ["x", "mine"])
@pytest.mark.parametrize("value", ["v", None])
def test_no_message_pushes_the_clock_to_where_it_cannot_go_on(
    version: int, key: str, value: str | None
) -> None:
    held = Map()
    pushed = decode(encode(Swap("evil", (Entry("x", "y", version, "evil"),))))
    assert isinstance(pushed, Swap)
    held.merge(pushed.entries)
    for _ in range(3):
        written = held.write(key, value, "me", 0.0)
        assert Entry.from_json(written.to_json()) == written
        assert held.news([written]) == [written]
        held.merge([written])


def test_a_version_that_no_cluster_can_have_come_to_yet_is_nobody_s() -> None:
    held, now = Map(), 1_800_000_000.0
    true, early = (
        Entry("a", "1", int(highest(now)), "x"),
        Entry("b", "1", int(highest(now)) + 1, "x"),
    )
    assert held.news([true, early], now) == [true]
    assert held.news([early], now + 1) == [early]
    held.merge([true])
    assert held.news([held.write("a", "2", "y", now)], now + 0.001), (
        "the next write is true at once"
    )


def test_no_version_is_given_out_twice_even_if_what_had_it_was_never_merged() -> None:
    held = Map()
    stamps = {held.write("a", str(number), "x", 0).stamp for number in range(5)}
    assert len(stamps) == 5


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
        b'{"a":' * 100_000,
        b'{"kind": "Swap", "node": "x", "entries": ' + b"[" * 100_000,
        b" " * 100_000_000,
        # Numbers that no type of this machine holds, where one is expected.
        *(
            text.replace(b"N", number)
            for number in (
                b"1" + b"0" * 400,
                b"-1" + b"0" * 400,
                b"1" * 5000,
                b"1e999",
                b"-0.5",
                b"NaN",
                b"Infinity",
                b"-Infinity",
                b"true",
                b"null",
                b'"1"',
                b"[]",
            )
            for text in (
                b'{"kind": "Swap", "node": "x", "entries": [["a", "1", N, "x", null]]'
                b', "wanted": []}',
                b'{"kind": "Swap", "node": "x", "entries": [["a", null, N, "x", 1]], "wanted": []}',
                b'{"kind": "Swapped", "node": "x", "entries": [["a", "1", N, "x", null]]}',
                b'{"kind": "Differences", "node": "x", "buckets": [N], "stamps": {}'
                b', "more": false}',
                b'{"kind": "Differences", "node": "x", "buckets": [1], "stamps": {"a": [N, "x"]}'
                b', "more": false}',
                b'{"kind": "View", "node": "x", "ready": true, "keys": N, "state": "live"'
                b', "fingerprint": "0", "knows": []}',
            )
        ),
        *(
            b'{"kind": "Swapped", "node": "x", "entries": [["a", null, 1, "x", ' + number + b"]]}"
            for number in (b"1" + b"0" * 400, b"-1", b"1e308", b"NaN", b"Infinity", b"true", b'"1"')
        ),
        # Text that has no bytes, lists without end.
        b'{"kind": "Look", "node": "\\ud800"}',
        b'{"kind": "Look", "node": "' + b"x" * 600 + b'"}',
        b'{"kind": "Swapped", "node": "x", "entries": [["a", "1", 1, "'
        + b"x" * 600
        + b'", null]]}',
        b'{"kind": "Swap", "node": "x", "entries": [], "wanted": ["\\udfff"]}',
        b'{"kind": "Swap", "node": "x", "entries": [], "wanted": "abc"}',
        b'{"kind": "Swap", "node": "x", "entries": {}, "wanted": []}',
        b'{"kind": "Swap", "node": "x", "entries": [], "wanted": ['
        + b'"a",' * MAX_ITEMS
        + b'"a"]}',
        b'{"kind": "Differences", "node": "x", "buckets": [64], "stamps": {}, "more": false}',
        b'{"kind": "Differences", "node": "x", "buckets": [], "stamps": {"\\ud800": [1, "x"]}'
        b', "more": false}',
        b'{"kind": "Differences", "node": "x", "buckets": [], "stamps": [], "more": false}',
        b'{"kind": "Differences", "node": "x", "buckets": [], "stamps": {"a": 1}, "more": false}',
        b'{"kind": "Differences", "node": "x", "buckets": [], "stamps": {}, "more": 0}',
    ],
    ids=lambda text: repr(text[:80]),
)
def test_what_no_node_says_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - of every kind
        decode(text)
    assert len(str(refused.value)) < 500, "what is refused does not fill the log"


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([10**400, -(10**400), MAX_VERSION, MAX_VERSION - 1, BUCKETS]),
        st.floats(),
        st.text(st.characters()),
        st.sampled_from(["a", "x", "0" * SUMMARY]),
    ),
    lambda some: st.lists(some, max_size=5) | st.dictionaries(st.text(), some, max_size=3),
    max_leaves=10,
)
stamps = st.one_of(anything, st.tuples(st.integers(1, MAX_VERSION - 1), st.just("x")))
rows = st.one_of(
    anything,
    st.tuples(st.just("a"), st.just("1"), st.integers(1, MAX_VERSION - 1), st.just("x"), st.none()),
    st.tuples(
        st.just("a"), st.none(), st.integers(1, 9), st.just("x"), st.integers() | st.floats()
    ),
)
bodies = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["Compare", "Differences", "Swap", "Swapped", "Look", "View"]),
        "node": st.just("x") | anything,
    },
    optional={
        "summary": st.just("0" * SUMMARY) | anything,
        "buckets": st.lists(st.integers(0, BUCKETS)) | anything,
        "stamps": st.dictionaries(st.text(), stamps) | anything,
        "more": st.booleans() | anything,
        "entries": st.lists(rows) | anything,
        "wanted": st.lists(st.text()) | anything,
        "ready": st.booleans() | anything,
        "keys": st.integers() | anything,
        "state": st.text() | anything,
        "fingerprint": st.text() | anything,
        "knows": st.lists(st.text()) | anything,
    },
)


@given(bodies, entries)
def test_whatever_comes_is_refused_or_can_be_gone_on_with(body: object, some: list[Entry]) -> None:
    try:
        message: Message = decode(json.dumps(body).encode())
    except ValueError:
        return
    held = merged(some)
    match message:
        case Compare():
            assert decode(encode(exchange.differences(held, message, "me")))
        case Differences():
            asked = exchange.to_swap(held, message, "me")
            assert asked is None or decode(encode(asked)) == asked
        case Swap():
            held.merge(message.entries)
            assert decode(encode(exchange.swapped(held, message, "me")))
        case Swapped():
            held.merge(message.entries)
        case View():
            assert decode(encode(message)) == message
    written = held.write("mine", "v", "me", 0.0)
    assert Entry.from_json(written.to_json()) == written
    assert held.news([written]) == [written]


def test_the_longest_message_of_a_node_is_taken() -> None:
    held = merged([Entry(f"key-{n}", "\U0001f600" * 16_000, 1, "x") for n in range(70)])
    text = encode(Swapped("x", exchange.fitting(held)))
    assert 10_000_000 < len(text) < MAX_MESSAGE
    assert decode(text)
