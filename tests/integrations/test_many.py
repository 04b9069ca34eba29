"""Connections where there are many pods, many requests, and restarts in between."""

import concurrent.futures
import contextlib
import random
from typing import Any

import httpx
import httpx2
import pytest

from examples.clients import with_requests
from headless_discovery.integrations.httpx2 import PeersTransport

from .callers import KINDS, PATIENCE, Caller
from .quick import QuickPods, quick

pytestmark = pytest.mark.slow

every_kind = pytest.mark.parametrize("kind", KINDS)


def patient(kind: str) -> dict[str, Any]:
    """Connections that are kept for longer than a slow machine takes for a round."""
    library: Any = {"httpx": httpx, "httpx2": httpx2}[kind.partition("-")[0]]
    make = library.AsyncHTTPTransport if kind.endswith("async") else library.HTTPTransport
    limits, trusted = library.Limits(keepalive_expiry=PATIENCE), library.create_ssl_context()
    return {"make": lambda: make(limits=limits, verify=trusted)}


@every_kind
def test_thirty_pods_have_one_connection_each_that_is_kept(kind: str) -> None:
    with quick(30) as pods, Caller(kind, pods, **patient(kind)) as caller:
        for _ in range(90):
            assert caller.get().text == "ok"
        assert list(pods.connections.values()) == [1] * 30
        assert pods.still_open(30) == [1] * 30
        caller.run(caller.client.aclose if kind.endswith("async") else caller.client.close)
        assert pods.still_open(0) == [0] * 30


@every_kind
def test_replies_that_are_left_open_hold_their_pods_connections_and_no_others(kind: str) -> None:
    with quick(30) as pods, Caller(kind, pods, **patient(kind)) as caller:
        replies = [caller.open() for _ in range(30)]
        assert list(caller.peers.in_flight.values()) == [1] * 30
        for _ in range(30):
            assert caller.get().text == "ok"
        assert list(pods.connections.values()) == [2] * 30
        for reply in replies:
            caller.close_reply(reply)
        assert not caller.peers.in_flight
        assert pods.still_open(30) == [1] * 30, "one that was not read to its end is of no use"


def test_twelve_pods_have_a_session_of_requests_each() -> None:
    with quick(12) as pods:
        web = pods.cluster.peers("web", port="http")
        with web.clients(with_requests.session) as sessions:
            for _ in range(36):
                assert with_requests.get(web, sessions, "/") == "ok"
        assert list(pods.connections.values()) == [1] * 12
        assert pods.still_open(0) == [0] * 12


@pytest.mark.slow
def test_ten_thousand_requests_leave_no_connection_while_pods_come_and_go() -> None:
    chance = random.Random(7)
    with quick(12, published=6) as pods:
        web = pods.cluster.peers("web", port="http")
        transport = PeersTransport(web)
        published = list(range(6))
        for round_ in range(50):
            request = httpx2.Request("GET", f"http://web/{round_}")
            for _ in range(200):
                reply = transport.handle_request(request)
                assert reply.read() == b"ok"
                reply.close()
            # A connection for each pod; those to a pod that left, the next request closed.
            assert sum(pods.still_open(6)) <= 6
            pods.service.pods[0].delete()
            left = published.pop(0)
            published.append(chance.choice(sorted({*range(12)} - {*published, left})))
            pods.publish(published[-1])
            for _ in range(3):
                pods.cluster.clock.advance(20)
                web.refresh()
        assert {peer.address for peer in web.endpoints()} == {f"127.0.6.{n + 1}" for n in published}
        assert not web.in_flight
        transport.close()
        assert sum(pods.still_open(0)) == 0


def test_no_idempotent_request_is_lost_in_graceful_restarts_under_load() -> None:
    with quick(4) as pods:
        transport = PeersTransport(pods.cluster.peers("web", port="http"))
        with httpx2.Client(transport=transport, timeout=PATIENCE) as client:
            restarted = under_load(pods, client, "GET")
        assert restarted == 15
        assert all(pods.arrived[str(number)] >= 1 for number in range(REQUESTS))


def test_no_post_is_done_twice_in_graceful_restarts_under_load() -> None:
    with quick(4) as pods:
        transport = PeersTransport(pods.cluster.peers("web", port="http"))
        with httpx2.Client(transport=transport, timeout=PATIENCE) as client:
            restarted = under_load(pods, client, "POST")
        assert restarted == 15
        assert max(pods.arrived.values()) == 1


REQUESTS = 480
EVERY = 30
"""So many requests lie between two restarts."""


def under_load(pods: QuickPods, client: httpx2.Client, method: str) -> int:
    """Sends them from eight threads, one of which restarts a pod now and then; how often it did.

    A POST may fail as the server closes its connection; that is not to be told from one received.
    """
    numbers = iter(range(REQUESTS))
    restarts = iter(range(REQUESTS))
    harmless = (httpx2.TransportError,) if method == "POST" else ()

    def work() -> int:
        done = 0
        for number in numbers:
            if number % EVERY == EVERY - 1 and number < REQUESTS - EVERY:
                pod = next(restarts) % 4
                pods.stop(pod)
                pods.start(pod)
                done += 1
            with contextlib.suppress(*harmless):
                reply = client.request(method, "http://web/", headers={"X-Id": str(number)})
                assert reply.text == "ok"
        return done

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return sum(each.result(timeout=60) for each in [pool.submit(work) for _ in range(8)])
