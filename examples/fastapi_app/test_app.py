"""The app on a fake cluster: no network, and no waiting."""

import json
from collections.abc import Iterator

import httpx2
import pytest
from fastapi.testclient import TestClient

from headless_discovery.testing import FakeClock, FakeCluster

from .app import create

pytest_plugins = ["headless_discovery.testing.pytest"]


class Pods:
    """Answers for all pods, by their address."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.asked: list[str] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """The reply of one pod."""
        address = request.url.host
        if address in self.down:
            raise httpx2.ConnectError("connection refused", request=request)
        self.asked.append(address)
        if request.url.path == "/own/lost":
            return httpx2.Response(404)
        return httpx2.Response(200, content=json.dumps({"by": address}))


@pytest.fixture
def pods(fake_cluster: FakeCluster) -> Pods:
    web = fake_cluster.add_service("web", ports={"http": 8080})
    for number in range(3):
        web.add_pod(f"10.0.0.{number + 1}", hostname=f"web-{number}")
    return Pods()


@pytest.fixture
def client(fake_cluster: FakeCluster, pods: Pods) -> Iterator[TestClient]:
    app = create(
        lambda: fake_cluster.aio.peers("web", port="http"),
        lambda: httpx2.MockTransport(pods.answer),
    )
    with TestClient(app) as client:
        yield client


def test_a_replica_keeps_its_own_items(client: TestClient) -> None:
    assert client.put("/own/a", params={"value": "1"}).status_code == 200
    assert client.get("/own/a").json() == "1"
    assert client.get("/own/b").status_code == 404
    assert client.get("/own").json()["items"] == 1


def test_all_replicas_are_asked_and_the_silent_ones_are_named(
    client: TestClient, pods: Pods
) -> None:
    pods.down = {"10.0.0.2"}
    assert client.get("/all").json() == {
        "web-0": {"by": "10.0.0.1"},
        "web-1": {"error": "ConnectError"},
        "web-2": {"by": "10.0.0.3"},
    }


def test_an_item_is_read_from_one_replica_and_from_the_next_when_it_is_down(
    client: TestClient, pods: Pods
) -> None:
    owners = {client.get("/items/a").json()["by"] for _ in range(5)}
    assert len(owners) == 1
    pods.down = owners
    assert client.get("/items/a").json()["by"] not in owners


def test_a_missing_item_is_a_404_of_one_replica(client: TestClient, pods: Pods) -> None:
    assert client.get("/items/lost").status_code == 404
    assert len(pods.asked) == 1


def test_without_any_replica_an_item_is_a_503(client: TestClient, pods: Pods) -> None:
    pods.down = {f"10.0.0.{number}" for number in (1, 2, 3)}
    assert client.get("/items/a").status_code == 503


def test_a_new_replica_is_asked_too(
    client: TestClient, fake_cluster: FakeCluster, fake_clock: FakeClock
) -> None:
    assert len(client.get("/all").json()) == 3
    fake_cluster.service("web").add_pod("10.0.0.4", hostname="web-3")
    fake_clock.advance(30)
    assert client.get("/all").json()["web-3"] == {"by": "10.0.0.4"}


def test_its_metrics_count_the_replicas(client: TestClient) -> None:
    client.get("/all")
    [line] = [
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("headless_discovery_endpoints{")
    ]
    assert line.endswith(" 3.0")
