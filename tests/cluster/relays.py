"""Relays to a name server that let through, drop or change what networks and proxies do."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator

import dns.message

from tests.cluster.control_plane import free_port

Ask = Callable[[bytes], bytes]
Handle = Callable[[bytes, Ask], bytes | None]
"""A message, and how to ask the name server; what to reply, if anything."""


def pass_on(wire: bytes, ask: Ask) -> bytes | None:
    """As if there were no relay."""
    return ask(wire)


def without_srv(wire: bytes, ask: Ask) -> bytes | None:
    """As a proxy that knows addresses alone."""
    question = dns.message.from_wire(wire)
    if question.question[0].rdtype != dns.rdatatype.SRV:
        return ask(wire)
    refusal = dns.message.make_response(question)
    refusal.set_rcode(dns.rcode.REFUSED)
    return refusal.to_wire()


def without_edns(wire: bytes, ask: Ask) -> bytes | None:
    """As a firewall that drops what has an OPT record."""
    return None if wire[11] else ask(wire)


@contextlib.contextmanager
def relay(
    nameserver: str,
    handle: Handle = pass_on,
    *,
    udp: bool = True,
    tcp: bool = True,
    sender: str | None = None,
) -> Iterator[str]:
    """Relays to a name server, and gives the relay's own ``host:port``.

    Args:
        nameserver: ``host:port``.
        handle: What becomes of a message.
        udp: ``False``: datagrams are taken and never answered.
        tcp: ``False``: nothing listens there for TCP.
        sender: Another address, from which the datagrams are answered.
    """
    host, _, port = nameserver.rpartition(":")
    server, own, over = (host, int(port)), free_port(), threading.Event()
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        front.bind(("127.0.0.1", own))
        back = front
        if sender is not None:
            back = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            back.bind((sender, 0))
        sockets = [front]
        if tcp:
            sockets.append(stack.enter_context(socket.create_server(("127.0.0.1", own))))

        def serve() -> None:
            while not over.is_set():
                for one in select.select(sockets, [], [], 0.05)[0]:
                    if one is not front:
                        answer_tcp(one, server, handle)
                        continue
                    wire, client = front.recvfrom(4096)
                    reply = handle(wire, lambda wire: ask_udp(server, wire)) if udp else None
                    if reply is not None:
                        back.sendto(reply, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{own}"
        finally:
            over.set()
            thread.join()


def ask_udp(server: tuple[str, int], wire: bytes) -> bytes:
    with socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.connect(server)
        asking.send(wire)
        return asking.recv(65535)


def answer_tcp(listening: socket.socket, server: tuple[str, int], handle: Handle) -> None:
    client, _ = listening.accept()
    with client, client.makefile("rwb") as stream, socket.create_connection(server, 2) as asking:
        client.settimeout(2)
        with asking.makefile("rwb") as behind:

            def ask(wire: bytes) -> bytes:
                behind.write(len(wire).to_bytes(2) + wire)
                behind.flush()
                return behind.read(int.from_bytes(behind.read(2)))

            reply = handle(stream.read(int.from_bytes(stream.read(2))), ask)
            if reply is not None:
                stream.write(len(reply).to_bytes(2) + reply)
                stream.flush()
