"""What the HTTP transports decide, for any client library. Pure.

Which requests are for the Service, which may be sent to a second pod, and what a status says of a
pod. The transports send and wait.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Self, get_args

import attrs

from .._attempts.predicates import UNAVAILABLE
from .._dns.names import ServiceName
from .._endpoint import Endpoint
from .._errors import ConfigurationError
from .._peers import Peers
from ..aio import Peers as AsyncPeers

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that have the same effect when they are received twice (RFC 9110, 9.2.2)."""
KEEPALIVE_EXPIRY = 4.0
"""Seconds after which an idle connection is closed: servers commonly close it after 5."""

Named = Literal["url", "pod"]
"""Whose name goes into ``Host`` or into the TLS handshake."""


def may_be_repeated(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request may be sent again although it may have been received."""
    return method.upper() in IDEMPOTENT or "Idempotency-Key" in headers


class StatusError(Exception):
    """A reply that says that the pod cannot serve; only reported, never raised."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"the pod answered with status {status_code}")
        self.status_code = status_code


def error_of(status: int) -> StatusError | None:
    """What a status says of the pod: some are failures."""
    return StatusError(status) if status in UNAVAILABLE else None


@attrs.define
class Hosts:
    """Determines by a URL's host whether a request is for the Service or for one of its pods.

    A fixed list has no Service name: every host that is not an endpoint's is then the Service's.
    """

    service: ServiceName | None
    spellings: frozenset[str] = attrs.field(init=False)
    """Those that a pod's resolv.conf leads to the Service: lower case, without the final dot."""
    _named: tuple[Sequence[Endpoint], dict[str, Endpoint]] = ((), {})
    """The endpoints of the last look by their names."""

    @spellings.default
    def _spellings(self) -> frozenset[str]:
        if self.service is None:
            return frozenset()
        name, short = self.service.service, f"{self.service.service}.{self.service.namespace}"
        return frozenset({name, short, f"{short}.svc", str(self.service)})

    @classmethod
    def of(cls, peers: Peers | AsyncPeers, kind: type[Peers | AsyncPeers]) -> Self:
        """Those of the Service that the `Peers` is of, which must be for threads or for tasks."""
        if not isinstance(peers, kind):
            made_by = (
                "headless_discovery.peers" if kind is Peers else "headless_discovery.aio.peers"
            )
            raise ConfigurationError(f"peers must be what {made_by} returns, not {peers!r}")
        target = peers._store.target
        return cls(None if target is None else target.wanted.service)

    def may_be_pod(self, host: str) -> bool:
        """Whether the host could be the name of a pod."""
        return self.service is None or _plain(host).partition(".")[2] in self.spellings

    def pod(self, host: str, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """The endpoint whose name the host is."""
        seen, named = self._named
        if seen is not endpoints:
            named = {each.hostname: each for each in reversed(endpoints)}
            named.update((each.name, each) for each in endpoints)
            self._named = endpoints, named
        host = _plain(host)
        return named.get(host if self.service is None else host.partition(".")[0])

    def is_service(self, host: str) -> bool:
        """Whether the host is the Service."""
        return self.service is None or _plain(host) in self.spellings


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")


@attrs.frozen
class Addressing:
    """How a request goes to a pod: whose name is in ``Host``, and in the TLS handshake."""

    host: Named
    tls_name: Named

    def __attrs_post_init__(self) -> None:
        for argument, value in (("host", self.host), ("tls_name", self.tls_name)):
            if value not in get_args(Named):
                raise ConfigurationError(f"{argument} must be 'url' or 'pod', not {value!r}")

    def host_header(self, endpoint: Endpoint, port: int | None) -> str:
        """``Host`` as the pod's name and port (RFC 9110, 7.2)."""
        return endpoint.name if port is None else f"{endpoint.name}:{port}"

    def server_name(self, endpoint: Endpoint, url_host: str) -> str:
        """The name that the certificate must have."""
        return _plain(url_host) if self.tls_name == "url" else endpoint.name
