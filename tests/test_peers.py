"""Peers, through a fake cluster: what callers see, and how often DNS is asked."""

import contextlib
import gc
import importlib
import inspect
import logging
import os
import subprocess
import sys
import threading
import time
import typing
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import headless_discovery
from headless_discovery import (
    Change,
    Clock,
    Closed,
    ConfigurationError,
    Endpoint,
    LookupFailed,
    LookupTimeout,
    NoEndpoints,
    NoSuchPort,
    NotHeadless,
    Peers,
    Policy,
    Resolver,
    RoundRobin,
    State,
    peers,
)
from headless_discovery.testing import FakeClock, FakeCluster, FakeService

EXACT = Policy(jitter=0)


def names(found: Any) -> list[str]:
    return [endpoint.hostname for endpoint in found]


def state(kubia: Peers) -> State:
    return kubia.snapshot.state


# Finding.


def test_making_it_asks_nothing(cluster: FakeCluster, web: FakeService) -> None:
    cluster.peers("web")
    assert cluster.queries == ()


def test_iterating_finds_the_ready_pods_with_one_question(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", port="http")
    assert [str(endpoint) for endpoint in kubia] == [
        "10.244.0.2:8080",
        "10.244.0.3:8080",
        "10.244.0.4:8080",
    ]
    assert [str(query) for query in cluster.queries] == [
        "_http._tcp.web.default.svc.cluster.local. SRV over UDP"
    ]


def test_get_finds_by_full_name_or_host_name_in_any_case(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web")
    full = kubia.get("WEB-1.web.default.svc.cluster.local.")
    assert full is not None
    assert full is kubia.get("web-1")
    assert kubia.get("web-9") is None


def test_within_the_ttl_nobody_asks_again(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web")
    before = kubia.endpoints()
    for _ in range(100):
        assert kubia.endpoints() is before
    assert len(cluster.queries) == 1


def test_after_the_ttl_the_next_call_asks_again(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web", policy=EXACT)
    kubia.endpoints()
    cluster.clock.advance(5)
    web.scale(4)
    assert names(kubia) == ["web-0", "web-1", "web-2", "web-3"]
    assert len(cluster.queries) == 2


def test_the_snapshot_never_asks(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web")
    assert state(kubia) is State.PENDING
    assert kubia.snapshot.endpoints == ()
    assert cluster.queries == ()


def test_no_published_pod_is_an_empty_tuple_and_an_error_to_pick(cluster: FakeCluster) -> None:
    kubia = cluster.peers("nobody")
    assert kubia.endpoints() == ()
    assert state(kubia) is State.EMPTY
    with pytest.raises(NoEndpoints, match="publishNotReadyAddresses: true"):
        kubia.pick()


def test_when_dns_fails_after_it_named_nobody_both_are_told(cluster: FakeCluster) -> None:
    kubia = cluster.peers("nobody")
    assert kubia.endpoints() == ()
    cluster.fail("servfail")
    cluster.clock.advance(10)
    assert kubia.endpoints() == ()
    with pytest.raises(NoEndpoints, match=r"(?s)and DNS has failed since then.*SERVFAIL"):
        kubia.pick()


def test_what_is_no_headless_service_raises_while_nothing_is_known(cluster: FakeCluster) -> None:
    cluster.add_service("vip", ports=[80], cluster_ip="10.96.1.1")
    with pytest.raises(NotHeadless, match=r"10\.96\.1\.1"):
        cluster.peers("vip").endpoints()


def test_a_port_name_that_is_not_there_raises(cluster: FakeCluster, web: FakeService) -> None:
    with pytest.raises(NoSuchPort, match="grpc"):
        cluster.peers("web", port="grpc").endpoints()


def test_a_failure_raises_while_nothing_is_known_and_nobody_asks_during_back_off(
    cluster: FakeCluster, web: FakeService
) -> None:
    cluster.fail("servfail")
    kubia = cluster.peers("web")
    with pytest.raises(LookupFailed, match="SERVFAIL") as first:
        kubia.endpoints()
    asked = len(cluster.queries)
    with pytest.raises(LookupFailed, match="SERVFAIL") as second:
        kubia.endpoints()
    assert len(cluster.queries) == asked
    assert first.value is not second.value, "each caller has its own copy"


def test_a_silent_name_server_takes_the_lifetime_and_no_longer(cluster: FakeCluster) -> None:
    cluster.fail("timeout")
    before = cluster.clock.now()
    with pytest.raises(LookupTimeout, match="port 53"):
        cluster.peers("web").endpoints()
    assert cluster.clock.now() - before == pytest.approx(5)


@pytest.mark.parametrize(
    "kind", ["servfail", "refused", "timeout", "garbage", "wrong-id", "truncate"]
)
def test_no_failure_takes_away_what_is_known(
    cluster: FakeCluster, web: FakeService, kind: Any
) -> None:
    kubia = cluster.peers("web")
    before = kubia.endpoints()
    cluster.fail(kind)
    for _ in range(20):
        cluster.clock.advance(7)
        assert kubia.endpoints() is before
    assert state(kubia) is State.STALE
    assert kubia.snapshot.reason
    cluster.heal()
    cluster.clock.advance(60)
    assert kubia.endpoints() is before
    assert state(kubia) is State.LIVE
    assert kubia.snapshot.reason is None


def test_one_empty_answer_takes_nothing_away_and_many_do(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web")
    assert len(kubia.endpoints()) == 3
    for pod in web.pods:
        pod.ready = False
    cluster.clock.advance(7)
    assert len(kubia.endpoints()) == 3
    assert state(kubia) is State.STALE
    for _ in range(10):
        cluster.clock.advance(5)
        kubia.refresh()
    assert kubia.endpoints() == ()
    assert state(kubia) is State.EMPTY


def test_a_pod_that_is_missing_stays_departing_until_that_is_confirmed(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", policy=EXACT)
    kubia.endpoints()
    web.pods[2].delete()
    cluster.clock.advance(5)
    assert names(kubia) == ["web-0", "web-1", "web-2"]
    assert names(kubia.snapshot.departing) == ["web-2"]
    assert {kubia.pick().hostname for _ in range(10)} == {"web-0", "web-1"}
    cluster.clock.advance(5)
    assert names(kubia) == ["web-0", "web-1"]


def test_who_stays_is_the_same_object(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web", policy=EXACT)
    before = kubia.get("web-0")
    web.scale(4)
    cluster.clock.advance(5)
    assert kubia.get("web-0") is before


def test_a_pod_at_a_new_address_has_moved(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web", policy=EXACT)
    watching = kubia.watch()
    next(watching)
    old = kubia.get("web-1")
    web.pods[1].move_to("10.244.9.9")
    change = next(watching)
    assert (change.added, change.removed) == ((), ())
    assert change.moved == ((old, kubia.get("web-1")),)
    assert change.moved[0][1].address == "10.244.9.9"


# Asking now.


def test_refresh_asks_at_once_but_not_within_a_second_of_the_last_answer(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web")
    kubia.endpoints()
    for _ in range(1000):
        kubia.refresh()
    assert len(cluster.queries) == 1
    cluster.clock.advance(1)
    web.scale(4)
    assert len(kubia.refresh().endpoints) == 4
    assert len(cluster.queries) == 2


def test_refresh_passes_over_back_off(cluster: FakeCluster, web: FakeService) -> None:
    cluster.fail("servfail")
    kubia = cluster.peers("web")
    for _ in range(6):
        with pytest.raises(LookupFailed):
            kubia.refresh()
        cluster.clock.advance(1)
    cluster.heal()
    assert kubia.refresh().state is State.LIVE


def test_callers_at_the_same_time_share_one_lookup() -> None:
    gate = threading.Event()
    asked = []

    class Slow(FakeCluster):
        def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
            asked.append(wire)
            gate.wait(5)
            return super().answer(wire, tcp=tcp)

    cluster = Slow()
    cluster.add_service("web", ports=[80]).scale(2)
    kubia = cluster.peers("web")
    found: list[int] = []
    callers = [
        threading.Thread(target=lambda: found.append(len(kubia.endpoints()))) for _ in range(64)
    ]
    for caller in callers:
        caller.start()
    gate.set()
    for caller in callers:
        caller.join(5)
    assert found == [2] * 64
    assert len(asked) == 1


# Picking.


def test_round_robin_is_even_and_a_key_is_sticky(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web")
    picked = [kubia.pick().hostname for _ in range(30)]
    assert {picked.count(name) for name in picked} == {10}
    assert len({kubia.pick(key="user:42") for _ in range(30)}) == 1


def test_a_strategy_of_ones_own_gets_every_call_with_its_key(
    cluster: FakeCluster, web: FakeService
) -> None:
    calls = []

    class First:
        def select(self, endpoints: Any, key: Any) -> Endpoint:
            calls.append(key)
            found: Endpoint = endpoints[0]
            return found

    kubia = cluster.peers("web", strategy=First())
    assert kubia.pick().hostname == kubia.pick(key="b").hostname == "web-0"
    assert calls == [None, "b"]


def test_departing_ones_are_picked_if_nobody_else_is_left(cluster: FakeCluster) -> None:
    service = cluster.add_service("web", ports=[80])
    service.scale(2)
    kubia = cluster.peers("web", policy=EXACT)
    kubia.endpoints()
    service.pods[0].delete()
    service.pods[0].delete()
    service.add_pod("10.9.9.9", hostname="late")
    cluster.clock.advance(5)
    assert kubia.pick().hostname == "late"


# Self.


def test_a_pod_can_leave_itself_out(cluster: FakeCluster, web: FakeService) -> None:
    kubia = web.pods[1].peers("web", include_self=False)
    assert names(kubia) == ["web-0", "web-2"]


def test_only_self_there_is_live_and_nobody(cluster: FakeCluster) -> None:
    [pod] = cluster.add_service("web", ports=[80]).scale(1)
    kubia = pod.peers("web", include_self=False)
    assert kubia.endpoints() == ()
    assert state(kubia) is State.LIVE
    with pytest.raises(NoEndpoints, match="left out"):
        kubia.pick()


def test_leaving_self_out_without_knowing_it_is_a_configuration_error(
    cluster: FakeCluster, web: FakeService
) -> None:
    with pytest.raises(ConfigurationError, match="self_address"):
        cluster.peers("web", include_self=False).endpoints()


def on_one_node(count: int) -> list[dict[str, object]]:
    """A Service ``n`` of so many pods on their node's network, as manifests; it comes last."""
    manifests: list[dict[str, object]] = [
        {
            "kind": "Pod",
            "metadata": {"name": f"n-{number}", "labels": {"app": "n"}},
            "spec": {"hostname": f"n-{number}", "subdomain": "n", "hostNetwork": True},
            "status": {
                "podIP": "10.0.0.1",
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        for number in range(count)
    ]
    service: dict[str, object] = {
        "kind": "Service",
        "metadata": {"name": "n"},
        "spec": {"clusterIP": "None", "selector": {"app": "n"}, "ports": [{"port": 80}]},
    }
    return [*manifests, service]


def test_on_a_shared_address_the_host_name_tells_who_is_self(cluster: FakeCluster) -> None:
    cluster.apply(on_one_node(2))

    class Named(type(cluster.resolver)):  # type: ignore[misc]  # a class that is only known here
        def own_hostname(self) -> str:
            return "n-1"

    resolver = Named(cluster, domain="cluster.local")
    kubia = cluster.peers("n", include_self=False, self_address="10.0.0.1", resolver=resolver)
    assert names(kubia) == ["n-0"]


def test_a_pod_that_goes_missing_from_its_own_service_is_warned_of_once(
    cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    pod = web.pods[1]
    pod.ready = False
    with pod.peers("web", include_self=False, policy=EXACT) as kubia:
        cluster.clock.advance(60)
        assert not caplog.records, "it never was ready"
        pod.ready = True
        cluster.clock.advance(10)
        pod.ready = False
        cluster.clock.advance(6)
        assert not caplog.records, "one answer without it proves nothing"
        for ready in (False, True, False, False):
            cluster.clock.advance(20)
            pod.ready = ready
        assert len(kubia.endpoints()) == 2
    [warning] = caplog.records
    assert "this pod (10.244.0.3) was listed and is no longer" in warning.getMessage()
    assert "readiness probe" in warning.getMessage()


def test_a_client_on_a_node_of_several_members_is_not_warned_of_one_that_goes(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    manifests = on_one_node(3)
    cluster.apply(manifests)
    with cluster.peers("n", self_address="10.0.0.1", policy=EXACT) as kubia:
        cluster.clock.advance(60)
        assert names(kubia) == ["n-0", "n-1", "n-2"]
        cluster.delete(manifests[:1])
        cluster.clock.advance(60)
        assert names(kubia) == ["n-1", "n-2"]
    assert not caplog.records


def test_a_client_that_is_no_member_is_not_warned_of(
    cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    other = cluster.add_service("client").add_pod("10.9.9.9")
    with other.peers("web", policy=EXACT):
        cluster.clock.advance(60)
    assert not caplog.records


def test_generations_count_only_changes_that_are_seen_without_self(
    cluster: FakeCluster, web: FakeService
) -> None:
    pod = web.pods[1]
    kubia = pod.peers("web", include_self=False, policy=EXACT)
    before = kubia.refresh()
    pod.ready = False
    for _ in range(4):
        cluster.clock.advance(6)
        assert kubia.refresh().endpoints is before.endpoints
    assert kubia.snapshot.generation == before.generation == 1
    web.scale(4)
    cluster.clock.advance(6)
    assert kubia.refresh().generation == 2
    assert kubia.stats.changes == 2


# Watching.


def test_watch_first_tells_what_is_there_and_then_what_changes(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", policy=EXACT)
    watching = kubia.watch()
    assert names(next(watching).added) == ["web-0", "web-1", "web-2"]
    web.scale(4)
    assert names(next(watching).added) == ["web-3"]
    web.scale(1)
    assert names(next(watching).removed) == ["web-1", "web-2", "web-3"]


def test_watch_waits_for_the_first_known_state(cluster: FakeCluster, web: FakeService) -> None:
    cluster.fail("servfail", times=3)
    kubia = cluster.peers("web")
    assert len(next(kubia.watch()).added) == 3


def test_a_slow_reader_gets_one_merged_change(cluster: FakeCluster, web: FakeService) -> None:
    with cluster.peers("web", policy=EXACT) as kubia:
        watching = kubia.watch()
        next(watching)
        for count in (4, 5, 6):
            web.scale(count)
            cluster.clock.advance(5)
        change = next(watching)
        assert names(change.added) == ["web-3", "web-4", "web-5"]
        assert change.snapshot is kubia.snapshot


def test_watch_ends_when_closed(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web")
    watching = kubia.watch()
    next(watching)
    kubia.close()
    assert list(watching) == []


def test_on_change_tells_later_changes_until_it_is_stopped(
    cluster: FakeCluster, web: FakeService
) -> None:
    told: list[Change] = []
    with cluster.peers("web", policy=EXACT) as kubia:
        kubia.endpoints()
        stop = kubia.on_change(told.append)
        web.scale(4)
        cluster.clock.advance(5)
        assert [names(change.added) for change in told] == [["web-3"]]
        stop()
        stop()
        web.scale(5)
        cluster.clock.advance(5)
        assert len(told) == 1


def test_what_is_as_before_again_by_the_time_a_function_is_through_is_not_told(
    cluster: FakeCluster, web: FakeService
) -> None:
    told: list[Change] = []
    generations: list[int] = []

    def slow(change: Change) -> None:
        told.append(change)
        if len(told) == 1:
            for replicas in (5, 4, 4):
                web.scale(replicas)
                cluster.clock.advance(40)
                generations.append(kubia.refresh().generation)

    with cluster.peers("web", policy=Policy(jitter=0)) as kubia:
        kubia.start()  # again, which is fine
        kubia.endpoints()
        kubia.on_change(slow)
        web.scale(4)
        cluster.clock.advance(6)
        cluster.clock.advance(60)
    assert [names(change.added) for change in told] == [["web-3"]]
    assert generations == [3, 3, 4]


def test_a_function_that_fails_hurts_nobody_else(
    cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Change] = []
    with cluster.peers("web", policy=EXACT) as kubia:
        kubia.endpoints()
        kubia.on_change(lambda _: 1 / 0)
        kubia.on_change(told.append)
        web.scale(4)
        cluster.clock.advance(5)
    assert len(told) == 1
    assert "ZeroDivisionError" in caplog.text


def test_a_function_may_close_the_peers(cluster: FakeCluster, web: FakeService) -> None:
    with cluster.peers("web", policy=EXACT) as kubia:
        kubia.endpoints()
        kubia.on_change(lambda _: kubia.close())
        web.scale(4)
        cluster.clock.advance(60)
        with pytest.raises(Closed):
            kubia.endpoints()


# In the background.


def test_in_the_background_it_asks_by_itself_and_callers_never_do(
    cluster: FakeCluster, web: FakeService
) -> None:
    with cluster.peers("web", policy=EXACT) as kubia:
        kubia.endpoints()
        asked = len(cluster.queries)
        cluster.clock.advance(60)
        during = len(cluster.queries)
        assert 11 <= during - asked <= 14
        web.scale(4)
        cluster.clock.advance(5)
        assert len(kubia.endpoints()) == 4


def test_a_choice_looks_at_the_clock_only_if_something_can_grow_old() -> None:
    class Looked(FakeClock):
        times = 0

        def now(self) -> float:
            self.times += 1
            return super().now()

    def looks(kubia: Peers) -> int:
        before = clock.times
        kubia.pick(), kubia.pick(key="a")
        return clock.times - before

    def looks_of_endpoints(kubia: Peers) -> int:
        before = clock.times
        kubia.endpoints()
        return clock.times - before

    clock = Looked()
    cluster = FakeCluster(clock=clock)
    cluster.add_service("web").scale(4)
    kubia = cluster.peers("web", policy=EXACT)
    kubia.pick()
    assert looks(kubia) == 2, "it asks by itself when the answer is due"
    assert looks_of_endpoints(kubia) == 1
    assert looks(Peers.static(["10.0.0.1"], clock=clock)) > 0, "the first choice is made"
    with kubia:
        clock.advance(60)
        kubia.pick()
        assert looks(kubia) == 2, "its thread may be gone"
    with pytest.raises(Closed):
        kubia.pick()
    fixed = Peers.static(["10.0.0.1"], clock=clock)
    fixed.pick()
    assert looks(fixed) == 0
    fixed.close()
    with pytest.raises(Closed):
        fixed.pick()


def test_in_the_background_an_outage_is_waited_out(cluster: FakeCluster, web: FakeService) -> None:
    with cluster.peers("web") as kubia:
        before = kubia.endpoints()
        cluster.fail("timeout")
        cluster.clock.advance(300)
        assert kubia.endpoints() is before
        assert state(kubia) is State.STALE
        cluster.heal()
        cluster.clock.advance(60)
        assert state(kubia) is State.LIVE


# Life.


def test_after_close_every_call_raises_closed(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web")
    kubia.endpoints()
    kubia.close()
    kubia.close()
    calls: list[Callable[[], object]] = [
        kubia.endpoints,
        lambda: list(kubia),
        kubia.refresh,
        kubia.pick,
        kubia.start,
        kubia.watch,
        lambda: kubia.get("web-0"),
        lambda: kubia.on_change(print),
        kubia.__enter__,
    ]
    for call in calls:
        with pytest.raises(Closed, match="web"):
            call()
    assert state(kubia) is State.LIVE, "what was known may still be looked at"


@pytest.mark.parametrize("error", [None, ConnectionRefusedError(), TimeoutError()], ids=repr)
@pytest.mark.parametrize("source", ["static", "dns"])
def test_what_a_call_reports_after_close_opens_nothing_again(
    source: str, error: Exception | None, cluster: FakeCluster, web: FakeService
) -> None:
    clock = cluster.clock
    fixed = Peers.static(["10.0.0.1:80", "10.0.0.2:80"], clock=clock)
    kubia = fixed if source == "static" else cluster.peers("web")
    kubia.report(kubia.pick(), ConnectionRefusedError())  # so that a success counts too
    with contextlib.suppress(ConnectionRefusedError, TimeoutError), kubia.use() as peer:
        kubia.close()
        if error is not None:
            raise error
    kubia.report(peer, error)
    calls: list[Callable[[], object]] = [
        kubia.pick,
        kubia.endpoints,
        lambda: kubia.pick("key"),
        lambda: kubia.sample(1),
    ]
    for call in calls:
        with pytest.raises(Closed):
            call()


@pytest.fixture
def real() -> Iterator[tuple[FakeService, Resolver]]:
    """A cluster behind a real socket, in real time."""
    cluster = FakeCluster()
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(3)
    with cluster.serve() as server:
        yield service, Resolver([server.nameserver], timeout=0.5, lifetime=20)


def threads() -> int:
    return sum(thread.name.startswith("headless-discovery") for thread in threading.enumerate())


@pytest.mark.slow
def test_many_starts_and_closes_leave_no_thread_and_no_descriptor(
    real: tuple[FakeService, Resolver],
) -> None:
    _, resolver = real
    gc.collect()  # what earlier tests left must not be counted
    running, descriptors = threads(), len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        with peers("web", namespace="default", resolver=resolver) as kubia:
            assert len(kubia.endpoints()) == 3
    assert threads() <= running
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_close_during_a_lookup_returns_soon() -> None:
    cluster = FakeCluster()
    cluster.fail("timeout")
    with cluster.serve() as server:
        kubia = peers("web", namespace="default", resolver=Resolver([server.nameserver]))
        raised: list[Exception] = []

        def call() -> None:
            try:
                kubia.endpoints()
            except Closed as error:
                raised.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        while not kubia._store.under_way:
            time.sleep(0.001)
        began = time.monotonic()
        kubia.close()
        caller.join(5)
        assert time.monotonic() - began < 4, "it did not wait for the lookup's 5 s"
        assert len(raised) == 1


def test_in_the_background_changes_are_told_in_real_time(
    real: tuple[FakeService, Resolver],
) -> None:
    service, resolver = real
    quick = Policy(min_refresh=0.02, max_refresh=0.02, refresh_floor=0.01)
    told = threading.Event()
    with peers("web", namespace="default", resolver=resolver, policy=quick) as kubia:
        kubia.endpoints()
        kubia.on_change(lambda _: told.set())
        service.scale(4)
        assert told.wait(5)
        assert len(kubia.endpoints()) == 4


@pytest.mark.slow
def test_one_that_was_started_and_forgotten_is_a_resource_warning(
    real: tuple[FakeService, Resolver],
) -> None:
    _, resolver = real
    running = threads()
    kubia = peers("web", namespace="default", resolver=resolver)
    kubia.start()
    with pytest.warns(ResourceWarning, match="never closed"):  # noqa: PT031 - both are its end
        del kubia
        gc.collect()
    until = time.monotonic() + 5
    while threads() > running and time.monotonic() < until:
        time.sleep(0.001)
    assert threads() <= running


def test_a_forked_child_goes_on_by_itself(real: tuple[FakeService, Resolver]) -> None:
    service, resolver = real
    quick = Policy(min_refresh=0.05, max_refresh=0.05, refresh_floor=0.01)
    with peers("web", namespace="default", resolver=resolver, policy=quick) as kubia:
        kubia.endpoints()
        read, write = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 and later warn of forks among threads: that is what is tried here.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:  # pragma: no cover - another process
            os.read(read, 1)
            until = time.monotonic() + 5
            while len(kubia.endpoints()) != 4 and time.monotonic() < until:
                time.sleep(0.01)
            os._exit(len(kubia.endpoints()))
        service.scale(4)
        os.write(write, b".")
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 4


# Being seen.


def test_states_are_logged_once_each_with_their_reason(
    cluster: FakeCluster, web: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="headless_discovery")
    with cluster.peers("web", policy=EXACT) as kubia:
        kubia.endpoints()
        cluster.clock.advance(60)
        cluster.fail("servfail")
        cluster.clock.advance(60)
        cluster.heal()
        cluster.clock.advance(60)
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(" is ")[1].split(":")[0] for line in said] == [
        "live",
        "stale",
        "live after 64.5 s",
    ]
    assert "SERVFAIL" in said[1]


def test_stats_are_plain_numbers(cluster: FakeCluster, web: FakeService) -> None:
    kubia = cluster.peers("web", policy=EXACT)
    kubia.endpoints()
    began = cluster.clock.now()
    cluster.clock.advance(5)
    web.scale(4)
    kubia.endpoints()
    cluster.clock.advance(5)
    cluster.fail("servfail")
    kubia.endpoints()
    stats = kubia.stats
    assert (stats.lookups, stats.found, stats.unknown) == (3, 2, 1)
    assert (stats.empty, stats.wrong) == (0, 0)
    assert (stats.queries_udp, stats.queries_tcp) == (4, 0)  # SERVFAIL: once more without EDNS
    assert (stats.changes, stats.endpoints, stats.state) == (2, 4, State.STALE)
    assert stats.state_since == cluster.clock.now() > began


def test_its_repr_tells_what_a_debugger_wants_to_know(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", port="http")
    assert repr(kubia) == "<Peers of _http._tcp.web.default.svc.cluster.local: 0, pending>"
    kubia.endpoints()
    assert repr(kubia) == "<Peers of _http._tcp.web.default.svc.cluster.local: 3, live>"
    kubia.close()
    assert repr(kubia) == "<Peers of _http._tcp.web.default.svc.cluster.local: 3, closed>"


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"port": 0}, "port"),
        ({"port": "_http"}, "port"),
        ({"port": True}, "port"),
        ({"protocol": "quic"}, "protocol"),
        ({"family": "ipv5"}, "family"),
        ({"strategy": "best"}, "strategy"),
        ({"strategy": RoundRobin}, "strategy"),
        ({"include_self": None}, "include_self"),
        ({"self_address": "me"}, "self_address"),
        ({"records": "mx"}, "records"),
        ({"records": "address", "port": "http"}, "records"),
        ({"policy": {}}, "policy"),
        ({"resolver": "10.0.0.1"}, "resolver"),
        ({"clock": time.monotonic}, "clock"),
        ({"rng": 4}, "rng"),
        ({"namespace": "UPPER_case"}, "namespace"),
        ({"cluster_domain": "-"}, "cluster_domain"),
    ],
)
def test_a_wrong_argument_is_an_error_at_once_that_names_it(
    arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        peers("web", **({"namespace": "default"} | arguments))


def test_a_fixed_list_needs_no_dns() -> None:
    kubia = Peers.static(["10.0.0.2:8080", "[fd00::1]:80", "10.0.0.1"], clock=FakeClock())
    assert [str(endpoint) for endpoint in kubia] == ["10.0.0.1", "10.0.0.2:8080", "[fd00::1]:80"]
    assert kubia.refresh() is kubia.snapshot
    assert state(kubia) is State.LIVE
    assert next(kubia.watch()).added == kubia.endpoints()
    kubia.start()
    assert kubia.pick() in kubia.endpoints()
    assert repr(kubia) == "<Peers of a fixed list: 3, live>"
    assert (kubia.snapshot.source, kubia.stats.source) == ("static", "static")
    kubia.close()


def test_a_fixed_list_can_be_replaced() -> None:
    clock = FakeClock()
    kubia = Peers.static(["10.0.0.1:80", "10.0.0.2:80"], clock=clock)
    told: list[Change] = []
    kubia.on_change(told.append)
    first = kubia.endpoints()
    kubia.update(["10.0.0.2:80", "10.0.0.3:80"])
    assert [str(endpoint) for endpoint in kubia] == ["10.0.0.2:80", "10.0.0.3:80"]
    assert kubia.endpoints()[0] is first[1], "the same object"
    assert {str(kubia.pick()) for _ in range(4)} == {"10.0.0.2:80", "10.0.0.3:80"}
    [change] = told
    assert ([str(one) for one in change.added], [str(one) for one in change.removed]) == (
        ["10.0.0.3:80"],
        ["10.0.0.1:80"],
    )
    kubia.update([])
    assert (kubia.endpoints(), state(kubia)) == ((), State.EMPTY)
    with pytest.raises(ConfigurationError, match="update is for a fixed list"):
        FakeCluster().peers("web").update([])
    kubia.close()
    with pytest.raises(Closed):
        kubia.update([])


def test_a_name_that_several_have_is_an_error_that_names_them() -> None:
    fixed = Peers.static(["10.0.0.1:80", "10.0.0.1:81"])
    with pytest.raises(ConfigurationError, match=r"10\.0\.0\.1:80.*10\.0\.0\.1:81"):
        fixed.get("10.0.0.1")
    assert fixed.get("10.0.0.2") is None
    assert fixed.get("10") is None, "an address has no labels"


def test_a_fixed_list_of_nobody_has_nobody_to_pick() -> None:
    with pytest.raises(NoEndpoints, match="fixed list"):
        Peers.static([]).pick()


@pytest.mark.parametrize("wrong", ["10.0.0.1:8080", ["web-0:80"], [7]])
def test_a_fixed_list_of_anything_else_is_an_error(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="static"):
        Peers.static(wrong)


# The package.


def test_the_public_names_are_those_promised() -> None:
    assert sorted(headless_discovery.__all__) == headless_discovery.__all__
    public = {name for name in vars(headless_discovery) if not name.startswith("_")}
    modules = {"testing", "aio", "kubernetes", "integrations"}
    assert public - modules == set(headless_discovery.__all__) - {"__version__"}


@pytest.mark.parametrize(
    "module",
    ["", ".aio", ".kubernetes", ".testing", ".integrations.aiohttp", ".integrations.httpx2"],
)
def test_the_types_of_all_public_calls_can_be_asked_for_at_run_time(module: str) -> None:
    found = importlib.import_module(f"headless_discovery{module}")
    public = [getattr(found, name) for name in found.__all__ if name != "__version__"]
    calls = [
        call
        for each in public
        for name, call in inspect.getmembers(each, inspect.isfunction)
        if not name.startswith("_")
    ]
    assert [typing.get_type_hints(each) for each in [*public, *calls]]


def test_importing_it_loads_neither_asyncio_nor_dnspython_nor_an_extra() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, headless_discovery; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert not {"asyncio", "trio", "dns", "rich", "yaml", "pytest"} & set(loaded)


def test_a_lookup_in_the_background_may_close_its_own_peers() -> None:
    closed = threading.Event()

    class Closing(Resolver):
        def run(self, *arguments: Any, **limits: Any) -> Any:
            web.close()
            closed.set()
            return super().run(*arguments, **limits)

    web = headless_discovery.peers("web.shop", resolver=Closing(["127.0.0.1:9"]))
    web.start()
    assert closed.wait(20)
    web.close()
    with pytest.raises(Closed):
        web.endpoints()


def test_the_real_clock_goes_on() -> None:
    clock = Clock()
    before = clock.now()
    clock.sleep(0.001)
    assert clock.now() > before


# Who we are, as a real process finds out.


@pytest.mark.parametrize(
    ("environment", "addresses"),
    [
        ({"POD_IP": "10.244.0.2"}, ["web-1", "web-2"]),
        ({"POD_IPS": "10.244.0.3, fd00::1", "POD_IP": "10.244.0.2"}, ["web-0", "web-2"]),
    ],
)
def test_a_pods_own_addresses_come_from_its_environment(
    real: tuple[FakeService, Resolver],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    addresses: list[str],
) -> None:
    _, resolver = real
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    kubia = peers("web", namespace="default", resolver=resolver, include_self=False)
    assert names(kubia) == addresses


def test_an_environment_that_is_no_address_is_a_configuration_error(
    real: tuple[FakeService, Resolver], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, resolver = real
    monkeypatch.setenv("POD_IP", "me")
    with pytest.raises(ConfigurationError, match="POD_IP"):
        peers("web", namespace="default", resolver=resolver).endpoints()


def test_else_it_is_the_local_address_that_routes_to_the_name_server() -> None:
    resolver = Resolver(["127.0.0.1:9"])
    assert resolver.own_addresses() == ("127.0.0.1",)
    assert resolver.own_hostname() == resolver.own_hostname().lower()
    assert "." not in resolver.own_hostname()


def test_without_a_name_server_the_first_call_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("HEADLESS_DISCOVERY_NAMESERVER", raising=False)
    monkeypatch.setattr("headless_discovery._dns.resolver.RESOLV_CONF", tmp_path / "none")
    kubia = peers("web", namespace="default")
    with pytest.raises(ConfigurationError, match="no name server"):
        kubia.endpoints()


def test_a_real_resolver_runs_on_a_fake_clock_too(real: tuple[FakeService, Resolver]) -> None:
    service, resolver = real
    clock = FakeClock()
    with peers("web", namespace="default", resolver=resolver, clock=clock, policy=EXACT) as kubia:
        clock.advance(1)
        assert len(kubia.snapshot.endpoints) == 3
        service.scale(4)
        clock.advance(5)
        assert len(kubia.snapshot.endpoints) == 4


# Placing.


def test_ranked_gives_a_keys_owners_in_order_with_self_among_them(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = web.pods[0].peers("web", include_self=False)
    ranked = kubia.ranked("user:1", 9)
    assert sorted(names(ranked)) == ["web-0", "web-1", "web-2"]
    assert cluster.peers("web").pick(key="user:1") == ranked[0]
    assert kubia.ranked("user:1", 2) == ranked[:2]
    assert kubia.ranked("user:1", 0) == ()
    assert cluster.peers("nobody").ranked("user:1", 1) == ()


@pytest.mark.parametrize("wrong", [-1, True, "2", 1.5])
def test_a_number_of_owners_that_is_none_is_an_error(
    cluster: FakeCluster, web: FakeService, wrong: Any
) -> None:
    with pytest.raises(ConfigurationError, match="k must be"):
        cluster.peers("web").ranked("user:1", wrong)


def test_watching_without_a_background_sleeps_through_quiet_times(
    cluster: FakeCluster, web: FakeService
) -> None:
    kubia = cluster.peers("web", policy=EXACT)
    watching = kubia.watch()
    next(watching)
    cluster.clock.call_at(cluster.clock.now() + 62, lambda: _scale(web, 4))
    assert names(next(watching).added) == ["web-3"]
    assert 60 < cluster.clock.now() - 1000 < 70


def _scale(service: FakeService, count: int) -> None:
    service.scale(count)
