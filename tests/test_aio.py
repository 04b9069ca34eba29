"""Peers for asyncio and trio, through a fake cluster and over real sockets."""

import asyncio
import contextlib
import functools
import gc
import itertools
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio

from headless_discovery import (
    Change,
    Clock,
    Closed,
    ConfigurationError,
    LookupFailed,
    LookupTimeout,
    NoEndpoints,
    NotReady,
    Policy,
    Resolver,
    State,
    aio,
)
from headless_discovery.testing import FakeCluster, FakeService
from tests.messages import nxdomain, reply
from tests.nameserver import NameServer, Stream
from tests.tasks import LIBRARIES, LibraryName, give_up_after, pause, run, tasks, together

EXACT = Policy(jitter=0)
Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> LibraryName:
    name: LibraryName = request.param
    return name


@pytest.fixture
def runs(library: LibraryName) -> Run:
    return lambda main: run(library, main)


@pytest.fixture
def real() -> Iterator[tuple[FakeCluster, FakeService, Resolver]]:
    """A cluster behind a real socket, in real time."""
    cluster = FakeCluster()
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(3)
    with cluster.serve() as server:
        yield cluster, service, Resolver([server.nameserver], timeout=0.5, lifetime=20)


def names(found: Any) -> list[str]:
    return [endpoint.hostname for endpoint in found]


# Finding.


def test_it_finds_the_pods_with_one_question(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("web", port="http")
        assert names(await kubia.endpoints()) == ["web-0", "web-1", "web-2"]
        assert [peer.hostname async for peer in kubia] == ["web-0", "web-1", "web-2"]
        assert (await kubia.pick()).port == 8080
        assert (await kubia.pick(key="a")) is (await kubia.pick(key="a"))
        assert len(cluster.queries) == 1

    runs(main)


def test_what_is_plain_asks_nothing_and_raises_while_nothing_is_known(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("web")
        assert kubia.snapshot.state is State.PENDING
        found = await kubia.get("web-0")
        assert found is not None
        assert len(await kubia.ranked("a", 2)) == 2
        assert kubia.stats.lookups == 1

    runs(main)


def test_a_pod_can_leave_itself_out(runs: Run, cluster: FakeCluster, web: FakeService) -> None:
    async def main() -> None:
        kubia = web.pods[0].aio.peers("web", include_self=False)
        assert names(await kubia.endpoints()) == ["web-1", "web-2"]

    runs(main)


def test_nobody_is_an_empty_tuple_and_an_error_to_pick(runs: Run, cluster: FakeCluster) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("nobody")
        assert await kubia.endpoints() == ()
        with pytest.raises(NoEndpoints):
            await kubia.pick()

    runs(main)


def test_a_silent_name_server_takes_the_lifetime_and_no_longer(
    runs: Run, cluster: FakeCluster
) -> None:
    async def main() -> None:
        cluster.fail("timeout")
        before = cluster.clock.now()
        with pytest.raises(LookupTimeout):
            await cluster.aio.peers("web").endpoints()
        assert cluster.clock.now() - before == pytest.approx(5)

    runs(main)


def test_refresh_is_coalesced(runs: Run, cluster: FakeCluster, web: FakeService) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("web")
        await together(*[kubia.refresh] * 100)
        for _ in range(900):
            await kubia.refresh()
        assert len(cluster.queries) == 1

    runs(main)


def test_a_fixed_list_needs_no_dns(runs: Run) -> None:
    async def main() -> None:
        async with aio.Peers.static(["10.0.0.1:80"]) as kubia:
            assert [str(peer) async for peer in kubia] == ["10.0.0.1:80"]
            await kubia.wait_ready()
            assert repr(kubia) == "<Peers of a fixed list: 1, live>"
        with pytest.raises(ConfigurationError):
            aio.Peers.static("10.0.0.1")

    runs(main)


def test_outside_of_a_loop_it_cannot_wait(cluster: FakeCluster, web: FakeService) -> None:
    waiting = cluster.aio.peers("web").endpoints()
    with pytest.raises(RuntimeError, match="event loop"):
        waiting.send(None)


# In the background.


def test_in_the_background_it_asks_by_itself(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        async with cluster.aio.peers("web", policy=EXACT) as kubia:
            await kubia.endpoints()
            web.scale(4)
            await cluster.clock.advance_async(5)
            assert len(kubia.snapshot.endpoints) == 4
            cluster.fail("servfail")
            await cluster.clock.advance_async(60)
            assert kubia.snapshot.state is State.STALE
            assert len(await kubia.endpoints()) == 4

    runs(main)


def test_watch_tells_what_is_there_and_then_what_changes(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("web", policy=EXACT)
        watching = kubia.watch()
        assert names((await anext(watching)).added) == ["web-0", "web-1", "web-2"]
        web.scale(4)
        assert names((await anext(watching)).added) == ["web-3"]
        await kubia.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(watching)

    runs(main)


def test_a_task_that_watches_is_told_as_the_clock_is_advanced(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        told: list[Change] = []

        async def watch(kubia: aio.Peers) -> None:
            told.extend([change async for change in kubia.watch()])

        async def drive(kubia: aio.Peers) -> None:
            await cluster.clock.advance_async(1)
            assert cluster.clock.now() == 1001
            web.scale(4)
            await cluster.clock.advance_async(5)
            await kubia.aclose()

        async with cluster.aio.peers("web", policy=EXACT) as kubia:
            await together(lambda: watch(kubia), lambda: drive(kubia))
        assert [names(change.added) for change in told] == [["web-0", "web-1", "web-2"], ["web-3"]]

    runs(main)


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, GeneratorExit])
def test_whatever_a_function_raises_the_others_are_called_and_the_background_goes_on(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver], error: type[BaseException]
) -> None:
    _, web, resolver = real
    quick = Policy(min_refresh=0.02, max_refresh=0.02, refresh_floor=0.01)

    def fail(_: Change) -> None:
        raise error

    async def main() -> None:
        told: list[int] = []
        async with aio.peers("web.default", resolver=resolver, policy=quick) as kubia:
            await kubia.endpoints()
            kubia.on_change(fail)
            kubia.on_change(lambda change: told.append(len(change.snapshot.endpoints)))
            for count in (4, 5):
                web.scale(count)
                assert not await give_up_after(10, functools.partial(told_of, told, count))

    runs(main)


async def told_of(told: list[int], count: int) -> None:
    while count not in told:
        await pause(0.01)


def test_on_change_tells_later_changes_until_it_is_stopped(
    runs: Run, cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        told: list[Change] = []
        async with cluster.aio.peers("web", policy=EXACT) as kubia:
            await kubia.endpoints()
            kubia.on_change(lambda _: 1 / 0)
            stop = kubia.on_change(told.append)
            web.scale(4)
            await cluster.clock.advance_async(5)
            stop()
            stop()
            web.scale(5)
            await cluster.clock.advance_async(5)
        assert [names(change.added) for change in told] == [["web-3"]]

    runs(main)
    assert "ZeroDivisionError" in caplog.text


def test_wait_ready_waits_and_gives_up(runs: Run, cluster: FakeCluster, web: FakeService) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("web")
        await kubia.wait_ready(at_least=3, stable_for=5)
        assert cluster.clock.now() == 1005
        with pytest.raises(NotReady, match="saw 3"):
            await kubia.wait_ready(at_least=4, timeout=20)
        assert cluster.clock.now() == 1025
        async with cluster.aio.peers("web") as kubia:
            await kubia.wait_ready(at_least=3)

    runs(main)


def test_a_lookup_outlives_the_waiter_whose_time_is_over(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        cluster.fail("timeout", times=1)
        kubia = cluster.aio.peers("web")
        with pytest.raises(NotReady):
            await kubia.wait_ready(timeout=1)
        assert cluster.clock.now() == 1001
        assert len(await kubia.endpoints()) == 3
        assert cluster.clock.now() == 1002, "the second try of the first lookup"

    runs(main)


@pytest.mark.slow
def test_a_wait_that_nothing_will_end_is_an_error_on_a_fake_clock(
    runs: Run, cluster: FakeCluster
) -> None:
    async def main() -> None:
        watching = aio.Peers.static(["10.0.0.1"], clock=cluster.clock).watch()
        await anext(watching)
        with pytest.raises(RuntimeError, match="wait without end"):
            await anext(watching)
        with pytest.raises(ValueError, match="not negative"):
            await cluster.clock.advance_async(-1)

    runs(main)


# Cancelling.


@pytest.mark.slow
def test_cancelling_who_leads_a_lookup_fails_nobody_else(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    cluster, _, resolver = real
    cluster.fail("timeout", times=1)

    async def main() -> None:
        kubia = aio.peers("web", namespace="default", resolver=resolver)
        gave_up: list[bool] = []
        found: list[int] = []

        async def lead() -> None:
            gave_up.append(await give_up_after(0.05, kubia.endpoints))

        async def follow() -> None:
            found.append(len(await kubia.endpoints()))

        await together(lead, *[follow] * 5)
        assert (gave_up, found) == ([True], [3] * 5)
        assert kubia.stats.lookups == 1

    runs(main)


@pytest.mark.parametrize("other", ["endpoints", "refresh", "another watch"])
def test_a_watch_without_background_lets_others_run_while_one_of_them_looks_up(
    runs: Run, cluster: FakeCluster, web: FakeService, other: str
) -> None:
    told, loop_goes_on = list[Change](), threading.Event()

    def answer(question: bytes) -> bytes | None:
        assert loop_goes_on.wait(20)
        return cluster.answer(question)

    async def main() -> None:
        kubia = aio.peers("web.default", port="http", resolver=Resolver([server.address]))

        async def watch() -> None:
            told.append(await kubia.watch().__anext__())

        async def turn() -> None:
            for _ in range(5):
                await pause()
            loop_goes_on.set()

        calls = {"endpoints": kubia.endpoints, "refresh": kubia.refresh, "another watch": watch}
        await together(calls[other], watch, turn)

    with NameServer(answer) as server:
        runs(main)
    assert len(server.asked) == 1
    assert {len(change.added) for change in told} == {3}


def test_cancelling_a_watch_loses_nothing(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, service, resolver = real
    quick = Policy(min_refresh=0.05, max_refresh=0.05, refresh_floor=0.01)

    async def main() -> None:
        async with aio.peers("web", namespace="default", resolver=resolver, policy=quick) as kubia:
            watching = kubia.watch()
            assert len((await anext(watching)).added) == 3
            assert await give_up_after(0.02, watching.__anext__)
            service.scale(4)
            assert names((await anext(watching)).added) == ["web-3"]

    runs(main)


def test_leaving_because_of_a_cancellation_leaves_no_task(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    cluster, _, resolver = real
    cluster.fail("timeout")

    async def main() -> None:
        async def use() -> None:
            async with aio.peers("web", namespace="default", resolver=resolver) as kubia:
                await kubia.endpoints()

        assert await give_up_after(0.05, use)
        assert tasks() == 0

    runs(main)


# Life.


def test_after_aclose_every_call_raises_closed(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        async with cluster.aio.peers("web") as kubia:
            await kubia.endpoints()
        await kubia.aclose()
        calls: list[Callable[[], Any]] = [
            kubia.endpoints,
            kubia.refresh,
            kubia.pick,
            kubia.wait_ready,
            kubia.__aenter__,
            lambda: anext(aiter(kubia)),
            lambda: kubia.get("web-0"),
            lambda: kubia.ranked("a", 1),
        ]
        for call in calls:
            with pytest.raises(Closed, match="web"):
                await call()
        plain: list[Callable[[], Any]] = [
            kubia.watch,
            lambda: kubia.on_change(print),
        ]
        for call in plain:
            with pytest.raises(Closed, match="web"):
                call()
        assert len(kubia.snapshot.endpoints) == 3, "what was known may still be looked at"

    runs(main)


@pytest.mark.parametrize("error", [None, ConnectionRefusedError(), TimeoutError()], ids=repr)
@pytest.mark.parametrize("source", ["static", "dns"])
def test_what_a_call_reports_after_aclose_opens_nothing_again(
    runs: Run, cluster: FakeCluster, web: FakeService, source: str, error: Exception | None
) -> None:
    async def main() -> None:
        fixed = aio.Peers.static(["10.0.0.1:80", "10.0.0.2:80"], clock=cluster.clock)
        kubia = fixed if source == "static" else cluster.aio.peers("web")
        kubia.report(await kubia.pick(), ConnectionRefusedError())  # so that a success counts too
        with contextlib.suppress(ConnectionRefusedError, TimeoutError):
            async with kubia.use() as peer:
                await kubia.aclose()
                if error is not None:
                    raise error
        kubia.report(peer, error)
        calls: list[Callable[[], Any]] = [
            kubia.pick,
            kubia.endpoints,
            lambda: kubia.pick("key"),
            lambda: kubia.sample(1),
        ]
        for call in calls:
            with pytest.raises(Closed):
                await call()

    runs(main)


def test_aclose_during_a_lookup_returns_soon_and_wakes_who_waits(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    cluster, _, _ = real
    cluster.fail("timeout")

    async def main() -> None:
        with cluster.serve() as server:
            kubia = aio.peers("web", namespace="default", resolver=Resolver([server.nameserver]))

            async def wait() -> None:
                with pytest.raises(Closed):
                    await kubia.endpoints()

            async def close() -> None:
                while not kubia._store.under_way:
                    await pause(0.001)
                began = time.monotonic()
                await kubia.aclose()
                assert time.monotonic() - began < 4, "it did not wait for the lookup's 5 s"

            await together(wait, close)
            assert tasks() == 0

    runs(main)


@pytest.mark.slow
def test_many_uses_leave_no_task_and_no_descriptor(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, _, resolver = real

    async def main() -> None:
        async def use() -> None:
            async with aio.peers("web", namespace="default", resolver=resolver) as kubia:
                assert len(await kubia.endpoints()) == 3

        await use()
        await pause(0.01)
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(200):
            await use()
        await pause(0.01)
        assert tasks() == 0
        assert len(os.listdir("/proc/self/fd")) <= descriptors

    runs(main)


@pytest.mark.slow
def test_one_that_was_entered_and_forgotten_is_a_resource_warning(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, _, resolver = real

    async def main() -> None:
        kubia: aio.Peers | None = aio.peers("web", namespace="default", resolver=resolver)
        assert kubia is not None
        await kubia.__aenter__()
        await kubia.endpoints()
        with pytest.warns(ResourceWarning, match="never closed"):  # noqa: PT031 - both are its end
            kubia = None
            gc.collect()
        while tasks():
            await pause(0.001)

    runs(main)


def test_one_peers_serves_several_loops_one_after_the_other(
    library: LibraryName, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, service, resolver = real
    quick = Policy(min_refresh=0.01, max_refresh=0.01, refresh_floor=0.01)
    kubia = aio.peers("web", namespace="default", resolver=resolver, policy=quick)
    for count in (1, 2):
        service.scale(count)
        assert len(run(library, kubia.endpoints)) == count
        time.sleep(0.02)
    run("trio" if library == "asyncio" else "asyncio", kubia.endpoints)


@pytest.mark.parametrize("first", ["asyncio", "trio"])
def test_one_that_was_entered_in_a_loop_that_is_gone_may_be_closed_in_another(
    first: LibraryName, library: LibraryName, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    kubia = aio.peers("web", namespace="default", resolver=real[2])
    run(first, kubia.__aenter__)
    run(library, kubia.aclose)
    with pytest.raises(Closed):
        run(library, kubia.endpoints)


def test_a_watch_goes_on_where_another_loop_that_refreshed_has_ended(
    library: LibraryName, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, service, resolver = real
    quick = Policy(min_refresh=0.01, max_refresh=0.01, refresh_floor=0.01)
    kubia = aio.peers("web", namespace="default", resolver=resolver, policy=quick)
    entered, watched = threading.Event(), threading.Event()

    async def refresh() -> None:
        await kubia.__aenter__()
        entered.set()
        while not watched.is_set():
            await pause(0.001)

    async def watch() -> None:
        changes = kubia.watch()
        await changes.__anext__()

        async def go_on() -> None:
            assert len((await changes.__anext__()).snapshot.endpoints) == 5

        async def end() -> None:
            await pause(0.05)  # it waits by now
            watched.set()
            refreshing.result(10)
            service.scale(5)

        await together(go_on, end)

    with ThreadPoolExecutor() as threads:
        refreshing = threads.submit(run, library, refresh)
        assert entered.wait(20)
        run(library, watch)
    run(library, kubia.aclose)


def test_states_are_logged_once_each(
    runs: Run, cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="headless_discovery")

    async def main() -> None:
        async with cluster.aio.peers("web", policy=EXACT) as kubia:
            await kubia.endpoints()
            await cluster.clock.advance_async(60)

    runs(main)
    assert len(caplog.records) == 1


@pytest.mark.slow
@pytest.mark.parametrize("module", ["headless_discovery.aio", "headless_discovery.testing"])
def test_importing_it_loads_neither_asyncio_nor_trio(module: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert not {"asyncio", "trio", "anyio"} & set(loaded)


# On the wire.


def test_over_tcp_a_large_set_is_whole(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, service, resolver = real
    service.scale(120)

    async def main() -> None:
        kubia = aio.peers("web", namespace="default", resolver=resolver)
        assert len(await kubia.endpoints()) == 120
        assert kubia.stats.queries_tcp == 1

    runs(main)


def test_a_service_without_ports_is_asked_for_names_side_by_side(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    cluster, _, resolver = real
    cluster.add_service("bare").scale(100)

    async def main() -> None:
        kubia = aio.peers("bare", namespace="default", resolver=resolver)
        assert len(await kubia.endpoints()) == 100

    runs(main)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "says"),
    [("timeout", "no answer in"), ("wrong-id", "no answer in"), ("garbage", "mal")],
)
def test_what_is_no_answer_is_waited_out(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver], kind: Any, says: str
) -> None:
    cluster, _, _ = real
    cluster.fail(kind)

    async def main() -> None:
        with cluster.serve() as server:
            resolver = Resolver([server.nameserver], timeout=0.05, lifetime=0.12)
            with pytest.raises(LookupFailed, match=says):
                await aio.peers("web", namespace="default", resolver=resolver).endpoints()

    runs(main)


def test_a_name_server_that_is_not_there_is_told_at_once(runs: Run) -> None:
    async def main() -> None:
        resolver = Resolver(["127.0.0.1:9"])
        with pytest.raises(LookupFailed, match="refused"):
            await aio.peers("web", namespace="default", resolver=resolver).endpoints()

    runs(main)


def test_entering_it_again_and_iterating_by_hand_is_fine(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        kubia = cluster.aio.peers("web")
        async with kubia, kubia:
            iterator = aiter(aiter(kubia))
            assert (await anext(iterator)).hostname == "web-0"

    runs(main)


def test_on_change_belongs_inside_of_the_block_where_something_asks(
    cluster: FakeCluster, web: FakeService
) -> None:
    with pytest.raises(ConfigurationError, match="async with block"):
        cluster.aio.peers("web").on_change(print)
    with pytest.raises(ConfigurationError, match="async with block"):
        aio.Peers.static(["10.0.0.1:80"]).on_change(print)


def test_listeners_of_a_fixed_list_follow_its_update(runs: Run) -> None:
    told: list[Change] = []

    async def main() -> None:
        async with aio.Peers.static(["10.0.0.1:80"]) as web:
            web.on_change(told.append)
            web.update(["10.0.0.2:80"])
            assert [str(peer) async for peer in web] == ["10.0.0.2:80"]

    runs(main)
    assert [[str(peer) for peer in change.added] for change in told] == [["10.0.0.2:80"]]


def test_on_change_is_not_called_for_what_is_as_before_again(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    told: list[Change] = []

    async def main() -> None:
        async with cluster.aio.peers("web", policy=Policy(jitter=0)) as kubia:
            await kubia.endpoints()
            kubia.on_change(told.append)
            web.scale(4)
            await cluster.clock.advance_async(60)

    runs(main)
    assert [names(change.added) for change in told] == [["web-3"]]


def test_the_real_clock_sleeps_in_tasks_too(runs: Run) -> None:
    runs(lambda: Clock().sleep_async(0))


def test_after_its_deadline_a_question_is_not_asked_any_more(runs: Run) -> None:
    async def main() -> None:
        resolver = Resolver(["127.0.0.1:9"], lifetime=1e-9)
        web = aio.peers("web", namespace="default", resolver=resolver)
        with pytest.raises(LookupTimeout):
            await web.refresh()
        assert (web.stats.queries_udp, web.stats.queries_tcp) == (0, 0)

    runs(main)


def test_an_error_that_is_no_outcome_is_a_failed_lookup_with_its_cause(
    runs: Run, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(type(cluster.resolver)):  # type: ignore[misc]  # a class that is only known here
        async def run_async(self, *_: object) -> Any:
            raise ZeroDivisionError

    async def main() -> None:
        resolver = Broken(cluster, domain="cluster.local")
        kubia = cluster.aio.peers("web", resolver=resolver)
        for _ in range(2):
            with pytest.raises(LookupFailed, match="ZeroDivisionError") as raised:
                await kubia.refresh()
            assert isinstance(raised.value.__cause__, ZeroDivisionError)
            await cluster.clock.advance_async(1)
        assert kubia.stats.unknown == 2

    runs(main)


@pytest.mark.slow
def test_the_background_goes_on_after_an_error_that_is_no_outcome(
    runs: Run,
    real: tuple[FakeCluster, FakeService, Resolver],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster, _, _ = real
    calls: list[float] = []

    class Broken(Resolver):
        async def run_async(self, *arguments: Any) -> Any:
            calls.append(time.monotonic())
            if len(calls) < 3:
                raise ZeroDivisionError
            return await super().run_async(*arguments)

    async def main() -> None:
        with cluster.serve() as server:
            resolver = Broken([server.nameserver])
            quick = Policy(refresh_floor=0.05)
            kubia = aio.peers("web", namespace="default", resolver=resolver, policy=quick)
            async with kubia:
                while len(kubia.snapshot.endpoints) < 3:
                    await pause(0.005)

    runs(main)
    assert len(calls) == 3
    assert all(after - before >= 0.05 for before, after in itertools.pairwise(calls))
    assert "ZeroDivisionError" in caplog.text


def test_a_lookup_that_never_began_does_not_hold_up_the_next_loop(
    library: LibraryName, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, _, resolver = real
    kubia = aio.peers("web", namespace="default", resolver=resolver)

    async def leave_early() -> None:
        assert await give_up_after(0, kubia.endpoints)

    run(library, leave_early)
    assert len(run(library, kubia.endpoints)) == 3


def test_a_stream_that_ends_early_or_brings_another_message_is_no_answer(runs: Run) -> None:
    def framed(wire: bytes) -> bytes:
        return len(wire).to_bytes(2, "big") + wire

    def early(asked: bytes) -> Stream:
        return Stream([framed(nxdomain(asked))[:20]])

    def chatty(asked: bytes) -> Stream:
        other = bytes([asked[0] ^ 0xFF]) + nxdomain(asked)[1:]
        return Stream([framed(other), framed(nxdomain(asked))])

    async def main() -> None:
        for handler, says in ((early, "closed before the complete"), (chatty, None)):
            with NameServer(lambda asked: reply(asked, truncated=True), handler) as server:
                resolver = Resolver([server.address], timeout=1, lifetime=2)
                kubia = aio.peers("web", namespace="shop", resolver=resolver, port=80)
                if says is None:
                    assert await kubia.endpoints() == ()
                else:
                    with pytest.raises(LookupFailed, match=says):
                        await kubia.endpoints()

    runs(main)


def test_under_asyncio_debug_mode_nothing_is_slow_or_forgotten(
    real: tuple[FakeCluster, FakeService, Resolver],
) -> None:
    _, _, resolver = real

    async def main() -> None:
        async with aio.peers("web", namespace="default", resolver=resolver) as kubia:
            assert len(await kubia.endpoints()) == 3

    asyncio.run(main(), debug=True)


def test_a_large_answer_lets_other_tasks_run_while_it_is_taken_in(runs: Run) -> None:
    async def main() -> int:
        cluster = FakeCluster()
        web = cluster.add_service("web")
        for number in range(1200):
            web.add_pod(f"10.0.{number >> 8}.{number & 255}")
        with cluster.serve() as server:
            kubia = aio.peers(
                "web",
                namespace="default",
                cluster_domain="cluster.local",
                port=80,
                records="address",
                family="ipv4",
                resolver=Resolver([server.nameserver]),
            )
            return len(await kubia.endpoints())

    assert runs(main) == 1200


def test_the_first_key_of_thousands_of_endpoints_lets_others_run() -> None:
    async def main() -> None:
        web = aio.Peers.static([f"10.0.{n // 250}.{n % 250}:80" for n in range(2500)])
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        first = await web.pick("user:42")
        assert turns >= 3
        before = turns
        assert await web.pick("user:42") is first is (await web.ranked("user:42", 1))[0]
        async for attempt in web.attempts("user:42"):
            with attempt as peer:
                assert peer is first
        assert turns == before, "and no later one"
        counting.cancel()

    asyncio.run(main())


# In one loop after the other. What a loop leaves behind is forgotten, which Python warns of.
LEFT_BEHIND = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


async def soon(web: aio.Peers) -> Any:
    return await asyncio.wait_for(web.endpoints(), 2)


@pytest.mark.slow
@LEFT_BEHIND
@pytest.mark.parametrize("close", [True, False])
def test_a_loop_that_ends_in_mid_lookup_holds_up_no_other(close: bool) -> None:
    cluster = FakeCluster(ttl=5)
    cluster.add_service("web", ports={"http": 80}).scale(2)
    with cluster.serve() as server:
        web = aio.peers("web.default", port="http", resolver=Resolver([server.nameserver]))
        cluster.fail("timeout")
        loop = asyncio.new_event_loop()
        with pytest.raises(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(web.endpoints(), 0.05))
        if close:
            loop.close()
        cluster.heal()
        assert len(asyncio.run(soon(web))) == 2
        loop.close()
    gc.collect()


@LEFT_BEHIND
@pytest.mark.parametrize("way", ["lookup", "entered", "watch"])
def test_loops_that_end_in_mid_lookup_leave_no_socket_and_no_task(way: str) -> None:
    def sockets() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    cluster = FakeCluster(ttl=5)
    cluster.add_service("web", ports={"http": 80}).scale(2)
    with cluster.serve() as server:
        cluster.fail("timeout")

        async def begin() -> None:
            web = aio.peers("web.default", port="http", resolver=Resolver([server.nameserver]))
            if way == "entered":
                await web.__aenter__()
            call = web.watch().__anext__() if way == "watch" else web.endpoints()
            await asyncio.wait_for(call, 0.01)

        def end() -> None:
            loop = asyncio.new_event_loop()
            with pytest.raises(TimeoutError):
                loop.run_until_complete(begin())
            loop.close()

        end()
        before = sockets()
        for _ in range(5):
            end()
        assert sockets() <= before


@LEFT_BEHIND
def test_one_that_was_entered_in_a_loop_that_is_gone_is_asked_in_the_next() -> None:
    cluster = FakeCluster(ttl=5)
    service = cluster.add_service("web", ports={"http": 80})
    service.scale(2)
    policy = Policy(min_refresh=0.05, max_refresh=0.05, refresh_floor=0.01)
    with cluster.serve() as server:
        resolver = Resolver([server.nameserver])
        web = aio.peers("web.default", port="http", resolver=resolver, policy=policy)

        async def enter(web: aio.Peers) -> None:
            await web.__aenter__()
            await web.endpoints()

        async def go_on(web: aio.Peers) -> int:
            found = await asyncio.wait_for(web.wait_ready(3, timeout=4), 5)
            await asyncio.wait_for(web.aclose(), 5)
            return len(found.endpoints)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(enter(web))
        loop.close()
        service.scale(3)
        assert asyncio.run(go_on(web)) == 3
    del web  # with it goes the task of the first loop, of which Python warns here and not at exit
    gc.collect()


@LEFT_BEHIND
@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("kind", [None, "timeout"])
def test_one_that_is_entered_again_in_another_loop_is_refreshed_there(
    kind: Any, close: bool
) -> None:
    cluster = FakeCluster(ttl=5)
    service = cluster.add_service("web", ports={"http": 80})
    service.scale(2)
    policy = Policy(min_refresh=0.05, max_refresh=0.05, refresh_floor=0.01)
    with cluster.serve() as server:
        resolver = Resolver([server.nameserver])
        web = aio.peers("web.default", port="http", resolver=resolver, policy=policy)
        if kind:
            cluster.fail(kind)

        async def begin() -> None:
            await web.__aenter__()
            await asyncio.sleep(0.05)  # so that a lookup may be under way when the loop ends

        async def go_on() -> None:
            async with web:
                told = asyncio.Event()

                def tell(change: Change) -> None:
                    if len(change.snapshot.endpoints) == 3:
                        told.set()

                web.on_change(tell)
                service.scale(3)
                await asyncio.wait_for(told.wait(), 4)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        if close:
            loop.close()
        cluster.heal()
        asyncio.run(go_on())
        loop.close()
    gc.collect()


@LEFT_BEHIND
@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("way", ["lookup", "entered", "entered again"])
@pytest.mark.parametrize("kind", [None, "timeout"])
def test_one_that_a_loop_of_asyncio_left_behind_is_asked_in_trio(
    kind: Any, way: str, close: bool
) -> None:
    cluster = FakeCluster(ttl=5)
    cluster.add_service("web", ports={"http": 80}).scale(2)
    with cluster.serve() as server:
        web = aio.peers("web.default", port="http", resolver=Resolver([server.nameserver]))
        if kind:
            cluster.fail(kind)

        async def begin(web: aio.Peers) -> None:
            if way != "lookup":
                await web.__aenter__()
            await asyncio.wait_for(web.endpoints(), 0.05)

        async def go_on(web: aio.Peers) -> None:
            with trio.fail_after(4):
                if way == "entered again":
                    await web.__aenter__()
                assert len(await web.endpoints()) == 2
                await web.aclose()

        loop = asyncio.new_event_loop()
        with contextlib.suppress(TimeoutError):
            loop.run_until_complete(begin(web))
        if close:
            loop.close()
        cluster.heal()
        trio.run(go_on, web)
        loop.close()
    del web  # with it goes the task of the first loop, as above
    gc.collect()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
@LEFT_BEHIND
@pytest.mark.parametrize("way", ["endpoints", "watch", "entered"])
def test_eager_tasks_of_a_loop_that_is_gone_hold_up_no_other(way: str) -> None:
    cluster = FakeCluster(ttl=5)
    cluster.add_service("web", ports={"http": 80}).scale(2)
    with cluster.serve() as server:
        web = aio.peers("web.default", port="http", resolver=Resolver([server.nameserver]))
        cluster.fail("timeout")
        loop = asyncio.new_event_loop()
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - new in 3.12

        async def begin(web: aio.Peers) -> None:
            if way == "entered":
                await web.__aenter__()
            await (web.watch().__anext__() if way == "watch" else web.endpoints())

        with pytest.raises(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(begin(web), 0.05))
        loop.close()
        cluster.heal()
        assert len(asyncio.run(soon(web))) == 2
    del web
    gc.collect()


@pytest.mark.parametrize("way", ["endpoints", "refresh", "watch"])
def test_loops_in_several_threads_share_a_lookup_and_each_of_them_is_woken(
    library: LibraryName, way: str
) -> None:
    cluster = FakeCluster(ttl=5)
    cluster.add_service("web", ports={"http": 80}).scale(2)
    asked, all_wait = threading.Event(), threading.Event()

    def answer(question: bytes) -> bytes | None:
        asked.set()
        assert all_wait.wait(20)
        return cluster.answer(question)

    with NameServer(answer) as server:
        resolver = Resolver([server.address], timeout=20, lifetime=20)
        web = aio.peers("web.default", port="http", resolver=resolver)

        async def call() -> None:
            match way:
                case "endpoints":
                    await web.endpoints()
                case "refresh":
                    await web.refresh()
                case "watch":
                    await web.watch().__anext__()
            assert len(web.snapshot.endpoints) == 2

        async def last() -> None:
            await pause(0.01)
            all_wait.set()

        with ThreadPoolExecutor() as threads:
            first = threads.submit(run, library, call)
            assert asked.wait(20)
            run(library, functools.partial(together, call, last))
            first.result(10)
        assert len(server.asked) == 1


def test_a_call_may_be_cancelled_after_any_number_of_turns_of_the_loop() -> None:
    cluster = FakeCluster(ttl=5)
    cluster.add_service("web", ports={"http": 80}).scale(2)

    async def main(resolver: Resolver, turns: int) -> int:
        web = aio.peers("web.default", port="http", resolver=resolver)
        call = asyncio.ensure_future(web.refresh())
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        return len((await asyncio.wait_for(web.refresh(), 5)).endpoints)

    with cluster.serve() as server:
        for turns in range(20):
            assert asyncio.run(main(Resolver([server.nameserver]), turns)) == 2


# Descriptors.


DESCRIPTORS = """
import os, resource, sys, threading
import {library}
from headless_discovery import LookupFailed, Policy, Resolver, aio

async def main():
    quick = Policy(refresh_floor=0.01, backoff_max=0.05)
    web = aio.peers("web", namespace="default", policy=quick, resolver=Resolver([sys.argv[1]]))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, limits[1]))
    try:
        print(await web.endpoints())
    except LookupFailed as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    print(len((await web.wait_ready(timeout=10)).endpoints))

{library}.run({main})
"""


@pytest.mark.slow
def test_no_descriptor_at_the_first_lookup_is_a_failure_that_passes(
    library: LibraryName, cluster: FakeCluster, web: FakeService
) -> None:
    program = DESCRIPTORS.format(library=library, main="main()" if library == "asyncio" else "main")
    with cluster.serve() as server:
        done = subprocess.run(
            [sys.executable, "-c", program, server.nameserver],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    first, then = done.stdout.splitlines()
    assert "Too many open files" in first
    assert then == "3"
