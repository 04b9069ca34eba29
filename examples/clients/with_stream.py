"""A plain asyncio stream: the default of ``on``, and a peer that hangs up before it answered."""

import asyncio

from headless_discovery import Endpoint, aio, connection_failed


def failed(error: Exception) -> bool:
    """What a failure is: for ``on=``."""
    return connection_failed(error) or isinstance(error, asyncio.IncompleteReadError)


async def fetch(store: aio.Peers, line: str, key: str | None = None) -> str:
    async def ask(peer: Endpoint) -> str:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(peer.address, peer.port)
            try:
                writer.write(f"{line}\n".encode())
                reply = await reader.readuntil(b"\n")
            finally:
                writer.close()
            return reply.decode().strip()

    return await store.call(ask, key=key, on=failed)
