"""The values: Endpoint, Snapshot, Change, State, Stats, and the outcomes of a lookup.

None of them ever changes. Nothing here knows DNS messages, time or sockets.
"""

import enum
import ipaddress
import operator
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat, starmap
from typing import Literal

import attrs

from ._errors import DiscoveryError, NoEndpoints

_ORDINAL = re.compile(r".*-(\d+)")


def dashed(address: str) -> str:
    """The host name that CoreDNS gives a pod without one of its own.

    Dots and colons become dashes, and a ``0`` follows a dash at the end, since a DNS label cannot
    end in one (CoreDNS, ``endpointHostname``): ``fd00::`` is ``fd00--0``.
    """
    label = address.replace(".", "-").replace(":", "-")
    return label + "0" if label.endswith("-") else label


def all_dashed(addresses: Iterable[str], *, below: str = "") -> list[str]:
    """`dashed` of each, and what follows it; thousands at once."""
    text = " ".join([*addresses, ""]).replace(".", "-")
    if ":" in text:
        text = text.replace(":", "-").replace("- ", "-0 ")
    return text.replace(" ", f"{below} ").split(" ")[:-1]


def port_asked_for(port: str | int | None) -> str:
    """A port as it stands in an identity."""
    return "" if port is None else str(port)


@attrs.frozen
class Endpoint:
    """One pod of the Service, at one port. `str()` of it is ``address:port``."""

    name: str
    """The full DNS name, lower case, without the final dot."""
    addresses: tuple[str, ...]
    """All its addresses in canonical text, the one to use first."""
    port: int | None = None
    """The port number, or ``None`` if the Service has none, or several and none was named."""
    asked_for: str = attrs.field(
        default=attrs.Factory(lambda self: port_asked_for(self.port), takes_self=True),
        kw_only=True,
        eq=False,
        repr=False,
    )
    """The ``port`` argument of `peers` as text; empty if there was none."""
    zone: str | None = attrs.field(default=None, kw_only=True)
    """The topology zone that the pod runs in; ``None`` with DNS, which does not say."""
    node: str | None = attrs.field(default=None, kw_only=True)
    """The node that the pod runs on, likewise."""
    pod: str | None = attrs.field(default=None, kw_only=True, eq=False, repr=False)
    """The name of the Pod object, likewise; distinguishes pods that share an address."""

    def __attrs_post_init__(self) -> None:
        if type(self.addresses) is not tuple or not self.addresses:
            raise TypeError(
                f"addresses must be a tuple of one or more addresses, not {self.addresses!r}"
            )

    @property
    def identity(self) -> tuple[str, str]:
        """(name, requested port), which stays when the pod gets another address or port number."""
        return self.name, self.asked_for

    @property
    def address(self) -> str:
        """The address to use, which is the newest one of the preferred family."""
        return self.addresses[0]

    @property
    def hostname(self) -> str:
        """The first label of the name, ``web-0`` or a dashed address; of a fixed list the name."""
        return self.name if self.name in self.addresses else self.name.partition(".")[0]

    @property
    def ordinal(self) -> int | None:
        """A StatefulSet pod's number, ``12`` for ``web-12``; ``None`` for any other name."""
        hostname = self.hostname
        match = _ORDINAL.fullmatch(hostname)
        if match is None or any(hostname == dashed(address) for address in self.addresses):
            return None
        return int(match[1])

    def __str__(self) -> str:
        """``address:port``, or the address alone; an IPv6 address stands in brackets."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return host if self.port is None else f"{host}:{self.port}"


identity_of: Callable[[Endpoint], tuple[str, str]] = operator.attrgetter("name", "asked_for")
"""`Endpoint.identity`, for thousands at once."""
Row = tuple[str, tuple[str, ...], int | None, str]
"""What an endpoint is made of: ``name``, ``addresses``, ``port`` and ``asked_for``."""
row_of: Callable[[Endpoint], Row] = operator.attrgetter("name", "addresses", "port", "asked_for")
_SLOTS = [vars(Endpoint)[field.name].__set__ for field in attrs.fields(Endpoint)]


def by_identity(endpoints: Sequence[Endpoint]) -> dict[tuple[str, str], Endpoint]:
    """The endpoints by their identity, in their order."""
    return dict(zip(map(identity_of, endpoints), endpoints, strict=True))


def without(endpoints: Sequence[Endpoint], some: Iterable[object]) -> list[Endpoint]:
    """The endpoints without these objects, compared by identity."""
    known = frozenset(map(id, some))
    return [endpoint for endpoint in endpoints if id(endpoint) not in known]


def endpoints_of(
    names: Sequence[str],
    addresses: Iterable[tuple[str, ...]],
    ports: Iterable[int | None],
    asked_for: Iterable[str],
) -> list[Endpoint]:
    """Endpoints of values that are known to be right: thousands at once, in a quarter of the time.

    No step of it is Python: the slots are filled as ``__init__`` does it, one after the other.
    `starmap` hands the tuples of `zip` over as they are, where `map` makes new ones.
    """
    endpoints = list(starmap(object.__new__, repeat((Endpoint,), len(names))))
    unknown = repeat(None)  # to DNS: zone, node and pod
    columns = (names, addresses, ports, asked_for, unknown, unknown, unknown)
    for fill, values in zip(_SLOTS, columns, strict=True):
        pairs = zip(endpoints, values, strict=False)  # values may go on, with the next ones
        deque(starmap(fill, pairs), maxlen=0)
    return endpoints


class State(enum.StrEnum):
    """How current the endpoints are."""

    PENDING = "pending"
    """Nothing is known yet."""
    LIVE = "live"
    """The last lookup returned these endpoints."""
    STALE = "stale"
    """The last lookup failed or is unconfirmed; the previous endpoints are still served."""
    EMPTY = "empty"
    """There are no endpoints, by an authoritative answer."""


@attrs.frozen
class Snapshot:
    """The endpoints and their state at one moment. Times are in seconds."""

    endpoints: tuple[Endpoint, ...] = ()
    """The current endpoints, sorted by identity; departing ones are among them."""
    departing: tuple[Endpoint, ...] = ()
    """Those of ``endpoints`` that the last answer lacked; removed once that is confirmed."""
    state: State = State.PENDING
    """How current the endpoints are."""
    source: Literal["dns", "api", "static"] = "dns"
    """Where the endpoints come from, which is DNS, EndpointSlices, or a fixed list."""
    reason: str | None = None
    """Why the state is not LIVE, for people to read; ``None`` when it is LIVE."""
    error: DiscoveryError | None = None
    """The error behind the reason, if there is one."""
    ttl: float | None = None
    """Seconds, of the last answer; ``None`` before the first, and with EndpointSlices."""
    answered_at: float | None = None
    """When the last answer came, by `Clock.now`; ``None`` before the first."""
    generation: int = 0
    """Incremented whenever ``endpoints`` changes, including address changes."""


@attrs.frozen
class Change:
    """A difference between two snapshots."""

    added: tuple[Endpoint, ...]
    """Endpoints that are new."""
    removed: tuple[Endpoint, ...]
    """Endpoints that are gone."""
    moved: tuple[tuple[Endpoint, Endpoint], ...]
    """Pairs (old, new) of the same endpoint with another address or port number."""
    snapshot: Snapshot
    """The state after the change."""

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.added or self.removed or self.moved)


def difference(seen: tuple[Endpoint, ...], snapshot: Snapshot) -> Change:
    """The change since these endpoints; it is false if there is none."""
    here = snapshot.endpoints
    if seen is here:
        return Change((), (), (), snapshot)
    return change_of(without(seen, here), without(here, seen) if seen else here, snapshot)


def change_of(gone: Sequence[Endpoint], come: Sequence[Endpoint], snapshot: Snapshot) -> Change:
    """What changed, if these objects were there, and those are there instead."""
    if not gone:
        return Change(tuple(come), (), (), snapshot)
    old, new = by_identity(gone), by_identity(come)
    return Change(
        added=tuple([each for identity, each in new.items() if identity not in old]),
        removed=tuple([each for identity, each in old.items() if identity not in new]),
        moved=tuple(
            [
                (old[identity], each)
                for identity, each in new.items()
                if identity in old and old[identity] != each
            ]
        ),
        snapshot=snapshot,
    )


@attrs.frozen
class ThisPod:
    """What is known of this pod itself."""

    addresses: tuple[tuple[str, int | None], ...] = ()
    """Each with its port, where several processes share one."""
    names: tuple[str, ...] = ()
    """What it may be called, the surest first: host names, full names, or names of Pods."""
    routed: bool = False
    """Whether the address was not given, but is the local one that routes to the name server."""

    def among(self, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
        """The endpoints that are this pod.

        Pods on the host's network share its address: then it is the one with our name too. A name
        alone proves nothing: another namespace may have a ``web-0`` as well.
        """
        found = self.at(endpoints)
        ours = [one for each in self._at_each(found) for one in self._decided(each)]
        return tuple(each for each in found if each in ours)

    def _at_each(self, endpoints: Sequence[Endpoint]) -> Iterator[Sequence[Endpoint]]:
        """Those at each address of this pod, and at its port where that is known."""
        for address, port in self.addresses:
            at_it = (each for each in endpoints if address in each.addresses)
            yield [each for each in at_it if port is None or each.port in (None, port)]

    def _decided(self, sharing: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Which of those that share an address are this pod; none if nothing tells."""
        if len({each.pod or each.identity for each in sharing}) < 2:
            return sharing
        for name in self.names:
            named = [each for each in sharing if name in (each.name, each.hostname, each.pod)]
            if named:
                return named
        return ()

    def doubt(self, endpoints: Sequence[Endpoint]) -> str | None:
        """Why it is unknown which one is this pod, in words; ``None`` if it is known."""
        local = (ipaddress.ip_address(address) for address, _ in self.addresses)
        if found := self.at(endpoints):
            if not any(each and not self._decided(each) for each in self._at_each(found)):
                return None
            named = (
                f"none is called {' or '.join(self.names)}" if self.names else "no name is given"
            )
            return f"several pods have this pod's address ({self}), and {named}"
        if self.routed and all(each.is_loopback or each.is_link_local for each in local):
            return f"this pod's own address is not known ({self} is its node's, to a name server)"
        return None

    def at(self, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
        """Those at an address of this pod, and at its port where that is known."""
        ours = frozenset(address for address, _ in self.addresses)
        found = [each for each in endpoints if not ours.isdisjoint(each.addresses)]
        listed = [one for each in self._at_each(found) for one in each]
        return tuple(each for each in found if each in listed)

    def __str__(self) -> str:
        """Its addresses, for people."""
        return ", ".join(address for address, _ in self.addresses) or "none found"


@attrs.define
class Found:
    """The complete set of published pods. Not frozen: each lookup makes one, in less time so."""

    endpoints: tuple[Endpoint, ...]
    """Sorted by identity; never empty."""
    ttl: float
    """Seconds that the answer may be kept: the smallest TTL of its records; infinite by the API."""
    error: DiscoveryError | None = None
    """A family that had addresses has failed for long: those here of it are old."""
    stale: bool = False
    """Whether the answer is marked as stale (RFC 8914: 3): then it confirms nothing."""
    left_out: tuple[str, ...] = ()
    """Addresses that no pod can have."""
    authoritative: bool = False
    """Whether this is what DNS copies (EndpointSlices): what it lacks is gone, at once."""
    base: tuple[Endpoint, ...] | None = attrs.field(default=None, eq=False, repr=False)
    """An earlier set, where the source knows how this one differs from it:"""
    gone: Sequence[Endpoint] = attrs.field(default=(), eq=False, repr=False)
    come: Sequence[Endpoint] = attrs.field(default=(), eq=False, repr=False)

    def compared_with(self, before: tuple[Endpoint, ...]) -> tuple[list[Endpoint], list[Endpoint]]:
        """The objects that are no longer here, and those that were not there."""
        if before is self.base:
            return list(self.gone), list(self.come)
        return without(before, self.endpoints), without(self.endpoints, before)


@attrs.frozen
class Empty:
    """DNS says with authority that no pod is published, or that there is no such Service."""

    ttl: float
    """Seconds that a cache may repeat it: the SOA's TTL; infinite by the API."""
    error: NoEndpoints
    """The error for a caller who wants a pod."""
    stale: bool = False
    """Whether the answer is marked as stale (RFC 8914: 19): then it confirms nothing."""
    kept: tuple[Endpoint, ...] | None = None
    """By the API: those of the last members that are still listed, neither ready nor terminating.

    Empty: the others are gone for good. ``None``: unknown, as always by DNS.
    """


@attrs.frozen
class Unknown:
    """The lookup failed, or was incomplete: it says nothing about the pods."""

    error: DiscoveryError


@attrs.frozen
class Wrong:
    """DNS works, and says that this is not a headless Service, or has no such port."""

    error: DiscoveryError


Outcome = Found | Empty | Unknown | Wrong


@attrs.frozen
class Stats:
    """Counters since the `Peers` was made, and its present state. Times are in seconds."""

    lookups: int = 0
    """Completed lookups; the next four add up to it."""
    found: int = 0
    """Lookups that returned the complete set of endpoints."""
    empty: int = 0
    """Lookups with the authoritative answer that no pod is published, confirmed or not."""
    unknown: int = 0
    """Lookups that failed or were incomplete."""
    wrong: int = 0
    """Lookups that found no headless Service, no such port, or a configuration error."""
    queries_udp: int = 0
    """Queries sent over UDP, including retries."""
    queries_tcp: int = 0
    """Queries sent over TCP, including retries."""
    changes: int = 0
    """Changes of the endpoints, including address changes."""
    endpoints: int = 0
    """Endpoints known now."""
    departing: int = 0
    """Of these, how many were missing from the last answer."""
    ejected: int = 0
    """Of these, how many are ejected now."""
    state: State = State.PENDING
    """As in `Snapshot`."""
    state_since: float | None = None
    """Since when the state is the present one, by `Clock.now`."""
    source: Literal["dns", "api", "static"] = "dns"
    """As in `Snapshot`."""
    lookup_seconds: float | None = None
    """Duration of the last lookup; ``None`` before the first."""
    answer_age: float | None = None
    """Seconds since the last answer came; ``None`` before the first."""
    attempts: int = 0
    """Uses of endpoints by attempts, `use`, `call` and clients."""
    failures: int = 0
    """Of these, how many failed because of the endpoint."""
    in_flight: int = 0
    """Of these, how many are in progress."""
