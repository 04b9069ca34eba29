"""DNS replies to bytes, as CoreDNS packs them, and queries from bytes. It knows no cluster.

The rules are those of CoreDNS and its library miekg/dns: a reply is sent uncompressed if it fits
so; else compressed, record by record, and the first record that does not fit ends everything behind
it. TC is set if anything was left out, additional records too. That holds over TCP as well.
"""

import functools
import re
import socket
import struct

import attrs
import dns.exception
import dns.name

A, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, IXFR, AXFR = 1, 5, 6, 12, 16, 28, 33, 41, 251, 252
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
RESPONSE, AUTHORITATIVE, TRUNCATED, RECURSION_DESIRED = 0x8000, 0x0400, 0x0200, 0x0100
CHECKING_DISABLED = 0x0010
DNSSEC_OK = 0x8000
OPCODE, NOTIFY = 0x7800, 0x2000

_HEADER = struct.Struct("!6H")
_ASKED = struct.Struct("!2H")
"""Type and class of a question."""
_FIXED = struct.Struct("!HHIH")
"""Type, class, TTL and length of the data, of any record."""
_SMALLEST = 512
_LARGEST = 65535
_FRAGMENT = 1480
"""Over IPv4; a greater reply is compressed."""
_POINTERS_REACH = 0x4000
_LONGEST_NAME = 255
_ODD = re.compile(rb"[^!-\-/-\[\]-~]")
"""In a label: what would be mistaken for a dot, or cannot be printed."""


@attrs.frozen
class Received:
    r"""One question as it came, its letters' case kept; the name without its final dot.

    What would be mistaken for a dot, or cannot be printed, is ``\DDD`` in it (RFC 4343).
    """

    id: int
    flags: int
    name: str
    type: int
    klass: int
    edns: int | None = None
    """The payload size that the client offers, or ``None`` without EDNS."""
    version: int = 0
    dnssec_ok: bool = False


@attrs.frozen
class Soa:
    """The data of an SOA record."""

    primary: str
    mailbox: str
    serial: int
    minimum: int


@attrs.frozen
class Srv:
    """The data of an SRV record."""

    weight: int
    port: int
    target: str


@attrs.frozen
class Record:
    """One record; ``data`` is an address, a name, text, or one of the above, by the type."""

    name: str
    type: int
    ttl: int
    data: str | Srv | Soa


@attrs.frozen
class Reply:
    """What to say; names without final dots."""

    rcode: int
    authoritative: bool = True
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    ttl: int | None = None
    """Of every record, if it is not what the record says."""

    @property
    def records(self) -> tuple[Record, ...]:
        """All of them, in the order in which they are sent."""
        return (*self.answer, *self.authority, *self.additional)


def read(wire: bytes) -> Received | bytes | None:
    """The question of a query; or all there is to say to anything else, if any.

    Only the parts of a query are read: the header, one question, and an OPT record.
    What is refused, and how, is as in miekg/dns: its ``MsgAcceptFunc``.
    """
    if len(wire) < _HEADER.size:
        return None
    number, flags, *counts = _HEADER.unpack_from(wire)
    if flags & RESPONSE:
        return None
    if flags & OPCODE not in (0, NOTIFY):
        return _refusal(number, flags, NOTIMP)
    if counts[0] != 1 or counts[1] > 1 or counts[2] > 1 or counts[3] > 2:
        return _refusal(number, flags & ~OPCODE, FORMERR)
    question = b""
    try:
        wire = bytes(2) + wire[2:]  # the same for each query that differs in its id alone
        name, at = _read_name(wire, _HEADER.size)
        kind, klass = _ASKED.unpack_from(wire, at)
        question = wire[_HEADER.size : at + 4]
        edns = _read_edns(wire, at + 4, sum(counts[1:]))
    except (struct.error, IndexError, dns.exception.DNSException):  # the message ends too soon
        return _refusal(number, flags & ~OPCODE, FORMERR, question)
    return Received(number, flags, name, kind, klass, *edns)


def _refusal(number: int, flags: int, rcode: int, question: bytes = b"") -> bytes:
    kept = flags & ~(AUTHORITATIVE | 0x4F)
    return _HEADER.pack(number, RESPONSE | kept | rcode, bool(question), 0, 0, 0) + question


def _read_edns(wire: bytes, at: int, records: int) -> tuple[int | None, int, bool]:
    """Payload size, version and the flag DO, of the OPT record among those behind the question."""
    found: tuple[int | None, int, bool] = (None, 0, False)
    for _ in range(records):
        _, at = _read_name(wire, at)
        kind, payload, _, version, flags, length = struct.unpack_from("!HHBBHH", wire, at)
        at += 10
        end = at + length
        if end > len(wire):
            raise IndexError
        if kind == OPT:
            found = payload, version, bool(flags & DNSSEC_OK)
            while at < end:  # no option comes back, but each must be whole
                at += 4 + int(struct.unpack_from("!2H", wire, at)[1])
            if at > end:
                raise IndexError
        at = end
    return found


@functools.lru_cache(maxsize=256)
def _read_name(wire: bytes, at: int) -> tuple[str, int]:
    name, length = dns.name.from_wire(wire, at)
    return ".".join(map(_escaped, name.labels[:-1])), at + length


def _escaped(label: bytes) -> str:
    return _ODD.sub(lambda match: b"\\%03d" % match[0][0], label).decode()


class UnpackableError(ValueError):
    """A name is too long to be sent: the real server then does not reply."""


@functools.lru_cache(maxsize=8192)
def _labels(name: str) -> tuple[tuple[str, bytes], ...]:
    """Each label of a name as bytes behind their length, with the rest of the name from it on."""
    found = []
    rest = name
    while rest:
        label, _, after = rest.partition(".")
        text = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1])), label).encode("latin-1")
        if len(text) > 63:
            raise UnpackableError(name)
        found.append((rest, bytes((len(text),)) + text))
        rest = after
    if sum(len(label) for _, label in found) >= _LONGEST_NAME:
        raise UnpackableError(name)
    return tuple(found)


@functools.lru_cache(maxsize=8192)
def _whole(name: str) -> bytes:
    return b"".join(label for _, label in _labels(name)) + b"\0"


@functools.lru_cache(maxsize=8192)
def _parts(kind: int, data: str | Srv | Soa) -> tuple[bytes, tuple[str, ...], bytes]:
    """The data of a record of this type: its names, and what stands before and behind them."""
    if isinstance(data, Srv):
        return struct.pack("!3H", 0, data.weight, data.port), (data.target,), b""
    if isinstance(data, Soa):
        times = struct.pack("!5I", data.serial, 7200, 1800, 86400, data.minimum)
        return b"", (data.primary, data.mailbox), times
    if kind in (CNAME, PTR):
        return b"", (data,), b""
    if kind == TXT:
        return bytes((len(data),)) + data.encode(), (), b""
    return socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, data), (), b""


def pack(reply: Reply, question: Received, *, limit: int | None = None, tcp: bool = False) -> bytes:
    """The reply's bytes. ``limit``: the server's own on EDNS sizes (CoreDNS's ``bufsize``).

    Raises `UnpackableError` for a name that is too long.
    """
    offered = question.edns
    if offered is not None and limit is not None:
        offered = min(offered, limit)
    if reply.rcode == BADVERS:
        offered = 0
    opt = b""
    if offered is not None:
        do = DNSSEC_OK if question.dnssec_ok else 0
        opt = struct.pack("!BHHBBHH", 0, OPT, offered, reply.rcode >> 4, 0, do, 0)
    room = (_LARGEST if tcp else max(offered or 0, _SMALLEST)) - len(opt)
    records = reply.records
    out = bytearray(_HEADER.size) + _whole(question.name)
    out += _ASKED.pack(question.type, question.klass)
    for record in records:
        before, names, behind = _parts(record.type, record.data)
        data = b"".join((before, *map(_whole, names), behind))
        ttl = record.ttl if reply.ttl is None else reply.ttl
        out += _whole(record.name) + _FIXED.pack(record.type, IN, ttl, len(data)) + data
    kept = len(records)
    if len(out) > room or not (tcp or len(out) + len(opt) <= _FRAGMENT):
        out, kept = _compressed(question, reply, room)
    flags = RESPONSE | question.flags & OPCODE | reply.rcode & 0xF
    if not flags & OPCODE:
        flags |= question.flags & (RECURSION_DESIRED | CHECKING_DISABLED)
    if reply.authoritative:
        flags |= AUTHORITATIVE
    if kept < len(records):
        flags |= TRUNCATED
    counts = []
    for section in reply.answer, reply.authority, reply.additional:
        counts.append(min(kept, len(section)))
        kept -= counts[-1]
    counts[-1] += bool(opt)
    _HEADER.pack_into(out, 0, question.id, flags, 1, *counts)
    return bytes(out + opt)


def _compressed(question: Received, reply: Reply, room: int) -> tuple[bytearray, int]:
    """As many records as there is room for, with pointers to names; and their number."""
    out = bytearray(_HEADER.size)
    offsets: dict[str, int] = {}

    def write(name: str, *, whole: bool = False) -> None:
        """A name; only its first mention, and one that pointers reach, can be pointed to."""
        for rest, label in _labels(name):
            offset = offsets.get(rest)
            if offset is None:
                if len(out) < _POINTERS_REACH:
                    offsets[rest] = len(out)
            elif not whole:
                out.extend((0xC000 | offset).to_bytes(2, "big"))
                return
            out.extend(label)
        out.append(0)

    write(question.name)
    out += _ASKED.pack(question.type, question.klass)
    for number, record in enumerate(reply.records):
        began = len(out)
        write(record.name)
        ttl = record.ttl if reply.ttl is None else reply.ttl
        out += _FIXED.pack(record.type, IN, ttl, 0)
        start = len(out)
        before, names, behind = _parts(record.type, record.data)
        out += before
        for name in names:
            write(name, whole=record.type == SRV)  # RFC 2782; it may be pointed to
        out += behind
        if len(out) > room:
            return out[:began], number
        struct.pack_into("!H", out, start - 2, len(out) - start)
    return out, len(reply.records)


def cut(question: Received) -> bytes:
    """A reply of which nothing fitted: TC, and no record."""
    whole = bytearray(pack(Reply(NOERROR), question))
    whole[2] |= TRUNCATED >> 8
    return bytes(whole)


def garbage(question: Received) -> bytes:
    """Our id and question, one record announced, and then a pointer that leads nowhere."""
    whole = bytearray(pack(Reply(NOERROR), attrs.evolve(question, edns=None)))
    whole[7] = 1
    return bytes(whole + b"\xff\xc0")
