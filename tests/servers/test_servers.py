"""The library behind other name servers, which ask the fake cluster: sets held against the model.

`tests/cluster/test_servers.py` does the same in front of the real CoreDNS.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from headless_discovery import Peers, Resolver, peers
from headless_discovery.testing import FakeCluster
from tests.cluster.control_plane import Programs
from tests.servers import between
from tests.servers.lives import IMPATIENT, live

pytestmark = pytest.mark.slow

SEED = 1


class Fake:
    """The fake cluster, as lives see one."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self._services: dict[str, Any] = {}
        self._pods: dict[str, Any] = {}
        self._addresses = (f"10.9.{n >> 8}.{n & 0xFF}" for n in itertools.count(1))

    def service(self, name: str, *, ports: dict[str, int]) -> None:
        self._services[name] = self._cluster.add_service(name, ports=ports or None)

    def pod(self, name: str, service: str, *, hostname: str | None) -> str:
        address = next(self._addresses)
        self._pods[name] = self._services[service].add_pod(address, name=name, hostname=hostname)
        return address

    def set_ready(self, name: str, address: str, *, ready: bool) -> None:
        self._pods[name].ready = ready

    def delete(self, name: str) -> None:
        self._pods.pop(name).delete()


@pytest.fixture
def programs() -> Iterator[Programs]:
    with Programs() as running:
        yield running


@pytest.mark.parametrize(("name", "caching"), between.SERVERS)
def test_random_lives_are_seen_through_another_server(
    programs: Programs, name: str, caching: bool
) -> None:
    cluster = FakeCluster(ttl=1)
    with cluster.serve() as server:
        nameserver = between.start(programs, name, server.nameserver, caching=caching)

        asking = functools.partial(peers_by, nameserver)
        assert live(Fake(cluster), asking, seed=SEED, lives=8, steps=3, name="web") == 64


@pytest.mark.parametrize(("name", "caching"), between.SERVERS)
def test_a_large_set_is_seen_whole_through_another_server(
    programs: Programs, name: str, caching: bool
) -> None:
    cluster = FakeCluster(ttl=1)
    with cluster.serve() as server:
        nameserver = between.start(programs, name, server.nameserver, caching=caching)
        for network, (pods, port) in enumerate(((100, "http"), (600, "http"), (1000, 8080))):
            web = cluster.add_service(f"web{pods}", ports={"http": 8080})
            for number in range(pods):
                web.add_pod(f"10.{network}.{number >> 8}.{number & 0xFF}")
            records = "auto" if isinstance(port, str) else "address"
            # It may ask for 600 names one by one, which a slow machine does not do in 5 s.
            resolver = Resolver([nameserver], lifetime=60)
            found = peers_by(
                nameserver, web.name, port=port, records=records, resolver=resolver
            ).endpoints()
            assert len(found) == pods
            assert {each.port for each in found} == {8080}


def peers_by(
    nameserver: str, service: str, *, resolver: Resolver | None = None, **arguments: Any
) -> Peers:
    return peers(
        service,
        namespace="default",
        cluster_domain="cluster.local",
        resolver=resolver or Resolver([nameserver]),
        policy=IMPATIENT,
        **arguments,
    )
