"""The example that exposes the numbers of `Peers` to Prometheus, read by prometheus_client."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from examples.metrics import exposition, main
from headless_discovery import State
from headless_discovery.testing import FakeCluster

pytestmark = pytest.mark.slow


def samples(text: str) -> dict[tuple[str, str, str], float]:
    """By name, Service and state."""
    return {
        (
            sample.name.removeprefix("headless_discovery_"),
            sample.labels["service"].partition(".")[0],
            sample.labels.get("state", ""),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_number_is_exposed_for_every_service() -> None:
    cluster = FakeCluster()
    cluster.add_service("web", ports=[80]).scale(3)
    web, unasked = cluster.peers("web"), cluster.aio.peers("unasked")
    web.endpoints()
    exposed = samples(exposition(web, unasked))
    assert exposed["lookups_total", "web", ""] == 1
    assert exposed["queries_udp_total", "web", ""] == 1
    assert exposed["endpoints", "web", ""] == 3
    assert exposed["endpoints", "unasked", ""] == 0
    assert exposed["state", "web", "live"] == 1
    assert exposed["state", "web", "stale"] == 0
    assert exposed["state", "unasked", "pending"] == 1


def test_exactly_one_state_is_true() -> None:
    empty = FakeCluster().peers("empty")
    empty.endpoints()
    exposed = samples(exposition(empty))
    states = [state for (name, _, state), value in exposed.items() if name == "state" and value]
    assert states == [State.EMPTY]


def test_it_runs_as_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    exposed = samples(capsys.readouterr().out)
    assert [value for (name, *_), value in exposed.items() if name == "endpoints"] == [3]
