"""DNS replies to bytes, as CoreDNS packs them, and queries from bytes. It knows no cluster.

The rules are those of CoreDNS and its library miekg/dns: a reply is sent uncompressed if it fits
so; else compressed, record by record, and the first record that does not fit ends everything behind
it. TC is set if anything was left out, additional records too. That holds over TCP as well.
"""

import socket
import struct
from collections.abc import Sequence

import attrs

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, IXFR, AXFR, ANY = (
    1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 251, 252, 255,
)  # fmt: skip
IN, CH, ANY_CLASS = 1, 3, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
RESPONSE, AUTHORITATIVE, TRUNCATED, RECURSION_DESIRED = 0x8000, 0x0400, 0x0200, 0x0100
CHECKING_DISABLED = 0x0010
DNSSEC_OK = 0x8000

_HEADER = struct.Struct("!6H")
_SMALLEST = 512
_LARGEST = 65535
_FRAGMENT = {4: 1480, 6: 1220}
_POINTERS_REACH = 0x4000
_OPT_LENGTH = 11


@attrs.frozen
class Question:
    """One question as it came, its letters' case kept; the name without its final dot."""

    id: int
    flags: int
    name: str
    type: int
    klass: int
    edns: int | None = None
    """The payload size that the client offers, or ``None`` without EDNS."""
    version: int = 0
    dnssec_ok: bool = False

    @property
    def checking_disabled(self) -> bool:
        """The CD flag."""
        return bool(self.flags & CHECKING_DISABLED)


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


class MalformedError(ValueError):
    """The bytes are not a query that a server answers."""


def read(wire: bytes) -> Question:
    """The question of a query; raises `MalformedError` for anything else.

    Only what a query needs is looked at: the header, one question, and an OPT record behind it.
    """
    try:
        return _read(wire)
    except (struct.error, IndexError) as error:
        raise MalformedError("the message ends too soon") from error


def _read(wire: bytes) -> Question:
    number, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    if flags & RESPONSE or questions != 1 or answers or authorities:
        raise MalformedError("not a query with one question")
    name, at = _read_name(wire, _HEADER.size)
    kind, klass = struct.unpack_from("!2H", wire, at)
    at += 4
    edns, version, dnssec_ok = None, 0, False
    for _ in range(additionals):
        _, at = _read_name(wire, at)
        extra, payload, _, version_here, more, length = struct.unpack_from("!HHBBHH", wire, at)
        at += 10 + length
        if at > len(wire):
            raise MalformedError("a record is longer than the message")
        if extra == OPT:
            edns, version, dnssec_ok = payload, version_here, bool(more & DNSSEC_OK)
    return Question(number, flags, name, kind, klass, edns, version, dnssec_ok)


def _read_name(wire: bytes, at: int) -> tuple[str, int]:
    """A query's names are not compressed: there is nothing before them to point to."""
    labels: list[str] = []
    start = at
    while length := wire[at]:
        if length > 63 or at - start > 254:
            raise MalformedError("a name that is too long, or compressed")
        label = wire[at + 1 : at + 1 + length]
        if len(label) < length:
            raise MalformedError("a name is cut")
        # Dots within a label must not read as its end.
        labels.append(label.decode("latin-1").replace("\\", "\\\\").replace(".", "\\."))
        at += length + 1
    return ".".join(labels), at + 1


class _Writer:
    """Bytes so far, and where each name stands in them."""

    def __init__(self, *, compress: bool) -> None:
        self.out = bytearray()
        self._compress = compress
        self._offsets: dict[str, int] = {}

    def name(self, name: str, *, compress: bool = True) -> None:
        """A name; only its first mention, and one that pointers reach, can be pointed to."""
        rest = name
        while rest:
            if self._compress:
                offset = self._offsets.get(rest)
                if offset is None:
                    if len(self.out) < _POINTERS_REACH:
                        self._offsets[rest] = len(self.out)
                elif compress:
                    self.out += struct.pack("!H", 0xC000 | offset)
                    return
            label, rest = _first_label(rest)
            self.out.append(len(label))
            self.out += label
        self.out.append(0)

    def record(self, record: Record) -> None:
        """A whole record."""
        self.name(record.name)
        self.out += struct.pack("!HHIH", record.type, IN, record.ttl, 0)
        start = len(self.out)
        self._data(record)
        struct.pack_into("!H", self.out, start - 2, len(self.out) - start)

    def _data(self, record: Record) -> None:
        data = record.data
        if isinstance(data, Srv):
            self.out += struct.pack("!3H", 0, data.weight, data.port)
            self.name(data.target, compress=False)  # RFC 2782
        elif isinstance(data, Soa):
            self.name(data.primary)
            self.name(data.mailbox)
            self.out += struct.pack("!5I", data.serial, 7200, 1800, 86400, data.minimum)
        elif record.type == A:
            self.out += socket.inet_pton(socket.AF_INET, data)
        elif record.type == AAAA:
            self.out += socket.inet_pton(socket.AF_INET6, data)
        elif record.type == TXT:
            text = data.encode()
            self.out.append(len(text))
            self.out += text
        else:
            self.name(data)

    def mark(self) -> tuple[int, int]:
        """Where to go back to."""
        return len(self.out), len(self._offsets)

    def back(self, mark: tuple[int, int]) -> None:
        """Takes back what was written since."""
        length, names = mark
        del self.out[length:]
        while len(self._offsets) > names:
            self._offsets.popitem()


def _first_label(name: str) -> tuple[bytes, str]:
    if "\\" not in name:
        label, _, rest = name.partition(".")
        return label.encode("latin-1"), rest
    label = ""
    at = 0
    while at < len(name) and name[at] != ".":
        at += name[at] == "\\"
        label += name[at]
        at += 1
    return label.encode("latin-1"), name[at + 1 :]


def pack(
    reply: Reply,
    question: Question,
    *,
    limit: int | None = None,
    tcp: bool = False,
    family: int = 4,
) -> bytes:
    """The reply's bytes. ``limit``: the server's own on EDNS sizes (CoreDNS's ``bufsize``)."""
    offered = question.edns
    if offered is not None and limit is not None:
        offered = min(offered, limit)
    if reply.rcode == BADVERS:
        offered = 0
    room = _LARGEST if tcp else max(offered or 0, _SMALLEST)
    sections = (reply.answer, reply.authority, reply.additional)
    plain = _Writer(compress=False)
    _start(plain, question)
    for section in sections:
        for record in section:
            plain.record(record)
    opt = b"" if offered is None else _opt(offered, reply.rcode, question)
    size = len(plain.out) + len(opt)
    if size <= room and (tcp or size <= _FRAGMENT[family]):
        return _finish(plain.out, question, reply, [len(section) for section in sections], opt)
    writer = _Writer(compress=True)
    _start(writer, question)
    kept = _fill(writer, sections, room - len(opt))
    return _finish(writer.out, question, reply, kept, opt)


def _start(writer: _Writer, question: Question) -> None:
    writer.out += bytes(_HEADER.size)
    writer.name(question.name)
    writer.out += struct.pack("!2H", question.type, question.klass)


def _fill(writer: _Writer, sections: Sequence[Sequence[Record]], room: int) -> list[int]:
    kept = [0, 0, 0]
    for number, section in enumerate(sections):
        for record in section:
            mark = writer.mark()
            writer.record(record)
            if len(writer.out) > room:
                writer.back(mark)
                return kept
            kept[number] += 1
    return kept


def _opt(offered: int, rcode: int, question: Question) -> bytes:
    flags = DNSSEC_OK if question.dnssec_ok else 0
    return struct.pack("!BHHBBHH", 0, OPT, offered, rcode >> 4, 0, flags, 0)


def _finish(
    out: bytearray, question: Question, reply: Reply, kept: Sequence[int], opt: bytes
) -> bytes:
    flags = RESPONSE | question.flags & (RECURSION_DESIRED | CHECKING_DISABLED)
    flags |= reply.rcode & 0xF
    if reply.authoritative:
        flags |= AUTHORITATIVE
    if tuple(kept) != (len(reply.answer), len(reply.authority), len(reply.additional)):
        flags |= TRUNCATED
    _HEADER.pack_into(out, 0, question.id, flags, 1, kept[0], kept[1], kept[2] + (1 if opt else 0))
    return bytes(out + opt)


def cut(question: Question) -> bytes:
    """A reply of which nothing fitted: TC, and no record."""
    whole = bytearray(pack(Reply(NOERROR), question))
    whole[2] |= TRUNCATED >> 8
    return bytes(whole)
