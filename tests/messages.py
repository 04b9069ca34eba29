"""DNS replies for tests, written as records are written in a zone file."""

from collections.abc import Iterable

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

ZONE = "cluster.local"
SOA = f"{ZONE}. 30 IN SOA ns.dns.{ZONE}. hostmaster.{ZONE}. 1 7200 1800 86400 30"


def reply(
    asked: bytes,
    *answer: str,
    authority: Iterable[str] = (),
    additional: Iterable[str] = (),
    rcode: str = "NOERROR",
    truncated: bool = False,
) -> bytes:
    """The reply to a question, holding records such as ``web.shop. 30 IN A 10.0.0.1``."""
    question = dns.message.from_wire(asked)
    message = dns.message.make_response(question)
    message.set_rcode(dns.rcode.from_text(rcode))
    if truncated:
        message.flags |= dns.flags.TC
    for section, records in (
        (message.answer, answer),
        (message.authority, authority),
        (message.additional, additional),
    ):
        for record in records:
            owner, ttl, rdclass, rdtype, data = record.split(maxsplit=4)
            section.append(dns.rrset.from_text(owner, int(ttl), rdclass, rdtype, data))
    return message.to_wire(max_size=65535)


def nxdomain(asked: bytes, soa: str = SOA) -> bytes:
    """No such name, says the cluster's zone or another."""
    return reply(asked, authority=[soa], rcode="NXDOMAIN")


def nodata(asked: bytes, soa: str = SOA) -> bytes:
    """No such record, likewise."""
    return reply(asked, authority=[soa])
