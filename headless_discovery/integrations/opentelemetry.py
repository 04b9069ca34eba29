"""OpenTelemetry: observable instruments that read the counters of `Peers` on export."""

import functools
import weakref
from collections.abc import Callable, Iterable

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter
except ImportError as _error:  # pragma: no cover - tests/integrations does it in its own process
    raise ImportError(
        "headless_discovery.integrations.opentelemetry needs opentelemetry-api: "
        "install headless_discovery[opentelemetry]"
    ) from _error

from ._metrics import METRICS, STATE, AnyPeers, Metric, labels_of, rows

__all__ = ["observe"]


_Observed = list[tuple["weakref.ref[AnyPeers]", dict[str, str]]]


def observe(*peers: AnyPeers, meter: Meter | None = None) -> Callable[[], None]:
    """Makes observable instruments for `Peers`, with the names of the Prometheus metrics.

    The instruments hold the `Peers` weakly: one that is no longer used is no longer reported.

    Args:
        *peers: the `Peers` to observe, sync or async.
        meter: the meter that makes the instruments; by default that of the global provider.

    Returns:
        A function that ends the observation. OpenTelemetry cannot remove an instrument, so it
        stays there and reports nothing.
    """
    meter = get_meter("headless_discovery") if meter is None else meter
    observed: _Observed = [
        (weakref.ref(each), labels) for each, labels in zip(peers, labels_of(peers), strict=True)
    ]
    for metric in (*METRICS, STATE):
        make = (
            meter.create_observable_counter
            if metric.kind == "counter"
            else meter.create_observable_gauge
        )
        make(
            metric.full_name,
            callbacks=[functools.partial(_observations, observed, metric)],
            unit="s" if metric.seconds else "1",
            description=metric.help,
        )
    return observed.clear


def _observations(
    observed: _Observed, metric: Metric, _options: CallbackOptions
) -> Iterable[Observation]:
    for reference, of_peers in observed:
        peers = reference()
        if peers is not None:
            for one, labels, value in rows(peers, of_peers):
                if one is metric:
                    yield Observation(value, labels)
