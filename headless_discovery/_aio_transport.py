"""Conversations with name servers over asyncio's or trio's sockets. The twin of `_sync_transport`.

What to send, whom to ask next and what a reply means is decided in `_exchange`; here bytes go out
and come in, and time runs out. Importing this loads neither asyncio nor trio.
"""

import functools
import socket
from collections.abc import Sequence

import attrs

from ._async import Opened, library, sockets
from ._clock import Clock
from ._exchange import (
    AT_MOST_IN_FLIGHT,
    HUNG_UP,
    OUT_OF_TIME,
    Asking,
    NoReply,
    Reply,
    Send,
    Traffic,
)
from ._steps import Converse, carry_out_async
from ._wire import is_reply

_LENGTH = 2
"""Bytes: what precedes each message on a stream (RFC 1035, 4.2.2)."""


@attrs.frozen
class _Going:
    """What the conversations of one round share."""

    clock: Clock
    traffic: Traffic
    per_try: float
    deadline: float


async def converse(
    step: Converse, clock: Clock, traffic: Traffic, per_try: float
) -> Sequence[Reply]:
    """Carries out one step; ``per_try`` is in seconds."""
    exchange = functools.partial(_exchange, _Going(clock, traffic, per_try, step.deadline))
    if not step.asks:  # a pause
        await library().sleep(0)
        return []
    if len(step.asks) == 1:
        return [await carry_out_async(step.asks[0], exchange)]
    replies: dict[int, Reply] = {}

    async def hold(number: int, asking: Asking) -> None:
        replies[number] = await carry_out_async(asking, exchange)

    jobs = [functools.partial(hold, number, asking) for number, asking in enumerate(step.asks)]
    await library().side_by_side(jobs, AT_MOST_IN_FLIGHT)
    return [replies[number] for number in range(len(jobs))]


async def _exchange(going: _Going, send: Send) -> bytes | NoReply:
    """One message, and what comes back."""
    room = going.deadline - going.clock.now()
    if room <= 0:
        return OUT_OF_TIME
    going.traffic.count(send)
    exchange = functools.partial(_over_tcp if send.tcp else _over_udp, send)
    try:
        return await library().within(min(going.per_try, room), exchange)
    except TimeoutError:
        return OUT_OF_TIME if room <= going.per_try else NoReply.in_time(going.per_try)
    except OSError as error:
        return NoReply.because_of(error)
    except EOFError:
        return HUNG_UP


async def _over_udp(send: Send) -> bytes:
    # A new socket for each message, and connected: see `_sync_transport`.
    async with await sockets().make_socket(
        _family(send), socket.SOCK_DGRAM, destination=(send.server.address, send.server.port)
    ) as opened:
        await opened.sendto(send.wire, None, None)
        while True:
            wire, _ = await opened.recvfrom(65535, None)
            if is_reply(send.wire, wire):
                return wire


async def _over_tcp(send: Send) -> bytes:
    async with await sockets().make_socket(
        _family(send), socket.SOCK_STREAM, destination=(send.server.address, send.server.port)
    ) as opened:
        await opened.sendall(len(send.wire).to_bytes(_LENGTH, "big") + send.wire, None)
        while True:
            length = int.from_bytes(await _exactly(opened, _LENGTH), "big")
            wire = await _exactly(opened, length)
            if is_reply(send.wire, wire):
                return wire


async def _exactly(opened: Opened, size: int) -> bytes:
    """So many bytes, and never more: what a stranger sends is not piled up."""
    received = bytearray()
    while len(received) < size:
        came = await opened.recv(size - len(received), None)
        if not came:
            raise EOFError
        received += came
    return bytes(received)


def _family(send: Send) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in send.server.address else socket.AF_INET
