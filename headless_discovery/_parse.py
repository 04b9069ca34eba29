"""Any reply to what it says, by dnspython's parser. Pure, and slow to import: done when needed."""

from collections.abc import Iterable
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from ._answer import NEGATIVE_TTL, Answer, MalformedReplyError

_ADDRESS = (RdataType.A, RdataType.AAAA)


def parse(wire: bytes) -> Answer:
    """What the reply says; raises `MalformedReplyError`."""
    try:
        message = dns.message.from_wire(wire)
        return _meaning(message)
    except (dns.exception.DNSException, ValueError) as error:
        raise MalformedReplyError(f"{type(error).__name__}: {error}") from error


def _meaning(message: dns.message.Message) -> Answer:
    if not message.question:  # a refusal: `is_reply` lets nothing else through without one
        return Answer(dns.rcode.to_text(message.rcode()))
    [question] = message.question
    aliases = _of(message.answer, RdataType.CNAME)
    answers = _of(message.answer, question.rdtype)
    for rrset in answers:
        if rrset.name != question.name and not aliases:
            raise ValueError(f"it holds an answer about {rrset.name}, which was not asked")
    services = _rdatas(answers) if question.rdtype == RdataType.SRV else []
    glue = _of(message.additional, *_ADDRESS) if services else []
    saying_no: list[dns.rrset.RRset] = []
    if not answers and not aliases:
        saying_no = _of(message.authority, RdataType.SOA) or _of(message.authority, RdataType.NS)
    addresses_of: dict[str, list[dns.rrset.RRset]] = {}
    for rrset in glue:
        addresses_of.setdefault(_text(rrset.name), []).append(rrset)
    return Answer(
        rcode=dns.rcode.to_text(message.rcode()),
        truncated=bool(message.flags & dns.flags.TC),
        ttl=min(
            (rrset.ttl for rrset in (*aliases, *answers, *glue, *saying_no)), default=NEGATIVE_TTL
        ),
        addresses=_addresses(answers) if question.rdtype in _ADDRESS else (),
        services=tuple((_text(rdata.target), rdata.port) for rdata in services),
        glue={target: _addresses(rrsets) for target, rrsets in addresses_of.items()},
        pointers=(
            tuple(_text(rdata.target) for rdata in _rdatas(answers))
            if question.rdtype == RdataType.PTR
            else ()
        ),
        alias=_text(_rdatas(aliases)[0].target) if aliases else None,
        soa=_text(saying_no[0].name) if saying_no else None,
    )


def _of(section: Iterable[dns.rrset.RRset], *types: RdataType) -> list[dns.rrset.RRset]:
    """The Internet records of these types."""
    return [rrset for rrset in section if rrset.rdclass == RdataClass.IN and rrset.rdtype in types]


def _rdatas(rrsets: Iterable[dns.rrset.RRset]) -> list[Any]:
    return [rdata for rrset in rrsets for rdata in rrset]


def _addresses(rrsets: Iterable[dns.rrset.RRset]) -> tuple[str, ...]:
    """Without repeats, in the order of the reply; dnspython writes RFC 5952 text already."""
    return tuple(dict.fromkeys(rdata.address for rrset in rrsets for rdata in rrset))


def _text(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return text.lower()
