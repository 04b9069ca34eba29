"""When two replies say the same: what recordings, the real server and the fake are compared by."""

import collections
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdtypes.ANY.SOA import SOA


def canonical(wire: bytes | None) -> dict[str, Any] | None:
    """A reply without what may differ: the id, the SOA's serial, the order within a section.

    The length stays, and with it whether and how well the message is compressed. Of a reply that
    was cut only the numbers of records stay, since the server shuffles before it cuts.
    """
    if wire is None:
        return None
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    sections = {
        "answer": message.answer,
        "authority": message.authority,
        "additional": message.additional,
    }
    found: dict[str, Any] = {
        "rcode": dns.rcode.to_text(message.rcode()),
        "flags": dns.flags.to_text(message.flags),
        "question": [str(question) for question in message.question],
        "edns": (message.edns, message.payload) if message.edns >= 0 else None,
        "length": len(wire),
    }
    cut = bool(message.flags & dns.flags.TC)
    for name, section in sections.items():
        records = [
            (
                dns.rdatatype.to_text(rrset.rdtype)
                if cut
                else f"{rrset.name} {rrset.ttl} {dns.rdataclass.to_text(rrset.rdclass)} "
                f"{dns.rdatatype.to_text(rrset.rdtype)} {_text(rdata)}"
            )
            for rrset in section
            for rdata in rrset
        ]
        found[name] = dict(sorted(collections.Counter(records).items()))
    return found


def _text(rdata: dns.rdata.Rdata) -> str:
    if isinstance(rdata, SOA):
        rdata = rdata.replace(serial=0)
    return str(rdata)


def difference(wanted: bytes | None, found: bytes | None) -> str | None:
    """In words, how the second differs from the first; ``None`` if it does not."""
    one, other = canonical(wanted), canonical(found)
    if one == other:
        return None
    if one is None or other is None:
        return f"wanted {one}, found {other}"
    return "; ".join(
        f"{key}: wanted {one[key]!r}, found {other[key]!r}" for key in one if one[key] != other[key]
    )
