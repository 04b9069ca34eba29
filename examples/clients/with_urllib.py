"""urllib: a connection for each request. An HTTP status leads to no other pod."""

from urllib.request import ProxyHandler, Request, build_opener

from headless_discovery import Endpoint, Peers

from . import host

_OPENER = build_opener(ProxyHandler({}))  # a pod is not called through a proxy


def _ask(peer: Endpoint, path: str, body: bytes | None = None) -> str:
    request = Request(f"http://{peer}{path}", data=body, headers={"Host": host(peer)})
    with _OPENER.open(request, timeout=2) as reply:
        text: bytes = reply.read()
    return text.decode()


def fetch(web: Peers, path: str, key: str | None = None) -> str:
    """Reads, from another pod if this one fails."""
    return web.call(lambda peer: _ask(peer, path), key=key, idempotent=True)


def post(web: Peers, path: str, body: bytes) -> str:
    """Writes once: one pod is chosen, and what became of it is reported; nothing is repeated."""
    with web.use() as peer:
        return _ask(peer, path, body)
