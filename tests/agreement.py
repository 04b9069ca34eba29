"""That replies are read as dnspython reads messages: what tests and fuzzer hold."""

from collections.abc import Iterable
from typing import Any

import attrs
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from tests.lookups import NEGATIVE_TTL, Answer, MalformedReplyError, Type, parse, read, scan

_ADDRESS = (RdataType.A, RdataType.AAAA)
_STALE = (dns.edns.EDECode.STALE_ANSWER, dns.edns.EDECode.STALE_NXDOMAIN_ANSWER)
_WITHHELD = {
    dns.edns.EDECode.BLOCKED: "blocked",
    dns.edns.EDECode.CENSORED: "censored",
    dns.edns.EDECode.FILTERED: "filtered",
    dns.edns.EDECode.PROHIBITED: "prohibited",
}


def by_dnspython(wire: bytes) -> Answer | None:
    """What dnspython's reader makes of it; ``None`` if it refuses. Any other error comes out."""
    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
        return _meaning(message)
    except (dns.exception.DNSException, ValueError):
        return None


def _meaning(message: dns.message.Message) -> Answer:
    rcode = dns.rcode.to_text(message.rcode())
    errors = {each.code for each in message.options if isinstance(each, dns.edns.EDEOption)}
    stale = not errors.isdisjoint(_STALE)
    withheld = next((word for code, word in _WITHHELD.items() if code in errors), None)
    if not message.question:
        return Answer(rcode, stale=stale, withheld=withheld)
    [question] = message.question
    aliases = _of(message.answer, RdataType.CNAME)
    answers = _of(message.answer, question.rdtype)
    for rrset in answers:
        if rrset.name != question.name and not aliases:
            raise ValueError(f"it holds an answer about {rrset.name}, which was not asked")
    if own := [rrset for rrset in answers if rrset.name == question.name]:
        answers, aliases = own, []
    services = _rdatas(answers) if question.rdtype == RdataType.SRV else []
    glue = _of(message.additional, *_ADDRESS) if services else []
    saying_no: list[dns.rrset.RRset] = []
    referring: list[dns.rrset.RRset] = []
    if not answers and not aliases:
        saying_no = _of(message.authority, RdataType.SOA)
        if not saying_no and rcode == "NOERROR":
            referring = _of(message.authority, RdataType.NS)
    addresses_of: dict[str, list[dns.rrset.RRset]] = {}
    for rrset in glue:
        addresses_of.setdefault(_text(rrset.name), []).append(rrset)
    return Answer(
        rcode=rcode,
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
        referral=_text(referring[0].name) if referring else None,
        stale=stale,
        withheld=withheld,
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


def parsed(wire: bytes) -> Answer | None:
    """What the slow reader makes of it; ``None`` if it refuses. Any other error comes out."""
    try:
        return parse(wire)
    except MalformedReplyError:
        return None


def check_read(wire: bytes, before: Answer | None = None) -> Answer | None:
    """Returns what the fast reader read, if it did.

    Args:
        wire: Any bytes. If dnspython accepts them, both readers must say what it says; if it
            refuses them, both must say the same, or the fast one leaves them to the slow one.
        before: Any answer that the fast reader gave: it must not change what is said, but for the
            order of records that were all there before.

    Raises:
        AssertionError: They do not.
    """
    found = scan(wire)
    later = scan(wire, before)
    assert later == found or _in_no_order(later) == _in_no_order(found), (wire.hex(), before)
    slow = parsed(wire)
    if _is_of_ours(wire) and (wanted := by_dnspython(wire)) is not None:
        assert slow == wanted, (wire.hex(), slow, wanted)
    if found is not None:
        assert found == slow, (wire.hex(), found, slow)
        if found.records is not None:
            again = scan(wire, found)
            assert again == found, wire.hex()
            assert again is not None
            assert again.addresses is found.addresses
            assert again.services is found.services
            assert again.glue is found.glue
    return found


def _is_of_ours(wire: bytes) -> bool:
    """A query's reply, about a type that is asked for: `is_reply` lets nothing else through."""
    if len(wire) < 12 or wire[2] & 0x78 or wire[4:6] == b"\0\0":
        return True
    try:
        [question] = dns.message.from_wire(wire, question_only=True).question
    except (dns.exception.DNSException, ValueError):
        return True
    return int(question.rdtype) in list(Type)


def _in_no_order(answer: Answer | None) -> Answer | None:
    return answer and attrs.evolve(
        answer,
        addresses=tuple(sorted(answer.addresses)),
        services=tuple(sorted(answer.services)),
        glue={name: tuple(sorted(addresses)) for name, addresses in answer.glue.items()},
    )


def outcome(wire: bytes) -> Answer | MalformedReplyError:
    """What is read all in all, or why it cannot be; any other error comes out."""
    try:
        return read(wire)
    except MalformedReplyError as error:
        return error
