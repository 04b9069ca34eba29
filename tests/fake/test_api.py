"""What the fake cluster's API server says, byte for byte as the real one does."""

from headless_discovery.testing import FakeCluster
from headless_discovery.testing._api import _bookmark, _event, _forbidden, _status
from tests.cluster.api_recording import FILE, steady


def recorded(*texts: str) -> str:
    """The one line that holds all of them."""
    (found,) = [
        line for line in FILE.read_text().splitlines() if all(text in line for text in texts)
    ]
    return found


def said(data: bytes) -> str:
    return steady(data.decode().strip("\n"))


def test_slices_are_written_as_the_real_server_writes_them() -> None:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports={"http": 8080})
    api = cluster._inside.api
    (empty,) = api.slices("default", "web").values()
    assert said(_event("ADDED", empty)) == recorded("ADDED", '"endpoints":null')
    for at in (0, 1):
        name = f"web-{at}"
        web.add_pod(f"10.201.0.{at}", name=name, hostname=name, node="node", zone="z1")
    (full,) = api.slices("default", "web").values()
    assert said(_event("ADDED", full)) == recorded("ADDED", "web-1")


def test_bookmarks_and_refusals_are_those_of_the_real_server() -> None:
    end = ',"annotations":{"k8s.io/initial-events-end":"true"}'
    assert said(_bookmark(7, end)) == recorded("BOOKMARK")
    forbidden = said(_status(403, "Forbidden", _forbidden("default")))
    assert forbidden.replace("default:default", "default:app") == recorded("Forbidden")
    assert said(_status(401, "Unauthorized", "Unauthorized")) == recorded("Unauthorized")


def test_while_backoff_lasts_nothing_is_asked() -> None:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).add_pod("10.0.0.1")
    cluster.fail("api-down")
    with cluster.peers("web", source="api") as peers:
        cluster.clock.advance(0.1)
        following = peers._store.following
        asked = peers.stats.unknown
        assert list(following.paced()) == []
        assert peers.stats.unknown == asked == 1
