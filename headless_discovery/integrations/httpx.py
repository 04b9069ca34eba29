"""httpx: transports that send each request for a Service to one of its pods.

Mount one for the Service's host; requests for other hosts are not affected:

    client = httpx.Client(mounts={"all://web": PeersTransport(web)})
    client.get("http://web/state")

A request goes to a second pod only if the first one was never reached, or if it may be received
twice: its method is idempotent (RFC 9110, 9.2.2) or it has an ``Idempotency-Key``.
"""

from collections.abc import Callable
from typing import Any, ClassVar

try:
    import httpx
except ImportError as _error:  # pragma: no cover - tests/integrations does it in its own process
    raise ImportError(
        "headless_discovery.integrations.httpx needs httpx: install headless_discovery[httpx]"
    ) from _error

from .. import aio
from .._peers import Peers
from .._selection import Key
from ._http import Named
from ._transport import AsyncSender, HttpLibrary, ReplyBody, SentRequest, SyncSender

__all__ = ["AsyncPeersTransport", "NoPeer", "PeersTransport"]

KeyOf = Callable[[httpx.Request], Key | None]
"""Gives the key of a request, or ``None``."""


class NoPeer(httpx.ConnectError):
    """No pod could be chosen; the `DiscoveryError` that says why is its ``__cause__``."""


class _Sent(SentRequest, httpx.SyncByteStream, httpx.AsyncByteStream):
    library: ClassVar[Any] = httpx


class _Reply(ReplyBody, httpx.SyncByteStream, httpx.AsyncByteStream):
    """Its body is read by httpx."""


_LIBRARY = HttpLibrary(httpx, NoPeer, _Sent, _Reply)


class PeersTransport(SyncSender, httpx.BaseTransport):
    """Sends each request for the Service to one of its pods.

    A request whose host is the Service, in any of its spellings, goes to a pod by the strategy of
    ``peers``; one whose host is the name of a pod goes to that pod; any other goes through
    ``others``. Closing the transport closes the connections to all pods, and not ``peers``.

    Args:
        peers: The pods of the Service.
        key: Gives the key of a request, or ``None``; requests with the same key go to one pod.
        make: Makes the transport of one pod; by default an `httpx.HTTPTransport` that closes
            idle connections after 4 seconds, since servers commonly close them after 5.
        others: The transport of requests for other hosts; by default an `httpx.HTTPTransport`.
        host: Whose name goes into ``Host``: that of the URL (``"url"``), or the pod's name and
            port (``"pod"``). With the URL's, redirects and cookies work (RFC 9110, 7.2).
        tls_name: Whose name the certificate must have, likewise.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    _library = _LIBRARY

    def __init__(
        self,
        peers: Peers,
        *,
        key: KeyOf | None = None,
        make: Callable[[], httpx.BaseTransport] | None = None,
        others: httpx.BaseTransport | None = None,
        host: Named = "url",
        tls_name: Named = "url",
    ) -> None:
        super().__init__(
            peers,
            make,
            plain=httpx.HTTPTransport,
            key=key,
            others=others,
            host=host,
            tls_name=tls_name,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request; called by httpx.

        Raises:
            NoPeer: No pod could be chosen.
            httpx.TransportError: The error of the last pod that was tried.
        """
        response: httpx.Response = self._handle(request)
        return response


class AsyncPeersTransport(AsyncSender, httpx.AsyncBaseTransport):
    """Sends each request for the Service to one of its pods; for asyncio and trio.

    It works as `PeersTransport` does, with the same arguments, and is used in the tasks of the
    event loop that ``peers`` is used in.
    """

    _library = _LIBRARY

    def __init__(
        self,
        peers: aio.Peers,
        *,
        key: KeyOf | None = None,
        make: Callable[[], httpx.AsyncBaseTransport] | None = None,
        others: httpx.AsyncBaseTransport | None = None,
        host: Named = "url",
        tls_name: Named = "url",
    ) -> None:
        super().__init__(
            peers,
            make,
            plain=httpx.AsyncHTTPTransport,
            key=key,
            others=others,
            host=host,
            tls_name=tls_name,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request; called by httpx.

        Raises:
            NoPeer: No pod could be chosen.
            httpx.TransportError: The error of the last pod that was tried.
        """
        response: httpx.Response = await self._handle(request)
        return response
