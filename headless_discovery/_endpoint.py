"""What a user sees of a Service: Endpoint, Snapshot, Change and State, as frozen values.

Nothing here knows DNS messages, time or sockets.
"""

import collections
import enum
import itertools
import re
from collections.abc import Iterable, Sequence

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


def all_dashed(addresses: Iterable[str]) -> list[str]:
    """`dashed` of each; thousands at once."""
    text = " ".join(addresses).replace(".", "-").replace(":", "-") + " "
    return text.replace("- ", "-0 ").split(" ")[:-1]


def _default_identity(endpoint: "Endpoint") -> tuple[str, str]:
    return endpoint.name, "" if endpoint.port is None else str(endpoint.port)


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
    identity: tuple[str, str] = attrs.field(
        default=attrs.Factory(_default_identity, takes_self=True),
        kw_only=True,
        eq=False,
        repr=False,
    )
    """(name, port asked for): what stays when the pod gets another address or port number."""

    def __attrs_post_init__(self) -> None:
        if type(self.addresses) is not tuple or not self.addresses:
            raise TypeError(
                f"addresses must be a tuple of one or more addresses, not {self.addresses!r}"
            )

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


_SLOTS = [vars(Endpoint)[name].__set__ for name in ("name", "addresses", "port", "identity")]


def endpoints_of(
    names: Sequence[str],
    addresses: Iterable[tuple[str, ...]],
    ports: Iterable[int | None],
    identities: Iterable[tuple[str, str]],
) -> list[Endpoint]:
    """Endpoints of values that are known to be right: thousands at once, in a third of the time.

    No step of it is Python: the slots are filled as ``__init__`` does it, one after the other.
    """
    endpoints = list(map(object.__new__, itertools.repeat(Endpoint, len(names))))
    for fill, values in zip(_SLOTS, (names, addresses, ports, identities), strict=True):
        collections.deque(map(fill, endpoints, values), maxlen=0)
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
    if seen is snapshot.endpoints:
        return Change((), (), (), snapshot)
    if not seen:
        return Change(snapshot.endpoints, (), (), snapshot)
    old = {endpoint.identity: endpoint for endpoint in seen}
    new = {endpoint.identity: endpoint for endpoint in snapshot.endpoints}
    return Change(
        added=tuple(new[identity] for identity in new if identity not in old),
        removed=tuple(old[identity] for identity in old if identity not in new),
        moved=tuple(
            (old[identity], new[identity])
            for identity in new
            if identity in old and old[identity] != new[identity]
        ),
        snapshot=snapshot,
    )
