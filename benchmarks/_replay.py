"""A name server that costs next to nothing: it replays answers made beforehand.

The fake of CoreDNS makes them, several of each, shuffled as it does: compressed or not, cut over
UDP, whole over TCP. They run out at once (a TTL of 0), so that no contender answers from a cache.
It is a process of its own: ``python -m benchmarks._replay PORT`` serves, and says where.
"""

import itertools
import select
import socket
import subprocess
import sys
from typing import Self

from headless_discovery._dns.message import Type, query
from headless_discovery.testing import FakeCluster

from ._library import ADDRESSES, SERVICES, name, rolling, service_of

_VARIANTS = 5


class Replay:
    """The server, as long as the ``with`` statement lasts."""

    def __init__(self, port: int = 0) -> None:
        self._command = [sys.executable, "-m", "benchmarks._replay", str(port)]
        self.port = 0

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(  # noqa: S603 - this module
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._server.stdout is not None  # noqa: S101 - it is a pipe
        self.port = int(self._server.stdout.readline())
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.terminate()
        self._server.communicate()


def _answers() -> dict[bytes, list[tuple[bytes, bytes]]]:
    """Over UDP and TCP, by question."""
    made: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for network, (asked_for, rdtype, pods) in enumerate(
        (asked_for(pods, rdtype), rdtype, pods)
        for rdtype, sizes in ((Type.A, ADDRESSES), (Type.SRV, SERVICES))
        for pods in sizes
        for asked_for in (name, rolling)
    ):
        cluster = FakeCluster(ttl=0)
        service = cluster.add_service(service_of(asked_for), ports={"http": 8080})
        for number in range(pods):
            service.add_pod(f"10.{network}.{number >> 8}.{number & 0xFF}")
        asked = query(asked_for, rdtype, edns=1232)
        variants = []
        for number in range(_VARIANTS):
            udp, tcp = cluster.answer(asked), cluster.answer(asked, tcp=True)
            assert udp is not None and tcp is not None  # noqa: S101, PT018 - it always answers
            variants.append((udp, tcp))
            if asked_for == rolling(pods, rdtype):
                service.pods[0].delete()
                service.add_pod(f"10.{network}.255.{number}")
        made[_question(asked)] = variants
    return made


def _question(wire: bytes) -> bytes:
    return wire[12 : wire.index(0, 12) + 5]


def _serve(port: int) -> None:
    answers = {question: itertools.cycle(variants) for question, variants in _answers().items()}
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as streams,
    ):
        streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        streams.bind(("127.0.0.1", port))
        streams.listen(64)
        datagrams.bind(streams.getsockname())
        print(streams.getsockname()[1], flush=True)
        while True:
            for ready in select.select([datagrams, streams], [], [])[0]:
                if ready is datagrams:
                    asked, sender = datagrams.recvfrom(512)
                    reply, _ = next(answers[_question(asked)])
                    if asked[11] == 0:  # no EDNS
                        reply = _without_edns(asked, reply)
                    datagrams.sendto(asked[:2] + reply[2:], sender)
                    continue
                stream, _ = streams.accept()
                with stream:
                    asked = stream.recv(514)[2:]
                    _, reply = next(answers[_question(asked)])
                    reply = asked[:2] + reply[2:]
                    stream.sendall(len(reply).to_bytes(2, "big") + reply)


def _without_edns(asked: bytes, reply: bytes) -> bytes:
    """For who offers 512 bytes: cut, if it does not fit."""
    if len(reply) <= 512 and not reply[2] & 2:
        return reply
    end = 12 + len(_question(asked))
    return reply[:2] + bytes((reply[2] | 2, reply[3])) + b"\0\1" + bytes(6) + reply[12:end]


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
