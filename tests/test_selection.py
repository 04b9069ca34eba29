"""The strategies: whom they choose, how evenly, and what moves when the set changes."""

import collections
import functools
import json
import random
import subprocess
import sys
import threading
from binascii import crc32
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless_discovery import ConfigurationError, Endpoint, Peers, Random, RoundRobin, Sticky
from headless_discovery._selection import strategy_from
from headless_discovery._sticky import _PART_SHIFT, _PARTS, position

VECTORS = Path(__file__).parent / "sticky_vectors.json"


def pods(count: int, *, port: int | None = 80, first: int = 0) -> tuple[Endpoint, ...]:
    return tuple(
        sorted(
            (
                Endpoint(
                    f"web-{n}.web.shop.svc.cluster.local", (f"10.0.{n // 250}.{n % 250}",), port
                )
                for n in range(first, first + count)
            ),
            key=lambda endpoint: endpoint.identity,
        )
    )


# Round-robin.


def test_round_robin_gives_each_its_turn_exactly() -> None:
    strategy, endpoints = RoundRobin(), pods(7)
    counted = collections.Counter(strategy.select(endpoints) for _ in range(700))
    assert set(counted.values()) == {100}


def test_round_robin_starts_anywhere() -> None:
    endpoints = pods(10)
    firsts = {RoundRobin(rng=random.Random(seed)).select(endpoints) for seed in range(200)}
    assert firsts == set(endpoints)


def test_round_robin_goes_on_after_a_change_where_it_was() -> None:
    strategy, endpoints = RoundRobin(rng=random.Random(1)), pods(5)
    first_turns = [strategy.select(endpoints) for _ in range(3)]
    rest = [strategy.select(endpoints[:]) for _ in range(2)]
    assert set(first_turns + rest) == set(endpoints)
    fewer = tuple(endpoint for endpoint in endpoints if endpoint is not rest[0])
    turns = [strategy.select(fewer) for _ in range(8)]
    assert set(collections.Counter(turns).values()) == {2}


@given(st.lists(st.integers(1, 8), min_size=1, max_size=30), st.integers(0, 1000))
def test_round_robin_stays_even_whoever_comes_and_goes(sizes: list[int], seed: int) -> None:
    strategy = RoundRobin(rng=random.Random(seed))
    everybody = pods(8)
    last: dict[Endpoint, int] = {}
    turns: list[Endpoint] = []
    for size in sizes:
        endpoints = everybody[:size]
        last = {endpoint: turn for endpoint, turn in last.items() if endpoint in endpoints}
        for _ in range(size):
            chosen = strategy.select(endpoints)
            between = turns[last[chosen] + 1 :] if chosen in last else []
            others = collections.Counter(between)
            assert all(count == 1 for count in others.values())
            last[chosen] = len(turns)
            turns.append(chosen)


def test_round_robin_takes_a_list_that_changes() -> None:
    strategy = RoundRobin()
    endpoints = list(pods(2))
    strategy.select(endpoints)
    del endpoints[0]
    assert {strategy.select(endpoints) for _ in range(4)} == set(endpoints)


def test_round_robin_is_even_among_many_threads() -> None:
    strategy, endpoints = RoundRobin(), pods(8)
    chosen: list[list[Endpoint]] = []

    def work() -> None:
        chosen.append([strategy.select(endpoints) for _ in range(1000)])

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = collections.Counter(one for some in chosen for one in some)
    assert set(counted.values()) == {2000}


# Random.


@pytest.mark.parametrize("shared", [False, True])
def test_random_is_uniform_by_the_chi_square_test(shared: bool) -> None:
    strategy, endpoints = Random(rng=random.Random(7)), pods(10)
    store = Peers.static(map(str, endpoints), strategy="random", rng=random.Random(7))
    draw = store.pick if shared else functools.partial(strategy.select, endpoints)
    counted = collections.Counter(draw() for _ in range(100_000))
    chi_square = sum((count - 10_000) ** 2 / 10_000 for count in counted.values())
    assert chi_square < 27.9  # 9 degrees of freedom: 0.1 % of uniform samples lie above


class EachNumberOnce(random.Random):
    """Gives all numbers of so many bits in turn."""

    bits = 0
    number = -1

    def getrandbits(self, k: int, /) -> int:
        self.bits, self.number = k, self.number + 1
        return self.number % (1 << k)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100])
def test_of_all_numbers_each_endpoint_has_equally_many(count: int) -> None:
    chance, counted = EachNumberOnce(), collections.Counter[Endpoint]()
    store = Peers.static(map(str, pods(count)), strategy="random", rng=chance)
    while True:
        drawn = store.pick()
        if chance.number >= 2**chance.bits:
            break  # that one was of the next round
        counted[drawn] += 1
    each = counted[drawn]
    assert counted == dict.fromkeys(store.endpoints(), each)
    assert each * count > 3 / 4 * 2**chance.bits, "and few are passed over"


def test_random_may_be_drawn_by_many_threads() -> None:
    store, drawn = Peers.static(map(str, pods(5)), strategy="random"), []

    def work() -> None:
        drawn.append({store.pick() for _ in range(1000)})

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [set(store.endpoints())] * 64


@pytest.mark.parametrize("strategy", [RoundRobin(), Random(), Sticky()])
def test_nobody_to_choose_from_is_an_index_error(strategy: Any) -> None:
    with pytest.raises(IndexError):
        strategy.select((), None)


# Sticky.


def reference(identities: list[tuple[str, str]], key: bytes) -> list[tuple[str, str]]:
    """The algorithm as it is written down, slowly: all owners of a key, in order."""
    ring = sorted(
        {
            (int.from_bytes(digest[at : at + 4], "little"), name, port)
            for name, port in identities
            for number in range(32)
            for digest in [
                blake2b(
                    b"%d:%s%s" % (len(name.encode()), name.encode(), port.encode())
                    + bytes([number])
                ).digest()
            ]
            for at in range(0, 64, 4)
        }
    )
    place = crc32(key) * 0x9E3779B1 % 2**32
    after = [entry for entry in ring if entry[0] >= place] + [e for e in ring if e[0] < place]
    return list(dict.fromkeys((name, port) for _, name, port in after))


def test_sticky_gives_the_golden_answers() -> None:
    golden = json.loads(VECTORS.read_text())
    strategy = Sticky()
    for vector in golden["vectors"]:
        endpoints = tuple(
            Endpoint(name, ("10.0.0.1",), asked_for=port) for name, port in vector["identities"]
        )
        for key, owners in vector["owners"].items():
            ranked = strategy.ranked(endpoints, key, len(owners))
            assert [list(endpoint.identity) for endpoint in ranked] == owners
            assert strategy.select(endpoints, key) is ranked[0]
            assert [list(one) for one in reference([e.identity for e in endpoints], key.encode())][
                : len(owners)
            ] == owners


def test_a_key_goes_to_the_same_endpoint_in_another_process() -> None:
    script = (
        "from headless_discovery import *; from tests.test_selection import pods;"
        "s = Sticky(); print([s.select(pods(9), n).hostname for n in range(50)])"
    )
    there = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.strip()
    strategy = Sticky()
    assert there == str([strategy.select(pods(9), key).hostname for key in range(50)])


@pytest.mark.parametrize("count", [1, 2, 9])
def test_every_part_of_the_ring_is_as_the_algorithm_says(count: int) -> None:
    endpoints = pods(count)
    strategy, identities = Sticky(), [endpoint.identity for endpoint in endpoints]
    assert len({position(key) >> _PART_SHIFT for key in range(20_000)}) == _PARTS
    for key in range(20_000):
        walked = next(strategy._walk(endpoints, key))
        assert strategy.select(endpoints, key) is walked
        if key % 1000 == 0:
            assert reference(identities, b"%d" % key)[0] == walked.identity


def test_text_bytes_and_numbers_that_read_alike_are_one_key() -> None:
    strategy, endpoints = Sticky(), pods(50)
    for number in range(-20, 200):
        text = str(number)
        assert (
            strategy.select(endpoints, number)
            is strategy.select(endpoints, text)
            is strategy.select(endpoints, text.encode())
        )


@pytest.mark.parametrize("wrong", [True, False, 1.0, (), object()])
def test_anything_else_is_no_key(wrong: Any) -> None:
    strategy, endpoints = Sticky(), pods(3)
    strategy.select(endpoints, 1)
    strategy.select(endpoints, 0)
    with pytest.raises(TypeError, match="a key is"):
        strategy.select(endpoints, wrong)


def test_a_kind_of_text_of_ones_own_is_a_key_too() -> None:
    class Text(str):
        __slots__ = ()

    strategy, endpoints = Sticky(), pods(9)
    assert strategy.select(endpoints, Text("a")) is strategy.select(endpoints, "a")


def test_a_store_takes_what_is_a_key_and_nothing_that_equals_one() -> None:
    class Text(str):
        """One that would be taken for another, if it were asked."""

        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    store, strategy = Peers.static(map(str, pods(9))), Sticky()
    for _ in range(2):
        for key in ("a", b"a", 1, "1", b"1", Text("b"), "x" * 1000):
            assert store.pick(key) is strategy.select(store.endpoints(), key)
        for wrong in (True, 1.0, ["a"], bytearray(b"a")):
            with pytest.raises(TypeError, match="a key is"):
                store.pick(wrong)  # type: ignore[arg-type]  # that is the point


@given(st.integers(2, 40), st.integers(0, 39), st.integers(0, 10_000))
def test_who_leaves_moves_its_own_keys_and_no_other(count: int, who: int, first: int) -> None:
    strategy, endpoints = Sticky(), pods(count)
    gone = endpoints[who % count]
    keys = range(first, first + 200)
    before = {key: strategy.select(endpoints, key) for key in keys}
    second = {key: strategy.ranked(endpoints, key, 2)[-1] for key in keys}
    fewer = tuple(endpoint for endpoint in endpoints if endpoint is not gone)
    for key in keys:
        wanted = second[key] if before[key] is gone else before[key]
        assert strategy.select(fewer, key) is wanted
    for key in keys:
        assert strategy.select(endpoints, key) is before[key], "and back"


def test_a_ring_that_was_changed_is_the_one_that_would_be_made_anew() -> None:
    rng = random.Random(3)
    changed = Sticky()
    everybody = pods(60)
    for _ in range(60):
        endpoints = tuple(e for e in everybody if rng.random() < 0.9)
        fresh = Sticky()
        for key in range(100):
            assert changed.select(endpoints, key) is fresh.select(endpoints, key)


def test_a_new_address_moves_nothing() -> None:
    strategy, endpoints = Sticky(), pods(20)
    moved = tuple(Endpoint(e.name, ("10.9.9.9",), 81, asked_for=e.asked_for) for e in endpoints)
    for key in range(500):
        before = strategy.select(endpoints, key)
        after = strategy.select(moved, key)
        assert (after.identity, after.address) == (before.identity, "10.9.9.9")


@pytest.mark.parametrize(
    "name",
    ["web-{n}.web.shop.svc.cluster.local", "10-1-{h}-{l}.web.shop.svc.cluster.local", "p{n}"],
)
def test_a_hundred_thousand_keys_spread_evenly_over_a_hundred_pods(name: str) -> None:
    endpoints = tuple(
        Endpoint(name.format(n=n, h=n // 50, l=n % 50), ("10.0.0.1",), 80) for n in range(100)
    )
    strategy = Sticky()
    counted = collections.Counter(strategy.select(endpoints, f"user:{n}") for n in range(100_000))
    assert max(counted.values()) / 1000 <= 1.25


def test_without_a_key_it_stays_with_one_endpoint_of_its_own() -> None:
    endpoints = pods(20)
    chosen = {Sticky(own=f"app-{n}").select(endpoints) for n in range(50)}
    assert len(chosen) > 5
    own, host = Sticky(own="app-1"), Sticky()
    assert own.select(endpoints) is own.select(endpoints) is own.select(endpoints, "app-1")
    assert host.select(endpoints) is Sticky().select(endpoints)


def test_what_it_remembers_is_bounded() -> None:
    strategy, endpoints = Sticky(), pods(3)
    for key in range(10_000):
        strategy.select(endpoints, key)
    strategy.select(endpoints, "x" * 1000)
    assert len(strategy._known.others[int]) <= 1 << 12
    assert not strategy._known.texts


def test_two_port_numbers_on_one_name_are_two_places() -> None:
    both = (Endpoint("a", ("10.0.0.1",), 80), Endpoint("a", ("10.0.0.1",), 81))
    strategy = Sticky()
    assert {strategy.select(both, key) for key in range(50)} == set(both)


# The argument.


def test_the_strategy_argument_is_a_name_or_an_object() -> None:
    rng = random.Random(0)
    assert isinstance(strategy_from("round-robin", rng), RoundRobin)
    assert isinstance(strategy_from("random", rng), Random)
    assert isinstance(strategy_from("sticky", rng), Sticky)
    own = Random()
    assert strategy_from(own, rng) is own


@pytest.mark.parametrize("wrong", ["least-loaded", None, Random, object()])
def test_another_strategy_is_an_error_that_names_the_argument(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="strategy must be 'round-robin'"):
        strategy_from(wrong, random.Random(0))


def test_text_that_is_no_utf_8_is_a_key_too() -> None:
    strategy, endpoints = Sticky(), pods(9)
    key = "\udcff"
    assert strategy.select(endpoints, key) is strategy.select(
        endpoints, key.encode("utf-8", "surrogatepass")
    )


@pytest.mark.parametrize("nobody", [(), []])
def test_nobody_is_an_index_error(nobody: Any) -> None:
    strategy = Sticky()
    with pytest.raises(IndexError):
        strategy.select(nobody, "a")
    strategy.select(pods(3), "a")
    with pytest.raises(IndexError):
        strategy.select(nobody, "a")
    with pytest.raises(IndexError):
        strategy.ranked(nobody, "a", 1)


def test_where_points_coincide_the_lower_identity_comes_first_however_the_ring_came_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All stand at the same few places, and each at one of its own.
    monkeypatch.setattr(
        "headless_discovery._sticky.points",
        lambda identity: {1 << 30, 3 << 30, sum(identity[0].encode()) << 20},
    )
    rng = random.Random(7)
    changed, everybody = Sticky(), pods(24)
    for _ in range(40):
        endpoints = tuple(e for e in everybody if rng.random() < 0.9)
        fresh = Sticky()
        for key in range(40):
            wanted = fresh.ranked(endpoints, key, 24)
            assert changed.ranked(endpoints, key, 24) == wanted
            assert len(wanted) == len(endpoints)
