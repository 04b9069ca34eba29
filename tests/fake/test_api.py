"""What the fake cluster's API server says, byte for byte as the real one does."""

import math
from collections.abc import Iterator
from typing import Any

import pytest

from headless_discovery.testing import FakeCluster
from tests.cluster.api_recording import FILE, steady

WEB = (
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    "?watch=true&timeoutSeconds=300&labelSelector=kubernetes.io%2Fservice-name%3Dweb"
)


def recorded(*texts: str) -> str:
    """The one line that holds all of them."""
    (found,) = [
        line for line in FILE.read_text().splitlines() if all(text in line for text in texts)
    ]
    return found


class Heard:
    """Whoever watches: it asks once, and keeps what it is told."""

    finished = False
    wake_at = 0.0

    def __init__(self, *paths: str | None) -> None:
        self._paths = list(paths)
        self.statuses: list[int] = []
        self.lines: list[str] = []
        self.errors: list[str | None] = []

    def next(self, _now: float) -> str | None:
        path = self._paths.pop(0) if self._paths else None
        self.wake_at = 0.0 if self._paths else math.inf
        return path

    def answered(self, status: int, _headers: object, _now: float) -> None:
        self.statuses.append(status)

    def received(self, data: bytes, _now: float) -> Iterator[None]:
        self.lines += steady(data.decode()).splitlines()
        return iter(())

    def ended(self, error: str | None, _now: float) -> Iterator[None]:
        self.errors.append(error)
        return iter(())

    def tick(self, _now: float) -> Iterator[None]:
        return iter(())


def watch(cluster: FakeCluster, *paths: str | None) -> Heard:
    heard: Any = Heard(*paths)
    cluster.slices.background(heard, cluster.clock).start()
    cluster.clock.advance(1)
    assert isinstance(heard, Heard)
    return heard


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080})
    return cluster


def test_slices_and_bookmarks_are_written_as_the_real_server_writes_them(
    cluster: FakeCluster,
) -> None:
    heard = watch(cluster, WEB)
    assert heard.lines == [recorded("ADDED", '"endpoints":null'), recorded("BOOKMARK")]
    web = cluster.service("web")
    for at in (0, 1):
        name = f"web-{at}"
        web.add_pod(f"10.201.0.{at}", name=name, hostname=name, node="node", zone="z1")
    heard = watch(cluster, WEB)
    assert heard.lines == [recorded("ADDED", "web-1"), recorded("BOOKMARK")]
    assert heard.statuses == [200]


def test_a_refusal_is_that_of_the_real_server(cluster: FakeCluster) -> None:
    cluster.fail("api-forbidden")
    heard = watch(cluster, WEB)
    (said,) = heard.lines
    assert said.replace("default:default", "default:app") == recorded("Forbidden")
    assert (heard.statuses, heard.errors) == ([403], [None])


def test_who_does_not_ask_is_told_nothing(cluster: FakeCluster) -> None:
    heard = watch(cluster, None, None, WEB)
    assert heard.statuses == [200]
    assert watch(cluster, None).statuses == []


def test_slices_that_were_written_are_told_as_they_were_written(cluster: FakeCluster) -> None:
    metadata = {"name": "mine", "labels": {"kubernetes.io/service-name": "web"}}
    conditions = {"ready": False, "serving": True, "terminating": True}
    target = {"kind": "Pod", "name": "p", "uid": "0b5e1f2a-0000-4000-8000-000000000000"}
    written = [
        {"addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": target},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": None}},
    ]
    cluster.apply({"kind": "EndpointSlice", "metadata": metadata, "endpoints": written})
    (line,) = (line for line in watch(cluster, WEB).lines if "10.0.0.1" in line)
    told = '"conditions":{"ready":false,"serving":true,"terminating":true}'
    assert told + ',"targetRef":{"kind":"Pod","namespace":"default","name":"p"' in line
    assert '{"addresses":["10.0.0.2"],"conditions":{}}' in line
