"""How the public interface looks to a type checker. Checked by mypy and pyright; never run."""

import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import assert_type

import tenacity

from headless_discovery import (
    Attempt,
    Change,
    Clients,
    Clock,
    ConfigurationError,
    DiscoveryError,
    Endpoint,
    LeastLoaded,
    LookupFailed,
    LookupTimeout,
    NotReady,
    Peers,
    Policy,
    Random,
    Resolver,
    RoundRobin,
    ServiceName,
    Session,
    Snapshot,
    State,
    Stats,
    Sticky,
    Strategy,
    aio,
    connection_failed,
    not_reached,
    peers,
)
from headless_discovery.testing import FakeClock, FakeCluster, FakePod, FakeService

# Finding.
web = peers(
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
assert_type(web, Peers)
assert_type(Peers.static(["10.0.0.1:80"], strategy="random"), Peers)
peers("web", port=80, family="any", records="address")
peers("web", port=None)
assert_type(ServiceName.parse("web", namespace="shop"), ServiceName)
assert_type(ServiceName("web", "shop").domain, str)

# Calling.
assert_type(not_reached(ValueError()), bool)
assert_type(web.in_flight, dict[Endpoint, int])
with web.use(key="user:42") as used:
    assert_type(used, Endpoint)
with web.clients(str, close=print) as clients:
    assert_type(clients, Clients[str])
    with clients.use() as client, clients.use_of(used) as other:
        assert_type((client, other), tuple[str, str])
assert_type(web.call(str, idempotent=True), str)


async def connected(endpoint: Endpoint) -> float:
    return 1.0


async def calling(others: aio.Peers) -> None:
    async with others.use() as used:
        assert_type(used, Endpoint)
    async with others.clients(connected) as floats, floats.use() as one:
        assert_type(one, float)
    async with others.clients(str) as texts, texts.use(key=1) as text:
        assert_type(text, str)


# What is known.
assert_type(web.endpoints(), tuple[Endpoint, ...])
assert_type(web.snapshot, Snapshot)
assert_type(web.refresh(), Snapshot)
assert_type(web.get("web-0"), Endpoint | None)
assert_type(web.stats, Stats)
for peer in web:
    assert_type(peer, Endpoint)
    assert_type(peer.name, str)
    assert_type(peer.hostname, str)
    assert_type(peer.address, str)
    assert_type(peer.addresses, tuple[str, ...])
    assert_type(peer.port, int | None)
    assert_type(peer.ordinal, int | None)
snapshot = web.snapshot
assert_type(snapshot.endpoints, tuple[Endpoint, ...])
assert_type(snapshot.departing, tuple[Endpoint, ...])
assert_type(snapshot.state, State)
assert_type(snapshot.reason, str | None)
assert_type(snapshot.error, DiscoveryError | None)
assert_type(snapshot.ttl, float | None)
assert_type(snapshot.answered_at, float | None)
assert_type(snapshot.generation, int)

# Choosing.
assert_type(web.pick(), Endpoint)
assert_type(web.pick("user:42"), Endpoint)
assert_type(web.pick(key=b"user"), Endpoint)
assert_type(web.pick(key=42), Endpoint)
assert_type(web.ranked("user:42", 2), tuple[Endpoint, ...])


class Lowest:
    """A strategy is whatever has this method."""

    def select(self, endpoints: Sequence[Endpoint], key: str | bytes | int | None) -> Endpoint:
        """Takes the first."""
        del key
        return endpoints[0]


class Counting(Lowest):
    """It may have these two as well."""

    def began(self, endpoint: Endpoint) -> None: ...

    def ended(self, endpoint: Endpoint, error: BaseException | None) -> None: ...


strategies: list[Strategy] = [
    Lowest(),
    Counting(),
    Random(),
    RoundRobin(rng=random.Random(1)),
    LeastLoaded(rng=random.Random(1)),
    Session(idle=60, most=10),
    Sticky(own="me", bound=1.25, floor=2),
]
for strategy in strategies:
    peers("web", strategy=strategy)

assert_type(web.sample(2), tuple[Endpoint, ...])


# Trying.
def state_of(peer: Endpoint) -> bytes:
    """What an app does with a peer."""
    return str(peer).encode()


assert_type(web.attempts(), Iterator[Attempt])
for attempt in web.attempts(
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
assert_type(web.attempts(on=lambda error: "busy" in str(error)), Iterator[Attempt])
assert_type(web.call(state_of, key=42, on=connection_failed), bytes)
assert_type(connection_failed(OSError()), bool)
web.report(web.pick(), OSError())
web.report(web.pick())
assert_type(web.ejected, dict[Endpoint, float])

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


assert_type(web.on_change(told), Callable[[], None])
web.wait_ready(at_least=2, stable_for=5, timeout=60, see_self=True)
web.start()
web.close()


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
    assert_type(await others.get("web-0"), Endpoint | None)
    assert_type(await others.ranked(b"user", 2), tuple[Endpoint, ...])
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
    web.endpoints()
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
assert_type(service.add_pod("10.0.0.2", zone="eu-1", node="node-1"), FakePod)
assert_type(service.scale(3), tuple[FakePod, ...])
assert_type(cluster.apply([{"kind": "Namespace", "metadata": {"name": "shop"}}]), tuple[str, ...])
assert_type(cluster.peers("web", port="http", include_self=False), Peers)
assert_type(service.pods[0].peers("web"), Peers)
assert_type(cluster.aio.peers("web", port="http"), aio.Peers)
assert_type(service.pods[0].aio.peers("web"), aio.Peers)
assert_type(cluster.answer(b""), bytes | None)
cluster.fail("servfail", times=2)
cluster.clock.advance(5)
with cluster.serve() as server:
    assert_type(server.nameserver, str)
