"""httpx: transports that send each request for a Service to one of its pods.

Mount one for the Service's host; requests for other hosts are not affected:

    client = httpx.Client(mounts={"all://web": PeersTransport(web)})
    client.get("http://web/state")

A request goes to a second pod only if the first one was never reached, or if it may be received
twice: its method is idempotent (RFC 9110, 9.2.2) or it has an ``Idempotency-Key``.
"""

try:
    import httpx
except ImportError as _error:  # pragma: no cover - tests/integrations does it in its own process
    raise ImportError(
        "headless_discovery.integrations.httpx needs httpx: install headless_discovery[httpx]"
    ) from _error

from ._transport import AsyncSender, HttpLibrary, SyncSender

__all__ = ["AsyncPeersTransport", "NoPeer", "PeersTransport"]


class NoPeer(httpx.ConnectError):
    """No pod could be chosen; the `DiscoveryError` that says why is its ``__cause__``."""


_LIBRARY = HttpLibrary(httpx, NoPeer)


class PeersTransport(
    SyncSender[httpx.Request, httpx.Response, httpx.BaseTransport], httpx.BaseTransport
):
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


class AsyncPeersTransport(
    AsyncSender[httpx.Request, httpx.Response, httpx.AsyncBaseTransport],
    httpx.AsyncBaseTransport,
):
    """Sends each request for the Service to one of its pods; for asyncio and trio.

    It works as `PeersTransport` does, with the same arguments, and is used in the tasks of the
    event loop that ``peers`` is used in.
    """

    _library = _LIBRARY
