"""The language between a lookup, the exchange below it, and the drivers that carry both out.

A lookup yields lists of `Question`, and is sent a `Reply` to each. The exchange turns that into
`Step`: what to send, which sockets to close, until when to wait; and is sent an `Event` for each
thing that came of it.
"""

import math
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeVar

import attrs

from .._errors import LookupFailed
from .message import Answer, Server, Type

_T = TypeVar("_T")


@attrs.define(unsafe_hash=True)
class Question:
    """A name (lower case, no final dot) and a record type; it never changes."""

    name: str
    rdtype: Type
    tcp: bool = True
    """Whether to send it again over TCP if the answer is truncated."""
    before: Answer | None = attrs.field(default=None, eq=False, repr=False)
    """The last answer to it, if that is known: equal records are then recognised."""
    needed: bool = True
    """Whether its reply is required; others are waited for only briefly."""
    at: Server | None = None
    """The only name server to query; by default all, one after the other."""

    def __str__(self) -> str:
        """As ``dig`` would have it: ``web.shop.svc.cluster.local. SRV``."""
        return f"{self.name}. {self.rdtype.name}"


Reply = Answer | LookupFailed


def is_silence(reply: Reply) -> bool:
    """Whether no server gave a reply that can be read; without TCP it refuses the connection."""
    return isinstance(reply, LookupFailed) and reply.rcode is None


class Plan(NamedTuple):
    """The name servers to query, and the limits of one lookup. Times are in seconds."""

    servers: tuple[Server, ...]
    edns: int | None = 1232
    """The UDP payload size offered; ``None``: questions without EDNS."""
    timeout: float = 2
    """For one try."""
    lifetime: float = 5
    """For all queries together."""
    tcp_first: bool = False


@attrs.define(eq=False)
class Send:
    """One message to send, from a new socket that is known by this object."""

    wire: bytes
    server: Server
    tcp: bool
    left: bool = attrs.field(default=False, init=False)
    """Over TCP, whether all of it has been sent; noted by the driver."""


Event = tuple[Send, bytes | OSError]
"""What was sent, and what became of its socket: a message came; or it failed, and is closed."""


@attrs.define
class Step:
    """What the driver of a lookup is to do next."""

    until: float = -math.inf
    """Wait for an event until then at most; if that has passed: yield to other tasks."""
    sends: Sequence[Send] = ()
    closes: Sequence[Send] = ()
    """Those whose sockets are needed no longer; the ones that failed are closed already."""
    work: Callable[[], None] | None = None
    """To be called first, in a thread where an event loop runs: it may take some 50 ms."""


Steps = Generator[Step, Sequence[Event], _T]


class GaveUp(Exception):
    """The lookup was cancelled, or its caller has no more time."""
