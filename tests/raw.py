"""DNS messages written byte by byte, for what no library would write."""

import struct
from collections.abc import Iterable

RESPONSE = 0x8400
EDNS = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
TO_QUESTION = b"\xc0\x0c"


def encoded(name: str) -> bytes:
    """A name in wire form."""
    labels = [label.encode() for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner: bytes, rdtype: int, rdata: bytes, *, ttl: int = 30, rdclass: int = 1) -> bytes:
    """One record; the owner in wire form, or a pointer."""
    return owner + struct.pack("!HHIH", rdtype, rdclass, ttl, len(rdata)) + rdata


def service(target: bytes, port: int = 80, *, priority: int = 0) -> bytes:
    """The data of an SRV record."""
    return struct.pack("!3H", priority, 33, port) + target


def message(
    name: str,
    rdtype: int,
    answers: Iterable[bytes] = (),
    *,
    authority: Iterable[bytes] = (),
    additional: Iterable[bytes] = (),
    flags: int = RESPONSE,
    rdclass: int = 1,
) -> bytes:
    """A reply to one question."""
    sections = [list(answers), list(authority), list(additional)]
    head = struct.pack("!6H", 4711, flags, 1, *map(len, sections))
    question = encoded(name) + struct.pack("!2H", rdtype, rdclass)
    return head + question + b"".join(b"".join(section) for section in sections)
