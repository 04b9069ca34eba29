"""How the public interface looks to a type checker. Checked by mypy and pyright; never run."""

import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import assert_type

import tenacity

from headless_discovery import (
    Attempt,
    Change,
    Clock,
    ConfigurationError,
    DiscoveryError,
    Endpoint,
    LookupFailed,
    LookupTimeout,
    NotReady,
    Peers,
    Policy,
    Random,
    Resolver,
    RoundRobin,
    ServiceName,
    Snapshot,
    State,
    Stats,
    Sticky,
    Strategy,
    aio,
    connection_failed,
    peers,
)
from headless_discovery.testing import FakeClock, FakeCluster, FakePod, FakeService

# Finding.
store = peers(
    "web.shop",
    port="http",
    protocol="udp",
    namespace="shop",
    cluster_domain="cluster.local",
    family="prefer-ipv6",
    strategy="sticky",
    include_self=False,
    self_address=["10.0.0.1"],
    records="auto",
    policy=Policy(min_refresh=1, on_empty="keep"),
    resolver=Resolver(["10.96.0.10"], timeout=1, lifetime=2, edns=4096),
    clock=Clock(),
    rng=random.Random(1),
)
assert_type(store, Peers)
assert_type(Peers.static(["10.0.0.1:80"], strategy="random"), Peers)
peers("web", port=80, family="any", records="address")
peers("web", port=None)
assert_type(ServiceName.parse("web", namespace="shop"), ServiceName)
assert_type(ServiceName("web", "shop").domain, str)

# What is known.
assert_type(store.endpoints(), tuple[Endpoint, ...])
assert_type(store.snapshot, Snapshot)
assert_type(store.refresh(), Snapshot)
assert_type(store.get("web-0"), Endpoint | None)
assert_type(store.stats, Stats)
for peer in store:
    assert_type(peer, Endpoint)
    assert_type(peer.name, str)
    assert_type(peer.hostname, str)
    assert_type(peer.address, str)
    assert_type(peer.addresses, tuple[str, ...])
    assert_type(peer.port, int | None)
    assert_type(peer.ordinal, int | None)
snapshot = store.snapshot
assert_type(snapshot.endpoints, tuple[Endpoint, ...])
assert_type(snapshot.departing, tuple[Endpoint, ...])
assert_type(snapshot.state, State)
assert_type(snapshot.reason, str | None)
assert_type(snapshot.error, DiscoveryError | None)
assert_type(snapshot.ttl, float | None)
assert_type(snapshot.answered_at, float | None)
assert_type(snapshot.generation, int)

# Choosing.
assert_type(store.pick(), Endpoint)
assert_type(store.pick("user:42"), Endpoint)
assert_type(store.pick(key=b"user"), Endpoint)
assert_type(store.pick(key=42), Endpoint)
assert_type(store.ranked("user:42", 2), tuple[Endpoint, ...])


class Lowest:
    """A strategy is whatever has this method."""

    def select(self, endpoints: Sequence[Endpoint], key: str | bytes | int | None) -> Endpoint:
        """Takes the first."""
        del key
        return endpoints[0]


strategies: list[Strategy] = [Lowest(), Random(), RoundRobin(rng=random.Random(1)), Sticky()]
for strategy in strategies:
    peers("web", strategy=strategy)

assert_type(store.sample(2), tuple[Endpoint, ...])


# Trying.
def state_of(peer: Endpoint) -> bytes:
    """What an app does with a peer."""
    return str(peer).encode()


assert_type(store.attempts(), Iterator[Attempt])
for attempt in store.attempts(
    key="user:42",
    on=(OSError, KeyError),
    stop=tenacity.stop_after_attempt(5),
    wait=tenacity.wait_fixed(1),
    timeout=3,
):
    assert_type(attempt.number, int)
    assert_type(attempt.remaining, float | None)
    assert_type(attempt.endpoint, Endpoint)
    with attempt as tried:
        assert_type(tried, Endpoint)
assert_type(store.attempts(on=lambda error: "busy" in str(error)), Iterator[Attempt])
assert_type(store.call(state_of, key=42, on=connection_failed), bytes)
assert_type(connection_failed(OSError()), bool)
store.report(store.pick(), OSError())
store.report(store.pick())
assert_type(store.ejected, dict[Endpoint, float])

# Being told.
with peers("web") as background:
    assert_type(background, Peers)
    assert_type(background.watch(), Iterator[Change])
    for change in background.watch():
        assert_type(change.added, tuple[Endpoint, ...])
        assert_type(change.removed, tuple[Endpoint, ...])
        assert_type(change.moved, tuple[tuple[Endpoint, Endpoint], ...])
        assert_type(change.snapshot, Snapshot)


def told(change: Change) -> int:
    """What a listener returns does not matter."""
    return len(change.added)


assert_type(store.on_change(told), Callable[[], None])
store.wait_ready(at_least=2, stable_for=5, timeout=60, see_self=True)
store.start()
store.close()


# With asyncio and trio.
async def with_await() -> None:
    """The same, with await."""
    others = aio.peers("web.shop", port="http", strategy="random", include_self=False)
    assert_type(others, aio.Peers)
    async with others as entered:
        assert_type(entered, aio.Peers)
    assert_type(await others.endpoints(), tuple[Endpoint, ...])
    async for one in others:
        assert_type(one, Endpoint)
    assert_type(others.snapshot, Snapshot)
    assert_type(others.get("web-0"), Endpoint | None)
    assert_type(others.ranked(b"user", 2), tuple[Endpoint, ...])
    assert_type(others.stats, Stats)
    assert_type(await others.refresh(), Snapshot)
    assert_type(await others.pick(key="user:42"), Endpoint)
    assert_type(await others.wait_ready(2, stable_for=5, timeout=60), Snapshot)
    assert_type(others.watch(), AsyncIterator[Change])
    async for news in others.watch():
        assert_type(news, Change)
    async for trying in others.attempts(key="user:42", timeout=3):
        with trying as tried_one:
            assert_type(tried_one, Endpoint)
    assert_type(others.on_change(told), Callable[[], None])
    others.report(await others.pick(), TimeoutError())
    await others.aclose()


# Errors.
try:
    store.endpoints()
except LookupFailed as error:
    assert_type(error.rcode, str | None)
    assert_type(error.nameserver, str | None)
wrong: ValueError = ConfigurationError("")
timeouts: list[TimeoutError] = [LookupTimeout(""), NotReady("")]

# Fakes.
cluster = FakeCluster(ttl=30, cache=30, clock=FakeClock())
service = cluster.add_service("web", ports={"http": 80, "dns": (53, "udp")}, families=["ipv4"])
assert_type(service, FakeService)
assert_type(service.add_pod("10.0.0.1", "fd00::1", ready=False), FakePod)
assert_type(service.scale(3), tuple[FakePod, ...])
assert_type(cluster.peers("web", port="http", include_self=False), Peers)
assert_type(service.pods[0].peers("web"), Peers)
assert_type(cluster.aio.peers("web", port="http"), aio.Peers)
assert_type(service.pods[0].aio.peers("web"), aio.Peers)
assert_type(cluster.answer(b""), bytes | None)
cluster.fail("servfail", times=2)
cluster.clock.advance(5)
with cluster.serve() as server:
    assert_type(server.nameserver, str)
