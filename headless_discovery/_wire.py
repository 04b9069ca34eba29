"""DNS messages: a question to bytes, and bytes to what they say. Pure functions.

Nothing here knows what an answer means for the Service, who was asked, or when.
"""

import functools
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
    "is_cut",
    "is_reply",
    "query",
    "read",
]

_HEADER = 12
"""Bytes."""
_HEAD = struct.Struct("!5H")
"""Of the header, what follows the id."""
# In the header's third and fourth byte.
_RESPONSE = 0x80
_RESPONSE_AND_OPCODE = 0xF8
_TRUNCATED = 0x02
_RCODE = 0x0F
_RECURSION_DESIRED = 0x0100
_ANSWERS = (0, 3)  # NOERROR, NXDOMAIN
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
    return secrets.token_bytes(2) + _after_id(name, rdtype, edns)


@functools.lru_cache(maxsize=64)  # the same few are asked all day
def _after_id(name: str, rdtype: Type, edns: int | None) -> bytes:
    head = _HEAD.pack(_RECURSION_DESIRED, 1, 0, 0, int(edns is not None))
    question = encode_name(name) + struct.pack("!2H", rdtype, _IN)
    if edns is None:
        return head + question
    return head + question + struct.pack("!BHHIH", 0, 41, edns, 0, 0)


def is_reply(asked: bytes, wire: bytes) -> bool:
    """Whether the bytes claim to answer that question: its id, and the question echoed.

    Names compare without case. A server that does not take the question may leave it out.
    """
    if len(wire) < _HEADER or wire[:2] != asked[:2] or wire[2] & _RESPONSE_AND_OPCODE != _RESPONSE:
        return False
    questions = wire[4:6]
    if questions == b"\0\0":
        return wire[3] & _RCODE in _WITHOUT_QUESTION
    end = asked.index(0, _HEADER) + 5
    question = asked[_HEADER:end]
    echoed = wire.startswith(question, _HEADER) or wire[_HEADER:end].lower() == question.lower()
    return questions == b"\0\1" and echoed


def is_cut(wire: bytes) -> bool:
    """Whether a reply is part of an answer that TCP can carry whole (RFC 1035, 4.2.1)."""
    return bool(wire[2] & _TRUNCATED) and wire[3] & _RCODE in _ANSWERS


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
