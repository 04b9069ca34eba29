"""Replies of up to 64 KiB that are made to take long; ``python -m tests.hostile`` says how long."""

import json
import struct
import time
from collections.abc import Callable

from dns.rdatatype import RdataType as Type

from tests.agreement import outcome
from tests.lookups import scan
from tests.raw import EDNS, TO_QUESTION, encoded, message, record, service

WEB = "web.shop.svc.cluster.local"
REVERSE = "1.0.0.10.in-addr.arpa"


def about_it(rdtype: int, data: bytes) -> bytes:
    """A record about what was asked."""
    return record(TO_QUESTION, rdtype, data)


SERVED = about_it(33, service(encoded(f"web-0.{WEB}")))
SIZE = 65535
LONGEST = b"\1a" * 126 + b"\0"


def full(name: str, rdtype: int, *first: bytes, then: Callable[[int], bytes]) -> bytes:
    """A reply of 64 KiB: these answers, then as many more as fit."""
    answers = list(first)
    left = SIZE - len(message(name, rdtype, first))
    while (more := then(len(answers))) and len(more) <= left:
        answers.append(more)
        left -= len(more)
    return message(name, rdtype, answers)


def pointing(place: int) -> bytes:
    """A name that is a pointer."""
    return (0xC000 | place).to_bytes(2, "big")


def same_hash(number: int) -> bytes:
    """Names that dnspython's hash does not tell apart: a byte more here is nine less behind it."""
    label = bytearray(b"nnnnnnnnnnnnnnnn")
    for place in range(0, 16, 2):
        if number >> place // 2 & 1:
            label[place] += 1
            label[place + 1] -= 9
    return bytes((16,)) + bytes(label) + b"\0"


def _counting_more(wire: bytes) -> bytes:
    return wire[:6] + b"\xff\xff" + wire[8:]


START = len(message(WEB, Type.SRV)) + len(TO_QUESTION) + 10
HOLDER = record(TO_QUESTION, 65400, LONGEST)
HOSTILE = {
    "services with one long target": full(
        WEB, Type.SRV, HOLDER, then=lambda n: about_it(33, service(pointing(START), n))
    ),
    "services with a long target each": full(
        WEB, Type.SRV, then=lambda n: about_it(33, service(b"\1a" * 120 + b"\4%04d\0" % n, n))
    ),
    "services with a label and a pointer": full(
        WEB, Type.SRV, HOLDER, then=lambda n: about_it(33, service(b"\1b" + pointing(START + 2), n))
    ),
    "pointers with a long name": full(
        REVERSE,
        Type.PTR,
        record(TO_QUESTION, 65400, LONGEST),
        then=lambda n: about_it(12, b"\1b" + pointing(len(message(REVERSE, Type.PTR)) + 14)),
    ),
    "owners with a long name": full(
        WEB, Type.A, HOLDER, then=lambda n: record(b"\1b" + pointing(START + 2), 1, bytes(4))
    ),
    "owners with one hash": full(WEB, Type.A, then=lambda n: record(same_hash(n), 1, bytes(4))),
    "aliases with one hash": full(
        WEB, Type.A, then=lambda n: record(same_hash(n), 5, same_hash(n + 1))
    ),
    "glue with one hash": message(
        WEB,
        Type.SRV,
        [SERVED],
        additional=[record(same_hash(n), 1, bytes(4)) for n in range(2000)],
    ),
    "glue that points at the header": message(
        WEB, Type.SRV, [SERVED], additional=[record(pointing(0), 1, bytes(4))] * 3000
    ),
    "a chain of pointers": message(
        WEB,
        Type.A,
        [record(TO_QUESTION, 65400, b"".join(pointing(START + 2 * n) for n in range(8000)))]
        + [record(pointing(START + 2 * 7999), 1, bytes(4))] * 3000,
    ),
    "texts": full(WEB, Type.TXT, then=lambda n: about_it(16, b"\0" * 5000)),
    "nearly glue": message(
        WEB,
        Type.SRV,
        [about_it(33, service(b"\1a" + encoded("-" * 45 + "." + "0" * 48)))],
        additional=[b"\x3f" + b"-" * 63] * 1000,
    ),
    "one option after the other": message(
        WEB, Type.SRV, [SERVED], additional=[EDNS[:-2] + b"\xfd\xe8" + bytes(65000)]
    ),
    "questions": struct.pack("!6H", 1, 0x8400, 13000, 0, 0, 0) + (b"\0\0\1\0\1" * 13000),
    "zeros": bytes(SIZE),
    "nothing but counts": struct.pack("!6H", 1, 0x8400, 1, *[0xFFFF] * 3)
    + encoded(WEB)
    + b"\0\1\0\1",
    "addresses fewer than counted": _counting_more(
        full(WEB, Type.A, then=lambda n: about_it(1, n.to_bytes(4, "big")))
    ),
}


def _seconds(call: Callable[[], object]) -> float:
    """Of CPU time, at best: what is imported when it is first needed is no part of it."""
    times = []
    for _ in range(4):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Prints the seconds that reading each takes, and seeing that it is no usual shape."""
    found = {
        name: (_seconds(lambda wire=wire: outcome(wire)), _seconds(lambda wire=wire: scan(wire)))  # type: ignore[misc]  # of the loop
        for name, wire in HOSTILE.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
