"""DNS messages: a question to bytes, and bytes to what they say. Pure functions.

Nothing here knows what an answer means for the Service, who was asked, or when.
"""

import secrets
import struct

from ._answer import NEGATIVE_TTL, Answer, MalformedReplyError, Type
from ._scan import scan

__all__ = [
    "NEGATIVE_TTL",
    "Answer",
    "MalformedReplyError",
    "Type",
    "encode_name",
    "is_reply",
    "query",
    "read",
]

_HEADER = struct.Struct("!6H")
_RESPONSE = 0x8000
_OPCODE = 0x7800
_RECURSION_DESIRED = 0x0100
_WITHOUT_QUESTION = (1, 2, 4, 5)  # FORMERR, SERVFAIL, NOTIMP, REFUSED
_IN = 1


def encode_name(name: str) -> bytes:
    """A name in wire form, uncompressed.

    Whoever asks has seen to it that the name fits: `ServiceName` and `ServiceName.owns`.
    """
    return (
        b"".join(bytes((len(label),)) + label for label in name.encode("ascii").split(b".")) + b"\0"
    )


def query(name: str, rdtype: Type, *, edns: int | None) -> bytes:
    """A question with a fresh random id; ``edns`` is the payload size offered (RFC 6891)."""
    header = _HEADER.pack(secrets.randbits(16), _RECURSION_DESIRED, 1, 0, 0, int(edns is not None))
    question = encode_name(name) + struct.pack("!2H", rdtype, _IN)
    if edns is None:
        return header + question
    return header + question + struct.pack("!BHHIH", 0, 41, edns, 0, 0)


def is_reply(asked: bytes, wire: bytes) -> bool:
    """Whether the bytes claim to answer that question: its id, and the question echoed.

    Names compare without case. A server that does not take the question may leave it out.
    """
    if len(wire) < _HEADER.size or wire[:2] != asked[:2]:
        return False
    _, flags, questions, *_ = _HEADER.unpack_from(wire)
    if not flags & _RESPONSE or flags & _OPCODE:
        return False
    if questions == 0:
        return flags & 0xF in _WITHOUT_QUESTION
    end = asked.index(0, _HEADER.size) + 5
    return questions == 1 and wire[_HEADER.size : end].lower() == asked[_HEADER.size : end].lower()


def read(wire: bytes, before: Answer | None = None) -> Answer:
    """What the reply says; raises `MalformedReplyError`.

    ``before`` is what an earlier reply to the same question said: where the records are the same,
    whatever their order and TTLs, its values are taken over as they are.
    """
    answer = scan(wire, before)
    if answer is None:
        from ._parse import parse  # noqa: PLC0415 - rarely needed, and slow to import

        answer = parse(wire)
    return answer
