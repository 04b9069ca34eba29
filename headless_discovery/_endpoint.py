"""What a user sees of a Service: Endpoint, Snapshot, Change and State, as frozen values.

Nothing here knows DNS messages, time or sockets.
"""

import collections
import enum
import itertools
import operator
import re
from collections.abc import Callable, Iterable, Sequence

import attrs

from ._errors import DiscoveryError

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


def _default_asked_for(endpoint: "Endpoint") -> str:
    return port_asked_for(endpoint.port)


@attrs.frozen
class Endpoint:
    """One pod of the Service, at one port.

    ``addresses`` are all its addresses in canonical text, the one to use first.
    """

    name: str
    """The full DNS name, lower case, without the final dot."""
    addresses: tuple[str, ...]
    port: int | None = None
    """The port number, or ``None`` if the Service has none, or several and none was named."""
    asked_for: str = attrs.field(
        default=attrs.Factory(_default_asked_for, takes_self=True),
        kw_only=True,
        eq=False,
        repr=False,
    )
    """The port that was asked for, as text; empty if none was."""

    def __attrs_post_init__(self) -> None:
        if type(self.addresses) is not tuple or not self.addresses:
            raise TypeError(
                f"addresses must be a tuple of one or more addresses, not {self.addresses!r}"
            )

    @property
    def identity(self) -> tuple[str, str]:
        """(name, port asked for): what stays when the pod gets another address or port number."""
        return self.name, self.asked_for

    @property
    def address(self) -> str:
        """The address to use: of the preferred family, the one that appeared last."""
        return self.addresses[0]

    @property
    def hostname(self) -> str:
        """The first label of the name: ``web-0``, or a dashed address."""
        return self.name.partition(".")[0]

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
_SLOTS = [vars(Endpoint)[name].__set__ for name in ("name", "addresses", "port", "asked_for")]


def by_identity(endpoints: Sequence[Endpoint]) -> dict[tuple[str, str], Endpoint]:
    """The endpoints by their identity, in their order."""
    return dict(zip(map(identity_of, endpoints), endpoints, strict=True))


def without(endpoints: Sequence[Endpoint], some: Iterable[object]) -> list[Endpoint]:
    """The endpoints but for these very objects, which are soon told."""
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
    `itertools.starmap` hands the tuples of `zip` over as they are, where `map` makes new ones.
    """
    blank = itertools.repeat((Endpoint,), len(names))
    endpoints = list(itertools.starmap(object.__new__, blank))
    for fill, values in zip(_SLOTS, (names, addresses, ports, asked_for), strict=True):
        pairs = zip(endpoints, values, strict=False)  # values may go on, with the next ones
        collections.deque(itertools.starmap(fill, pairs), maxlen=0)
    return endpoints


class State(enum.StrEnum):
    """How much the current endpoints can be relied on."""

    PENDING = "pending"
    """Nothing is known yet."""
    LIVE = "live"
    """The last lookup found these endpoints."""
    STALE = "stale"
    """The last answer is kept, because DNS fails, went empty, or says something wrong."""
    EMPTY = "empty"
    """DNS says with authority that there are none."""


@attrs.frozen
class Snapshot:
    """What is known at one moment. Times are in seconds."""

    endpoints: tuple[Endpoint, ...] = ()
    """Sorted by identity."""
    departing: tuple[Endpoint, ...] = ()
    """Those of ``endpoints`` that the last answer lacked; they go once that is confirmed."""
    state: State = State.PENDING
    reason: str | None = None
    """For people: why the state is not LIVE; ``None`` when it is."""
    error: DiscoveryError | None = None
    """The error behind the reason, if there is one."""
    ttl: float | None = None
    """Of the last answer; ``None`` before the first."""
    answered_at: float | None = None
    """When the last answer came, on the store's clock; ``None`` before the first."""
    generation: int = 0
    """One more at each change of the endpoints; moves count."""


@attrs.frozen
class Change:
    """A difference between two snapshots."""

    added: tuple[Endpoint, ...]
    removed: tuple[Endpoint, ...]
    moved: tuple[tuple[Endpoint, Endpoint], ...]
    """Pairs (old, new): the same pod at another address or port number."""
    snapshot: Snapshot
    """What is there now."""

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.moved)


def difference(seen: tuple[Endpoint, ...], snapshot: Snapshot) -> Change:
    """What changed for somebody who last saw these endpoints; ``False`` if nothing did."""
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
