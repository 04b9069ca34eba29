"""What a `Peers` counts, in the text that Prometheus reads.

``python -m examples.metrics`` prints it for a fake cluster. For OpenTelemetry,
`headless_discovery.integrations.opentelemetry.observe` gives the same numbers to a meter.
"""

from prometheus_client import CollectorRegistry, generate_latest

from headless_discovery import Peers, aio
from headless_discovery.integrations.prometheus import PeersCollector
from headless_discovery.testing import FakeCluster


def exposition(*peers: Peers | aio.Peers) -> str:
    """The answer to ``GET /metrics``.

    An app registers its collector once, on `prometheus_client.REGISTRY`, beside its own metrics.
    """
    registry = CollectorRegistry()
    registry.register(PeersCollector(*peers))
    return generate_latest(registry).decode()


def main() -> None:
    cluster = FakeCluster()
    cluster.add_service("kubia-headless", ports={"http": 8080}).scale(3)
    kubia = cluster.peers("kubia-headless", port="http")
    kubia.endpoints()
    print(exposition(kubia), end="")


if __name__ == "__main__":
    main()
