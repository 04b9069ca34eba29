"""The least that a lookup can cost in Python: bare sockets, and a scan that trusts what comes."""

import secrets
import socket
import struct

from headless_discovery._dns.message import Type, query


def ask(name: str, rdtype: Type, port: int) -> bytes:
    """One question over UDP, and over TCP if the answer was cut."""
    asked = query(name, rdtype, edns=1232)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(2)
        datagrams.connect(("127.0.0.1", port))
        datagrams.send(asked)
        reply = datagrams.recv(65535)
    if not reply[2] & 2:
        return reply
    asked = secrets.token_bytes(2) + asked[2:]
    with socket.create_connection(("127.0.0.1", port), 2) as stream:
        stream.sendall(len(asked).to_bytes(2, "big") + asked)
        received = bytearray()
        length = 2
        while len(received) < length:
            received += stream.recv(length - len(received))
            if length == 2 and len(received) == 2:
                length += int.from_bytes(received, "big")
        return bytes(received[2:])


def addresses(reply: bytes) -> list[str]:
    """The texts of all A records; checked no further than the bytes must be to find them."""
    count = int.from_bytes(reply[6:8], "big")
    at = reply.index(0, 12) + 5
    head = 2 if reply[at] >= 0xC0 else at - 16
    lengths = reply[at + head + 9 :: head + 14][:count]
    if lengths != b"\4" * count:
        raise ValueError
    packed = struct.unpack_from(f"{head + 10}x4s" * count, reply, at)
    return [socket.inet_ntoa(address) for address in packed]


def services(reply: bytes) -> list[tuple[str, str, int]]:
    """(target, address, port) of all SRV records and their glue, likewise."""
    _, _, _, count, _, additionals = struct.unpack_from("!6H", reply)
    at = reply.index(0, 12) + 5
    targets: dict[int | bytes, tuple[str, int]] = {}
    tail = ""
    for _ in range(count):
        at += 2 if reply[at] >= 0xC0 else reply.index(0, at) + 1 - at
        length, _, _, port = struct.unpack_from("!4H", reply, at + 8)
        place = at + 16
        at += 10 + length
        first = place + 1 + reply[place]
        if not tail:
            tail = _text(reply[first:at])
        named = (reply[place + 1 : first].decode() + tail, port)
        targets[place] = targets[reply[place:first]] = named
    found = []
    for _ in range(additionals):
        if reply[at] == 0:
            at += 11
            continue
        if reply[at] >= 0xC0:
            target, port = targets[int.from_bytes(reply[at : at + 2], "big") & 0x3FFF]
            at += 2
        else:
            first = at + 1 + reply[at]
            target, port = targets[reply[at:first]]
            at = first + 2 if reply[first] >= 0xC0 else reply.index(0, first) + 1
        found.append((target, socket.inet_ntoa(reply[at + 10 : at + 14]), port))
        at += 14
    return found


def _text(wire: bytes) -> str:
    text = ""
    while length := wire[0]:
        text += "." + wire[1 : 1 + length].decode()
        wire = wire[1 + length :]
    return text
