"""The gossip example on the real control plane: its manifests as they are, and its nodes."""

import asyncio
import contextlib
import itertools
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
import yaml
from aiohttp import ClientSession, web

from examples.gossip import web as routes
from examples.gossip.journal import Journal
from examples.gossip.messages import Reply, Request, View
from examples.gossip.node import Node, NotAcknowledgedError
from examples.gossip.transport import HTTPTransport
from headless_discovery import Clock, Endpoint, NotHeadless, Resolver
from headless_discovery.aio import peers
from tests.cluster import api as kubernetes
from tests.cluster.api import API
from tests.cluster.conftest import Namespace, as_a_pod, eventually
from tests.cluster.control_plane import ControlPlane

FILE = Path(__file__).parents[2] / "examples" / "gossip" / "gossip.yaml"


def apply(namespace: Namespace) -> None:
    for manifest in yaml.safe_load_all(FILE.read_text()):
        namespace.create(manifest)


def test_the_gossip_example_is_taken_as_it_is_and_its_pods_find_each_other_before_they_are_ready(
    namespace: Namespace,
) -> None:
    apply(namespace)
    namespace.run_pods(5, ready=False)
    by_dns = namespace.peers("gossip", port="http")

    def check() -> None:
        assert [(peer.hostname, peer.port) for peer in by_dns.refresh().endpoints] == [
            (f"gossip-{number}", 8080) for number in range(5)
        ]

    eventually(check)
    with pytest.raises(NotHeadless):
        namespace.peers("gossip-client", port="http").endpoints()


@attrs.define
class Nodes:
    """The nodes in a thread of their own, each with its journal and its port on the loopback.

    Only the addresses of the pods, at which nothing listens here, are replaced by those ports.
    """

    namespace: str
    resolver: Resolver
    folder: Path
    at: dict[str, tuple[Node, int]] = attrs.field(factory=dict)
    """By the address of the pod."""
    acknowledged: dict[str, str] = attrs.field(factory=dict)
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.new_event_loop)
    _lives: dict[str, asyncio.Task[None]] = attrs.field(factory=dict)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            for address in list(self._lives):
                self.stop(address)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    def start(self, name: str, address: str) -> None:
        async def begin() -> None:
            started = asyncio.Event()
            self._lives[address] = asyncio.create_task(self._live(name, address, started))
            await started.wait()

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(10)

    def stop(self, address: str) -> None:
        async def end() -> None:
            life = self._lives.pop(address)
            life.cancel()
            await asyncio.wait([life])

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        del self.at[address]

    async def _live(self, name: str, address: str, started: asyncio.Event) -> None:
        async with ClientSession() as session:
            node = Node(
                name,
                peers(
                    "gossip",
                    namespace=self.namespace,
                    port="http",
                    include_self=False,
                    self_address=address,
                    source="auto",
                    resolver=self.resolver,
                ),
                Loopback(session, self),
                Journal(self.folder / f"{name}.jsonl"),
                clock=Clock(),
                wall=time.time,
                rng=random.Random(),
            )
            runner = web.AppRunner(routes.API(node).app(), access_log=None)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.at[address] = node, runner.addresses[0][1]
                started.set()
                await node.run()
            finally:
                await runner.cleanup()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A client writes all the time, to any node."""
        over = threading.Event()

        async def write() -> None:
            for number in itertools.count():
                if over.is_set():
                    return
                node, _ = random.choice(list(self.at.values()))
                with contextlib.suppress(NotAcknowledgedError):
                    await node.put(f"key-{number}", f"value {number}")
                    self.acknowledged[f"key-{number}"] = f"value {number}"
                await asyncio.sleep(0.02)

        written = asyncio.run_coroutine_threadsafe(write(), self._loop)
        try:
            yield
        finally:
            over.set()
            written.result(10)

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits until it holds, and all nodes are ready and list the pods of all others."""

        def check() -> None:
            for address, (node, _) in self.at.items():
                listed = {each.address for each in node.peers.snapshot.endpoints}
                assert listed == self.at.keys() - {address}, node.view()
                assert node.ready, node.view()
            assert holds(), self.views()

        eventually(check, 40)

    def are(self, state: str) -> bool:
        return {view.state for view in self.views()} == {state}

    def views(self) -> list[View]:
        return [node.view() for node, _ in self.at.values()]

    def sources(self) -> list[str]:
        return sorted(node.peers.snapshot.source for node, _ in self.at.values())


class Loopback(HTTPTransport):
    """To the port of the node that has the peer's address."""

    def __init__(self, session: ClientSession, nodes: Nodes) -> None:
        super().__init__(session)
        self._nodes = nodes

    async def ask(self, peer: Endpoint, request: Request) -> Reply:
        _, port = self._nodes.at.get(peer.address, (None, 9))  # where nobody listens
        return await super().ask(attrs.evolve(peer, addresses=("127.0.0.1",), port=port), request)


def test_by_auto_it_converges_through_a_restart_of_the_api_server_and_an_outage_of_dns(
    own: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, name_servers = own.environment(), own.name_servers
    assert name_servers is not None
    nameserver = environment["CLUSTER_NAMESERVER"]
    certificate = Path(environment["CLUSTER_CERTIFICATE"])
    with API(environment["CLUSTER_API"], environment["CLUSTER_TOKEN"], certificate) as api:
        namespace = Namespace(api, f"t-{secrets.token_hex(4)}", nameserver)
        namespace.apply(kubernetes.namespace(namespace.name))
        apply(namespace)
        namespace.run_pods(5, ready=False)
        # With the Role of the manifest, and no right besides.
        as_a_pod(environment, namespace.token("gossip"), tmp_path, monkeypatch)

        def addresses() -> dict[str, str]:
            found = api.request("GET", kubernetes.collection("Pod", namespace.name))["items"]
            return {pod["metadata"]["name"]: pod["status"].get("podIP") for pod in found}

        pods = addresses()
        nodes = Nodes(namespace.name, Resolver([nameserver]), tmp_path)
        with nodes.running():
            for name, address in pods.items():
                nodes.start(name, address)
            nodes.until(lambda: nodes.are("live") and nodes.sources() == ["api"] * 5)
            with nodes.writing():
                own.kill_api()
                api.close()
                nodes.until(lambda: nodes.are("stale"))
                before = len(nodes.acknowledged)
                nodes.stop(pods["gossip-3"])
                nodes.start("gossip-3", pods["gossip-3"])  # which takes DNS, then
                nodes.until(lambda: len(nodes.acknowledged) > before + 20)
                assert nodes.sources() == ["api"] * 4 + ["dns"]
                own.start_api()
                nodes.until(lambda: nodes.are("live"))

                with name_servers.down(nameserver):
                    before = len(nodes.acknowledged)
                    namespace.delete("Pod", "gossip-4")
                    nodes.stop(pods["gossip-4"])
                    namespace.run_pods(5, ready=False)
                    moved = addresses()["gossip-4"]
                    nodes.start("gossip-4", moved)  # at another address, which the API tells
                    eventually(lambda: _ready(nodes, moved))
                    eventually(lambda: _more(nodes.acknowledged, before + 20))
                nodes.until(lambda: nodes.are("live"))  # the one by DNS, too
            nodes.until(lambda: len({view.fingerprint for view in nodes.views()}) == 1)
            for node, _ in nodes.at.values():
                for key, value in nodes.acknowledged.items():
                    held = node.held(key)
                    assert held is not None, key
                    assert held.value == value
        print(f"{len(nodes.acknowledged)} writes were acknowledged")


def _ready(nodes: Nodes, address: str) -> None:
    assert nodes.at[address][0].ready


def _more(acknowledged: dict[str, str], than: int) -> None:
    assert len(acknowledged) > than
