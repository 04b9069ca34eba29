"""The errors of the library, one tree.

    DiscoveryError
    ├── ConfigurationError (ValueError)      a wrong argument, no name server, no namespace
    ├── NoEndpoints                          nobody to pick
    ├── NotHeadless                          a ClusterIP or ExternalName Service
    ├── NoSuchPort                           pods, but no such port name or protocol
    ├── LookupFailed                         DNS said SERVFAIL, REFUSED or nonsense
    │   ├── LookupTimeout (TimeoutError)
    │   └── IncompleteAnswer                 not all pods fitted in one answer
    ├── NotReady (TimeoutError)              wait_ready gave up
    └── Closed (RuntimeError)

Each message says what was asked of whom, what came back, and what to do next. This module knows
nothing of how an error comes about.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._endpoint import State


class DiscoveryError(Exception):
    """The root: ``except DiscoveryError`` catches whatever this library raises."""


class ConfigurationError(DiscoveryError, ValueError):
    """An argument or the environment is wrong; asking again cannot help."""


class NoEndpoints(DiscoveryError):
    """There is nobody to pick: the Service has no published pod, or all were left out.

    DNS answers "no such Service" and "no ready pod" alike with NXDOMAIN (Kubernetes DNS
    specification, 2.4.1), so the message names both.
    """


class NotHeadless(DiscoveryError):
    """The Service has a virtual IP (ClusterIP) or is an alias (ExternalName): no pods to list."""


class NoSuchPort(DiscoveryError):
    """The Service has pods, but none of them publishes that port name and protocol."""


class LookupFailed(DiscoveryError):
    """DNS gave no usable answer, so nothing is known: this is not "no peers".

    ``rcode`` is the DNS response code as text (``"SERVFAIL"``), ``name`` the name that was asked
    and ``nameserver`` who was asked (``host:port``); each is ``None`` where there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        rcode: str | None = None,
        name: str | None = None,
        nameserver: str | None = None,
    ) -> None:
        super().__init__(message)
        self.rcode = rcode
        self.name = name
        self.nameserver = nameserver


class LookupTimeout(LookupFailed, TimeoutError):
    """No name server answered in time."""


class IncompleteAnswer(LookupFailed):
    """The server could not fit every pod in one answer, and nothing else completes it."""


class NotReady(DiscoveryError, TimeoutError):
    """``wait_ready`` gave up; the message says what was seen, for how long, and what to check.

    ``seen`` and ``wanted`` are numbers of peers; ``state`` and ``reason`` are the snapshot's.
    """

    def __init__(
        self,
        message: str,
        *,
        seen: int = 0,
        wanted: int = 1,
        state: "State | None" = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.seen = seen
        self.wanted = wanted
        self.state = state
        self.reason = reason


class Closed(DiscoveryError, RuntimeError):
    """The ``Peers`` was closed."""
