"""A plain asyncio stream: one line is sent, one comes back.

A pod that hangs up before it answered raises `asyncio.IncompleteReadError`, an `EOFError`, which
the library cannot tell from one of the program's own: ``on=`` says that it leads on.
"""

import asyncio

from headless_discovery import Endpoint, aio, connection_failed


def failed(error: Exception) -> bool:
    """The line may be sent again after this error."""
    return connection_failed(error) or isinstance(error, asyncio.IncompleteReadError)


async def fetch(web: aio.Peers, line: str, key: str | None = None) -> str:
    async def ask(peer: Endpoint) -> str:
        # The time-out is in here: one around the call would not be held against the pod.
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(peer.address, peer.port)
            try:
                writer.write(f"{line}\n".encode())
                reply = await reader.readuntil(b"\n")
            finally:
                writer.close()
            return reply.decode().strip()

    return await web.call(ask, key=key, on=failed)
