"""The middleware for aiohttp, with real servers."""

import asyncio
import io
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web as web_server

from headless_discovery import LookupFailed, aio
from headless_discovery.integrations.aiohttp import NoPeerError, PeersMiddleware
from headless_discovery.testing import FakeCluster
from tests import faults

from .servers import Pod, Pods, requests_of, serving, sha_of

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


def test_cookies_a_base_url_and_a_port_in_it_are_those_of_the_service() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        async with session.get("http://web:9/login") as reply:
            assert (await reply.json())["host"] == "web:9"
        for _ in range(2):
            async with session.get("http://web/state") as reply:
                assert (await reply.json())["cookie"] == "session=1"
            assert not web.in_flight

    with serving(2) as pods:
        run(pods, client)
        assert sum(requests_of(pods)) == 3


def test_a_body_is_sent_after_100_continue() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        for at in range(4):
            headers = {"X-Id": str(at)}
            async with session.post(
                "http://web/", data=b"x" * 100_000, headers=headers, expect100=True
            ) as reply:
                assert (await reply.json())["sha"] == sha_of(b"x" * 100_000)
            assert pods.arrived(str(at)) == 1

    with serving(2) as pods:
        pods.pods[0].stop()
        run(pods, client)


def test_a_body_that_comes_bit_by_bit_is_sent_once() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 1000

    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        async with session.put("http://web/", data=parts()) as reply:
            assert (await reply.json())["sha"] == sha_of(b"x" * 10_000)
        pods.pods[0].fault = "reset"
        with pytest.raises(aiohttp.ClientError):
            await session.put("http://web/", data=parts(), headers={"X-Id": "once"})
        assert pods.arrived("once") == 1
        assert not web.in_flight

    with serving(1) as pods:
        run(pods, client)


def test_a_body_that_fails_while_it_is_sent_is_the_callers_own_error() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        with pytest.raises(aiohttp.ClientError) as raised:
            await session.put("http://web/", data=parts())
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        assert web.stats.failures == 0
        assert not web.in_flight

    with serving(2) as pods:
        run(pods, client)


def test_a_request_that_is_cancelled_or_times_out_leaves_nothing_in_flight() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        async with session.get("http://web/"):
            pass
        pods.pods[0].fault = "late"
        for seconds in (0, 0.002, 0.05):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(seconds):
                    await session.get("http://web/")
            assert not web.in_flight
        assert web.stats.failures == 0
        timeout = aiohttp.ClientTimeout(sock_read=0.05)
        with pytest.raises(aiohttp.SocketTimeoutError):
            await session.post("http://web/", timeout=timeout, headers={"X-Id": "late"})
        assert web.stats.failures == 1
        pods.pods[0].fault = ""
        async with session.get("http://web/") as reply:
            assert reply.status == 200
        assert pods.arrived("late") == 1

    with serving(1) as pods:
        run(pods, client)


SOON_OVER = aiohttp.ClientTimeout(total=0.1)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pod_that_accepts_no_connection_until_all_time_is_over_failed(method: str) -> None:
    async def main(port: int) -> None:
        web = aio.Peers.static([f"127.0.0.1:{port}"])
        async with aiohttp.ClientSession(
            middlewares=[PeersMiddleware(web)], timeout=SOON_OVER
        ) as session:
            with pytest.raises(TimeoutError):
                await session.request(method, "http://web/")
        assert web.stats.failures == 1
        assert not web.in_flight

    with faults.full() as place:
        asyncio.run(main(place.port))


@pytest.mark.parametrize("fault", ["late", "slow-body"])
def test_a_pod_whose_reply_is_not_there_when_all_time_is_over_failed(fault: str) -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        pods.pods[0].fault = fault
        with pytest.raises(TimeoutError):
            async with session.post("http://web/", timeout=SOON_OVER) as reply:
                await reply.read()
        assert web.stats.failures == 1
        assert not web.in_flight

    with serving(1) as pods:
        run(pods, client)


@pytest.mark.parametrize("limit", ["connect", "total"])
def test_a_full_pool_says_nothing_of_the_pod(limit: str) -> None:
    async def main() -> None:
        web = pods.cluster.aio.peers("web", port="http")
        async with aiohttp.ClientSession(
            middlewares=[PeersMiddleware(web)], connector=aiohttp.TCPConnector(limit=1)
        ) as session:
            pods.pods[0].fault = "slow-body"
            held = await session.get("http://web/")
            with pytest.raises(TimeoutError):
                await session.get("http://web/", timeout=aiohttp.ClientTimeout(**{limit: 0.05}))
            held.close()
            pods.pods[0].fault = ""
            async with session.get("http://web/") as reply:
                assert reply.status == 200
            assert web.stats.failures == 0
            assert not web.in_flight
        await web.aclose()

    with serving(1) as pods:
        asyncio.run(main())


def test_an_error_of_a_status_names_the_service() -> None:
    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        pods.pods[0].status = 404
        with pytest.raises(aiohttp.ClientResponseError) as raised:
            await session.get("http://web/", raise_for_status=True)
        assert str(raised.value.request_info.real_url) == "http://web/"
        assert not web.in_flight

    with serving(1) as pods:
        run(pods, client)


def test_a_pod_may_have_an_ipv6_address_alone() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as bound:
            port = bound.getsockname()[1]
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")

    async def client(session: aiohttp.ClientSession, web: aio.Peers) -> None:
        async with session.get("http://web/") as reply:
            assert (await reply.json())["host"] == "web"

    pod = Pod("::1", port).start()
    with serving(0) as pods:
        pods.cluster = FakeCluster()
        web = pods.cluster.add_service("web", ports={"http": port}, families=("ipv6",))
        web.add_pod("::1", hostname="web-0")
        run(pods, client)
    pod.stop()


def test_a_websocket_goes_to_a_pod_and_is_in_flight_until_it_ends() -> None:
    async def echo(request: web_server.Request) -> web_server.WebSocketResponse:
        opened = web_server.WebSocketResponse()
        await opened.prepare(request)
        async for message in opened:
            await opened.send_str(f"{request.host} {message.data}")
        return opened

    async def main() -> None:
        app = web_server.Application()
        app.router.add_get("/ws", echo)
        runner = web_server.AppRunner(app)
        await runner.setup()
        site = web_server.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        listed = aio.Peers.static([f"127.0.0.1:{port}"])
        async with aiohttp.ClientSession(middlewares=[PeersMiddleware(listed)]) as session:
            async with session.ws_connect("ws://web/ws") as opened:
                await opened.send_str("hello")
                assert await opened.receive_str() == "web hello"
                assert sum(listed.in_flight.values()) == 1
            assert not listed.in_flight
            assert listed.stats.failures == 0
        await listed.aclose()
        await runner.cleanup()

    asyncio.run(main())
