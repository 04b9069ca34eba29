"""A wrong argument of a call is told at once, by its name, in every shell; and a wrong strategy."""

import functools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from headless_discovery import (
    Change,
    ConfigurationError,
    Endpoint,
    LeastLoaded,
    Peers,
    Policy,
    Random,
    Resolver,
    RoundRobin,
    Session,
    aio,
    peers,
)
from headless_discovery.testing import FakeClock, FakeCluster
from tests.tasks import run

LISTED = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]
SHELLS: list[Any] = [Peers, aio.Peers]

WRONG: list[tuple[str, Callable[[Any], Any]]] = [
    ("make must be a function, not 1", lambda web: web.clients(1)),
    ("close must be a function, not 'x'", lambda web: web.clients(str, close="x")),
    ("endpoint must be of type Endpoint, not 'x'", lambda web: web.clients(str).use_of("x")),
    ("name must be of type str, not 1", lambda web: web.get(1)),
    ("name must be of type str, not None", lambda web: web.get(None)),
    ("endpoint must be of type Endpoint, not 'x'", lambda web: web.report("x")),
    ("error must be of type BaseException, not 'x'", lambda web: web.report(endpoint(), "x")),
    ("idempotent must be of type bool, not 1", lambda web: web.attempts(idempotent=1)),
    ("idempotent must be of type bool, not 0", lambda web: web.attempts(idempotent=0)),
    ("idempotent must be of type bool, not None", lambda web: web.call(str, idempotent=None)),
    ("fn must be a function, not 1", lambda web: web.call(1)),
    ("see_self must be of type bool, not 1", lambda web: web.wait_ready(see_self=1)),
]


HUGE: Any = 10**400
NO_SECONDS: list[Any] = [HUGE, -HUGE, math.inf, math.nan, -1, Decimal(1), Fraction(1), True, "1"]
SECONDS: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("timeout", lambda web, value: web.call(str, timeout=value)),
    ("timeout", lambda web, value: web.wait_ready(timeout=value)),
    ("stable_for", lambda web, value: web.wait_ready(stable_for=value)),
    ("idle", lambda _, value: Session(idle=value)),
    ("eject_for", lambda _, value: Policy(eject_for=value)),
    ("lifetime", lambda _, value: Resolver(["10.0.0.1"], lifetime=value)),
]


def endpoint() -> Endpoint:
    return Endpoint("10.0.0.1", ("10.0.0.1",), 80)


async def _result(made: Any) -> Any:
    return await made if hasattr(made, "__await__") else made


@pytest.mark.parametrize("shell", SHELLS, ids=["threads", "tasks"])
@pytest.mark.parametrize(("told", "call"), WRONG, ids=[told for told, _ in WRONG])
def test_a_wrong_argument_of_a_call_is_told_by_its_name(
    shell: Any, told: str, call: Callable[[Any], Any]
) -> None:
    web = shell.static(LISTED, clock=FakeClock())

    async def main() -> None:
        await _result(call(web))

    with pytest.raises(ConfigurationError) as caught:
        run("asyncio", main)
    assert str(caught.value) == told


@pytest.mark.parametrize("shell", SHELLS, ids=["threads", "tasks"])
@pytest.mark.parametrize("value", NO_SECONDS, ids=lambda value: f"{value!r:.8}")
@pytest.mark.parametrize(("name", "call"), SECONDS)
def test_what_is_no_number_of_seconds_is_told_by_its_name(
    shell: Any, name: str, call: Callable[[Any, Any], Any], value: Any
) -> None:
    web = shell.static(LISTED, clock=FakeClock())

    async def main() -> None:
        await _result(call(web, value))

    with pytest.raises(ConfigurationError, match=rf"{name} must be a number"):
        run("asyncio", main)


@pytest.mark.parametrize("strategy", [RoundRobin, Random, LeastLoaded])
@pytest.mark.parametrize("rng", [7, "seed", random, random.Random])
def test_randomness_is_a_random_random(strategy: Any, rng: Any) -> None:
    with pytest.raises(ConfigurationError, match="rng must be of type Random, not "):
        strategy(rng=rng)
    with pytest.raises(ConfigurationError, match="rng must be of type Random, not "):
        peers("web.default", rng=rng)


def test_nobody_is_asked_before_it_is_told(cluster: FakeCluster) -> None:
    web = cluster.peers("web")
    listen: Any = 1
    for call in (web.get, web.on_change, web.clients, web.call):
        with pytest.raises(ConfigurationError):
            call(listen)
    cluster.clock.advance(60)  # on_change started no background
    assert not cluster.queries


def test_what_is_no_function_is_refused_by_on_change_in_tasks_too() -> None:
    async def main() -> None:
        listen: Any = 1
        async with aio.Peers.static(LISTED) as web:
            with pytest.raises(ConfigurationError, match="call must be a function, not 1"):
                web.on_change(listen)

    run("asyncio", main)


class Awaited:
    """What would have to be awaited, in its forms."""

    async def __call__(self, change: Change) -> None:
        raise AssertionError

    method = __call__


@pytest.mark.parametrize(
    "call", [Awaited(), Awaited().method, functools.partial(Awaited.method, Awaited())]
)
def test_what_would_have_to_be_awaited_is_refused_by_on_change(call: Any) -> None:
    async def main() -> None:
        async with aio.Peers.static(LISTED) as web:
            with pytest.raises(ConfigurationError, match="never awaited, so it cannot be async"):
                web.on_change(call)

    run("asyncio", main)
    with (
        Peers.static(LISTED) as web,
        pytest.raises(ConfigurationError, match="never awaited, so it cannot be async"),
    ):
        web.on_change(call)


def test_an_argument_that_does_not_exist_is_told_by_the_functions_own_name() -> None:
    for function in (peers, aio.peers):
        call: Any = function
        with pytest.raises(TypeError, match=r"^peers\(\) got an unexpected .* 'bogus'"):
            call("web", bogus=1)
        with pytest.raises(TypeError, match=r"^peers\(\) missing 1 required .* 'service'"):
            call()


@pytest.mark.parametrize("text", ["10.0.0.1:٨٠", "10.0.0.1:\uff18\uff10", "[fd00::1]:٨٠"])
def test_a_port_is_written_in_the_digits_of_ascii(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an IP address"):
        Peers.static([text])


# A strategy of the caller's own.


class Broken:
    def __init__(self, select: Callable[[Sequence[Endpoint]], Any]) -> None:
        self._select = select

    def select(self, endpoints: Sequence[Endpoint], key: object) -> Any:
        return self._select(endpoints)


def _raise(error: BaseException) -> Any:
    raise error


def foreign(endpoints: Sequence[Endpoint]) -> Endpoint:
    return Endpoint("10.0.0.9", ("10.0.0.9",), 80)


def moved(endpoints: Sequence[Endpoint]) -> Endpoint:
    """One of them, as it is not."""
    return Endpoint(endpoints[0].name, ("10.0.0.9",), 80)


BROKEN: dict[str, tuple[type[Exception], str, Callable[[Sequence[Endpoint]], Any]]] = {
    "nothing": (ConfigurationError, "returned None, which is none of the 3", lambda _: None),
    "text": (ConfigurationError, "returned '10.0.0.1:80', which is", lambda given: str(given[0])),
    "foreign": (ConfigurationError, "which is none of the 3 endpoints that it was given", foreign),
    "moved": (ConfigurationError, "which is none of the 3 endpoints that it was given", moved),
    "stop": (RuntimeError, "raised StopIteration", lambda _: next(iter(()))),
    "stop async": (
        RuntimeError,
        "raised StopAsyncIteration",
        lambda _: _raise(StopAsyncIteration()),
    ),
}


def attempted(web: Peers) -> list[Endpoint]:
    return [attempt.endpoint for attempt in web.attempts()]


async def _attempted(web: aio.Peers) -> list[Endpoint]:
    return [attempt.endpoint async for attempt in web.attempts()]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_strategy_that_selects_none_of_the_endpoints_is_an_error_that_names_it(
    broken: str,
) -> None:
    kind, words, select = BROKEN[broken]
    told = rf"^Broken\.select .*{words}"
    strategy = Broken(select)
    web = Peers.static(LISTED, strategy=strategy)
    for call in (web.pick, lambda: attempted(web), lambda: web.call(str), web.use().__enter__):
        with pytest.raises(kind, match=told):
            call()

    async def main() -> None:
        tasks: Any = aio.Peers.static(LISTED, strategy=strategy)
        for made in (tasks.pick(), _attempted(tasks), tasks.call(str), tasks.use().__aenter__()):
            with pytest.raises(kind, match=told):
                await made

    run("asyncio", main)


def test_so_is_one_that_does_so_after_a_failure() -> None:
    chosen: Iterator[int] = iter([0])
    web = Peers.static(LISTED, strategy=Broken(lambda endpoints: endpoints[next(chosen)]))

    def fails(endpoint: Endpoint) -> None:
        raise ConnectionRefusedError

    with pytest.raises(RuntimeError, match=r"Broken\.select raised StopIteration"):
        web.call(fails)


def test_ranked_and_sample_go_by_no_strategy_of_ones_own() -> None:
    web, usual = Peers.static(LISTED, strategy=Broken(foreign)), Peers.static(LISTED)
    assert [web.ranked(key, 3) for key in range(9)] == [usual.ranked(key, 3) for key in range(9)]
    assert sorted(map(str, web.sample(9))) == LISTED, "each once"


def test_one_that_selects_an_equal_endpoint_selects_it() -> None:
    def equal(endpoints: Sequence[Endpoint]) -> Endpoint:
        return Endpoint(endpoints[1].name, endpoints[1].addresses, 80)

    assert Peers.static(LISTED, strategy=Broken(equal)).pick().address == "10.0.0.2"
