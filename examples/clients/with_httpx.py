"""httpx: a transport that finds a peer for each request.

`httpx.TransportError` is every way not to get an answer. The default of ``on`` knows all of them
but a server that hangs up in the middle, which has no connection error behind it.
"""

import httpx

from headless_discovery import Endpoint, Peers


class PeerTransport(httpx.BaseTransport):
    """Sends each request to a peer, whatever host its URL names; ``extensions["key"]`` is its key.

    A request that is sent again must have a body that can be read again, as bytes can.
    """

    def __init__(self, store: Peers) -> None:
        self._store = store
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Called by httpx."""

        def ask(peer: Endpoint) -> httpx.Response:
            return self._inner.handle_request(addressed(request, peer))

        key = request.extensions.get("key")
        return self._store.call(ask, key=key, on=httpx.TransportError)

    def close(self) -> None:
        """Called by httpx."""
        self._inner.close()


def addressed(request: httpx.Request, peer: Endpoint) -> httpx.Request:
    """The request as it goes to the peer: its address in the URL, its name in Host and SNI."""
    headers = request.headers.copy()
    headers["Host"] = peer.name
    return httpx.Request(
        request.method,
        request.url.copy_with(host=peer.address, port=peer.port),
        headers=headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": peer.name},
    )


def fetch(store: Peers, path: str, key: str | None = None) -> str:
    with httpx.Client(transport=PeerTransport(store), timeout=2) as client:
        reply = client.get(f"http://any{path}", extensions={"key": key})
        return reply.raise_for_status().text
