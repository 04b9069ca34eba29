"""aiohttp: a middleware that sends each request for the Service to one of its pods.

aiohttp sends idempotent requests a second time when the server closes the connection before it
answers. That cannot be switched off; a POST is never sent twice.
"""

import aiohttp

from headless_discovery import aio
from headless_discovery.integrations.aiohttp import PeersMiddleware

from . import SERVICE


def session(web: aio.Peers) -> aiohttp.ClientSession:
    """Made once, for all requests; other hosts than the Service are called as usual."""
    return aiohttp.ClientSession(
        base_url=f"http://{SERVICE}",
        middlewares=[PeersMiddleware(web, key=lambda request: request.headers.get("X-Session"))],
        timeout=aiohttp.ClientTimeout(total=2),
        raise_for_status=True,
    )


async def fetch(web: aio.Peers, path: str, key: str) -> str:
    async with session(web) as http, http.get(path, headers={"X-Session": key}) as reply:
        return await reply.text()
