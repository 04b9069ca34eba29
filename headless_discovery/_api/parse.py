"""One EndpointSlice as the API server writes it, and what of it matters here. Pure.

It may contain anything: what is not an EndpointSlice raises `MalformedSliceError`.
"""

import ipaddress
import socket  # for inet_pton alone
import sys
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import attrs

from .._dns import wanted
from .._dns.names import ServiceName
from .._endpoint import dashed

SERVICE = "kubernetes.io/service-name"
_HEADLESS = "service.kubernetes.io/headless"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER = "endpointslice-controller.k8s.io"

_MOST_ENDPOINTS, _MOST_PORTS = 1000, 20_000
"""Of one slice: the API server accepts no more (``ValidateEndpointSlice``)."""
_MOST_ADDRESSES = 10 * _MOST_ENDPOINTS
"""Of one slice: the controller gives each endpoint one."""
_AT_ONCE = 100
"""Endpoints that are read without a pause."""


class MalformedSliceError(Exception):
    """This is no EndpointSlice."""


class Row(NamedTuple):
    """One endpoint of one slice."""

    name: str
    addresses: tuple[str, ...]
    numbers: tuple[int, ...]
    """Of the requested port, or of all ports; the lowest first."""
    ready: bool
    serving: bool
    terminating: bool
    dashed: int
    """4 or 6: it is called by its address, of that family."""
    zone: str | None
    node: str | None
    pod: str | None
    uid: object
    """What distinguishes pods of one name: ``targetRef``, else the addresses."""


@attrs.frozen
class ParsedSlice:
    """One EndpointSlice, as far as it matters here."""

    name: str
    rows: tuple[Row, ...] = ()
    virtual: bool | None = None
    """Whether its Service has a virtual IP; ``None`` if that does not show."""
    elsewhere: bool | None = None
    """Of a family that is not wanted: whether its ready endpoints, if any, have the port."""
    left_out: str | None = None
    """What of it is not used: all, where it has no IP addresses; or some addresses."""


@attrs.frozen(kw_only=True)
class SliceQuery:
    """What is to be found in them; the arguments of `headless_discovery.peers`, checked."""

    service: ServiceName
    port: str | int | None = None
    protocol: str = "tcp"
    family: str = "prefer-ipv4"
    pod_names: bool = False
    """Whether a pod without a host name is called by its own (``endpoint_pod_names``)."""
    families: tuple[int, ...] = attrs.field(init=False)
    """The preferred one first."""

    @families.default
    def _families_of(self) -> tuple[int, ...]:
        by_name = {"ipv4": (4,), "ipv6": (6,), "prefer-ipv6": (6, 4)}
        return by_name.get(self.family, (4, 6))

    def read(self, found: object) -> Generator[None, None, ParsedSlice]:
        """An object of the API, with pauses; raises `MalformedSliceError`."""
        try:
            return (yield from self._read(found))
        except (TypeError, ValueError, KeyError, AttributeError, OSError) as error:
            raise MalformedSliceError(f"not an EndpointSlice: {error!r}") from error

    def _read(self, found: Any) -> Generator[None, None, ParsedSlice]:
        metadata = found["metadata"]
        labels = metadata.get("labels") or {}
        if labels.get(SERVICE, self.service.service) != self.service.service:
            return ParsedSlice(_text(metadata["name"]))  # who answered does not know selectors
        kind = found.get("addressType")
        family = {"IPv4": 4, "IPv6": 6}.get(kind)
        by_controller = labels.get(_MANAGED_BY) == _CONTROLLER
        rows: list[Row] = []
        impossible: list[str] = []
        elsewhere: bool | None = None
        if family is not None:
            numbers = self._numbers(_few(found.get("ports"), _MOST_PORTS))
            endpoints = _few(found.get("endpoints"), _MOST_ENDPOINTS)
            _few([text for each in endpoints for text in _addresses(each)], _MOST_ADDRESSES)
            for count, endpoint in enumerate(endpoints, 1):
                rows += self._rows(endpoint, numbers, family, impossible)
                if count % _AT_ONCE == 0:
                    yield
            if family not in self.families:
                elsewhere = bool(numbers) if any(row.ready for row in rows) else None
                rows = []
        virtual = _HEADLESS not in labels if by_controller else None
        left_out = f"addressType {str(kind)!r:.40}" if family is None else None
        if impossible:
            left_out = f"addresses that no pod can have: {', '.join(impossible[:3])}"
        return ParsedSlice(_text(metadata["name"]), tuple(rows), virtual, elsewhere, left_out)

    def _numbers(self, ports: Sequence[Any]) -> tuple[int, ...]:
        """At most two: names are unique in a slice, and without one "several" is enough."""
        found: set[int] = set()
        for port in ports:
            number, name = port.get("port") or 0, port.get("name") or ""
            if not isinstance(number, int):
                raise TypeError(f"port {number!r}")
            if not 0 <= number < 65536:
                number = 0  # the API server takes any of 32 bits
            protocol = port.get("protocol") or "TCP"
            if not isinstance(self.port, str) or (
                (name.lower(), protocol.lower()) == (self.port, self.protocol)
            ):
                found.add(number)
        return tuple(sorted(found - {0})[:2])

    def _rows(
        self, endpoint: Any, numbers: tuple[int, ...], family: int, impossible: list[str]
    ) -> Iterator[Row]:
        conditions = endpoint.get("conditions") or {}
        ready = conditions.get("ready") in (True, None)
        target = endpoint.get("targetRef") or {}
        pod, uid = _if_any(target.get("name")), _if_any(target.get("uid"))
        zone, node = _if_any(endpoint.get("zone")), _if_any(endpoint.get("nodeName"))
        hostname = _if_any(endpoint.get("hostname")) or (pod if self.pod_names else None) or ""
        hostname = hostname.lower()
        # The API server does not check what targetRef names: it may be no name for DNS.
        if len(hostname) > 63 or not self.service.owns(f"{hostname}.{self.service}"):
            hostname = ""
        found = []
        for text in _addresses(endpoint):
            try:
                found.append(_address(text, family))
            except (ValueError, OSError):  # the API server takes 010.0.0.1, and ::ffff:10.0.0.1
                impossible.append(f"{text!r:.40}")
        addresses = tuple(found)
        if no_pods := wanted.impossible("\n".join(["", *addresses, ""])):
            impossible += no_pods
            addresses = tuple([each for each in addresses if each not in no_pods])
        # One name for all of them, or one each (CoreDNS, ``endpointHostname``).
        if hostname and len(addresses) > 1:
            addresses = tuple(sorted(set(addresses), key=packed))
        for each in (addresses,) if hostname and addresses else ((one,) for one in addresses):
            label = hostname or dashed(each[0])
            yield Row(
                f"{label}.{self.service}",
                each,
                numbers,
                ready,
                ready if conditions.get("serving") is None else bool(conditions["serving"]),
                bool(conditions.get("terminating")),
                family if any(label == dashed(one) for one in each) else 0,
                zone and sys.intern(zone),
                node and sys.intern(node),
                pod,
                uid or each,
            )


def _few(found: Sequence[Any] | None, most: int) -> Sequence[Any]:
    """A list that may be ``null``; raises `ValueError` if it is longer than any can be."""
    if len(found or ()) > most:
        raise ValueError(f"more than {most} entries")
    return found or ()


def _addresses(endpoint: Any) -> Sequence[str]:
    addresses: Sequence[str] = endpoint.get("addresses") or ()
    return addresses


def _if_any(value: object) -> str | None:
    return _text(value) if value else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _address(text: str, family: int) -> str:
    wire = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, text)
    return text if family == 4 else str(ipaddress.IPv6Address(wire))


def family_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


def packed(address: str) -> bytes:
    """An address as bytes, so that they sort as numbers."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
