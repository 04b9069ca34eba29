"""aiohttp: URLs name the pod, and a resolver knows its address; so Host and SNI are the pod's.

`aiohttp.ClientConnectionError` is every way not to reach a server, a connection lost included; an
HTTP status is a `ClientResponseError`, which is none.
"""

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from headless_discovery import Endpoint, aio


class PeerResolver(AbstractResolver):
    """Knows the addresses of the pods; asks no DNS of its own."""

    def __init__(self, store: aio.Peers) -> None:
        self._store = store

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp has it
    ) -> list[ResolveResult]:
        """Called by aiohttp."""
        peer = self._store.get(host)
        if peer is None:
            raise OSError(f"{host} is no pod of {self._store}")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in peer.addresses
        ]

    async def close(self) -> None:
        """There is nothing to close."""


async def fetch(store: aio.Peers, path: str, key: str | None = None) -> str:
    connector = aiohttp.TCPConnector(resolver=PeerResolver(store))
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def ask(peer: Endpoint) -> str:
            url = f"http://{peer.name}:{peer.port}{path}"
            async with session.get(url, raise_for_status=True) as reply:
                return await reply.text()

        failures = (aiohttp.ClientConnectionError, TimeoutError)
        return await store.call(ask, key=key, on=failures)
