"""Peers for asyncio and trio, through a fake cluster and over real sockets."""

import asyncio
import gc
import itertools
import logging
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

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
    ServiceName,
    State,
    aio,
)
from headless_discovery._exchange import Traffic
from headless_discovery._outcomes import Outcome, Unknown
from headless_discovery._questions import Memory, Wanted, lookup
from headless_discovery._steps import carry_out_async, steps_of
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
        store = cluster.aio.peers("web", port="http")
        assert names(await store.endpoints()) == ["web-0", "web-1", "web-2"]
        assert [peer.hostname async for peer in store] == ["web-0", "web-1", "web-2"]
        assert (await store.pick()).port == 8080
        assert (await store.pick(key="a")) is (await store.pick(key="a"))
        assert len(cluster.queries) == 1

    runs(main)


def test_what_is_plain_asks_nothing_and_raises_while_nothing_is_known(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        store = cluster.aio.peers("web")
        assert store.snapshot.state is State.PENDING
        for call in (lambda: store.get("web-0"), lambda: store.ranked("a", 1)):
            with pytest.raises(LookupFailed, match="nothing is known"):
                call()
        assert cluster.queries == ()
        await store.refresh()
        found = store.get("web-0")
        assert found is not None
        assert len(store.ranked("a", 2)) == 2
        assert store.stats.lookups == 1

    runs(main)


def test_a_pod_can_leave_itself_out(runs: Run, cluster: FakeCluster, web: FakeService) -> None:
    async def main() -> None:
        store = web.pods[0].aio.peers("web", include_self=False)
        assert names(await store.endpoints()) == ["web-1", "web-2"]

    runs(main)


def test_nobody_is_an_empty_tuple_and_an_error_to_pick(runs: Run, cluster: FakeCluster) -> None:
    async def main() -> None:
        store = cluster.aio.peers("nobody")
        assert await store.endpoints() == ()
        with pytest.raises(NoEndpoints):
            await store.pick()

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
        store = cluster.aio.peers("web")
        await together(*[store.refresh] * 100)
        for _ in range(900):
            await store.refresh()
        assert len(cluster.queries) == 1

    runs(main)


def test_a_fixed_list_needs_no_dns(runs: Run) -> None:
    async def main() -> None:
        async with aio.Peers.static(["10.0.0.1:80"]) as store:
            assert [str(peer) async for peer in store] == ["10.0.0.1:80"]
            await store.wait_ready()
            assert repr(store) == "<Peers of a fixed list: 1, live>"
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
        async with cluster.aio.peers("web", policy=EXACT) as store:
            await store.endpoints()
            web.scale(4)
            await cluster.clock.advance_async(5)
            assert len(store.snapshot.endpoints) == 4
            cluster.fail("servfail")
            await cluster.clock.advance_async(60)
            assert store.snapshot.state is State.STALE
            assert len(await store.endpoints()) == 4

    runs(main)


def test_watch_tells_what_is_there_and_then_what_changes(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        store = cluster.aio.peers("web", policy=EXACT)
        watching = store.watch()
        assert names((await anext(watching)).added) == ["web-0", "web-1", "web-2"]
        web.scale(4)
        assert names((await anext(watching)).added) == ["web-3"]
        await store.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(watching)

    runs(main)


def test_a_task_that_watches_is_told_as_the_clock_is_advanced(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        told: list[Change] = []

        async def watch(store: aio.Peers) -> None:
            told.extend([change async for change in store.watch()])

        async def drive(store: aio.Peers) -> None:
            await cluster.clock.advance_async(1)
            assert cluster.clock.now() == 1001
            web.scale(4)
            await cluster.clock.advance_async(5)
            await store.aclose()

        async with cluster.aio.peers("web", policy=EXACT) as store:
            await together(lambda: watch(store), lambda: drive(store))
        assert [names(change.added) for change in told] == [["web-0", "web-1", "web-2"], ["web-3"]]

    runs(main)


def test_on_change_tells_later_changes_until_it_is_stopped(
    runs: Run, cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        told: list[Change] = []
        async with cluster.aio.peers("web", policy=EXACT) as store:
            await store.endpoints()
            store.on_change(lambda _: 1 / 0)
            stop = store.on_change(told.append)
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
        store = cluster.aio.peers("web")
        await store.wait_ready(at_least=3, stable_for=5)
        assert cluster.clock.now() == 1005
        with pytest.raises(NotReady, match="saw 3"):
            await store.wait_ready(at_least=4, timeout=20)
        assert cluster.clock.now() == 1025
        async with cluster.aio.peers("web") as store:
            await store.wait_ready(at_least=3)

    runs(main)


def test_a_lookup_outlives_the_waiter_whose_time_is_over(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        cluster.fail("timeout", times=1)
        store = cluster.aio.peers("web")
        with pytest.raises(NotReady):
            await store.wait_ready(timeout=1)
        assert cluster.clock.now() == 1001
        assert len(await store.endpoints()) == 3
        assert cluster.clock.now() == 1002, "the second try of the first lookup"

    runs(main)


def test_a_wait_that_nothing_will_end_is_an_error_on_a_fake_clock(
    runs: Run, cluster: FakeCluster
) -> None:
    async def main() -> None:
        watching = aio.Peers.static(["10.0.0.1"], clock=cluster.clock).watch()
        await anext(watching)
        with pytest.raises(RuntimeError, match="wait for ever"):
            await anext(watching)
        with pytest.raises(ValueError, match="time goes on"):
            await cluster.clock.advance_async(-1)

    runs(main)


# Cancelling.


def test_cancelling_who_leads_a_lookup_fails_nobody_else(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    cluster, _, resolver = real
    cluster.fail("timeout", times=1)

    async def main() -> None:
        store = aio.peers("web", namespace="default", resolver=resolver)
        gave_up: list[bool] = []
        found: list[int] = []

        async def lead() -> None:
            gave_up.append(await give_up_after(0.05, store.endpoints))

        async def follow() -> None:
            found.append(len(await store.endpoints()))

        await together(lead, *[follow] * 5)
        assert (gave_up, found) == ([True], [3] * 5)
        assert store.stats.lookups == 1

    runs(main)


def test_cancelling_a_watch_loses_nothing(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, service, resolver = real
    quick = Policy(min_refresh=0.05, max_refresh=0.05, refresh_floor=0.01)

    async def main() -> None:
        async with aio.peers("web", namespace="default", resolver=resolver, policy=quick) as store:
            watching = store.watch()
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
            async with aio.peers("web", namespace="default", resolver=resolver) as store:
                await store.endpoints()

        assert await give_up_after(0.05, use)
        assert tasks() == 0

    runs(main)


# Life.


def test_after_aclose_every_call_raises_closed(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    async def main() -> None:
        async with cluster.aio.peers("web") as store:
            await store.endpoints()
        await store.aclose()
        calls: list[Callable[[], Any]] = [
            store.endpoints,
            store.refresh,
            store.pick,
            store.wait_ready,
            store.__aenter__,
            lambda: anext(aiter(store)),
        ]
        for call in calls:
            with pytest.raises(Closed, match="web"):
                await call()
        plain: list[Callable[[], Any]] = [
            store.watch,
            lambda: store.get("web-0"),
            lambda: store.ranked("a", 1),
            lambda: store.on_change(print),
        ]
        for call in plain:
            with pytest.raises(Closed, match="web"):
                call()
        assert len(store.snapshot.endpoints) == 3, "what was known may still be looked at"

    runs(main)


def test_aclose_during_a_lookup_returns_soon_and_wakes_who_waits(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    cluster, _, _ = real
    cluster.fail("timeout")

    async def main() -> None:
        with cluster.serve() as server:
            store = aio.peers("web", namespace="default", resolver=Resolver([server.nameserver]))

            async def wait() -> None:
                with pytest.raises(Closed):
                    await store.endpoints()

            async def close() -> None:
                while not store._store.under_way:
                    await pause(0.001)
                began = time.monotonic()
                await store.aclose()
                assert time.monotonic() - began < 4, "it did not wait for the lookup's 5 s"

            await together(wait, close)
            assert tasks() == 0

    runs(main)


def test_many_uses_leave_no_task_and_no_descriptor(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, _, resolver = real

    async def main() -> None:
        async def use() -> None:
            async with aio.peers("web", namespace="default", resolver=resolver) as store:
                assert len(await store.endpoints()) == 3

        await use()
        await pause(0.01)
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(200):
            await use()
        await pause(0.01)
        assert tasks() == 0
        assert len(os.listdir("/proc/self/fd")) <= descriptors

    runs(main)


def test_one_that_was_entered_and_forgotten_is_a_resource_warning(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, _, resolver = real

    async def main() -> None:
        store: aio.Peers | None = aio.peers("web", namespace="default", resolver=resolver)
        assert store is not None
        await store.__aenter__()
        await store.endpoints()
        with pytest.warns(ResourceWarning, match="never closed"):  # noqa: PT031 - both are its end
            store = None
            gc.collect()
        while tasks():
            await pause(0.001)

    runs(main)


def test_one_store_serves_several_loops_one_after_the_other(
    library: LibraryName, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, service, resolver = real
    quick = Policy(min_refresh=0.01, max_refresh=0.01, refresh_floor=0.01)
    store = aio.peers("web", namespace="default", resolver=resolver, policy=quick)
    for count in (1, 2):
        service.scale(count)
        assert len(run(library, store.endpoints)) == count
        time.sleep(0.02)
    run("trio" if library == "asyncio" else "asyncio", store.endpoints)


def test_states_are_logged_once_each(
    runs: Run, cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="headless_discovery")

    async def main() -> None:
        async with cluster.aio.peers("web", policy=EXACT) as store:
            await store.endpoints()
            await cluster.clock.advance_async(60)

    runs(main)
    assert len(caplog.records) == 1


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
        store = aio.peers("web", namespace="default", resolver=resolver)
        assert len(await store.endpoints()) == 120
        assert store.stats.queries_tcp == 1

    runs(main)


def test_a_service_without_ports_is_asked_for_names_side_by_side(
    runs: Run, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    cluster, _, resolver = real
    cluster.add_service("bare").scale(100)

    async def main() -> None:
        store = aio.peers("bare", namespace="default", resolver=resolver)
        assert len(await store.endpoints()) == 100

    runs(main)


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
        store = cluster.aio.peers("web")
        async with store, store:
            iterator = aiter(aiter(store))
            assert (await anext(iterator)).hostname == "web-0"

    runs(main)


def test_on_change_is_not_called_for_what_is_as_before_again(
    runs: Run, cluster: FakeCluster, web: FakeService
) -> None:
    told: list[Change] = []

    async def main() -> None:
        policy = Policy(jitter=0, confirm_after=0)
        async with cluster.aio.peers("web", policy=policy) as store:
            await store.endpoints()
            store.on_change(told.append)
            web.scale(4)
            await cluster.clock.advance_async(60)

    runs(main)
    assert [names(change.added) for change in told] == [["web-3"]]


def test_the_real_clock_sleeps_in_tasks_too(runs: Run) -> None:
    runs(lambda: Clock().sleep_async(0))


def test_after_its_deadline_a_question_is_not_asked_any_more(runs: Run) -> None:
    resolver = Resolver(["127.0.0.1:9"])
    steps = steps_of(
        lookup(Wanted(ServiceName("web", "default")), Memory()),
        ServiceName("web", "default"),
        resolver.servers(),
        resolver.edns,
        deadline=0,
    )
    traffic = Traffic()

    async def main() -> Outcome:
        clock = Clock()
        return await carry_out_async(
            steps, lambda step: resolver.converse_async(step, clock, traffic)
        )

    outcome = runs(main)
    assert isinstance(outcome, Unknown)
    assert isinstance(outcome.error, LookupTimeout)
    assert traffic == Traffic()


def test_an_error_that_is_no_outcome_reaches_who_asked(
    runs: Run, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(type(cluster.resolver)):  # type: ignore[misc]  # a class that is only known here
        async def converse_async(self, *_: object) -> Any:
            raise ZeroDivisionError

    async def main() -> None:
        resolver = Broken(cluster, domain="cluster.local")
        store = cluster.aio.peers("web", resolver=resolver)
        with pytest.raises(ZeroDivisionError):
            await store.endpoints()
        with pytest.raises(LookupFailed, match="nothing is known"):
            await store.refresh()  # within the floor
        await cluster.clock.advance_async(1)
        with pytest.raises(ZeroDivisionError):
            await store.refresh()

    runs(main)


def test_the_background_goes_on_after_an_error_that_is_no_outcome(
    runs: Run,
    real: tuple[FakeCluster, FakeService, Resolver],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster, _, _ = real
    calls: list[float] = []

    class Broken(Resolver):
        async def converse_async(self, *arguments: Any) -> Any:
            calls.append(time.monotonic())
            if len(calls) < 3:
                raise ZeroDivisionError
            return await super().converse_async(*arguments)

    async def main() -> None:
        with cluster.serve() as server:
            resolver = Broken([server.nameserver])
            quick = Policy(refresh_floor=0.05)
            store = aio.peers("web", namespace="default", resolver=resolver, policy=quick)
            async with store:
                while len(store.snapshot.endpoints) < 3:
                    await pause(0.005)

    runs(main)
    assert len(calls) == 3
    assert all(after - before >= 0.05 for before, after in itertools.pairwise(calls))
    assert "ZeroDivisionError" in caplog.text


def test_a_lookup_that_never_began_does_not_hold_up_the_next_loop(
    library: LibraryName, real: tuple[FakeCluster, FakeService, Resolver]
) -> None:
    _, _, resolver = real
    store = aio.peers("web", namespace="default", resolver=resolver)

    async def leave_early() -> None:
        assert await give_up_after(0, store.endpoints)

    run(library, leave_early)
    assert len(run(library, store.endpoints)) == 3


def test_a_stream_that_ends_early_or_brings_another_message_is_no_answer(runs: Run) -> None:
    def framed(wire: bytes) -> bytes:
        return len(wire).to_bytes(2, "big") + wire

    def early(asked: bytes) -> Stream:
        return Stream([framed(nxdomain(asked))[:20]])

    def chatty(asked: bytes) -> Stream:
        other = bytes([asked[0] ^ 0xFF]) + nxdomain(asked)[1:]
        return Stream([framed(other), framed(nxdomain(asked))])

    async def main() -> None:
        for handler, says in ((early, "closed before the whole"), (chatty, None)):
            with NameServer(lambda asked: reply(asked, truncated=True), handler) as server:
                resolver = Resolver([server.address], timeout=1, lifetime=2)
                store = aio.peers("web", namespace="shop", resolver=resolver, port=80)
                if says is None:
                    assert await store.endpoints() == ()
                else:
                    with pytest.raises(LookupFailed, match=says):
                        await store.endpoints()

    runs(main)


def test_under_asyncio_debug_mode_nothing_is_slow_or_forgotten(
    real: tuple[FakeCluster, FakeService, Resolver],
) -> None:
    _, _, resolver = real

    async def main() -> None:
        async with aio.peers("web", namespace="default", resolver=resolver) as store:
            assert len(await store.endpoints()) == 3

    asyncio.run(main(), debug=True)


def test_a_large_answer_lets_other_tasks_run_while_it_is_taken_in(runs: Run) -> None:
    async def main() -> int:
        cluster = FakeCluster()
        web = cluster.add_service("web")
        for number in range(1200):
            web.add_pod(f"10.0.{number >> 8}.{number & 255}")
        with cluster.serve() as server:
            store = aio.peers(
                "web",
                namespace="default",
                cluster_domain="cluster.local",
                port=80,
                records="address",
                family="ipv4",
                resolver=Resolver([server.nameserver]),
            )
            return len(await store.endpoints())

    assert runs(main) == 1200
