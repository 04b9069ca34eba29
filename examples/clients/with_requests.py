"""requests: a session for each pod, kept while the pod is there.

A `requests.Session` retries nothing by itself. `requests.HTTPError`, a status, leads to no other
pod.
"""

import requests

from headless_discovery import Clients, Endpoint, Peers

from . import host


def session(_peer: Endpoint) -> requests.Session:
    """The session of one pod."""
    made = requests.Session()
    made.trust_env = False  # a pod is not called through the proxy of the environment
    return made


def get(web: Peers, sessions: Clients[requests.Session], path: str, key: str | None = None) -> str:
    """Reads, from another pod if this one fails."""
    for attempt in web.attempts(key, idempotent=True, timeout=5):
        with attempt as peer, sessions.use_of(peer) as http:
            reply = http.get(f"http://{peer}{path}", headers={"Host": host(peer)}, timeout=2)
            reply.raise_for_status()
            return reply.text
    raise AssertionError("attempts end with a result or an error")


def post(web: Peers, sessions: Clients[requests.Session], path: str, body: bytes) -> str:
    """Writes once: to another pod only if this one was never reached."""
    for attempt in web.attempts(timeout=5):
        with attempt as peer, sessions.use_of(peer) as http:
            reply = http.post(
                f"http://{peer}{path}", data=body, headers={"Host": host(peer)}, timeout=2
            )
            reply.raise_for_status()
            return reply.text
    raise AssertionError("attempts end with a result or an error")


def fetch(web: Peers, path: str, key: str | None = None) -> str:
    with web.clients(session) as sessions:  # for the life of the program
        return get(web, sessions, path, key)
