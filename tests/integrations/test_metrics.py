"""The metrics for Prometheus and OpenTelemetry, read by the libraries themselves."""

import gc
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from headless_discovery import Peers, State, Stats
from headless_discovery.integrations.opentelemetry import observe
from headless_discovery.integrations.prometheus import PeersCollector
from headless_discovery.testing import FakeCluster

pytestmark = pytest.mark.slow


def some_peers() -> Peers:
    cluster = FakeCluster()
    cluster.add_service("web", ports=[80]).scale(3)
    web = cluster.peers("web")
    with web.use():
        pass
    return web


def test_every_counter_of_stats_is_a_metric() -> None:
    told = {
        metric.name.removeprefix("headless_discovery_").removesuffix("_seconds")
        for metric in PeersCollector(some_peers()).collect()
    }
    fields = {field.name.removesuffix("_seconds") for field in attrs.fields(Stats)}
    assert told == fields - {"state_since", "source"}


def test_prometheus_reads_types_help_and_values() -> None:
    registry = CollectorRegistry()
    web, nobody = some_peers(), FakeCluster().aio.peers("nobody")
    registry.register(PeersCollector(web, nobody))
    text = generate_latest(registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["headless_discovery_lookups"].type == "counter"
    assert families["headless_discovery_endpoints"].type == "gauge"
    assert all(family.documentation for family in families.values())
    of_web = {"service": "web.default.svc.cluster.local", "source": "dns"}
    of_nobody = {"service": "nobody.default.svc.cluster.local", "source": "dns"}

    def value(name: str, labels: dict[str, str]) -> float | None:
        return registry.get_sample_value(f"headless_discovery_{name}", labels)

    assert value("lookups_total", of_web) == 1
    assert value("attempts_total", of_web) == 1
    assert value("endpoints", of_web) == 3
    assert value("endpoints", of_nobody) == 0
    assert value("answer_age_seconds", of_nobody) is None
    states = {state: value("state", {**of_web, "state": state}) for state in State}
    assert states == {state: float(state is State.LIVE) for state in State}


def test_two_peers_of_one_service_have_labels_of_their_own() -> None:
    registry = CollectorRegistry()
    registry.register(PeersCollector(some_peers(), some_peers()))
    text = generate_latest(registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("headless_discovery_endpoints{")]
    assert len(set(lines)) == 2
    assert sum('number="2"' in line for line in lines) == 1


def test_registering_reads_nothing_and_a_second_collector_is_refused() -> None:
    registry = CollectorRegistry()
    registry.register(PeersCollector(some_peers()))
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(PeersCollector(some_peers()))


def test_in_multiprocess_mode_it_is_scraped_beside_the_files_of_all_processes(
    tmp_path: Path,
) -> None:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]  # it has none
    registry.register(PeersCollector(some_peers()))
    assert "headless_discovery_endpoints{" in generate_latest(registry).decode()


def points(reader: InMemoryMetricReader) -> dict[str, list[NumberDataPoint]]:
    data = reader.get_metrics_data()
    return {
        metric.name: [
            point for point in metric.data.data_points if isinstance(point, NumberDataPoint)
        ]
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_opentelemetry_reads_the_same_names() -> None:
    reader = InMemoryMetricReader()
    web = some_peers()
    observe(web, meter=MeterProvider([reader]).get_meter("test"))
    read = points(reader)
    assert [point.value for point in read["headless_discovery_endpoints"]] == [3]
    assert [point.value for point in read["headless_discovery_lookups"]] == [1]
    assert len(read["headless_discovery_state"]) == len(State)


def test_opentelemetry_holds_the_peers_weakly_and_can_be_stopped() -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    first, second = some_peers(), some_peers()
    observe(first, meter=meter)
    stop = observe(second, meter=meter)
    assert points(reader)
    stop()
    del first
    gc.collect()
    assert not points(reader)


@pytest.mark.parametrize(
    ("module", "extra", "library"),
    [
        ("httpx2", "httpx2", "httpx2"),
        ("httpx", "httpx", "httpx"),
        ("aiohttp", "aiohttp", "aiohttp"),
        ("prometheus", "prometheus", "prometheus_client"),
        ("opentelemetry", "opentelemetry", "opentelemetry"),
    ],
)
def test_without_its_library_an_integration_says_which_extra_to_install(
    module: str, extra: str, library: str
) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None\n"
        f"import headless_discovery.integrations.{module}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert f"install headless_discovery[{extra}]" in done.stderr
