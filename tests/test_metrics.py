"""The example that feeds a collector of metrics."""

import pytest

from examples.metrics import exposition, main, numbers
from headless_discovery import State
from headless_discovery.testing import FakeCluster


def test_every_number_is_told_for_every_service() -> None:
    cluster = FakeCluster()
    cluster.add_service("web", ports=[80]).scale(3)
    web, nobody = cluster.peers("web"), cluster.aio.peers("nobody")
    web.endpoints()
    told = exposition({"web": web, "nobody": nobody})
    for line in (
        'headless_discovery_lookups_total{service="web"} 1',
        'headless_discovery_queries_udp_total{service="web"} 1',
        'headless_discovery_endpoints{service="web"} 3',
        'headless_discovery_state{service="web",state="live"} 1',
        'headless_discovery_state{service="web",state="stale"} 0',
        'headless_discovery_endpoints{service="nobody"} 0',
        'headless_discovery_state{service="nobody",state="pending"} 1',
    ):
        assert line in told.splitlines()


def test_exactly_one_state_is_true() -> None:
    store = FakeCluster().peers("nobody")
    store.endpoints()
    states = [labels["state"] for name, labels, value in numbers({"x": store}) if value is True]
    assert states == [State.EMPTY]


def test_it_runs_as_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    out = capsys.readouterr().out
    assert 'headless_discovery_endpoints{service="kubia-headless"} 3' in out
    assert 'headless_discovery_state_seconds{service="kubia-headless"}' in out
