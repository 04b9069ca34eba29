"""Peer discovery inside a Kubernetes cluster, over the DNS of a headless Service.

>>> from headless_discovery import peers
>>> web = peers("kubia-headless", port="http", namespace="default")

Begin with `peers`; ``headless_discovery.testing`` has the fakes for unit tests.
"""

from ._attempts import Attempt, Clients, connection_failed, not_reached
from ._dns.names import ServiceName
from ._dns.resolver import Resolver
from ._endpoint import Change, Endpoint, Snapshot, State, Stats
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
from ._membership import Policy
from ._peers import Peers, peers
from ._selection import LeastLoaded, Random, RoundRobin, Session, Sticky, Strategy
from ._time.clock import Clock

__version__ = "0.1.0"
"""The version of the library, as it was released."""

__all__ = [
    "Attempt",
    "Change",
    "Clients",
    "Clock",
    "Closed",
    "ConfigurationError",
    "DiscoveryError",
    "Endpoint",
    "IncompleteAnswer",
    "LeastLoaded",
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
    "Session",
    "Snapshot",
    "State",
    "Stats",
    "Sticky",
    "Strategy",
    "__version__",
    "connection_failed",
    "not_reached",
    "peers",
]
