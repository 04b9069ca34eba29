"""What a `Peers` counts, in the text that Prometheus reads; OpenTelemetry takes the same numbers.

``python -m examples.metrics`` prints it for a fake cluster. In an app, give it to whatever answers
``/metrics``; or let a collector of ``prometheus_client``, or an observable gauge of OpenTelemetry,
walk through ``numbers`` in the same way.
"""

from collections.abc import Iterator, Mapping

import attrs

from headless_discovery import Clock, Peers, State, aio
from headless_discovery.testing import FakeCluster

GAUGES = {"endpoints", "departing", "ejected"}  # all others only grow


def numbers(stores: Mapping[str, Peers | aio.Peers]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each number of each store."""
    for service, store in stores.items():
        stats = attrs.asdict(store.stats)
        state, since = stats.pop("state"), stats.pop("state_since")
        for name, value in stats.items():
            unit = "" if name in GAUGES else "_total"
            yield f"headless_discovery_{name}{unit}", {"service": service}, value
        for one in State:
            yield "headless_discovery_state", {"service": service, "state": one}, one is state
        if since is not None:
            yield "headless_discovery_state_seconds", {"service": service}, Clock().now() - since


def exposition(stores: Mapping[str, Peers | aio.Peers]) -> str:
    """Prometheus's text format."""
    lines = []
    for name, labels, value in numbers(stores):
        pairs = ",".join(f'{label}="{text}"' for label, text in labels.items())
        lines.append(f"{name}{{{pairs}}} {float(value):g}\n")
    return "".join(sorted(lines))


def main() -> None:
    cluster = FakeCluster()
    cluster.add_service("kubia-headless", ports={"http": 8080}).scale(3)
    store = cluster.peers("kubia-headless", clock=Clock())
    store.endpoints()
    print(exposition({"kubia-headless": store}), end="")


if __name__ == "__main__":
    main()
