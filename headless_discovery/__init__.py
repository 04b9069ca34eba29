"""Peer discovery inside a Kubernetes cluster, over the DNS of a headless Service.

>>> from headless_discovery import peers
>>> store = peers("kubia-headless", port="http", namespace="default")

`peers` is where to begin; ``headless_discovery.testing`` has the fakes for unit tests.
"""

from ._attempts import Attempt, connection_failed
from ._clock import Clock
from ._endpoint import Change, Endpoint, Snapshot, State
from ._errors import (
    Closed,
    ConfigurationError,
    DiscoveryError,
    IncompleteAnswer,
    LookupFailed,
    LookupTimeout,
    NoEndpoints,
    NoSuchPort,
    NotHeadless,
    NotReady,
)
from ._peers import Peers, peers
from ._policy import Policy
from ._selection import Random, RoundRobin, Sticky, Strategy
from ._service import ServiceName
from ._stats import Stats
from ._transport import Resolver

__all__ = [
    "Attempt",
    "Change",
    "Clock",
    "Closed",
    "ConfigurationError",
    "DiscoveryError",
    "Endpoint",
    "IncompleteAnswer",
    "LookupFailed",
    "LookupTimeout",
    "NoEndpoints",
    "NoSuchPort",
    "NotHeadless",
    "NotReady",
    "Peers",
    "Policy",
    "Random",
    "Resolver",
    "RoundRobin",
    "ServiceName",
    "Snapshot",
    "State",
    "Stats",
    "Sticky",
    "Strategy",
    "connection_failed",
    "peers",
]
