"""Requests to other nodes over HTTP. It decides nothing."""

import aiohttp

from headless_discovery import Endpoint

from .messages import MAX_MESSAGE, Differences, Reply, Request, Swapped, View, decode, encode
from .node import PeerError


class HTTPTransport:
    """POST /gossip. ``timeout``: seconds for one request."""

    def __init__(self, session: aiohttp.ClientSession, timeout: float = 1) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def ask(self, peer: Endpoint, request: Request) -> Reply:
        """One request and its reply; raises `PeerError`."""
        try:
            async with self._session.post(
                f"http://{peer}/gossip",
                data=encode(request),
                timeout=self._timeout,
                allow_redirects=False,  # a peer speaks for itself alone
            ) as response:
                response.raise_for_status()
                body = bytearray()
                async for chunk in response.content.iter_chunked(2**16):
                    body += chunk
                    if len(body) > MAX_MESSAGE:
                        raise PeerError(f"{peer} says more than {MAX_MESSAGE} bytes")
            reply = decode(bytes(body))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise PeerError(f"{peer} did not answer: {error or type(error).__name__}") from error
        if not isinstance(reply, Differences | Swapped | View):
            raise PeerError(f"{peer} answered with a request")
        return reply
