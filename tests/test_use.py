"""use(): an endpoint is in flight while the block lasts, and how it went is reported at its end."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import re
import sys
import threading
import timeit
import urllib.error
from collections.abc import Iterator, Sequence
from email.message import Message
from typing import Any

import pytest

from headless_discovery import Endpoint, NoEndpoints, Peers, Policy, Random, aio
from headless_discovery.testing import FakeClock, FakeCluster
from tests.speed import allowed
from tests.tasks import LIBRARIES, LibraryName, run

Key = str | bytes | int


def fixed(count: int, **selection: Any) -> Peers:
    listed = [f"10.0.0.{n}:80" for n in range(count)]
    given: dict[str, Any] = {"policy": Policy(eject_after=1), "clock": FakeClock()} | selection
    return Peers.static(listed, **given)


def http_error(status: int) -> urllib.error.HTTPError:
    error = urllib.error.HTTPError("http://x", status, "an answer", Message(), None)
    error.close()  # Python 3.14 warns of one that was not
    return error


def test_an_endpoint_is_in_flight_while_the_block_lasts() -> None:
    web = fixed(3)
    assert web.in_flight == {}
    with web.use() as peer, web.use(key="user:42") as owner:
        assert owner == web.pick("user:42")
        assert web.in_flight == ({peer: 1, owner: 1} if peer != owner else {peer: 2})
        web.pick()
        assert sum(web.in_flight.values()) == 2, "a bare pick is none"
    assert web.in_flight == {}


def test_stats_count_uses_and_which_of_them_failed() -> None:
    web = fixed(3)
    for error in (None, KeyError(), TimeoutError(), http_error(404), http_error(503)):
        with contextlib.suppress(Exception), web.use():
            assert web.stats.in_flight == 1
            if error is not None:
                raise error
    stats = web.stats
    assert (stats.attempts, stats.failures, stats.in_flight) == (5, 2, 0)


def test_so_it_is_in_attempts_and_calls() -> None:
    web = fixed(3)
    assert web.call(lambda peer: web.in_flight[peer]) == 1
    attempts = web.attempts()
    attempt = next(attempts)
    assert web.in_flight == {}, "not entered yet"
    with attempt as peer:
        assert web.in_flight == {peer: 1}
    assert web.in_flight == {}


@pytest.mark.parametrize(
    ("error", "ejected"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (http_error(502), True),
        (http_error(503), True),
        (http_error(504), True),
        (http_error(500), False),
        (http_error(404), False),
        (KeyError(), False),
        (KeyboardInterrupt(), False),
        (asyncio.CancelledError(), False),
    ],
    ids=repr,
)
def test_an_error_is_reported_if_it_is_a_failure_of_the_endpoint(
    error: BaseException, ejected: bool
) -> None:
    web = fixed(3)
    with pytest.raises(type(error)) as raised, web.use() as peer:
        raise error
    assert raised.value is error
    assert list(web.ejected) == ([peer] if ejected else [])
    assert web.in_flight == {}


@pytest.mark.parametrize("error", [None, http_error(404)], ids=repr)
def test_a_success_or_another_status_clears_failures(error: Exception | None) -> None:
    web = fixed(3, policy=Policy(eject_after=2))
    peer = web.endpoints()[0]
    for _ in range(2):
        web.report(peer, ConnectionRefusedError())
        with contextlib.suppress(urllib.error.HTTPError), web.clients(str).use_of(peer):
            if error is not None:
                raise error
    assert web.ejected == {}


def test_what_says_nothing_of_the_endpoint_clears_nothing() -> None:
    web = fixed(3, policy=Policy(eject_after=2))
    peer = web.endpoints()[0]
    for _ in range(2):
        web.report(peer, ConnectionRefusedError())
        with pytest.raises(KeyError), web.clients(str).use_of(peer):
            raise KeyError
    assert list(web.ejected) == [peer]


def test_without_an_endpoint_it_cannot_be_entered() -> None:
    web = fixed(0)
    with pytest.raises(NoEndpoints), web.use():
        raise AssertionError("nothing to use")
    assert web.in_flight == {}


@pytest.mark.parametrize("how", ["use", "client", "attempt"])
def test_one_that_is_entered_again_before_it_was_left_is_counted_once(how: str) -> None:
    web = fixed(3)
    entered: Any
    match how:
        case "use":
            entered = web.use()
        case "client":
            entered = web.clients(str).use()
        case "attempt":
            entered = next(web.attempts())
    for _ in range(5):  # as after an interrupt on the way into the block
        entered.__enter__()
        assert sum(web.in_flight.values()) == 1
    entered.__exit__(None, None, None)
    assert web.in_flight == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_so_is_one_of_tasks(library: LibraryName) -> None:
    async def main() -> None:
        web = aio.Peers.static(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"])
        entered = web.use()
        for _ in range(5):
            await entered.__aenter__()
            assert sum(web.in_flight.values()) == 1
        await entered.__aexit__(None, None, None)
        assert web.in_flight == {}

    run(library, main)


@pytest.mark.slow
def test_what_was_dropped_does_not_stay_counted() -> None:
    web = fixed(3)

    def half_way() -> Iterator[Endpoint]:
        with web.use() as peer:
            yield peer
            raise AssertionError("nobody asks for more")

    left = half_way()
    next(left)
    entered: Any = web.use()
    entered.__enter__()
    attempt: Any = next(web.attempts())
    attempt.__enter__()
    assert sum(web.in_flight.values()) == 3
    del left, entered, attempt
    gc.collect()
    assert web.in_flight == {}
    assert web.ejected == {}


def test_counts_are_exact_among_64_threads() -> None:
    web = fixed(5)
    inside, leave = threading.Barrier(65), threading.Event()

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(200):
            with contextlib.suppress(KeyError), web.use():
                if rng.random() < 0.3:
                    raise KeyError
        with web.use():
            inside.wait()
            leave.wait()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(64)]
    for thread in threads:
        thread.start()
    inside.wait()
    assert sum(web.in_flight.values()) == 64
    leave.set()
    for thread in threads:
        thread.join()
    assert web.in_flight == {}


def test_counts_survive_that_the_set_changes_meanwhile(cluster: FakeCluster) -> None:
    service = cluster.add_service("web", ports={"http": 80})
    pod, _ = service.scale(2)
    web = cluster.peers("web", port="http", policy=Policy(on_empty="clear", jitter=0))
    first = next(peer for peer in web if peer.hostname == pod.hostname)
    before = pod.addresses[0]
    with web.clients(str).use_of(first):
        pod.move_to("10.9.9.9")
        cluster.clock.advance(60)
        web.refresh()
        moved = web.get(pod.hostname)
        assert moved is not None
        with web.clients(str).use_of(moved):
            assert web.in_flight == {first: 1, moved: 1}
            pod.move_to(before)
            cluster.clock.advance(60)
            web.refresh()
            assert web.in_flight == {first: 1, moved: 1}
    assert web.in_flight == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_nothing_is_in_flight_in_the_child() -> None:
    web = fixed(3)
    with web.use():
        child = os.fork()
        if child == 0:
            with web.use():
                os._exit(sum(web.in_flight.values()) != 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sum(web.in_flight.values()) == 1


@pytest.mark.slow
def test_an_attempt_may_be_kept_beyond_the_block() -> None:
    web = fixed(3, policy=Policy(eject_after=1, eject_for=30))
    for attempt in web.attempts():
        with attempt as peer:
            kept = attempt._keep()
    assert web.in_flight == {peer: 1}
    kept.end(TimeoutError())
    kept.end()
    assert web.in_flight == {}
    assert list(web.ejected) == [peer], "it ends once"
    for attempt in web.attempts():
        with attempt as other:
            kept = attempt._keep()
    assert web.in_flight == {other: 1}
    kept.drop()
    assert web.in_flight == {}
    for attempt in web.attempts():
        with attempt:
            kept = attempt._keep()
    del kept, attempt
    gc.collect()
    assert web.in_flight == {}
    assert list(web.ejected) == [peer]


def test_an_error_behind_a_kept_use_leads_on_and_is_not_reported() -> None:
    web = fixed(3, policy=Policy(eject_after=1))
    kept = []
    for attempt in web.attempts():
        with attempt:
            kept.append(attempt._keep())
            if attempt.number == 1:
                raise ConnectionRefusedError
    assert len(kept) == 2
    assert web.ejected == {}
    assert sum(web.in_flight.values()) == 2


# A strategy that wants to know.


class Watching:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Endpoint, object]] = []

    def select(self, endpoints: Sequence[Endpoint], key: Key | None) -> Endpoint:
        return endpoints[0]

    def began(self, endpoint: Endpoint) -> None:
        self.seen.append(("began", endpoint, None))

    def ended(self, endpoint: Endpoint, error: BaseException | None) -> None:
        self.seen.append(("ended", endpoint, error))


def test_a_strategy_hears_of_each_use_attempt_and_call() -> None:
    strategy = Watching()
    web = fixed(3, strategy=strategy)
    first = web.endpoints()[0]
    error = KeyError()
    web.pick()
    with web.use():
        assert strategy.seen == [("began", first, None)]
    with pytest.raises(KeyError), web.use():
        raise error
    web.call(str)
    for attempt in web.attempts():
        with attempt:
            pass
    assert strategy.seen[1::2] == [
        ("ended", first, None), ("ended", first, error), ("ended", first, None),
        ("ended", first, None),
    ]  # fmt: skip
    assert strategy.seen[::2] == [("began", first, None)] * 4


@pytest.mark.parametrize("method", ["began", "ended"])
def test_it_may_want_to_hear_of_one_of_the_two_alone(method: str) -> None:
    class Half(Random):
        pass

    seen: list[Endpoint] = []
    setattr(Half, method, lambda _, endpoint, *rest: seen.append(endpoint))
    with fixed(3, strategy=Half()).use() as peer:
        pass
    assert seen == [peer]


@pytest.mark.slow
def test_it_hears_of_a_dropped_one_once() -> None:
    strategy = Watching()
    web = fixed(3, strategy=strategy)
    entered: Any = web.use()
    entered.__enter__()
    del entered
    gc.collect()
    (_, _, _), (what, _, error) = strategy.seen
    assert what == "ended"
    assert isinstance(error, GeneratorExit)


def test_an_interrupt_while_it_begins_leaves_nothing_counted() -> None:
    class Interrupting(Watching):
        def began(self, endpoint: Endpoint) -> None:
            raise KeyboardInterrupt

    web = fixed(3, strategy=Interrupting())
    with pytest.raises(KeyboardInterrupt) as kept, web.use():
        raise AssertionError("it did not begin")
    assert web.in_flight == {}, f"though {kept} holds what was interrupted"


def test_what_it_raises_is_logged_and_hurts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Watching):
        def began(self, endpoint: Endpoint) -> None:
            raise ValueError("began")

        def ended(self, endpoint: Endpoint, error: BaseException | None) -> None:
            raise ValueError("ended")

    web = fixed(3, strategy=Failing())
    with web.use():
        assert len(web.in_flight) == 1
    assert web.in_flight == {}
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    for record, name in zip(caplog.records, ("began", "ended"), strict=True):
        assert re.fullmatch(rf"<.*\b{name}\b.*> of the strategy failed", record.message)


# With await.


@pytest.mark.parametrize("library", LIBRARIES)
def test_async_it_is_the_same(library: LibraryName, cluster: FakeCluster) -> None:
    cluster.add_service("web", ports={"http": 80}).scale(3)

    async def main() -> None:
        web = cluster.aio.peers("web", port="http", policy=Policy(eject_after=1))
        async with web.use("user:42") as peer:
            assert peer == await web.pick("user:42")
            assert web.in_flight == {peer: 1}
            async with web.clients(str) as clients, clients.use_of(peer):
                assert web.in_flight == {peer: 2}
        with pytest.raises(TimeoutError):
            async with web.use("user:42"):
                raise TimeoutError
        assert list(web.ejected) == [peer]
        assert web.in_flight == {}

    run(library, main)


def test_a_cancelled_use_reports_nothing_and_is_counted_no_more() -> None:
    async def main() -> None:
        web = aio.Peers.static(["10.0.0.1:80"], policy=Policy(eject_after=1))

        async def work() -> None:
            async with web.use():
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(web.in_flight) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert web.in_flight == {}
        assert web.ejected == {}

    asyncio.run(main())


# Its cost.


@pytest.mark.skipif("coverage" in sys.modules, reason="a tracer takes most of the time")
def test_a_use_costs_at_most_two_microseconds_more_than_a_pick() -> None:
    web = fixed(100, clock=FakeClock())
    web.pick()

    def use() -> None:
        with web.use():
            pass

    def pick() -> None:
        web.pick()

    # The quickest of many, taken in turn: a busy machine slows both.
    uses, picks = zip(
        *[(timeit.timeit(use, number=100), timeit.timeit(pick, number=100)) for _ in range(50)],
        strict=True,
    )
    assert (min(uses) - min(picks)) / 100 < allowed(2e-6)
