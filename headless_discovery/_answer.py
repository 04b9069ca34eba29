"""Answer: what one reply says, as values; and the record types that are asked for.

Nothing here knows the bytes it came from, or what it means for the Service.
"""

import enum
from collections.abc import Mapping

import attrs

NEGATIVE_TTL = 5
"""Seconds to keep a negative answer that came without an SOA: CoreDNS's own default TTL."""


class Type(enum.IntEnum):
    """The record types that are asked for (RFC 1035, 2782, 3596)."""

    A = 1
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33


@attrs.frozen
class Answer:
    """What one reply says about the name that was asked. Names are lower case, no final dot."""

    rcode: str
    truncated: bool = False
    ttl: int = NEGATIVE_TTL
    """Seconds: the smallest of the records below; the SOA's if there are none."""
    addresses: tuple[str, ...] = ()
    services: tuple[tuple[str, int], ...] = ()
    """(target, port) of the SRV records."""
    below: str | None = attrs.field(default=None, eq=False, repr=False)
    """What all those targets are one label below, if that is known: then none needs a look."""
    glue: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """The addresses that came along for SRV targets, by target."""
    pointers: tuple[str, ...] = ()
    alias: str | None = None
    """Where a CNAME record sends the asker."""
    soa: str | None = None
    """The zone that says no: the owner of a negative answer's SOA, or of its NS (a referral)."""
    nameserver: str | None = None
    """Who gave a cut answer."""
    no_tcp: str | None = None
    """Why the whole of a cut answer did not come over TCP."""
    records: object = attrs.field(default=None, eq=False, repr=False)
    """The records in wire form, their TTLs left out, in no order: a reply with equal ones says the
    same. ``None``: unknown."""

    @property
    def negative(self) -> bool:
        """NXDOMAIN or NODATA: there is no record of the type that was asked (RFC 2308)."""
        return not (
            self.addresses or self.services or self.pointers or self.alias or self.truncated
        )

    @property
    def no_such_name(self) -> bool:
        """NXDOMAIN: there is no record of any type."""
        return self.negative and self.rcode == "NXDOMAIN"


class MalformedReplyError(ValueError):
    """The bytes are a reply to our question, and make no sense."""
