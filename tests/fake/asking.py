"""Asks a fake cluster as a client would that knows dnspython alone."""

from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from headless_discovery.testing import FakeCluster

WEB = "web.default.svc.cluster.local."


def query(name: str = WEB, kind: str = "A", *, edns: int | None = 1232, **options: Any) -> bytes:
    """A question in bytes; options are those of `dns.message.make_query`, and ``flags``."""
    flags = options.pop("flags", None)
    message = dns.message.make_query(
        name,
        kind,
        use_edns=options.pop("version", 0) if edns is not None else -1,
        payload=edns or 0,
        **options,
    )
    if flags is not None:
        message.flags |= dns.flags.from_text(flags)
    return message.to_wire()


def ask(
    cluster: FakeCluster, name: str = WEB, kind: str = "A", *, tcp: bool = False, **options: Any
) -> dns.message.Message:
    """The reply, parsed; it must be one to this question."""
    wire = cluster.answer(query(name, kind, **options), tcp=tcp)
    assert wire is not None
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert message.flags & dns.flags.QR
    return message


def rcode(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())


def data(message: dns.message.Message, kind: str = "A", section: str = "answer") -> list[str]:
    """The data of the records of a type, in their order."""
    return [
        str(rrset[0])
        for rrset in getattr(message, section)
        if rrset.rdtype == dns.rdatatype.from_text(kind)
    ]


def ttls(message: dns.message.Message) -> set[int]:
    """The TTLs of all records."""
    return {rrset.ttl for rrset in (*message.answer, *message.authority, *message.additional)}
