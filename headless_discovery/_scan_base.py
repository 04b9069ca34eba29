"""What the scans of all shapes share: a reply's head, and the names and addresses in its bytes.

Names are of letters, digits, dashes and underscores, written out, or ended by a pointer to one that
is. All that a message holds are made texts at once, as far as that can be. Pure functions.
"""

import functools
import re
import socket
import struct
from collections.abc import Callable, Collection, Sequence, Set

import attrs

from ._answer import Answer

TTL_AND_LENGTH = struct.Struct("!IH")
LONGEST_TTL = 0x7FFFFFFF  # RFC 2181, 8: what is above counts as 0
LONGEST_LABEL = 63  # RFC 1035, 2.3.4
POINTER = 0xC0
EDNS = re.compile(rb"\0\0\x29..\0\0\0\0\0\0", re.DOTALL)  # any payload size, no options
_LONGEST_TAIL = 255 - 1 - LONGEST_LABEL  # of a name, so that any first label fits
_HOSTS = re.compile(rb"[A-Za-z0-9_.-]*")


class OddError(Exception):
    """It has none of the shapes."""


@attrs.define(eq=False, repr=False)
class Reply:
    """A reply's bytes, and what its head says."""

    wire: bytes
    at: int
    """Where the records begin."""
    owner: bytes
    """The name that was asked, as it stands before each answer."""
    answers: int
    authorities: int
    additionals: int


def again(before: Answer, ttl: int) -> Answer:
    """The same with another TTL; `attrs.evolve` is slow."""
    return Answer(
        "NOERROR",
        ttl=ttl,
        addresses=before.addresses,
        services=before.services,
        below=before.below,
        glue=before.glue,
        records=before.records,
    )


# Names.


class Names:
    """Reads the names of one message, and knows their tails: what follows the first label.

    Few tails belong to many names, so each is looked at once.
    """

    def __init__(self, wire: bytes) -> None:
        self.wire = wire
        self._tails: dict[bytes, str] = {}

    def read(self, at: int) -> tuple[bytes, int]:
        """The name there, written out and checked, and where it ends.

        It may be a pointer, or a label and a pointer, to a name that stands before it, written out.
        """
        wire = self.wire
        first = wire[at]
        label_end = at if first >= POINTER else at + 1 + first
        if wire[label_end] >= POINTER:
            place = pointed(wire, label_end)
            tail_end = wire.index(0, place) + 1
            if tail_end > at:
                raise OddError
            name = wire[at:label_end] + wire[place:tail_end]
            end = label_end + 2
        else:
            end = wire.index(0, label_end) + 1
            name = wire[at:end]
        self.check((name,))
        return name, end

    def check(self, names: Collection[bytes]) -> None:
        """They are names, written out, and their tails are a host's."""
        for length in {name[0] for name in names}:
            if not 0 < length <= LONGEST_LABEL:
                raise OddError
        self.check_tails({name[1 + name[0] :] for name in names})

    def check_tails(self, tails: Set[bytes]) -> None:
        """They are a host's."""
        for tail in tails - self._tails.keys():
            self._tails[tail] = _tail_text(tail)

    def tail_text(self, tail: bytes) -> str:
        """Of one that was checked, without the dot that it begins with."""
        return self._tails[tail][1:]

    def texts(self, names: Collection[bytes]) -> dict[bytes, str]:
        """Checked names as text: lower case, no final dot."""
        labels = _plain([name[1 : 1 + name[0]] for name in names])
        return {
            name: label + self._tails[name[1 + name[0] :]]
            for name, label in zip(names, labels, strict=True)
        }

    def hosts(self, labels: Sequence[bytes], tail: bytes) -> Sequence[str]:
        """Names of these first labels and one checked tail, likewise."""
        return _plain(labels, self._tails[tail])


@functools.lru_cache(maxsize=64)  # the same few come all day
def _tail_text(tail: bytes) -> str:
    if len(tail) > _LONGEST_TAIL:
        raise OddError
    labels: list[bytes] = []
    at = 0
    while length := tail[at]:
        labels.append(tail[at + 1 : at + 1 + length])
        at += 1 + length
    if at + 1 != len(tail) or any(len(label) > LONGEST_LABEL for label in labels):
        raise OddError
    return "".join([f".{label}" for label in _plain(labels)])


def _plain(labels: Sequence[bytes], end: str = "") -> Sequence[str]:
    """A host's labels as text, and what follows each; all at once.

    Dots part them, for one with a dot in it is odd.
    """
    joined = b".".join([*labels, b""])
    if _HOSTS.fullmatch(joined) is None or joined.count(b".") != len(labels):
        raise OddError
    return joined.decode("ascii").lower().replace(".", f"{end} ").split(" ")[:-1]


def pointed(wire: bytes, at: int) -> int:
    """Where a pointer points to (RFC 1035, 4.1.4)."""
    return (wire[at] & 0x3F) << 8 | wire[at + 1]


# Addresses.

_LAST = [str(octet) for octet in range(256)]
_OTHER = [f"{octet}." for octet in _LAST]


def v4_texts(packed: bytes | bytearray) -> list[str]:
    """Of addresses in a row; one by one, the C library takes twice as long."""
    last, other = _LAST, _OTHER
    octets = zip(packed[::4], packed[1::4], packed[2::4], packed[3::4], strict=True)
    return [f"{other[a]}{other[b]}{other[c]}{last[d]}" for a, b, c, d in octets]


def _v6_by_dnspython(address: bytes) -> str:
    import dns.ipv6  # noqa: PLC0415 - only where the C library cannot do it

    return dns.ipv6.inet_ntoa(address)


_v6_by_libc = functools.partial(socket.inet_ntop, socket.AF_INET6)


def _keeps_to_rfc_5952() -> bool:
    """Whether the C library's text is everybody's: musl shortens a single zero."""
    return all(
        _v6_by_libc(socket.inet_pton(socket.AF_INET6, text)) == text
        for text in ("fd00:0:1:1:1:1:1:1", "::1.2.3.4")
    )


v6_text: Callable[[bytes], str] = _v6_by_libc if _keeps_to_rfc_5952() else _v6_by_dnspython
