"""What clients do besides a plain request: cookies, hooks, flows, limits, proxies, cancellation."""

import asyncio
import contextlib
import functools
import importlib
import socket
import ssl
import types
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import trio
import trustme

from headless_discovery.integrations.httpx2 import AsyncPeersTransport
from headless_discovery.testing import FakeCluster

from .callers import KINDS, Caller, streamed
from .servers import Pod, requests_of, serving

every_kind = pytest.mark.parametrize("kind", KINDS)


def transport_of(kind: str) -> Any:
    """The library's own transport."""
    library = importlib.import_module(kind.partition("-")[0])
    return library.AsyncHTTPTransport if kind.endswith("async") else library.HTTPTransport


def limits_of(kind: str, **limits: int) -> Any:
    return importlib.import_module(kind.partition("-")[0]).Limits(**limits)


@every_kind
def test_cookies_are_those_of_the_service_whichever_pod_set_them(kind: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        assert caller.get("/login").json()["cookie"] is None
        for _ in range(3):
            assert caller.get().json()["cookie"] == "session=1"
        assert caller.client.cookies["session"] == "1"


@every_kind
def test_a_base_url_may_have_a_path(kind: str) -> None:
    with serving(2) as pods, Caller(kind, pods) as caller:
        caller.client.base_url = "http://web/api/v1/"
        reply = caller.run(lambda: caller.client.get("state?a=1"))
        assert reply.json()["path"] == "/api/v1/state?a=1"
        assert str(reply.url) == "http://web/api/v1/state?a=1"


@every_kind
def test_a_port_in_the_url_stays_in_host_and_the_pods_is_taken(kind: str) -> None:
    with serving(1) as pods, Caller(kind, pods) as caller:
        assert caller.get(host="web:9").json()["host"] == "web:9"


@every_kind
def test_a_pod_may_have_an_ipv6_address_alone(kind: str) -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as bound:
            port = bound.getsockname()[1]
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    pod = Pod("::1", port).start()
    try:
        with serving(0) as pods:
            pods.cluster = FakeCluster()
            web = pods.cluster.add_service("web", ports={"http": port}, families=("ipv6",))
            web.add_pod("::1", hostname="web-0")
            with Caller(kind, pods, host="pod") as caller:
                assert caller.get().json()["host"].startswith("web-0.web.")
                assert caller.get(host="web-0.web").status_code == 200
    finally:
        pod.stop()


@every_kind
def test_hooks_see_the_request_of_the_caller_once(kind: str) -> None:
    seen: list[str] = []

    def see(each: Any) -> None:
        seen.append(str(each.url))

    async def see_async(each: Any) -> None:
        see(each)

    hook = see_async if kind.endswith("async") else see
    with serving(3) as pods, Caller(kind, pods) as caller:
        pods.pods[0].stop()
        pods.pods[1].stop()
        caller.client.event_hooks = {"request": [hook], "response": [hook]}
        assert caller.get("/state").status_code == 200
    assert seen == ["http://web/state"] * 2


@every_kind
def test_a_flow_of_authentication_asks_twice(kind: str) -> None:
    with serving(2) as pods, Caller(kind, pods) as caller:

        class Flow(caller.library.Auth):  # type: ignore[misc, name-defined] # of one of two libraries
            requires_response_body = True

            def auth_flow(self, request: Any) -> Any:
                reply = yield request
                assert reply.status_code == 401
                request.headers["Authorization"] = "Bearer x"
                yield request

        reply = caller.request("POST", "/private", content=b"x", auth=Flow())
        assert reply.json()["authorization"] == "Bearer x"
        assert requests_of(pods) == [1, 1]
        assert not caller.peers.in_flight
        assert caller.peers.stats.failures == 0


@every_kind
def test_a_pod_that_accepts_no_connection_is_passed_over_even_for_a_post(kind: str) -> None:
    with serving(2) as pods, contextlib.ExitStack() as stack:
        pods.pods[0].stop()
        full = stack.enter_context(
            socket.create_server((pods.pods[0].address, pods.port), backlog=0)
        )
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        caller = stack.enter_context(Caller(kind, pods))
        timeout = caller.library.Timeout(20, connect=0.2)
        for number in range(4):
            options = {"content": b"x", "headers": {"X-Id": f"{number}"}, "timeout": timeout}
            assert caller.request("POST", "/", **options).status_code == 200
            assert pods.arrived(f"{number}") == 1


@every_kind
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_that_the_pod_does_not_take_is_a_failure_of_it(kind: str, method: str) -> None:
    """A PUT of bytes goes to another pod, a POST to none."""
    with serving(1) as pods, contextlib.ExitStack() as stack:
        stuck = stack.enter_context(socket.create_server(("127.0.9.2", pods.port)))
        pods.service.add_pod("127.0.9.2", hostname="web-1")
        caller = stack.enter_context(Caller(kind, pods))
        timeout = caller.library.Timeout(20, write=0.5)
        found = []
        for _ in range(2):
            try:
                reply = caller.request(method, "/", content=b"x" * 2**24, timeout=timeout)
                found.append(reply.status_code)
            except caller.library.WriteTimeout:
                found.append(0)
        assert sorted(found) == ([0, 200] if method == "POST" else [200, 200])
        assert caller.peers.stats.failures == 1
        assert not caller.peers.in_flight
        assert stuck.fileno() > 0


@every_kind
def test_a_full_pool_says_nothing_of_the_pod(kind: str) -> None:
    limits = limits_of(kind, max_connections=1)
    with (
        serving(1) as pods,
        Caller(kind, pods, make=lambda: transport_of(kind)(limits=limits)) as caller,
    ):
        held = caller.open()
        timeout = caller.library.Timeout(20, pool=0.05)
        with pytest.raises(caller.library.PoolTimeout):
            caller.get(timeout=timeout)
        caller.close_reply(held)
        assert caller.get(timeout=timeout).status_code == 200
        assert caller.peers.stats.failures == 0
        assert not caller.peers.in_flight


class Connection:
    """One of a pool, as far as it is asked; closing it lets others run meanwhile."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.idle, self.closed = not broken, False
        self.meanwhile: list[Connection] = []

    def is_idle(self) -> bool:
        return self.idle

    def is_closed(self) -> bool:
        return self.broken or self.closed

    def is_available(self) -> bool:
        return self.idle

    def close(self) -> None:
        self.closed = True
        for other in self.meanwhile:
            other.idle = False

    async def aclose(self) -> None:
        self.close()


def pooled(kind: str, connections: list[Connection]) -> Any:
    """A transport with this pool, whose first request meets a connection that was closed."""
    library: Any = importlib.import_module(kind.partition("-")[0])
    failures = [library.RemoteProtocolError("the server disconnected")]

    def reply() -> Any:
        if failures:
            raise failures.pop()
        return library.Response(200)

    class Pooled(library.BaseTransport, library.AsyncBaseTransport):  # type: ignore[misc]  # by name
        _pool = types.SimpleNamespace(connections=connections)

        def handle_request(self, _: object) -> Any:
            return reply()

        async def handle_async_request(self, _: object) -> Any:
            return reply()

    return Pooled()


@every_kind
@pytest.mark.parametrize("taken", [1, 2, 3])
def test_a_connection_that_another_request_took_meanwhile_is_not_closed(
    kind: str, taken: int
) -> None:
    idle = [Connection() for _ in range(4)]
    idle[0].meanwhile = idle[-taken:]
    pool = [*idle, Connection(broken=True)]
    with serving(1) as pods, Caller(kind, pods, make=lambda: pooled(kind, pool)) as caller:
        assert caller.get().status_code == 200
    assert [each.closed for each in idle] == [True] * (4 - taken) + [False] * taken


@every_kind
def test_a_reply_may_stay_open_while_others_come_and_go(kind: str) -> None:
    with serving(1) as pods, Caller(kind, pods) as caller:
        pods.pods[0].fault = "slow-body"
        reply = caller.open()
        assert caller.get().status_code == 200
        assert sum(caller.peers.in_flight.values()) == 1
        caller.close_reply(reply)
        assert not caller.peers.in_flight


@every_kind
def test_a_body_that_fails_while_it_is_sent_is_the_callers_own_error(kind: str) -> None:
    def parts() -> Iterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    async def async_parts() -> Any:
        for part in parts():
            yield part

    with serving(2) as pods, Caller(kind, pods) as caller:
        for method in ("POST", "PUT"):
            body = async_parts() if kind.endswith("async") else parts()
            with pytest.raises(ZeroDivisionError):
                caller.request(method, "/", content=body)
        assert caller.peers.stats.failures == 0
        assert not caller.peers.in_flight
        assert caller.request("POST", "/", content=streamed(kind, [b"x"])).status_code == 200


@every_kind
@pytest.mark.parametrize("proxy", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_mount_for_the_service_comes_before_a_proxy_of_the_environment(
    kind: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    with serving(2) as pods, Caller(kind, pods) as caller:
        ours = caller.client._transport
        name = "AsyncClient" if kind.endswith("async") else "Client"
        mounts = {"all://web": ours, "all://*.web": ours}
        client = caller.run(lambda: mounted(getattr(caller.library, name), mounts))
        try:
            for host in ("web", "web-1.web"):
                get = functools.partial(client.get, f"http://{host}/")
                assert caller.run(get).status_code == 200
            with pytest.raises(caller.library.ConnectError):
                caller.run(lambda: client.get("http://elsewhere/"))  # by the proxy, which is none
        finally:
            caller.run(client.aclose if kind.endswith("async") else client.close)
        assert sum(requests_of(pods)) == 2


def mounted(client: Any, mounts: Any) -> Any:
    """A client, made in a task where it is for tasks."""
    made = client(mounts=mounts)
    if "Async" not in client.__name__:
        return made

    async def give() -> Any:
        return made

    return give()


@every_kind
@pytest.mark.parametrize("verify", [True, False])
def test_beside_a_transport_verify_is_ignored_and_certificates_are_checked(
    kind: str, verify: bool
) -> None:
    """httpx says nothing of it: which authorities are trusted goes into ``make``."""
    authority, served = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("web").configure_cert(served)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    make = transport_of(kind)
    with serving(2, served) as pods:
        for option in ({}, {"make": lambda: make(verify=trusted)}):
            with Caller(kind, pods, **option) as caller:
                name = "AsyncClient" if kind.endswith("async") else "Client"
                context: Any = trusted if verify else False
                client = getattr(caller.library, name)(
                    transport=caller.client._transport, verify=context
                )
                get = functools.partial(client.get, "https://web/")
                if option:
                    assert caller.run(get).status_code == 200
                else:
                    with pytest.raises(caller.library.ConnectError, match="CERTIFICATE_VERIFY"):
                        caller.run(get)
        assert sum(requests_of(pods)) == 1


@pytest.mark.parametrize("library", ["asyncio", "trio"])
@pytest.mark.parametrize("fault", ["late", "slow-body", ""])
def test_a_request_that_is_cancelled_leaves_nothing_behind(library: str, fault: str) -> None:
    async def work(sleep: Any, give_up: Any) -> None:
        web = pods.cluster.aio.peers("web", port="http")
        transport = AsyncPeersTransport(web)
        async with httpx2.AsyncClient(transport=transport, timeout=20) as client:
            await client.get("http://web/")
            pods.pods[0].fault = fault
            for seconds in (0, 0.002, 0.05):
                with contextlib.suppress(TimeoutError, trio.TooSlowError):
                    async with give_up(seconds):
                        await client.get("http://web/")
                        await sleep(1)
                assert not web.in_flight
                assert web.stats.failures == 0
            pods.pods[0].fault = ""
            assert (await client.get("http://web/")).status_code == 200
            assert not web.in_flight
        await web.aclose()

    @contextlib.asynccontextmanager
    async def fail_after(seconds: float) -> Any:
        with trio.fail_after(seconds):
            yield

    with serving(1) as pods:
        if library == "asyncio":
            asyncio.run(work(asyncio.sleep, asyncio.timeout))
        else:
            trio.run(work, trio.sleep, fail_after)
        assert not pods.pods[0].wait_for_no_connection()
