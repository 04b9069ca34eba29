"""The middleware for aiohttp, with real servers."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import trustme

from headless_discovery import LookupFailed, aio
from headless_discovery.integrations.aiohttp import NoPeerError, PeersMiddleware

from .servers import Pods, requests_of, serving, sha_of

pytestmark = pytest.mark.slow

Client = Callable[[aiohttp.ClientSession, aio.Peers], Awaitable[None]]


def run(pods: Pods, client: Client, **middleware: Any) -> aio.Peers:
    """Runs a client with a session that has the middleware."""
    web = pods.cluster.aio.peers("web", port="http")

    async def main() -> None:
        peers_middleware = PeersMiddleware(web, **middleware)
        async with aiohttp.ClientSession(middlewares=[peers_middleware]) as session:
            await client(session, web)
        await web.aclose()
        for _ in range(10):  # aiohttp aborts TLS connections; the loop lets go of them later
            await asyncio.sleep(0)

    asyncio.run(main())
    return web


def test_requests_for_the_service_go_to_its_pods_in_turn() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        for _ in range(9):
            async with session.get("http://web/state") as reply:
                assert reply.status == 200
                assert (await reply.json())["host"] == "web"
                assert reply.url.host == "web"

    with serving(3) as pods:
        run(pods, client)
        assert requests_of(pods) == [3, 3, 3]


@pytest.mark.parametrize(
    "host", ["web", "WEB", "web.default", "web.default.svc", "web.default.svc.cluster.local."]
)
def test_any_spelling_of_the_service_is_meant(host: str) -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        async with session.get(f"http://{host}/") as reply:
            assert reply.status == 200

    with serving(2) as pods:
        run(pods, client)
        assert sum(requests_of(pods)) == 1


def test_a_pods_name_means_that_pod_and_other_hosts_are_not_touched() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        for host in ("web-1.web", "web-1.web.default.svc.cluster.local"):
            async with session.get(f"http://{host}/") as reply:
                assert reply.status == 200
        async with session.get(f"http://127.0.9.1:{pods.port}/") as reply:
            assert reply.status == 200

    with serving(3) as pods:
        run(pods, client)
        assert requests_of(pods) == [1, 2, 0]


def test_after_a_pod_left_its_kept_connection_is_used_no_more() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        for _ in range(3):
            await (await session.get("http://web/")).read()
        pods.leave(0)
        for _ in range(3):
            pods.cluster.clock.advance(20)
            await web.refresh()
        for _ in range(4):
            await (await session.get("http://web/")).read()
        assert requests_of(pods) == [1, 3, 3]

    with serving(3) as pods:
        run(pods, client)


def test_requests_with_one_key_go_to_one_pod() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        for _ in range(6):
            async with session.get("http://web/", headers={"X-Session": "kim"}):
                pass

    with serving(3) as pods:
        run(pods, client, key=lambda request: request.headers.get("X-Session"))
        assert sorted(requests_of(pods)) == [0, 0, 6]


def test_a_pod_that_refuses_is_passed_over_even_for_a_post() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        pods.pods[0].stop()
        for number in range(12):
            async with session.post(
                "http://web/", data=b"x", headers={"X-Id": str(number)}
            ) as reply:
                assert reply.status == 200

    with serving(3) as pods:
        run(pods, client)
        assert all(pods.arrived(str(number)) == 1 for number in range(12))


@pytest.mark.parametrize("fault", ["reset", "late"])
def test_a_post_that_may_have_been_received_is_sent_once(fault: str) -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        for pod in pods.pods:
            pod.fault = fault
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            await session.post(
                "http://web/",
                data=b"x",
                headers={"X-Id": "1"},
                timeout=aiohttp.ClientTimeout(sock_read=0.2),
            )

    with serving(3) as pods:
        run(pods, client)
        assert pods.arrived("1") == 1


def test_an_idempotent_request_goes_on_to_another_pod() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        pods.pods[0].fault = pods.pods[1].fault = "reset"
        for _ in range(3):
            async with session.post(
                "http://web/", data=b"x", headers={"Idempotency-Key": "1"}
            ) as reply:
                assert (await reply.json())["pod"] == pods.pods[2].address

    with serving(3) as pods:
        run(pods, client)


def test_a_body_arrives_whole_after_it_was_sent_to_a_pod_that_refuses() -> None:
    async def generated() -> AsyncIterator[bytes]:
        yield b"abc" * 1000
        yield b"def"

    bodies: dict[str, tuple[Callable[[], Any], str]] = {
        "bytes": (lambda: b"abc" * 1000, sha_of(b"abc" * 1000)),
        "file": (lambda: io.BytesIO(b"abc" * 1000), sha_of(b"abc" * 1000)),
        "generator": (generated, sha_of(b"abc" * 1000 + b"def")),
    }

    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        pods.pods[0].stop()
        for make, sha in bodies.values():
            for _ in range(3):
                async with session.post("http://web/", data=make()) as reply:
                    assert (await reply.json())["sha"] == sha

    with serving(2) as pods:
        run(pods, client)


def test_a_reply_is_in_flight_until_it_is_read_or_closed() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        pods.pods[0].fault = "slow-body"
        reply = await session.get("http://web/")
        assert sum(web.in_flight.values()) == 1
        reply.close()
        assert not web.in_flight
        async with session.get("http://web/") as reply:
            assert sum(web.in_flight.values()) == 1
        assert not web.in_flight

    with serving(1) as pods:
        run(pods, client)


def test_a_pod_that_answers_503_is_ejected() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        pods.pods[0].status = 503
        for _ in range(9):
            async with session.get("http://web/"):
                pass
        assert [peer.address for peer in web.ejected] == [pods.pods[0].address]

    with serving(3) as pods:
        run(pods, client)


def test_an_idle_connection_that_was_closed_says_nothing_of_the_pod() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        for _ in range(6):
            async with session.get("http://web/"):
                pass
            for pod in pods.pods:
                pod.close_connections()
        assert web.stats.failures == 0
        assert not web.ejected

    with serving(2) as pods:
        run(pods, client)


def test_aiohttp_itself_sends_a_put_again_and_no_post() -> None:
    """As the documents say of it: without the middleware it is the same."""

    async def main() -> None:
        url = f"http://{pod.address}:{pod.port}/"
        async with aiohttp.ClientSession() as session:
            await (await session.get(url)).read()  # a connection that is kept
            pod.fault = "reset-once"
            async with session.put(url, headers={"X-Id": "put"}) as reply:
                assert reply.status == 200
            pod.fault = "reset-once"
            with pytest.raises(aiohttp.ClientError):
                await session.post(url, headers={"X-Id": "post"})

    with serving(1) as pods:
        pod = pods.pods[0]
        asyncio.run(main())
        assert (pods.arrived("put"), pods.arrived("post")) == (2, 1)


def test_redirects_keep_the_authorization() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        async with session.get("http://web/moved", headers={"Authorization": "Bearer x"}) as reply:
            assert (await reply.json())["authorization"] == "Bearer x"
            assert reply.url.path == "/state"

    with serving(2) as pods:
        run(pods, client)


def test_errors_of_discovery_are_aiohttps_with_ours_as_their_cause() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        with pytest.raises(NoPeerError) as raised:
            await session.get("http://web/")
        assert isinstance(raised.value, aiohttp.ClientConnectionError)
        assert isinstance(raised.value.__cause__, LookupFailed)

    with serving(1) as pods:
        pods.cluster.fail("servfail")
        run(pods, client)


def test_it_is_for_a_fixed_list_too() -> None:
    async def main() -> None:
        listed = aio.Peers.static([f"{pod.address}:{pod.port}" for pod in pods.pods])
        async with aiohttp.ClientSession(middlewares=[PeersMiddleware(listed)]) as session:
            for _ in range(4):
                async with session.get("http://anything/") as reply:
                    assert reply.status == 200

    with serving(2) as pods:
        asyncio.run(main())
        assert requests_of(pods) == [2, 2]


def test_a_reply_that_breaks_off_is_a_failure_of_the_pod_and_not_asked_for_again() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        for pod in pods.pods:
            pod.fault = "cut"
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get("http://web/", headers={"X-Id": "1"}) as reply:
                await reply.read()
        assert web.stats.failures == 1

    with serving(3) as pods:
        run(pods, client)
        assert pods.arrived("1") == 1


def test_a_body_that_was_not_read_is_no_failure() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        pods.pods[0].fault = "slow-body"
        async with session.get("http://web/"):
            pass
        assert web.stats.failures == 0

    with serving(1) as pods:
        run(pods, client)


def test_the_certificate_is_that_of_the_urls_host() -> None:
    authority = trustme.CA()
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("web").configure_cert(served)
    authority.configure_trust(trusted)

    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        async with session.get("https://web/", ssl=trusted) as reply:
            await reply.read()  # else its connection is closed when the server is ready to do so
            assert reply.status == 200

    with serving(1, served) as pods:
        run(pods, client)
        assert pods.pods[0].names == ["web"]
