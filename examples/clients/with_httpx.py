"""httpx2: a transport that sends each request for the Service to one of its pods.

For httpx write ``httpx`` for ``httpx2`` throughout: `headless_discovery.integrations.httpx` is the
same.
"""

import httpx2

from headless_discovery import Peers, aio
from headless_discovery.integrations.httpx2 import AsyncPeersTransport, PeersTransport

from . import SERVICE


def key_of(request: httpx2.Request) -> str | None:
    """Requests of one session go to one pod."""
    return request.headers.get("X-Session")


def client(web: Peers) -> httpx2.Client:
    """Made once, for all requests; other hosts than the Service are called as usual."""
    transport = PeersTransport(web, key=key_of)
    return httpx2.Client(
        base_url=f"http://{SERVICE}", mounts={f"all://{SERVICE}": transport}, timeout=2
    )


def async_client(web: aio.Peers) -> httpx2.AsyncClient:
    """The same for asyncio and trio."""
    transport = AsyncPeersTransport(web, key=key_of)
    return httpx2.AsyncClient(
        base_url=f"http://{SERVICE}", mounts={f"all://{SERVICE}": transport}, timeout=2
    )


def fetch(web: Peers, path: str, session: str) -> str:
    with client(web) as http:
        return http.get(path, headers={"X-Session": session}).raise_for_status().text


async def fetch_async(web: aio.Peers, path: str, session: str) -> str:
    async with async_client(web) as http:
        reply = await http.get(path, headers={"X-Session": session})
        return reply.raise_for_status().text
