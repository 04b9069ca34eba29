"""What a lookup starts from: what the caller wants, and what the lookups before it left."""

import enum
import math
import random
import re
import socket  # for inet_pton alone
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal, NamedTuple, TypeVar

import attrs

from .._endpoint import Endpoint, port_asked_for
from .._errors import DiscoveryError
from .message import Answer, Type
from .names import ServiceName
from .steps import Question, Reply, is_silence

Family = Literal["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6", "any"]
Records = Literal["auto", "address"]
FAMILIES: tuple[Family, ...] = ("prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6", "any")
RECORDS: tuple[Records, ...] = ("auto", "address")

_TYPES: Mapping[Family, tuple[Type, ...]] = {
    "prefer-ipv4": (Type.A, Type.AAAA),
    "prefer-ipv6": (Type.AAAA, Type.A),
    "ipv4": (Type.A,),
    "ipv6": (Type.AAAA,),
    "any": (Type.A, Type.AAAA),
}
KEPT = 60
"""Seconds: a family that recently had addresses is required; a longer failure is reported."""
AT_ONCE = 500
"""Pods that are handled without yielding to other tasks of the event loop."""
_CHECKED_AGAIN = 8
"""Known names that are queried again in one lookup."""
_WELL_BELOW = 0.5
"""SRV is tried again once the set is smaller than this share of the one that did not fit."""

_T = TypeVar("_T")
Asking = Generator[list[Question], Sequence[Reply], _T]
"""A part of a lookup: yields questions, is sent their replies, and returns its result."""
Names = tuple[str, ...]
Members = Mapping[str, Names]
"""Addresses by pod name."""


@attrs.frozen
class Wanted:
    """What the caller wants."""

    service: ServiceName
    port: str | int | None = None
    protocol: str = "tcp"
    family: Family = "prefer-ipv4"
    records: Records = "auto"

    name: str = attrs.field(init=False, eq=False, repr=False)
    """Where the pods of the port are: rows of the port's own name, or of the Service."""
    below: str = attrs.field(init=False, eq=False, repr=False)
    """What the names of all pods end in: the Service's own."""
    types: tuple[Type, ...] = attrs.field(init=False, eq=False, repr=False)
    """The address types to query, the preferred one first."""
    needed: Type | None = attrs.field(init=False, eq=False, repr=False)
    """The required family: requested alone, or preferred."""
    asked_for: str = attrs.field(init=False, eq=False, repr=False)
    """The port as it is in an endpoint's identity."""

    @name.default
    def _name_of_pods(self) -> str:
        if isinstance(self.port, str):
            return f"_{self.port}._{self.protocol}.{self.service}"
        return str(self.service)

    @below.default
    def _name_of_service(self) -> str:
        return str(self.service)

    @types.default
    def _types_of_family(self) -> tuple[Type, ...]:
        return _TYPES[self.family]

    @needed.default
    def _needed_type(self) -> Type | None:
        return None if self.family == "any" else self.types[0]

    @asked_for.default
    def _text_of_port(self) -> str:
        return port_asked_for(self.port)


class Origin(enum.StrEnum):
    """Where an endpoint's name and addresses came from."""

    GLUE = "srv-glue"
    """One SRV answer brought both."""
    TARGET = "srv-address"
    """SRV named it, A or AAAA gave its addresses."""
    POINTER = "address-ptr"
    """A or AAAA gave its addresses, PTR named it."""
    DASHED = "address-dashed"
    """A or AAAA gave its addresses; it is called by the dashed one of them."""


class Made(NamedTuple):
    """A set of endpoints, and the answers' values that it was made from, compared by identity."""

    basis: tuple[object, ...] = ()
    """Empty: not from these alone, or that is not sure any more."""
    endpoints: tuple[Endpoint, ...] = ()


class Listed(NamedTuple):
    """Who is listed, before endpoints are made of it."""

    members: Members
    basis: tuple[object, ...]
    """As in `Made`."""
    ttl: float
    services: tuple[tuple[str, int], ...] | None = None
    """SRV's targets and port numbers, if it listed them."""
    port: int | None = None
    """The port number of all, otherwise."""
    error: DiscoveryError | None = None
    stale: bool = False
    left_out: Sequence[str] = ()
    dashed: tuple[Sequence[str], Iterable[Names]] | None = None
    """Instead of members: names in their order, and the addresses that they are made of."""


@attrs.frozen
class Told:
    """What one family's answer about an SRV target said, and for how long that holds."""

    addresses: Names
    heard: float
    """When it was queried."""
    expires: float
    ask_at: float
    """When to query again."""


@attrs.define(eq=False)
class Memory:
    """What one lookup leaves for the next of the same `Wanted`."""

    names: dict[str, Names] = attrs.field(factory=dict)
    """By address, the one checked longest ago first: the names that DNS gave; none: it has none."""
    origins: dict[str, Origin] = attrs.field(factory=dict)
    """By address in ``names``: who gave them."""
    addresses: dict[Type, Names] = attrs.field(factory=dict)
    """The last addresses of each family, for when that family alone fails."""
    listed: dict[Type, float] = attrs.field(factory=dict)
    """When each family last had addresses of pods."""
    targets: dict[str, dict[Type, Told]] = attrs.field(factory=dict)
    """The addresses of SRV targets without glue."""
    too_large: int | None = None
    """How many addresses there were when SRV did not fit; 0 until they are counted."""
    served: float = -math.inf
    """When SRV last listed pods."""
    srv_failed: bool = False
    """The last SRV query failed, so addresses are queried together with the next one."""
    no_srv_until: float = -math.inf
    """The server does not support SRV, and is not queried for it until then."""
    silent: set[Type] = attrs.field(factory=set)
    """The address types whose last queries had no reply."""
    no_ptr: bool = False
    """The last PTR queries had no reply, so dashed names are queried together with them."""
    known: bool = False
    """There is a set that a "no" without proof, said once, must not empty."""
    answers: dict[Type, Answer] = attrs.field(factory=dict)
    """The last answers about `Wanted.name`, so that equal records are recognised."""
    made: Made = attrs.field(factory=Made)
    """What was found last, and from what."""

    def name(self, address: str, names: Names, origin: Origin) -> None:
        """Keeps an address's names; what depends on the old ones is computed again."""
        self.doubt()
        self.names[address] = names
        self.origins[address] = origin

    def unname(self, address: str) -> None:
        """The address's name must be queried again."""
        self.doubt()
        self.names.pop(address, None)
        self.origins.pop(address, None)

    def next_to_check(self) -> list[str]:
        """The addresses whose names are to be checked now: all in turn."""
        turn = list(islice(self.names, _CHECKED_AGAIN))
        for address in turn:
            self.names[address] = self.names.pop(address)
        return turn

    def keep_names_of(self, published: Collection[str]) -> None:
        """A name ends when its address left."""
        for address in self.names.keys() - published if self.names else ():
            del self.names[address]
            self.origins.pop(address, None)

    def remember_size(self, size: int) -> None:
        """SRV did not fit: addresses are queried first until the set is well below that size."""
        if self.too_large == 0:
            self.too_large = size
        elif self.too_large is not None and size < self.too_large * _WELL_BELOW:
            self.too_large = None

    def doubt(self) -> None:
        """The same answers may mean others now."""
        if self.made.basis:
            self.made = Made((), self.made.endpoints)

    def forget(self) -> None:
        """There are no pods: a later one with these addresses may be another."""
        for of_a_set in (self.names, self.origins, self.addresses, self.listed, self.targets):
            of_a_set.clear()
        self.too_large = None
        self.known = False

    def origin(self, endpoint: Endpoint) -> Origin:
        """Where an endpoint that the last lookup found came from."""
        if not self.addresses:  # SRV served
            return Origin.TARGET if endpoint.name in self.targets else Origin.GLUE
        return self.origins.get(endpoint.address, Origin.DASHED)


@attrs.define
class Look:
    """One lookup: what it starts from."""

    wanted: Wanted
    memory: Memory
    now: float
    """When it began, on the clock of the `Peers`."""
    rng: random.Random

    def question(self, rdtype: Type, *, tcp: bool = True, needed: bool = True) -> Question:
        """One about the pods of the port, which knows its last answer."""
        return Question(self.wanted.name, rdtype, tcp, self.memory.answers.get(rdtype), needed)

    def learn(self, replies: Mapping[Type, Reply]) -> None:
        """Keeps the answers to such questions for the next ones."""
        for rdtype, reply in replies.items():
            if isinstance(reply, Answer) and reply.records is not None:
                self.memory.answers[rdtype] = reply
            self.note(rdtype, silent=is_silence(reply))

    def note(self, rdtype: Type, *, silent: bool) -> None:
        """Keeps whether such questions had no reply."""
        if silent:
            self.memory.silent.add(rdtype)
        else:
            self.memory.silent.discard(rdtype)

    def matters(self, rdtype: Type) -> bool:
        """Whether a family is requested alone, preferred, or equal to the other and not silent.

        One of them always is.
        """
        if self.wanted.needed is None:
            silent = self.memory.silent
            return rdtype not in silent or silent.issuperset(self.wanted.types)
        return self.wanted.needed is rdtype

    def needs(self, rdtype: Type) -> bool:
        """Whether its addresses must be had: it matters, or had some lately."""
        return self.matters(rdtype) or self.now - self.memory.listed.get(rdtype, -math.inf) <= KEPT

    @property
    def asks_srv_beside(self) -> bool:
        """Whether SRV is queried at the same time: to see if it works, or for the number."""
        if self.wanted.records == "address" or self.now < self.memory.no_srv_until:
            return False
        return self.memory.srv_failed or not isinstance(self.wanted.port, int)

    @property
    def can_do_without_srv(self) -> bool:
        """Whether the port's number is given, or SRV never had one (and lists no pods any more)."""
        if self.wanted.port is None:
            return self.memory.served == -math.inf
        return isinstance(self.wanted.port, int) and self.now - self.memory.served > KEPT


impossible = re.compile(
    r"\n(0\.0\.0\.0|255\.255\.255\.255|2(?:2[4-9]|3\d)\.[\d.]+|::|ff[\da-f]{2}:.*|::ffff:.*)(?=\n)"
).findall
"""The addresses that no pod can have: unspecified, broadcast, multicast and IPv4-mapped (RFC 1122,
3.2.1.3; RFC 5771; RFC 4291, 2.5.2, 2.5.5.2 and 2.7); of text that has a line
break before and after each."""


def packed(address: str) -> bytes:
    """The address as bytes, which sort as people count."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def family_of(address: str) -> Type:
    """The record type that gives such an address."""
    return Type.AAAA if ":" in address else Type.A
