"""Choosing by load: least-loaded, bounded keys, sessions, zones; on live uses, in one process."""

import collections
import contextlib
import inspect
import math
import random
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import FrameType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import stop_after_attempt

from headless_discovery import (
    ConfigurationError,
    Endpoint,
    LeastLoaded,
    Peers,
    Policy,
    Session,
    Snapshot,
    Sticky,
    Strategy,
)
from headless_discovery._selection import Chooser, Key
from headless_discovery.testing import FakeClock, FakeCluster

pytestmark = pytest.mark.slow

FAILED = ConnectionRefusedError("refused")


def fixed(count: int, clock: FakeClock | None = None, **selection: Any) -> Peers:
    clock = FakeClock() if clock is None else clock
    listed = [f"10.0.0.{n}:80" for n in range(count)]
    return Peers.static(listed, clock=clock, **({"rng": random.Random(7)} | selection))


# Least-loaded.


@pytest.mark.parametrize("strategy", ["least-loaded", LeastLoaded(rng=random.Random(3))])
def test_least_loaded_takes_the_one_of_two_with_fewer_in_flight(strategy: Any) -> None:
    web = fixed(2, strategy=strategy)
    first, second = web.endpoints()
    with web.clients(str).use_of(first):
        assert {web.pick() for _ in range(50)} == {second}
        with web.clients(str).use_of(second), web.clients(str).use_of(second):
            assert {web.pick() for _ in range(50)} == {first}


def test_the_busiest_of_all_is_never_taken_and_all_others_are() -> None:
    web = fixed(5, strategy="least-loaded")
    busy = web.endpoints()[2]
    with web.clients(str).use_of(busy):
        assert {web.pick() for _ in range(500)} == set(web.endpoints()) - {busy}


def test_ties_are_decided_by_chance_and_not_for_the_first() -> None:
    web = fixed(10, strategy="least-loaded")
    counted = collections.Counter(web.pick() for _ in range(20_000))
    assert set(counted) == set(web.endpoints())
    chi_square = sum((count - 2000) ** 2 / 2000 for count in counted.values())
    assert chi_square < 27.9  # 9 degrees of freedom: 0.1 % of uniform samples lie above


def test_each_two_are_as_likely_as_any_other() -> None:
    web = fixed(4, strategy="least-loaded")
    with ExitStack() as stack:
        for load, endpoint in enumerate(web.endpoints()):
            for _ in range(load):
                stack.enter_context(web.clients(str).use_of(endpoint))
        counted = collections.Counter(web.pick() for _ in range(6000))
    shares = [counted[endpoint] / 1000 for endpoint in web.endpoints()]
    assert shares == [pytest.approx(share, abs=0.2) for share in (3, 2, 1, 0)]


def test_what_is_kept_of_endpoints_that_left_is_forgotten_once_their_uses_end() -> None:
    web = fixed(3, strategy="least-loaded")
    in_flight = web._store.chooser.in_flight
    web.pick()
    with web.use() as peer:
        web.update(["10.9.9.9:80"])
        assert web.in_flight == {peer: 1}
    for last in range(5):
        web.update([f"10.9.9.{last}:80"])
        web.pick()
    assert len(in_flight.uses) == 1


def test_one_endpoint_alone_is_taken_and_what_left_is_not() -> None:
    web = fixed(3, strategy="least-loaded")
    web.pick()
    web.update(["10.9.9.9:80"])
    assert web.pick().address == "10.9.9.9"
    web.update(["10.9.9.8:80", "10.9.9.9:80"])
    with web.clients(str).use_of(web.endpoints()[0]):
        assert {web.pick().address for _ in range(20)} == {"10.9.9.9"}


def test_attempts_go_to_others_by_load_too() -> None:
    web = fixed(4, strategy="least-loaded", policy=Policy(eject_after=100))
    first, second, third, fourth = web.endpoints()
    with (
        web.clients(str).use_of(first),
        web.clients(str).use_of(second),
        web.clients(str).use_of(second),
    ):
        seen: list[Endpoint] = []

        def fail(peer: Endpoint) -> None:
            seen.append(peer)
            raise FAILED

        with pytest.raises(ConnectionRefusedError):
            web.call(fail)
    assert len(set(seen)) == 3
    assert second not in seen[:2], "only once there is no other choice of two"
    assert {third, fourth} & set(seen[:2])


def test_one_strategy_may_serve_two_peers() -> None:
    for strategy in (LeastLoaded(), Session(), Sticky(bound=1)):
        one, other = fixed(2, strategy=strategy), fixed(2, strategy=strategy)
        with one.use() as peer:
            assert other.in_flight == {}
            assert one.in_flight == {peer: 1}
        one.pick("user:42")
        other.update(["10.9.9.9:80"])
        assert other.pick("user:42").address == "10.9.9.9"
        assert one.pick("user:42").address != "10.9.9.9"


# A bound for keys.


@settings(max_examples=200)
@given(
    count=st.integers(1, 7),
    bound=st.floats(1, 2),
    floor=st.integers(0, 3),
    events=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60),
)
def test_a_bounded_key_never_has_more_than_its_bound_and_comes_back_to_its_owner(
    count: int, bound: float, floor: int, events: list[tuple[int, bool]]
) -> None:
    web = fixed(count, strategy=Sticky(bound=bound, floor=floor))
    going: list[ExitStack] = []
    for key, ends in events:
        if ends and going:
            going.pop(key % len(going)).close()
            continue
        total = len(going)
        stack = ExitStack()
        peer = stack.enter_context(web.use(f"user:{key}"))
        going.append(stack)
        allowed = max(math.ceil(bound * (total + 1) / count), floor)
        assert web.in_flight[peer] <= allowed
        owners = web.ranked(f"user:{key}", count)
        for better in owners[: owners.index(peer)]:
            assert web.in_flight.get(better, 0) >= allowed, "passed over, though it had room"
    for stack in going:
        stack.close()
    for key in range(6):
        assert web.pick(f"user:{key}") == web.ranked(f"user:{key}", 1)[0]


def test_without_a_bound_a_key_stays_on_its_owner_however_many_of_its_calls_are_in_flight() -> None:
    web = fixed(3, strategy=Sticky())
    with ExitStack() as stack:
        assert len({stack.enter_context(web.use("key")) for _ in range(50)}) == 1


def test_a_floor_keeps_a_hot_key_on_its_owner_while_little_goes_on() -> None:
    for floor, expected in ((0, 2), (2, 1)):
        web = fixed(8, strategy=Sticky(bound=1.25, floor=floor))
        with web.use("user:42") as one, web.use("user:42") as other:
            assert len({one, other}) == expected


def test_where_all_that_are_left_are_full_a_key_goes_to_its_first_owner_of_them() -> None:
    web = fixed(3, strategy=Sticky(bound=1), policy=Policy(eject_after=10_000))
    empty, *full = web.endpoints()
    with ExitStack() as stack:
        for endpoint in full * 5:
            stack.enter_context(web.clients(str).use_of(endpoint))
        for key in range(20):
            tried = []
            for attempt in web.attempts(key):
                with attempt as peer:
                    tried.append(peer)
                    if attempt.number == 1:
                        raise FAILED
            owner = next(each for each in web.ranked(key, 3) if each is not empty)
            assert tried == [empty, owner]


def test_a_bound_holds_for_attempts_and_without_a_key() -> None:
    web = fixed(3, strategy=Sticky(own="me", bound=1))
    first, second, third = web.ranked("me", 3)
    with web.use() as one, web.use() as two, web.use() as three:
        assert (one, two, three) == (first, second, third)
    with web.clients(str).use_of(second):
        seen = []
        for attempt in web.attempts("me"):
            with attempt as peer:
                seen.append(peer)
                if attempt.number == 1:
                    raise FAILED
        assert seen == [first, third]
    with (
        web.clients(str).use_of(first),
        web.clients(str).use_of(second),
        web.clients(str).use_of(third),
    ):
        pass


class ChosenTogether(Sticky):
    """Lets no thread go on with its choice before all have made theirs."""

    def __init__(self, threads: int, bound: float) -> None:
        super().__init__(bound=bound)
        self.all_chose = threading.Barrier(threads, timeout=10)

    def select(self, endpoints: Sequence[Endpoint], key: Key | None = None) -> Endpoint:
        chosen = super().select(endpoints, key)
        self.all_chose.wait()
        return chosen


@pytest.mark.parametrize("by", ["use", "attempts"])
def test_a_bound_is_exact_for_64_threads_that_choose_at_the_same_instant(by: str) -> None:
    web = fixed(8, strategy=ChosenTogether(64, bound=1.25))
    all_in = threading.Barrier(64, timeout=10)

    def call() -> tuple[Endpoint, dict[Endpoint, int]]:
        if by == "use":
            with web.use("hot") as peer:
                all_in.wait()
                count = web.in_flight
                all_in.wait()
        else:
            attempt = next(web.attempts("hot"))
            with attempt as peer:
                all_in.wait()
                count = web.in_flight
                all_in.wait()
            assert attempt.endpoint == peer
        return peer, count

    with ThreadPoolExecutor(64) as pool:
        calls = [pool.submit(call) for _ in range(64)]
        peers, counts = zip(*[each.result(timeout=10) for each in calls], strict=True)
    assert all(count == collections.Counter(peers) for count in counts)
    assert max(counts[0].values()) == math.ceil(1.25 * 64 / 8)
    assert web.in_flight == {}


@pytest.mark.parametrize("bound", [0, 0.9, math.inf, math.nan, True, "1.25"])
def test_a_bound_below_one_is_an_error(bound: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^bound must be"):
        Sticky(bound=bound)
    with pytest.raises(ConfigurationError, match=r"^floor must be"):
        Sticky(bound=1.25, floor=-1)


# Sessions.


def test_a_session_stays_while_its_endpoint_does() -> None:
    web = fixed(5, strategy="session")
    homes = {}
    for number in range(100):
        with web.use(f"chat:{number}") as peer:
            homes[number] = peer
    assert len(set(homes.values())) == 5
    for number, home in homes.items():
        for key in (f"chat:{number}", f"chat:{number}".encode()):
            assert web.pick(key) is home
    web.update([*map(str, web.endpoints()), "10.9.9.9:80"])
    assert all(web.pick(f"chat:{number}") == home for number, home in homes.items())


def test_numbers_and_texts_that_read_alike_are_one_session_and_other_things_are_none() -> None:
    web = fixed(5, strategy="session")
    with web.use("42") as home:
        assert home == web.pick(42) == web.pick(b"42")
    long = "x" * 1000
    with web.use(long) as home:
        assert web.pick(long) == home
    with pytest.raises(TypeError, match="a key is"):
        web.pick(1.5)  # type: ignore[arg-type]  # that is the point


def test_without_a_key_a_session_strategy_goes_by_load() -> None:
    web = fixed(2, strategy=Session())
    with web.use() as busy:
        assert busy not in {web.pick() for _ in range(50)}
    assert web.ranked("user:42", 2) == fixed(2).ranked("user:42", 2)


def test_first_uses_at_the_same_time_go_together() -> None:
    web = fixed(5, strategy="session")
    with ExitStack() as stack:
        assert len({stack.enter_context(web.use("chat")) for _ in range(9)}) == 1


def test_a_session_is_bound_to_the_endpoint_that_answered_first() -> None:
    web = fixed(5, strategy="session", policy=Policy(eject_after=100))
    tried = []
    for attempt in web.attempts("chat"):
        with attempt as peer:
            tried.append(peer)
            if attempt.number < 3:
                raise FAILED
    assert len(set(tried)) == 3
    assert {web.pick("chat") for _ in range(9)} == {tried[-1]}


def test_a_first_use_that_failed_binds_nothing() -> None:
    web = fixed(5, strategy="session", policy=Policy(eject_after=100))
    homes = set()
    for _ in range(40):
        with contextlib.suppress(ConnectionRefusedError), web.use("chat") as peer:
            homes.add(peer)
            raise FAILED
    assert len(homes) == 5


def test_failover_moves_nothing() -> None:
    web = fixed(5, strategy="session", policy=Policy(eject_after=100))
    with web.use("chat") as home:
        pass
    for attempt in web.attempts("chat"):
        with attempt as peer:
            if attempt.number == 1:
                assert peer is home
                raise FAILED
            assert peer is not home
    assert web.pick("chat") is home


def eject(web: Peers, endpoint: Endpoint) -> None:
    web.report(endpoint, FAILED)
    assert endpoint in web.ejected


def test_after_a_short_ejection_a_session_comes_back() -> None:
    clock = FakeClock()
    web = fixed(5, clock, strategy="session", policy=Policy(eject_after=1, eject_for=20))
    with web.use("chat") as home:
        pass
    eject(web, home)
    elsewhere = {web.pick("chat") for _ in range(9)}
    assert len(elsewhere) == 1, "in one place"
    assert home not in elsewhere
    with web.use("chat"):
        pass
    clock.advance(20)
    assert web.pick("chat") is home


def test_one_whose_endpoint_does_not_answer_for_long_moves_once() -> None:
    clock = FakeClock()
    policy = Policy(eject_after=1, eject_for=20, eject_max=20)
    web = fixed(5, clock, strategy="session", policy=policy)
    with web.use("chat") as home:
        pass
    eject(web, home)
    elsewhere = web.pick("chat")
    clock.advance(20)
    assert web.pick("chat") is home
    eject(web, home)
    clock.advance(15)
    assert web.pick("chat") is elsewhere
    clock.advance(10)
    assert web.ejected == {}
    assert {web.pick("chat") for _ in range(9)} == {elsewhere}


def test_one_that_answers_again_begins_anew() -> None:
    clock = FakeClock()
    web = fixed(
        5, clock, strategy="session", policy=Policy(eject_after=1, eject_for=20, eject_max=20)
    )
    with web.use("chat") as home:
        pass
    for _ in range(5):
        eject(web, home)
        assert web.pick("chat") is not home
        clock.advance(20)
        with web.use("chat") as peer:
            assert peer is home


def test_30_s_are_not_too_long() -> None:
    clock = FakeClock()
    policy = Policy(eject_after=1, eject_for=30, eject_max=30)
    web = fixed(5, clock, strategy="session", policy=policy)
    with web.use("chat") as home:
        pass
    eject(web, home)
    assert web.pick("chat") is not home
    clock.advance(30)
    assert web.pick("chat") is home


def test_where_it_moved_after_too_long_it_is_at_home() -> None:
    clock = FakeClock()
    policy = Policy(eject_after=1, eject_for=20, eject_max=20)
    web = fixed(5, clock, strategy="session", policy=policy)
    with web.use("chat") as home:
        pass
    for _ in range(2):
        eject(web, home)
        web.pick("chat")
        clock.advance(20)
    with web.use("chat") as anew:
        assert anew is not home
    eject(web, anew)
    assert web.pick("chat") is not anew
    clock.advance(20)
    assert web.pick("chat") is anew


def test_one_that_was_never_answered_moves_when_its_endpoint_is_ejected() -> None:
    clock = FakeClock()
    web = fixed(5, clock, strategy="session", policy=Policy(eject_after=1, eject_for=20))
    first = web.pick("chat")
    eject(web, first)
    second = web.pick("chat")
    assert second is not first
    clock.advance(20)
    assert web.ejected == {}
    assert web.pick("chat") is second


def test_one_whose_endpoint_left_does_not_go_back_when_that_returns() -> None:
    web = fixed(5, strategy="session")
    everybody = [str(each) for each in web.endpoints()]
    for _ in range(5):
        with web.use("chat") as home:
            pass
        web.update([each for each in everybody if each != str(home)])
        with web.use("chat") as anew:
            assert anew is not home
        web.update(everybody)
        assert web.pick("chat") == anew


def test_where_a_session_is_served_meanwhile_may_be_ejected_too() -> None:
    web = fixed(5, strategy="session", policy=Policy(eject_after=1, eject_for=20))
    with web.use("chat") as home:
        pass
    eject(web, home)
    meanwhile = web.pick("chat")
    eject(web, meanwhile)
    assert web.pick("chat") not in {home, meanwhile}


def test_a_session_stays_with_a_departing_endpoint_and_moves_once_it_is_gone(
    cluster: FakeCluster,
) -> None:
    service = cluster.add_service("web", ports={"http": 80})
    service.scale(4)
    web = cluster.peers("web", port="http", strategy="session", policy=Policy(jitter=0))
    keys = [f"chat:{number}" for number in range(40)]
    homes = {}
    for key in keys:
        with web.use(key) as homes[key]:
            pass
    service.scale(2)
    cluster.clock.advance(11)
    departing = web.refresh().departing
    assert len(departing) == 2
    assert {key: web.pick(key) for key in keys} == homes
    assert not set(departing) & {web.pick() for _ in range(50)}
    for _ in range(2):
        cluster.clock.advance(40)
        web.refresh()
    moved = {key: web.pick(key) for key in keys}
    for key in keys:
        if homes[key] not in departing:
            assert moved[key] == homes[key]
    assert {key: web.pick(key) for key in keys} == moved


def test_a_pod_that_comes_back_at_another_address_keeps_its_sessions(cluster: FakeCluster) -> None:
    service = cluster.add_service("web", ports={"http": 80})
    service.scale(4)
    web = cluster.peers("web", port="http", strategy="session")
    with web.use("chat") as home:
        pass
    next(pod for pod in service.pods if pod.hostname == home.hostname).move_to("10.9.9.9")
    cluster.clock.advance(60)
    web.refresh()
    assert (web.pick("chat").hostname, web.pick("chat").address) == (home.hostname, "10.9.9.9")


def test_an_idle_session_is_forgotten_and_so_are_the_longest_idle_ones_of_too_many() -> None:
    clock = FakeClock()
    web = fixed(50, clock, strategy=Session(idle=100, most=10))
    with web.use("chat") as home:
        pass
    clock.advance(99)
    assert web.pick("chat") is home
    clock.advance(99)
    assert web.pick("chat") is home
    clock.advance(100)
    assert web.pick("chat") is home, "not longer than that"
    anew = set()
    for _ in range(50):
        clock.advance(101)
        anew.add(web.pick("chat"))
    assert len(anew) > 10
    homes = {}
    for number in range(20):
        with web.use(f"chat:{number}") as homes[number]:
            pass
    assert [web.pick(f"chat:{number}") is homes[number] for number in range(10, 20)] == [True] * 10
    assert not all(web.pick(f"chat:{number}") is homes[number] for number in range(10))


def test_a_session_ends_after_600_s_unless_told_otherwise() -> None:
    clock = FakeClock()
    web = fixed(50, clock, strategy="session")
    seen = set()
    for _ in range(50):
        with web.use("chat") as home:
            seen.add(home)
        clock.advance(600)
        assert web.pick("chat") is home
        clock.advance(600.5)
    assert len(seen) > 10


def test_of_too_many_sessions_those_that_are_used_again_stay() -> None:
    web = fixed(50, strategy=Session(most=10))
    with web.use("ours") as home:
        pass
    for number in range(30):
        with web.use(f"chat:{number}"):
            pass
        with web.use("ours") as peer:
            assert peer is home


def test_a_long_key_of_a_session_is_not_kept() -> None:
    web = fixed(3, strategy="session")
    for length, is_kept in ((64, True), (65, False)):
        key = b"x" * length
        before = sys.getrefcount(key)
        with web.use(key):
            pass
        assert (sys.getrefcount(key) > before) is is_kept


def test_a_hundred_thousand_sessions_are_remembered_unless_told_otherwise() -> None:
    assert inspect.signature(Session).parameters["most"].default == 100_000


def test_a_session_that_was_forgotten_while_it_was_used_ends_in_peace() -> None:
    web = fixed(5, strategy=Session(most=1))
    with web.use("one"), web.use("another") as home:
        pass
    assert web.pick("another") is home


def test_uses_at_every_instruction_of_one_another_stay_with_the_sessions_endpoint() -> None:
    session, endpoints = Session(), fixed(50).endpoints()
    home = session.select(endpoints, "chat")
    seen = collections.Counter[Endpoint]()

    def at_each(frame: FrameType, event: str, _argument: object) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen[session.select(endpoints, "chat")] += 1  # as another thread would: not traced
        return at_each

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # without it Python 3.12 has no events of instructions
    sys.settrace(at_each)
    try:
        session.select(endpoints, "chat")
    finally:
        sys.settrace(before)
    assert seen.keys() == {home}
    assert seen.total() > 50


@pytest.mark.parametrize(("name", "wrong"), [("idle", 0), ("idle", "600"), ("most", 0)])
def test_a_wrong_number_of_a_session_is_an_error(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be"):
        Session(**{name: wrong})


# Zones.


def zoned(zone: str | None) -> tuple[Chooser, Snapshot]:
    endpoints = tuple(
        attrs.evolve(endpoint, zone="abc"[number % 3])
        for number, endpoint in enumerate(fixed(9).endpoints())
    )
    chooser = Chooser(LeastLoaded(), random.Random(1), Policy(), lambda: 0.0, zone)
    return chooser, Snapshot(endpoints=endpoints)


def test_without_a_key_those_of_the_zone_are_chosen_and_with_one_all() -> None:
    chooser, snapshot = zoned("b")
    choice = chooser.choice(snapshot, 0, 100)
    assert {choice.one(None).zone for _ in range(100)} == {"b"}
    assert {choice.one(key).zone for key in range(100)} == {"a", "b", "c"}
    assert (
        len(chooser.sample(choice, 9)) == len(chooser.keys.ranked(snapshot.endpoints, "k", 9)) == 9
    )


def test_where_the_zone_has_none_that_may_be_chosen_all_are() -> None:
    for zone in ("d", None):
        chooser, snapshot = zoned(zone)
        choice = chooser.choice(snapshot, 0, 100)
        assert {choice.one(None) for _ in range(300)} == set(snapshot.endpoints)
    chooser, snapshot = zoned("b")
    departing = tuple(each for each in snapshot.endpoints if each.zone == "b")
    choice = chooser.choice(attrs.evolve(snapshot, departing=departing), 0, 100)
    assert {choice.one(None).zone for _ in range(100)} == {"a", "c"}


def test_further_attempts_stay_in_the_zone_or_go_elsewhere_and_never_twice_to_one() -> None:
    for elsewhere, zones in ((False, {"b"}), (True, {"a", "c"})):
        chooser, snapshot = zoned("b")
        choice = chooser.choice(snapshot, 0, 100)
        seen: list[Endpoint] = []
        tried: set[Any] = set()
        while another := chooser.another(choice, None, tried, elsewhere=elsewhere):
            seen.append(another)
            tried.add((another.name, another.addresses, another.port, another.asked_for))
        assert len(seen) == len(set(seen)) == 9
        first = len(snapshot.endpoints) // 3 * len(zones)
        assert {each.zone for each in seen[:first]} == zones


def test_with_a_key_further_attempts_go_by_the_keys_order_and_not_by_zone() -> None:
    chooser, snapshot = zoned("b")
    choice = chooser.choice(snapshot, 0, 100)
    for key in range(30):
        one, two = chooser.keys.ranked(snapshot.endpoints, key, 2)
        tried = {(one.name, one.addresses, one.port, one.asked_for)}
        assert chooser.another(choice, key, tried, elsewhere=False) is two


# A whole set.


def test_a_pod_that_answers_503_at_once_gets_less_than_its_share() -> None:
    class Unavailable(Exception):
        status = 503

    for strategy in ("round-robin", "random", "least-loaded", "session"):
        clock = FakeClock()
        web = fixed(8, clock, strategy=strategy)
        bad, chance = web.endpoints()[3], random.Random(4)
        going: list[tuple[float, ExitStack]] = []
        calls = collections.Counter[Endpoint]()
        for number in range(3000):
            clock.advance(0.01)
            while going and going[0][0] <= clock.now():
                going.pop(0)[1].close()
            stack = ExitStack()
            key = f"chat:{number % 300}" if strategy == "session" else None
            with contextlib.suppress(Unavailable):
                peer = stack.enter_context(web.use(key))
                calls[peer] += 1
                if peer is bad:
                    with stack:
                        raise Unavailable
                going.append((clock.now() + chance.uniform(0.05, 0.1), stack))
        assert calls[bad] < 3000 / 8 / 4, strategy
        for _, stack in going:
            stack.close()


STRATEGIES: dict[str, Callable[[], str | Strategy]] = {
    "random": lambda: "random",
    "round-robin": lambda: "round-robin",
    "least-loaded": LeastLoaded,
    "sticky": Sticky,
    "bounded": lambda: Sticky(bound=1.25, floor=1),
    "session": Session,
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_no_endpoint_is_starved_whatever_goes_on(strategy: str, seed: int) -> None:
    chance = random.Random(seed)
    web = fixed(8, strategy=STRATEGIES[strategy](), rng=random.Random(seed))
    going: list[ExitStack] = []
    calls = collections.Counter[Endpoint]()
    for _ in range(600):
        if len(going) == 20:  # the longest are as long as they like
            going.pop(chance.randrange(20)).close()
        going.append(ExitStack())
        calls[going[-1].enter_context(web.use(f"user:{chance.randrange(200)}"))] += 1
    for stack in going:
        stack.close()
    assert len(calls) == 8
    assert min(calls.values()) >= 600 / 8 / 4, calls


@pytest.mark.parametrize(
    "strategy", [LeastLoaded(), Sticky(bound=1.25), Session(most=100), Session(most=100, idle=1)]
)
def test_memory_is_bounded_whatever_the_keys(strategy: Strategy) -> None:
    web = fixed(8, strategy=strategy)

    def use_many(first: int) -> None:
        for number in range(first, first + 5000):
            with web.use(f"{number}" * 40):
                pass
            web.pick(number)

    use_many(0)
    tracemalloc.start()
    try:
        use_many(5000)
        kept, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What came instead of what was remembered before; all of them would be 2 MB.
    assert kept < 800_000


def test_an_overloaded_set_gets_at_most_a_quarter_more_than_its_calls() -> None:
    clock = FakeClock()
    web = fixed(8, clock, policy=Policy(eject_after=10_000))
    served = collections.Counter[Endpoint]()
    arrived = calls = failed = 0

    def work(peer: Endpoint) -> None:
        nonlocal arrived
        arrived += 1
        served[peer] += 1
        if served[peer] > 25:  # in each second
            raise TimeoutError

    for _second in range(20):
        served.clear()
        for _ in range(400):  # twice what they can do
            calls += 1
            clock.advance(1 / 400)
            try:
                web.call(work, idempotent=True)
            except TimeoutError:
                failed += 1
    assert failed > calls / 3, "they are overloaded"
    assert calls < arrived <= 1.25 * calls


def test_peers_with_a_zone_choose_there_without_a_key_and_everywhere_with_one(
    cluster: FakeCluster,
) -> None:
    service = cluster.add_service("web", ports={"http": 80})
    for number in range(6):
        service.add_pod(f"10.9.0.{number + 1}", zone="ab"[number % 2])
    with cluster.peers("web", port="http", source="api", zone="a") as web:
        web.wait_ready(6, timeout=30)
        assert {web.pick().zone for _ in range(50)} == {"a"}
        assert {web.pick(key).zone for key in range(50)} == {"a", "b"}
        zones = []
        for attempt in web.attempts():
            with attempt as peer:
                zones.append(peer.zone)
                if attempt.number < 3:
                    raise FAILED
        assert zones == ["a", "a", "b"], "the third elsewhere"
        zones = []
        for attempt in web.attempts(stop=stop_after_attempt(2)):
            with attempt as peer:
                zones.append(peer.zone)
                if attempt.number < 2:
                    raise FAILED
        assert zones == ["a", "b"], "the second where there are at most two"
        assert len(web.endpoints()) == len(web.sample(6)) == 6


@pytest.mark.parametrize("ours", [Sticky, LeastLoaded, Session])
def test_a_strategy_made_of_ours_is_copied_for_each_peers_and_shares_what_it_holds(
    ours: Any,
) -> None:
    class Hears(ours):  # type: ignore[misc]  # each in turn
        def __init__(self) -> None:
            super().__init__()
            self.heard: list[Endpoint] = []

        def began(self, endpoint: Endpoint) -> None:
            self.heard.append(endpoint)

    strategy = Hears()
    web, other = fixed(2, strategy=strategy), fixed(3, strategy=strategy)
    with web.use() as one, other.use() as two:
        assert strategy.heard == [one, two]
        assert (web.in_flight, other.in_flight) == ({one: 1}, {two: 1})
