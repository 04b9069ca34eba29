"""Attempts and calls: whom they try, what they swallow, when they end, what they cost."""

import asyncio
import contextlib
import copy
import itertools
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as st

from headless_discovery import (
    Attempt,
    Closed,
    ConfigurationError,
    Endpoint,
    LeastLoaded,
    LookupFailed,
    LookupTimeout,
    NoEndpoints,
    Peers,
    Policy,
    Random,
    RoundRobin,
    Session,
    Sticky,
    aio,
)
from headless_discovery.testing import FakeClock, FakeCluster, FakeService
from tests.tasks import LIBRARIES, LibraryName, run

REFUSED = ConnectionRefusedError("refused")


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(4)
    return service


def fixed(count: int, clock: FakeClock | None = None, **selection: Any) -> Peers:
    clock = FakeClock() if clock is None else clock
    listed = [f"10.0.0.{n}:80" for n in range(count)]
    return Peers.static(listed, clock=clock, rng=random.Random(7), **selection)


def tried(kubia: Peers, key: Any = None, **rules: Any) -> list[Endpoint]:
    """Whom the attempts try when all fail."""
    seen: list[Endpoint] = []
    with pytest.raises(ConnectionRefusedError):
        for attempt in kubia.attempts(key, **rules):
            with attempt as endpoint:
                seen.append(endpoint)
                raise REFUSED
    return seen


# Whom they try.


def test_the_first_attempt_is_on_whom_pick_would_give(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia, twin = (
        cluster.peers("web", port="http", rng=random.Random(3), strategy="random") for _ in range(2)
    )
    for _ in range(10):
        attempt = next(iter(kubia.attempts()))
        assert isinstance(attempt, Attempt)
        assert attempt.endpoint == twin.pick()
        assert (attempt.number, attempt.remaining) == (1, None)


@pytest.mark.parametrize("strategy", ["round-robin", "random", "sticky"])
def test_a_call_is_on_whom_pick_would_give_and_then_on_another(strategy: str) -> None:
    kubia, twin = (fixed(4, strategy=strategy) for _ in range(2))
    for key in (None, None, "user:42", None):
        assert kubia.call(lambda endpoint: endpoint, key=key) == twin.pick(key)
    seen: list[Endpoint] = []

    def work(endpoint: Endpoint) -> str:
        seen.append(endpoint)
        if len(seen) == 1:
            raise REFUSED
        return "done"

    assert kubia.call(work) == "done"
    assert seen[0] == twin.pick()
    assert seen[1] != seen[0]
    assert next(iter(kubia.attempts("user:42"))).endpoint == twin.pick("user:42")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["round-robin", "random", "sticky", "least-loaded"])
@given(count=st.integers(1, 6), attempts=st.integers(1, 20), key=st.none() | st.integers())
def test_each_attempt_is_on_another_endpoint_until_all_were_tried(
    strategy: str, count: int, attempts: int, key: int | None
) -> None:
    kubia = fixed(count, strategy=strategy, policy=Policy(eject_after=100))
    seen = tried(kubia, key, stop=tenacity.stop_after_attempt(attempts))
    assert len(seen) == attempts
    for start in range(0, attempts, count):
        round_ = seen[start : start + count]
        assert len(set(round_)) == len(round_)
        if key is not None:
            assert tuple(round_) == kubia.ranked(key, len(round_))


def test_those_set_aside_come_last(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web", port="http")
    first, second, third, fourth = kubia.ranked("user:42", 4)
    for endpoint in (first, third) * 3:
        kubia.report(endpoint, REFUSED)
    seen = tried(kubia, "user:42", stop=tenacity.stop_after_attempt(4))
    assert seen == [second, fourth, first, third]


def test_a_strategy_of_ones_own_is_asked_for_each_attempt_with_the_key() -> None:
    asked: list[tuple[int, object]] = []

    class Last:
        def select(self, endpoints: Sequence[Endpoint], key: object) -> Endpoint:
            asked.append((len(endpoints), key))
            return endpoints[-1]

    kubia = fixed(3, strategy=Last())
    assert tried(kubia, "k") == list(reversed(kubia.endpoints()))
    assert asked == [(3, "k"), (2, "k"), (1, "k")]


@pytest.mark.parametrize("ours", [RoundRobin, Random, Sticky, LeastLoaded, Session])
def test_one_that_is_made_of_ours_is_asked_for_each_attempt_too(ours: Any) -> None:
    class Last(ours):  # type: ignore[misc]  # each in turn
        def select(self, endpoints: Sequence[Endpoint], key: object = None) -> Endpoint:
            assert ours.select(self, endpoints, key) in endpoints
            return endpoints[-1]

    kubia = fixed(3, strategy=Last())
    for key in (None, "k"):
        assert tried(kubia, key) == list(reversed(kubia.endpoints()))


@pytest.mark.parametrize("ours", [RoundRobin, Random, Sticky, LeastLoaded, Session])
def test_one_that_only_adds_to_ours_chooses_as_that_does(ours: Any) -> None:
    began: list[Endpoint] = []

    class Hears(ours):  # type: ignore[misc]  # each in turn
        def began(self, endpoint: Endpoint) -> None:
            began.append(endpoint)

    kubia = fixed(3, strategy=Hears())
    assert tried(kubia, "k") == began
    assert len(set(began)) == 3


def test_an_equal_endpoint_stands_for_the_one_that_is_listed() -> None:
    class Copies:
        def select(self, endpoints: Sequence[Endpoint], key: object) -> Endpoint:
            return copy.copy(endpoints[1])

    kubia = fixed(3, strategy=Copies())
    assert kubia.pick() is kubia.endpoints()[1]


def test_if_the_set_changes_between_attempts_the_new_one_is_used(
    cluster: FakeCluster, web: FakeService
) -> None:
    with cluster.peers("web", port="http", policy=Policy(on_empty="clear")) as kubia:
        kubia.refresh()
        seen = []
        for attempt in kubia.attempts(stop=tenacity.stop_after_attempt(5)):
            with attempt as endpoint:
                seen.append(endpoint.hostname)
                if len(seen) == 5:
                    break
                web.scale(0)
                web.add_pod(f"10.7.0.{len(seen)}", hostname=f"new-{len(seen)}")
                cluster.clock.advance(60)
                raise REFUSED
        assert seen[1:] == ["new-1", "new-2", "new-3", "new-4"]


def test_a_pod_that_came_back_at_another_address_is_another_chance(
    cluster: FakeCluster, web: FakeService
) -> None:
    with cluster.peers("web", port="http") as kubia:
        first = kubia.pick("user:42")
        addresses = []
        for attempt in kubia.attempts("user:42"):
            with attempt as endpoint:
                addresses.append(endpoint.address)
                if attempt.number == 2:
                    break
                pod = next(pod for pod in web.pods if pod.hostname == first.hostname)
                pod.move_to("10.9.9.9")
                cluster.clock.advance(10)
                raise REFUSED
        assert addresses == [first.address, "10.9.9.9"]


def test_if_everybody_goes_between_attempts_the_last_error_comes_out(
    cluster: FakeCluster, web: FakeService
) -> None:
    policy = Policy(on_empty="clear")
    with cluster.peers("web", port="http", policy=policy) as kubia:
        kubia.refresh()
        error = ConnectionRefusedError("the last one")

        def lose_everybody(endpoint: Endpoint) -> None:
            web.scale(0)
            cluster.clock.advance(60)
            raise error

        with pytest.raises(ConnectionRefusedError) as raised:
            kubia.call(lose_everybody)
        assert raised.value is error
        assert "tried 1 times" in error.__notes__[0]


def test_if_everybody_goes_and_nothing_failed_there_is_nobody_to_try(
    cluster: FakeCluster, web: FakeService
) -> None:
    with cluster.peers("web", port="http", policy=Policy(on_empty="clear")) as kubia:
        kubia.refresh()
        attempts = kubia.attempts()
        next(attempts)
        web.scale(0)
        cluster.clock.advance(60)
        with pytest.raises(NoEndpoints):
            next(attempts)


# What is a success, and what is swallowed.


def test_a_failure_is_swallowed_and_the_next_attempt_may_succeed() -> None:
    kubia = fixed(3)
    numbers = []
    for attempt in kubia.attempts():
        with attempt:
            numbers.append(attempt.number)
            if attempt.number < 3:
                raise ConnectionRefusedError
    assert numbers == [1, 2, 3]


@pytest.mark.parametrize("leave", ["break", "return", "end"])
def test_break_return_and_the_end_of_the_body_are_successes(leave: str) -> None:
    kubia = fixed(2, policy=Policy(eject_after=2))
    for endpoint in kubia.endpoints():
        kubia.report(endpoint, REFUSED)

    def work() -> int:
        count = 0
        for attempt in kubia.attempts():
            count += 1
            with attempt:
                if leave == "break":
                    break
                if leave == "return":
                    return count
        return count

    assert work() == 1
    assert work() == 1
    for endpoint in kubia.endpoints():
        kubia.report(endpoint, REFUSED)
    assert kubia.ejected == {}


def test_the_last_error_comes_out_as_it_is_with_a_note_of_what_was_tried() -> None:
    kubia = fixed(3)
    errors = [ConnectionRefusedError("one"), TimeoutError("two"), ConnectionResetError("three\nx")]
    left = iter(errors)
    with pytest.raises(ConnectionResetError) as raised:
        kubia.call(lambda endpoint: next_error(left), key="user:42", idempotent=True)
    assert raised.value is errors[-1]
    assert raised.value.__context__ not in errors
    first, second, third = kubia.ranked("user:42", 3)
    assert raised.value.__notes__ == [
        "tried 3 times to reach one of a fixed list:\n"
        f"  1. {first} ({first.name}): ConnectionRefusedError: one\n"
        f"  2. {second} ({second.name}): TimeoutError: two\n"
        f"  3. {third} ({third.name}): ConnectionResetError: three"
    ]
    assert not hasattr(errors[0], "__notes__")


def next_error(errors: Any) -> None:
    raise next(errors)


def test_a_long_note_is_cut() -> None:
    kubia = fixed(2)
    with pytest.raises(ConnectionRefusedError) as raised:
        kubia.call(fails, stop=tenacity.stop_never, wait=tenacity.wait_none())
    note = raised.value.__notes__[0].splitlines()
    assert note[:2] == [
        "tried 100 times to reach one of a fixed list:",
        "  (the first 90 are left out)",
    ]
    assert len(note) == 12


def fails(endpoint: Endpoint) -> None:
    raise ConnectionRefusedError("refused")


class Mute(ConnectionRefusedError):
    def __str__(self) -> str:
        raise KeyError("text")


class Fixed(ConnectionRefusedError):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class Unprintable(ConnectionRefusedError):
    __str__ = None  # type: ignore[assignment]  # a mistake


@pytest.mark.parametrize("kind", [Mute, Fixed, Unprintable])
def test_an_error_that_cannot_be_told_or_noted_is_raised_as_any_other(
    kind: type[ConnectionRefusedError],
) -> None:
    kubia, seen = fixed(3), []

    def call(endpoint: Endpoint) -> None:
        seen.append(endpoint)
        raise kind

    with pytest.raises(kind):
        kubia.call(call)
    assert len(set(seen)) == 3
    assert kubia.in_flight == {}


@pytest.mark.parametrize(
    "error",
    [
        KeyError("no failure of the endpoint"),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        GeneratorExit(),
        LookupTimeout("a discovery of our own"),
    ],
    ids=repr,
)
def test_other_errors_come_out_at_once_uncounted(error: BaseException) -> None:
    kubia = fixed(2, policy=Policy(eject_after=1))

    def work(endpoint: Endpoint) -> None:
        calls.append(endpoint)
        raise error

    calls: list[Endpoint] = []
    with pytest.raises(type(error)) as raised:
        kubia.call(work)
    assert raised.value is error
    assert not hasattr(error, "__notes__")
    with pytest.raises(type(error)):
        for attempt in kubia.attempts(on=Exception if isinstance(error, KeyError) else REFUSALS):
            with attempt as endpoint:
                calls.append(endpoint)
                if not isinstance(error, KeyError) or attempt.number == 3:
                    raise error
                raise OSError
    assert len(calls) == (4 if isinstance(error, KeyError) else 2)
    if not isinstance(error, KeyError):
        assert kubia.ejected == {}


def REFUSALS(error: Exception) -> bool:  # noqa: N802 - a predicate that stands for a constant
    assert isinstance(error, LookupTimeout)
    return False


def test_what_a_predicate_raises_comes_out_and_leaves_nothing_in_flight() -> None:
    web = fixed(3)

    def predicate(error: Exception) -> bool:
        raise KeyError(error)

    with pytest.raises(KeyError) as raised:
        web.call(fails, on=predicate)
    assert web.in_flight == {}, "though what was raised holds the attempt"
    assert web.ejected == {}
    del raised


@pytest.mark.parametrize("on", [None, KeyError, REFUSALS])
def test_an_attempt_that_is_left_and_was_not_entered_reports_nothing(on: Any) -> None:
    web = fixed(3)
    for number, attempt in enumerate(web.attempts(on=on), start=1):
        with pytest.raises(AssertionError) if on is REFUSALS else contextlib.nullcontext():
            attempt.__exit__(OSError, REFUSED, None)
        if number == 3:
            break
    assert web.ejected == {}
    assert web.stats.failures == 0


@pytest.mark.parametrize("how", ["type", "types", "predicate"])
def test_on_says_what_a_failure_is(how: str) -> None:
    on: Any = {
        "type": KeyError,
        "types": (IndexError, KeyError),
        "predicate": lambda error: isinstance(error, KeyError),
    }[how]
    errors = iter([KeyError(), KeyError()])

    def work(endpoint: Endpoint) -> str:
        for error in errors:
            raise error
        return "done"

    assert fixed(3).call(work, on=on) == "done"
    with pytest.raises(ConnectionRefusedError) as raised:
        fixed(3).call(fails, on=on)
    assert not hasattr(raised.value, "__notes__")


def test_by_default_only_an_endpoint_that_was_not_reached_leads_on_to_the_next() -> None:
    for error in (TimeoutError("read"), ConnectionResetError("reset")):
        kubia = fixed(3, policy=Policy(eject_after=1))
        calls: list[Endpoint] = []

        def work(
            endpoint: Endpoint, error: Exception = error, calls: list[Endpoint] = calls
        ) -> None:
            calls.append(endpoint)
            raise error

        with pytest.raises(type(error)) as raised:
            kubia.call(work)
        assert len(calls) == 1
        assert not hasattr(raised.value, "__notes__")
        assert list(kubia.ejected) == calls, "but it is reported"
        kubia.report(calls[0])
        with pytest.raises(type(error)):
            kubia.call(work, idempotent=True)
        assert len(calls) == 4


def test_an_http_status_is_an_answer_and_502_503_and_504_are_reported_as_failures() -> None:
    kubia = fixed(8, policy=Policy(eject_after=1))
    for status, is_failure in ((404, False), (500, False), (502, True), (503, True), (504, True)):
        peer = kubia.pick()

        def work(peer: Endpoint, status: int = status) -> None:
            raise HttpError(status)

        with pytest.raises(HttpError):
            for attempt in kubia.attempts(idempotent=True):
                with attempt as peer:
                    work(peer)
        assert attempt.number == 1
        assert (peer in kubia.ejected) is is_failure
        kubia.report(peer)
        kubia.report(peer, REFUSED)
        with pytest.raises(HttpError), kubia.clients(str).use_of(peer):
            work(peer)
        assert (peer in kubia.ejected) is is_failure, "a status clears what was before"
        kubia.report(peer)


class HttpError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


@pytest.mark.parametrize("how", ["idempotent", "on"])
def test_what_may_have_been_received_is_tried_again_within_a_budget(how: str) -> None:
    clock = FakeClock()
    kubia = fixed(8, clock, policy=Policy(eject_after=10_000))
    rules: dict[str, Any] = {"idempotent": True} if how == "idempotent" else {"on": TimeoutError}
    calls = 0

    def work(endpoint: Endpoint) -> None:
        nonlocal calls
        calls += 1
        raise TimeoutError

    def overload(times: int) -> int:
        nonlocal calls
        calls = 0
        for _ in range(times):
            with pytest.raises(TimeoutError) as raised:
                kubia.call(work, **rules)
        assert "tried again of late" in raised.value.__notes__[0]
        return calls

    for _ in range(2):
        assert overload(1000) == 1000 + 10 + 199  # the first call found the budget full
        clock.advance(60)
    for _ in range(100):
        assert len(tried(kubia)) == 3, "who was not reached got nothing"


def test_the_budget_is_10_at_once_10_a_second_and_one_in_5_calls() -> None:
    clock = FakeClock()
    kubia = fixed(8, clock, policy=Policy(eject_after=10_000))

    def further() -> int:
        """How many attempts a call that fails makes after its first."""
        calls: list[Endpoint] = []

        def work(endpoint: Endpoint) -> None:
            calls.append(endpoint)
            raise TimeoutError

        with pytest.raises(TimeoutError):
            kubia.call(work, idempotent=True)
        return len(calls) - 1

    assert [further() for _ in range(11)] == [2, 2, 2, 2, 2, 1, 0, 0, 0, 0, 1]
    for _ in range(9):
        kubia.call(str)
    assert [further() for _ in range(5)] == [2, 0, 0, 0, 0]
    assert further() == 1
    clock.advance(0.1)
    assert [further() for _ in range(5)] == [1, 0, 0, 0, 1]
    clock.advance(0.5)
    assert [further() for _ in range(4)] == [2, 2, 1, 0]
    clock.advance(3600)
    assert [further() for _ in range(6)] == [2, 2, 2, 2, 2, 1]


def test_what_was_handled_before_is_no_reason_to_go_on() -> None:
    kubia = fixed(3)
    calls = []

    def work(endpoint: Endpoint) -> None:
        calls.append(endpoint)
        raise KeyError("a mistake")

    try:
        raise REFUSED
    except ConnectionRefusedError:
        with pytest.raises(KeyError):
            kubia.call(work)
        with pytest.raises(KeyError):
            for attempt in kubia.attempts():
                with attempt as endpoint:
                    work(endpoint)
    assert len(calls) == 2


def test_an_attempt_that_is_not_entered_reports_nothing_and_the_next_one_comes() -> None:
    kubia = fixed(4, policy=Policy(eject_after=1))
    seen = [attempt.endpoint for attempt in kubia.attempts()]
    assert len(set(seen)) == 3
    assert kubia.ejected == {}


def test_a_swallowed_error_comes_out_if_no_other_attempt_is_entered() -> None:
    with pytest.raises(ConnectionRefusedError, match="refused") as raised:
        for attempt in fixed(4).attempts():
            if attempt.number == 1:
                with attempt:
                    raise ConnectionRefusedError("refused")
    assert "tried 1 times" in raised.value.__notes__[0]


def test_whoever_catches_another_error_may_go_on_with_the_next_endpoint() -> None:
    seen = []
    for attempt in fixed(4).attempts():
        with contextlib.suppress(KeyError), attempt as endpoint:
            seen.append(endpoint)
            raise KeyError
    assert len(set(seen)) == 3


def test_a_failure_is_reported_and_so_is_a_success() -> None:
    kubia = fixed(4, policy=Policy(eject_after=1))
    bad = kubia.ranked("user:42", 1)[0]

    def work(endpoint: Endpoint) -> Endpoint:
        if endpoint is bad:
            raise REFUSED
        return endpoint

    good = kubia.call(work, key="user:42")
    assert good is not bad
    assert list(kubia.ejected) == [bad]
    assert kubia.call(lambda endpoint: endpoint, key="user:42") is good
    kubia.report(bad)
    assert kubia.call(lambda endpoint: endpoint, key="user:42") is bad


def test_a_failure_makes_the_answer_due_but_the_attempts_wait_for_no_dns(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", port="http")
    kubia.endpoints()
    cluster.clock.advance(2)
    cluster.fail("timeout")
    began = cluster.clock.now()
    assert len(tried(kubia)) == 3
    assert cluster.clock.now() == began
    assert kubia.stats.lookups == 1
    kubia.endpoints()
    assert kubia.stats.lookups == 2


def test_the_first_attempt_asks_dns_if_nothing_is_known(
    cluster: FakeCluster, web: FakeService
) -> None:
    assert cluster.peers("web", port="http").call(lambda endpoint: endpoint.port) == 8080
    cluster.add_service("none")
    with pytest.raises(NoEndpoints):
        cluster.peers("none").call(fails)
    cluster.fail("servfail")
    with pytest.raises(LookupFailed):
        next(iter(cluster.peers("web").attempts()))


def test_close_ends_attempts() -> None:
    kubia = fixed(3)
    with pytest.raises(Closed):
        for attempt in kubia.attempts():
            with attempt:
                kubia.close()
                raise REFUSED
    with pytest.raises(Closed):
        kubia.call(fails)


# When they end, and how long they pause.


def pauses(kubia: Peers, clock: FakeClock, **rules: Any) -> list[float]:
    times: list[float] = []

    def work(endpoint: Endpoint) -> None:
        times.append(clock.now())
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        kubia.call(work, **rules)
    return [round(later - earlier, 6) for earlier, later in itertools.pairwise(times)]


def test_there_is_no_pause_before_an_untried_pod_and_then_one_with_full_jitter() -> None:
    longest = [0.0] * 10
    clock = FakeClock()
    kubia = fixed(3, clock)
    for _ in range(60):
        found = pauses(kubia, clock, stop=tenacity.stop_after_attempt(11))
        longest = [max(pair) for pair in zip(longest, found, strict=True)]
    assert longest[:2] == [0, 0]
    windows = [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2]
    for seen, window in zip(longest[2:], windows, strict=True):
        assert 0.7 * window < seen <= window


def test_stop_and_wait_are_tenacitys_and_see_the_clock_of_the_peers() -> None:
    clock = FakeClock()
    kubia = fixed(2, clock)
    assert pauses(kubia, clock, wait=tenacity.wait_fixed(7)) == [7, 7]
    exponential = tenacity.wait_exponential(multiplier=1, max=5)
    assert pauses(kubia, clock, wait=exponential, stop=tenacity.stop_after_delay(12)) == [
        *(1, 2, 4, 5),
    ]
    assert pauses(kubia, clock, wait=exponential, stop=tenacity.stop_before_delay(12)) == [1, 2, 4]
    either = tenacity.stop_any(tenacity.stop_after_attempt(9), tenacity.stop_after_delay(3))
    assert pauses(kubia, clock, wait=tenacity.wait_fixed(1), stop=either) == [1, 1, 1]
    both = tenacity.stop_after_attempt(2) & tenacity.stop_after_delay(3)
    assert pauses(kubia, clock, wait=tenacity.wait_fixed(1), stop=both) == [1, 1, 1]
    for found in pauses(kubia, clock, wait=tenacity.wait_random_exponential(max=3)):
        assert 0 <= found <= 3


def test_tenacitys_objects_see_all_that_they_look_at() -> None:
    seen: list[tuple[Any, ...]] = []

    def stop(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        error = state.outcome.exception()
        times = state.seconds_since_start, state.idle_for, state.upcoming_sleep
        seen.append((state.attempt_number, str(error), *times))
        return state.attempt_number == 3

    with pytest.raises(ConnectionRefusedError):
        fixed(3).call(fails, stop=stop, wait=lambda state: 3)
    assert seen == [(1, "refused", 0, 0, 3), (2, "refused", 3, 3, 3), (3, "refused", 6, 6, 3)]


def test_an_attempt_that_is_not_entered_counts_for_tenacity_too() -> None:
    kubia = fixed(3)
    stop = tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(100)
    assert len(list(kubia.attempts(stop=stop, wait=tenacity.wait_fixed(1)))) == 5


def test_there_are_never_more_than_a_hundred_attempts() -> None:
    assert len(tried(fixed(3), stop=tenacity.stop_never, wait=tenacity.wait_none())) == 100
    assert sum(1 for _ in fixed(3).attempts(stop=tenacity.stop_never)) == 100


def test_the_timeout_is_a_budget_for_the_whole() -> None:
    clock = FakeClock()
    kubia = fixed(9, clock)
    left: list[float | None] = []
    with pytest.raises(TimeoutError):
        for attempt in kubia.attempts(timeout=5, stop=tenacity.stop_never, idempotent=True):
            with attempt:
                left.append(attempt.remaining)
                clock.advance(2)
                raise TimeoutError
    assert left == [5, 3, 1]
    assert attempt.remaining == 0


def test_a_pause_that_the_budget_does_not_allow_is_not_begun() -> None:
    clock = FakeClock()
    before = clock.now()
    assert pauses(fixed(3, clock), clock, timeout=5, wait=tenacity.wait_fixed(4)) == [4]
    assert clock.now() == before + 4


@settings(max_examples=50)
@given(st.floats(0.1, 20), st.floats(0, 10), st.integers(1, 4), st.floats(0, 3))
def test_no_attempt_begins_when_the_budget_is_over(
    timeout: float, wait: float, count: int, takes: float
) -> None:
    clock = FakeClock()
    kubia, began = fixed(count, clock), clock.now()
    with pytest.raises(ConnectionRefusedError):
        for attempt in kubia.attempts(
            timeout=timeout, wait=tenacity.wait_fixed(wait), stop=tenacity.stop_never
        ):
            with attempt:
                assert attempt.remaining == pytest.approx(began + timeout - clock.now())
                assert attempt.remaining != 0
                clock.advance(takes)
                raise REFUSED


def test_dns_is_part_of_the_budget(cluster: FakeCluster, web: FakeService) -> None:
    cluster.fail("timeout")
    kubia = cluster.peers("web", port="http")
    began = cluster.clock.now()
    with pytest.raises(LookupTimeout, match=r"took all 0\.5 s"):
        kubia.call(fails, timeout=0.5)
    assert cluster.clock.now() == began + 0.5
    cluster.heal()
    kubia = cluster.peers("web", port="http")
    kubia.endpoints()
    cluster.clock.advance(60)
    cluster.fail("timeout")
    with pytest.raises(LookupTimeout, match=r"took all 0\.5 s"):
        kubia.call(fails, timeout=0.5)


BEFORE: list[Any] = [None, "servfail", "refused", "garbage"]
"""What the lookup before came to."""


@pytest.mark.parametrize("before", BEFORE)
def test_a_lookup_that_takes_all_of_the_budget_is_a_time_out_also_where_nothing_is_known(
    cluster: FakeCluster, web: FakeService, before: Any
) -> None:
    kubia = cluster.peers("web", port="http")
    if before is not None:
        cluster.fail(before)
        with pytest.raises(LookupFailed):
            kubia.refresh()
        cluster.clock.advance(60)
    cluster.fail("timeout")
    with pytest.raises(LookupTimeout, match=r"took all 0\.5 s") as raised:
        list(kubia.attempts(timeout=0.5))
    assert "longer timeout" in str(raised.value.hint)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("before", BEFORE)
def test_so_is_it_for_tasks(
    library: LibraryName, cluster: FakeCluster, web: FakeService, before: Any
) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("web", port="http")
        if before is not None:
            cluster.fail(before)
            with pytest.raises(LookupFailed):
                await kubia.refresh()
            cluster.clock.advance(60)
        cluster.fail("timeout")
        with pytest.raises(LookupTimeout, match=r"took all 0\.5 s") as raised:
            async for _ in kubia.attempts(timeout=0.5):
                raise AssertionError("there is none to try")
        assert "longer timeout" in str(raised.value.hint)
        await kubia.aclose()

    run(library, main)


def test_a_lookup_that_fails_within_the_budget_says_why_as_ever(
    cluster: FakeCluster, web: FakeService
) -> None:
    cluster.fail("servfail")
    with pytest.raises(LookupFailed, match="SERVFAIL"):
        cluster.peers("web", port="http").call(fails, timeout=5)
    cluster.fail("timeout")
    with pytest.raises(LookupTimeout, match="no answer"):
        cluster.peers("web", port="http").call(fails, timeout=60)


def test_just_after_such_a_time_out_others_are_told_that_no_lookup_had_an_outcome(
    cluster: FakeCluster, web: FakeService
) -> None:
    cluster.fail("timeout")
    kubia = cluster.peers("web", port="http")
    with pytest.raises(LookupTimeout):
        kubia.call(fails, timeout=0.5)
    with pytest.raises(LookupFailed, match="has ended yet"):
        kubia.endpoints()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("on", 5),
        ("on", "TimeoutError"),
        ("on", int),
        ("on", (TimeoutError, 5)),
        ("stop", 3),
        ("stop", tenacity.stop_after_attempt),
        ("wait", 0.5),
        ("timeout", 0),
        ("timeout", True),
        ("timeout", math.inf),
        ("timeout", "5"),
        ("idempotent", "yes"),
    ],
)
def test_a_wrong_argument_is_an_error_at_once(name: str, wrong: Any) -> None:
    kubia: Any = fixed(2)
    with pytest.raises(ConfigurationError, match=f"^{name} must be"):
        kubia.attempts(**{name: wrong})
    with pytest.raises(ConfigurationError, match=f"^{name} must be"):
        kubia.call(str, **{name: wrong})


def test_on_and_idempotent_together_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"^on and idempotent were both given"):
        fixed(2).attempts(on=TimeoutError, idempotent=True)


def test_tenacity_is_not_imported_before_it_is_needed() -> None:
    program = (
        "import sys; from headless_discovery import Peers\n"
        "kubia = Peers.static(['10.0.0.1', '10.0.0.2'])\n"
        "errors = [OSError(113, 'no route')]\n"
        "kubia.call(lambda endpoint: [None for error in errors for _ in ()] or endpoint)\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "headless_discovery._attempts" in loaded
    assert not {"tenacity", "asyncio"} & set(loaded)


# The same with await.


@pytest.mark.parametrize("library", LIBRARIES)
def test_async_attempts_and_calls_do_the_same(
    library: LibraryName, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("web", port="http")
        seen: list[Endpoint] = []

        async def work(endpoint: Endpoint) -> str:
            seen.append(endpoint)
            if len(seen) < 3:
                raise ConnectionRefusedError
            return endpoint.hostname

        assert await kubia.call(work, key="user:42") == seen[-1].hostname
        assert tuple(seen) == await kubia.ranked("user:42", 3)
        began = cluster.clock.now()
        with pytest.raises(TimeoutError) as raised:
            async for attempt in kubia.attempts(
                "user:42",
                idempotent=True,
                stop=tenacity.stop_after_delay(5),
                wait=tenacity.wait_fixed(2),
            ):
                with attempt:
                    raise TimeoutError
        assert cluster.clock.now() == began + 6
        assert "tried 4 times" in raised.value.__notes__[0]
        async for attempt in kubia.attempts():
            with attempt:
                pass
        assert attempt.number == 1
        assert set(await kubia.sample(9)) == set(await kubia.endpoints())

    run(library, main)


@pytest.mark.parametrize("library", LIBRARIES)
def test_async_a_failure_makes_the_background_ask_sooner(
    library: LibraryName, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        async with cluster.aio.peers("web", port="http", policy=Policy(eject_after=1)) as kubia:
            first = await kubia.pick()
            await cluster.clock.advance_async(1.1)
            assert kubia.stats.lookups == 1
            kubia.report(first, REFUSED)
            assert list(kubia.ejected) == [first]
            await cluster.clock.advance_async(0)
            assert kubia.stats.lookups == 2

    run(library, main)


def test_a_cancelled_attempt_is_neither_a_success_nor_a_failure() -> None:
    kubia = aio.Peers.static(["10.0.0.1", "10.0.0.2"], policy=Policy(eject_after=1))

    async def main() -> None:
        async def work(endpoint: Endpoint) -> None:
            calls.append(endpoint)
            called.set()
            await asyncio.sleep(60)

        calls: list[Endpoint] = []
        called = asyncio.Event()
        task = asyncio.create_task(kubia.call(work, on=BaseException))
        await called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(calls) == 1
        assert kubia.ejected == {}

    asyncio.run(main())
