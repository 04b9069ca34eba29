"""Three clients through a rolling update and a restart of the real CoreDNS: nobody is lost.

What they may lack is measured against what was published: a pod counts from a moment after the API
server took it until just before it is deleted.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs
import pytest
import trio

from headless_discovery import Change, Peers, Resolver, aio, peers
from tests.cluster.api import port
from tests.cluster.conftest import Namespace
from tests.cluster.control_plane import Corefile, NameServers

PODS = 10
IN_DNS = 2.0
"""Seconds, within which a change is in DNS."""
DIRECT, CACHED = 45.0, 75.0
"""Seconds: who was published throughout so long is lacked by no client; the second behind a cache
of 30 s."""
AGREED = 120.0
"""Seconds: two of that cache's copies that lack a pod, and the pauses between lookups."""


@attrs.define
class Client:
    """Replays the changes that it is told."""

    kind: str
    window: float
    members: frozenset[str] = frozenset()
    ever: frozenset[str] = frozenset()
    failure: BaseException | None = None

    def __str__(self) -> str:
        return f"{self.kind}, {self.window:g} s"

    def take(self, change: Change) -> None:
        gone = {one.address for one in change.removed} | {old.address for old, _ in change.moved}
        come = {one.address for one in change.added} | {new.address for _, new in change.moved}
        assert gone <= self.members
        self.members = self.members - gone | come
        self.ever |= come
        assert self.members == {one.address for one in change.snapshot.endpoints}


class Published:
    """Since when each pod is, by address."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def add(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self._since[address] = time.monotonic() + IN_DNS

    def remove(self, address: str) -> None:
        del self._since[address]

    def now(self) -> set[str]:
        return set(self._since)

    def throughout(self, window: float) -> set[str]:
        since = time.monotonic() - window
        return {address for address, began in self._since.copy().items() if began <= since}


@attrs.define
class Watching:
    """The clients, each in a thread of its own, and what was seen to be wrong."""

    namespace: str
    clients: list[Client] = attrs.field(factory=list)
    stop: list[Callable[[], object]] = attrs.field(factory=list)
    threads: list[threading.Thread] = attrs.field(factory=list)

    def begin(self, nameserver: str, window: float) -> None:
        """A client of each kind."""
        for kind in ("sync", "asyncio", "trio"):
            client = Client(kind, window)
            self.clients.append(client)
            thread = threading.Thread(target=self._watch, args=(client, nameserver))
            thread.start()
            self.threads.append(thread)

    def end(self) -> None:
        for stop in self.stop:
            stop()
        for thread in self.threads:
            thread.join(20)

    def _watch(self, client: Client, nameserver: str) -> None:
        resolver = Resolver([nameserver])
        try:
            if client.kind == "sync":
                with peers("web", namespace=self.namespace, resolver=resolver) as web:
                    self._sync(client, web)
            elif client.kind == "trio":
                trio.run(self._tasks, client, resolver)
            else:
                asyncio.run(self._tasks(client, resolver))
        except BaseException as failure:  # told by the test's own thread
            client.failure = failure

    def _sync(self, client: Client, web: Peers) -> None:
        self.stop.append(web.close)
        for change in web.watch():
            client.take(change)

    async def _tasks(self, client: Client, resolver: Resolver) -> None:
        over = threading.Event()
        self.stop.append(over.set)
        async with aio.peers("web", namespace=self.namespace, resolver=resolver) as web:
            watching = web.watch()
            while not over.is_set():
                if client.kind == "trio":
                    with trio.move_on_after(0.5):
                        client.take(await anext(watching))
                else:
                    try:
                        async with asyncio.timeout(0.5):
                            client.take(await anext(watching))
                    except TimeoutError:
                        continue


@pytest.fixture
def servers(environment: dict[str, str]) -> Iterator[NameServers]:
    """Of this test's own: they are restarted."""
    with NameServers(Path(environment["KUBECONFIG"])) as found:
        yield found


def test_no_client_lacks_a_pod_that_was_published_all_along(
    namespace: Namespace, servers: NameServers
) -> None:
    published = Published()
    namespace.service("web", ports=[port(80, "http")])
    old = [namespace.pod(f"old-{number}", app="web") for number in range(PODS)]
    published.add(old)
    nameservers = {DIRECT: servers.coredns(Corefile()), CACHED: servers.coredns(Corefile(cache=30))}
    time.sleep(IN_DNS)
    watching = Watching(namespace.name)
    lacking: list[tuple[str, set[str]]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for client in watching.clients:
                # Who was seen once is kept; who was not yet must be seen within the window.
                due = published.throughout(client.window)
                due |= client.ever & published.now()
                missing = due - client.members & published.now()
                if missing:
                    lacking.append((str(client), missing))

    looking = threading.Thread(target=look)
    try:
        for window, nameserver in nameservers.items():
            watching.begin(nameserver, window)
        _until(lambda: all(len(client.members) == PODS for client in watching.clients), AGREED)
        looking.start()
        new = set()
        for number, address in enumerate(old):
            come = namespace.pod(f"new-{number}", app="web")
            new.add(come)
            published.add([come])
            time.sleep(IN_DNS)
            published.remove(address)
            namespace.delete("Pod", f"old-{number}")
            time.sleep(1)
            if number == PODS // 2:
                for nameserver in nameservers.values():
                    with servers.down(nameserver):
                        time.sleep(3)
        began = time.monotonic()
        _until(lambda: all(client.members == new for client in watching.clients), AGREED)
        print(f"all agree {time.monotonic() - began:.1f} s after the update")
    finally:
        over.set()
        watching.end()
        if looking.is_alive():
            looking.join()
    assert not [str(client.failure) for client in watching.clients if client.failure]
    assert not lacking, f"{len(lacking)} times; at first {lacking[0]}"


def _until(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
    assert holds()
