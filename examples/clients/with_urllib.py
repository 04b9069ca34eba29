"""urllib: the default of ``on`` is right; an HTTP status comes out at once."""

from urllib.request import Request, urlopen

from headless_discovery import Endpoint, Peers


def fetch(store: Peers, path: str, key: str | None = None) -> str:
    def ask(peer: Endpoint) -> str:
        request = Request(f"http://{peer}{path}", headers={"Host": peer.name})
        with urlopen(request, timeout=2) as reply:  # noqa: S310 - http
            body: bytes = reply.read()
        return body.decode()

    return store.call(ask, key=key)
