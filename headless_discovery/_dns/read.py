"""Parsing of replies. Pure functions.

CoreDNS gives A, AAAA, SRV with glue, PTR and negative answers in a few shapes. `scan` reads those
in a hundredth of dnspython's time, and leaves any other shape to `parse`. Both read what dnspython
accepts as dnspython reads it: held by ``tests/test_read.py`` and ``tests/fuzz``.
"""

import re
import socket
import struct
from collections.abc import Callable, Iterable, Sequence, Set

import attrs

from .message import NEGATIVE_TTL, Answer, MalformedReplyError, Type
from .records import (
    FIXED,
    LONGEST_TTL,
    MOST_LABELS,
    POINTER,
    OddError,
    addresses_of,
    host,
    least,
    name_at,
    number,
    services_of,
    v6_text,
)

_HEADER = struct.Struct("!6H")
_TYPE_AND_CLASS = struct.Struct("!2H")
_IN = 1
_SHAPE_OF_FLAGS = 0xF800  # whether it is a response, and the opcode
_RESPONSE = 0x8000
_TRUNCATED = 0x0200
_RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
_TO_QUESTION = b"\xc0\x0c"


def read(wire: bytes, before: Answer | None = None) -> Answer:
    """What a reply to a question of ours says (`is_reply`); bytes after it are passed over.

    ``before`` is what an earlier reply to the same question said. Where the records are the same,
    whatever their order and TTLs, its values are reused, the same objects. Raises as `parse` does.
    """
    return scan(wire, before) or parse(wire)


def scan(wire: bytes, before: Answer | None = None) -> Answer | None:
    """What `read` gives for the usual shapes; ``None`` for others, which `parse` is to read.

    It takes some 10 us, and a microsecond for each pod. `parse` takes up to 50 ms and imports
    dnspython: work for a thread where an event loop runs.
    """
    try:
        return _scan(wire, before)
    except (OddError, LookupError, ValueError, struct.error):  # the others: it is shorter
        return None


def _scan(wire: bytes, before: Answer | None) -> Answer:
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    rcode = _RCODES[flags & 0xF]
    if flags & _SHAPE_OF_FLAGS != _RESPONSE or (answers and authorities):
        raise OddError
    if not (questions or answers or authorities or additionals):
        return Answer(rcode)
    at = wire.index(0, _HEADER.size) + 1
    name = wire[_HEADER.size : at]
    host(name)
    rdtype, rdclass = _TYPE_AND_CLASS.unpack_from(wire, at)
    if questions != 1 or rdclass != _IN:
        raise OddError
    at += _TYPE_AND_CLASS.size
    owner = _TO_QUESTION if wire.startswith(_TO_QUESTION, at) else name
    if rdtype in (Type.A, Type.AAAA) and answers:
        answer, at = addresses_of(wire, at, owner + wire[at - 4 : at], answers, before)
    elif rdtype == Type.SRV and answers:
        answer, at, glue = services_of(wire, at, owner, answers, before)
        additionals -= glue
    elif rdtype == Type.PTR and answers:
        answer, at = _pointers(wire, at, owner, answers)
    elif not answers and authorities <= 1:
        answer, at = _denial(wire, at, authorities)
    else:
        raise OddError
    stale, withheld = False, None
    if additionals:
        options = at + 11
        size = number(wire[options - 2 : options])
        if additionals != 1 or not _EDNS.match(wire, at) or len(wire) < options + size:
            raise OddError
        if size:
            stale, withheld = _meant(_extended_errors(wire[options : options + size]))
    truncated = bool(flags & _TRUNCATED)
    if truncated or withheld or stale is not answer.stale or rcode != answer.rcode:
        return attrs.evolve(
            answer,
            rcode=rcode,
            truncated=truncated,
            stale=stale,
            withheld=withheld,
            records=None if truncated else answer.records,
        )
    return answer


_EDNS = re.compile(rb"\0\0\x29..\0.....", re.DOTALL)  # no extended rcode
_EXTENDED_ERROR = 15
_STALE = frozenset((3, 19))  # Stale Answer, Stale NXDOMAIN Answer
_WITHHELD = {15: "blocked", 16: "censored", 17: "filtered", 18: "prohibited"}
_MOST_OPTIONS = 64


def _extended_errors(options: bytes) -> Set[int]:
    """The codes of those among the EDNS options (RFC 8914); unreadable ones are ignored."""
    found: set[int] = set()
    at = 0
    for _ in range(_MOST_OPTIONS):
        if at + 4 > len(options):
            break
        code, length = struct.unpack_from("!2H", options, at)
        if code == _EXTENDED_ERROR and length >= 2 and at + 6 <= len(options):
            found.add(number(options[at + 4 : at + 6]))
        at += 4 + length
    return found


def _meant(errors: Set[int]) -> tuple[bool, str | None]:
    """Whether the answer is stale, and how it is withheld."""
    withheld = next((word for code, word in _WITHHELD.items() if code in errors), None)
    return not _STALE.isdisjoint(errors), withheld


# PTR, and no.

_MOST_POINTERS = 64


def _pointers(wire: bytes, at: int, owner: bytes, count: int) -> tuple[Answer, int]:
    if count > _MOST_POINTERS:
        raise OddError
    pointers: dict[str, None] = {}
    ttls: set[bytes] = set()
    for _ in range(count):
        start = at + len(owner) + FIXED.size
        name, end = name_at(wire, start)
        length = number(wire[start - 2 : start])
        if not wire.startswith(owner + b"\0\x0c\0\1", at) or end != start + length:
            raise OddError
        pointers[name] = None
        ttls.add(wire[start - 6 : start - 2])
        at = end
    return Answer("NOERROR", ttl=least(ttls), pointers=tuple(pointers)), at


def _denial(wire: bytes, at: int, authorities: int) -> tuple[Answer, int]:
    """NXDOMAIN, NODATA or a refusal; with the zone's SOA, or without."""
    if not authorities:
        return Answer("NOERROR"), at
    zone, at = name_at(wire, at)
    start = at + FIXED.size
    _, end = name_at(wire, start)  # the name server
    _, end = name_at(wire, end)  # who is responsible
    end += 20  # the numbers
    length = number(wire[start - 2 : start])
    if (
        not zone
        or not wire.startswith(b"\0\x06\0\1", at)
        or end != start + length
        or end > len(wire)
    ):
        raise OddError
    return Answer("NOERROR", ttl=least({wire[at + 4 : at + 8]}), soa=zone), end


# Anything else.

_ANSWER, _AUTHORITY, _ADDITIONAL = range(3)
_NS, _CNAME, _SOA, _OPT = 2, 5, 6, 41
_Name = Callable[[int], tuple[str, int]]
_MOST_LABELS_IN_ALL = 30_000
"""Each name counts as ten more: dnspython takes some 10 us for it, and 1 us for a label."""


def parse(wire: bytes) -> Answer:
    """As `scan`, for every shape; names are read by dnspython.

    Raises:
        MalformedReplyError: It makes no sense, or holds more than can be read in 50 ms.
    """
    import dns.exception  # noqa: PLC0415 - rarely needed, and slow to import
    import dns.name  # noqa: PLC0415 - likewise

    known: dict[bytes, str] = {}  # by pointer
    left = _MOST_LABELS_IN_ALL

    def name(at: int) -> tuple[str, int]:
        """The one there, as text in small letters, and where it ends."""
        nonlocal left
        pointer = wire[at : at + 2] if wire[at] >= POINTER else b""
        if pointer in known:
            return known[pointer], at + 2
        left -= 10 + _labels(wire, at)
        if left < 0:
            raise ValueError("it holds more names than can be read in time")
        read, size = dns.name.from_wire(wire, at)
        text = read.to_text(omit_final_dot=True).lower()
        if pointer:
            known[pointer] = text
        return text, at + size

    try:
        return _parse(wire, name)
    except (dns.exception.DNSException, LookupError, ValueError, struct.error) as error:
        raise MalformedReplyError(f"{type(error).__name__}: {error}") from error


def _labels(wire: bytes, at: int) -> int:
    """How many the name there has, pointers included; of too many, enough to be refused."""
    for count in range(2 * MOST_LABELS):
        length = wire[at]
        if not length:
            return count
        at = (length & 0x3F) << 8 | wire[at + 1] if length >= POINTER else at + 1 + length
    return 2 * MOST_LABELS


@attrs.frozen
class _Row:
    section: int
    rdtype: int
    owner: str
    ttl: int
    at: int
    """Where its data begin."""
    end: int


def _parse(wire: bytes, name: _Name) -> Answer:
    _, flags, questions, *counts = _HEADER.unpack_from(wire)
    if questions > 1:
        raise ValueError(f"it holds {questions} questions")
    asked, rdtype, at = "", 0, _HEADER.size
    if questions:
        asked, at = name(at)
        rdtype, _ = _TYPE_AND_CLASS.unpack_from(wire, at)
        at += _TYPE_AND_CLASS.size
    records = _records(wire, at, counts, name)
    edns = [record for record in records if record.rdtype == _OPT]
    extended = edns[0].ttl >> 24 << 4 if edns else 0
    rcode = _rcode_text(extended | flags & 0xF)
    errors = {code for row in edns for code in _extended_errors(wire[row.at : row.end])}
    stale, withheld = _meant(errors)
    if not questions:  # a refusal: `is_reply` lets nothing else through without one
        return Answer(rcode, stale=stale, withheld=withheld)
    answers = _grouped(records, _ANSWER, rdtype)
    aliases = _grouped(records, _ANSWER, _CNAME)
    foreign = next((record.owner for record in answers if record.owner != asked), None)
    if foreign is not None and not aliases:
        raise ValueError(f"it holds an answer about {foreign}, which was not queried")
    if own := [record for record in answers if record.owner == asked]:
        answers, aliases = own, []  # CoreDNS adds one for an EndpointSlice that holds host names
    glue = (
        _grouped(records, _ADDITIONAL, Type.A, Type.AAAA) if rdtype == Type.SRV and answers else []
    )
    saying_no: list[_Row] = []
    referring: list[_Row] = []
    if not answers and not aliases:
        saying_no = _grouped(records, _AUTHORITY, _SOA)
        if not saying_no and rcode == "NOERROR":
            referring = _grouped(records, _AUTHORITY, _NS)
    services: dict[object, tuple[str, int]] = {}
    pointers: dict[object, str] = {}
    for record in answers:
        if rdtype == Type.SRV:
            numbers, target = wire[record.at : record.at + 6], _target(record, 6, name)
            services[record.owner, numbers, target] = target, number(numbers[4:])
        elif rdtype == Type.PTR:
            target = _target(record, 0, name)
            pointers[record.owner, target] = target
    glue_of: dict[str, list[_Row]] = {}
    for record in glue:
        glue_of.setdefault(record.owner, []).append(record)
    counted = [*aliases, *answers, *glue, *saying_no]
    return Answer(
        rcode,
        truncated=flags & _TRUNCATED > 0,
        ttl=min((record.ttl for record in counted), default=NEGATIVE_TTL),
        addresses=_texts(wire, answers) if rdtype in (Type.A, Type.AAAA) else (),
        services=tuple(services.values()),
        glue={owner: _texts(wire, of_it) for owner, of_it in glue_of.items()},
        pointers=tuple(pointers.values()),
        alias=_alias(aliases, name),
        soa=saying_no[0].owner if saying_no else None,
        referral=referring[0].owner if referring else None,
        stale=stale,
        withheld=withheld,
    )


def _records(wire: bytes, at: int, counts: Sequence[int], name: _Name) -> list[_Row]:
    """The Internet's, and EDNS."""
    found: list[_Row] = []
    for section, count in enumerate(counts):
        for _ in range(count):
            owner, at = name(at)
            rdtype, rdclass, ttl, length = FIXED.unpack_from(wire, at)
            at += FIXED.size
            edns = rdtype == _OPT and section == _ADDITIONAL and owner == "."
            if edns or (rdclass == _IN and rdtype != _OPT):
                ttl = ttl if edns or ttl <= LONGEST_TTL else 0
                found.append(_Row(section, rdtype, owner, ttl, at, at + length))
            at += length
            if at > len(wire) and not edns:
                raise ValueError("it ends too early")
    return found


def _grouped(records: Iterable[_Row], section: int, *types: int) -> list[_Row]:
    """Those, by owner and type in the order in which these come first, as dnspython has them."""
    groups: dict[tuple[str, int], list[_Row]] = {}
    for record in records:
        if record.section == section and record.rdtype in types:
            groups.setdefault((record.owner, record.rdtype), []).append(record)
    return [record for group in groups.values() for record in group]


def _target(record: _Row, skipped: int, name: _Name) -> str:
    """The name that ends the record's data."""
    target, end = name(record.at + skipped)
    if end != record.end:
        raise ValueError(f"a record of {record.owner} is longer or shorter than its name")
    return target


def _alias(aliases: Sequence[_Row], name: _Name) -> str | None:
    """Where the last of the first owner's leads: it can have but one."""
    last = [record for record in aliases if record.owner == aliases[0].owner][-1:]
    return _target(last[0], 0, name) if last else None


def _texts(wire: bytes, records: Iterable[_Row]) -> tuple[str, ...]:
    """Addresses, without repeats."""
    texts: dict[str, None] = {}
    for record in records:
        v6 = record.rdtype == Type.AAAA
        packed = wire[record.at : record.end]
        if len(packed) != (16 if v6 else 4):
            raise ValueError(f"{record.owner} has an address of {len(packed)} bytes")
        texts[v6_text(packed) if v6 else socket.inet_ntoa(packed)] = None
    return tuple(texts)


def _rcode_text(rcode: int) -> str:
    import dns.rcode  # noqa: PLC0415 - as in `parse`

    return dns.rcode.to_text(dns.rcode.Rcode.make(rcode))
