"""A relay to a name server that passes UDP and refuses TCP, as some NetworkPolicies do."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

from tests.cluster.control_plane import free_port


@contextlib.contextmanager
def udp_only(nameserver: str) -> Iterator[str]:
    """Relays to it; gives the relay's own ``host:port``. Nobody listens there for TCP."""
    host, _, port = nameserver.rpartition(":")
    own = free_port()
    over = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as front:
        front.bind(("127.0.0.1", own))

        def relay() -> None:
            while not over.is_set():
                if not select.select([front], [], [], 0.05)[0]:
                    continue
                wire, client = front.recvfrom(4096)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
                    back.settimeout(2)
                    back.connect((host, int(port)))
                    back.send(wire)
                    front.sendto(back.recv(65535), client)

        thread = threading.Thread(target=relay)
        thread.start()
        try:
            yield f"127.0.0.1:{own}"
        finally:
            over.set()
            thread.join()
