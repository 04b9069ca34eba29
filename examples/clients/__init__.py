"""How to call a pod with the clients that people use; each can be copied.

The Service is called ``web``. Reads go on to another pod after any failure of the connection, since
they may arrive twice; what must not arrive twice goes on only where the pod was never reached.
"""

from headless_discovery import Endpoint

SERVICE = "web"


def host(peer: Endpoint) -> str:
    """What goes into ``Host``: without the port, many frameworks redirect to port 80."""
    return SERVICE if peer.port is None else f"{SERVICE}:{peer.port}"
