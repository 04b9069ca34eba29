"""The transports for httpx2 and httpx, sync and async, with real servers."""

import asyncio
import gc
import importlib
import io
import pathlib
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trustme
from httpx2 import Client

from headless_discovery import ConfigurationError, DiscoveryError, LookupFailed, Peers, aio
from headless_discovery.integrations import httpx, httpx2
from headless_discovery.integrations.aiohttp import PeersMiddleware

from .callers import KINDS, Caller, streamed
from .servers import requests_of, serving, sha_of

pytestmark = pytest.mark.slow

every_kind = pytest.mark.parametrize("kind", KINDS)


def test_both_libraries_have_the_same_integration() -> None:
    texts = [pathlib.Path(str(module.__file__)).read_text() for module in (httpx2, httpx)]
    assert texts[0].replace("httpx2", "httpx").replace("httpcore2", "httpcore") == texts[1]


@every_kind
def test_requests_for_the_service_go_to_its_pods_in_turn(kind: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        for _ in range(9):
            reply = caller.get("/state")
            assert reply.json()["host"] == "web"
            assert reply.url.host == "web"
        assert requests_of(pods) == [3, 3, 3]
        assert [pod.connections for pod in pods.pods] == [1, 1, 1]


@every_kind
@pytest.mark.parametrize(
    "host", ["WEB", "web.default", "web.default.svc", "web.default.svc.cluster.local."]
)
def test_any_spelling_of_the_service_is_meant(kind: str, host: str) -> None:
    with serving(2) as pods, Caller(kind, pods) as caller:
        assert caller.get(host=host).status_code == 200
        assert sum(requests_of(pods)) == 1


@every_kind
def test_a_pods_name_means_that_pod_and_other_hosts_are_not_touched(kind: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        for host in ("web-1.web", "web-1.web.default.svc.cluster.local"):
            assert caller.get(host=host).status_code == 200
        assert caller.get(host=f"127.0.9.1:{pods.port}").status_code == 200
        with pytest.raises(caller.library.ConnectError):
            caller.get(host="web-9.web")  # no such pod: DNS is asked as for any other host
        assert requests_of(pods) == [1, 2, 0]


@every_kind
def test_requests_with_one_key_go_to_one_pod(kind: str) -> None:
    with (
        serving(3) as pods,
        Caller(kind, pods, key=lambda request: request.headers.get("X-Session")) as caller,
    ):
        for _ in range(6):
            caller.get(headers={"X-Session": "kim"})
        assert sorted(requests_of(pods)) == [0, 0, 6]


@every_kind
def test_a_pod_that_refuses_is_passed_over_even_for_a_post(kind: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        pods.pods[0].stop()
        for number in range(12):
            reply = caller.request("POST", "/", content=b"x", headers={"X-Id": str(number)})
            assert reply.status_code == 200
        assert all(pods.arrived(str(number)) == 1 for number in range(12))
        assert [peer.address for peer in caller.peers.ejected] == [pods.pods[0].address]


@every_kind
@pytest.mark.parametrize("fault", ["reset", "late", "cut"])
def test_a_post_that_may_have_been_received_is_sent_once(kind: str, fault: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        for pod in pods.pods:
            pod.fault = fault
        with pytest.raises(caller.library.TransportError):
            caller.request("POST", "/", content=b"x", headers={"X-Id": "1"}, timeout=0.2)
        assert pods.arrived("1") == 1


@every_kind
def test_an_idempotent_request_goes_on_to_another_pod(kind: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        pods.pods[0].fault = pods.pods[1].fault = "reset"
        assert caller.get().json()["pod"] == pods.pods[2].address
        reply = caller.request("POST", "/", content=b"x", headers={"Idempotency-Key": "1"})
        assert reply.json()["pod"] == pods.pods[2].address


@every_kind
def test_a_reply_that_began_is_not_asked_for_again(kind: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        for pod in pods.pods:
            pod.fault = "cut"
        with pytest.raises(caller.library.RemoteProtocolError):
            caller.get(headers={"X-Id": "1"})
        assert pods.arrived("1") == 1
        assert caller.peers.stats.failures == 1


@every_kind
def test_a_body_arrives_whole_after_a_pod_refused_or_it_is_not_sent_again(kind: str) -> None:
    whole = b"abc" * 1000 + b"def"
    with serving(2) as pods, Caller(kind, pods) as caller:
        pods.pods[0].stop()
        for _ in range(3):  # the connection fails before the body is begun
            for body in (whole, streamed(kind, [b"abc" * 1000, b"def"])):
                reply = caller.request("POST", "/", content=body)
                assert reply.json()["sha"] == sha_of(whole)
        pods.pods[0].start()
        caller.peers.report(next(iter(caller.peers.snapshot.endpoints)))
        pods.pods[0].fault = "reset"
        for _ in range(4):  # it fails after the body was sent: bytes go on, a stream does not
            reply = caller.request("PUT", "/", content=whole)
            assert reply.json()["sha"] == sha_of(whole)
        pods.pods[1].fault = "reset"
        with pytest.raises(caller.library.TransportError):
            caller.request(
                "PUT", "/", content=streamed(kind, [b"abc"]), headers={"X-Id": "streamed"}
            )
        assert pods.arrived("streamed") == 1


@pytest.mark.parametrize("kind", ["httpx2", "httpx"])
def test_a_file_that_was_sent_is_never_sent_again_from_where_it_ended(kind: str) -> None:
    with serving(2) as pods, Caller(kind, pods) as caller:
        pods.pods[0].stop()
        for _ in range(4):
            reply = caller.request("PUT", "/", content=io.BytesIO(b"abc" * 1000))
            assert reply.json()["sha"] == sha_of(b"abc" * 1000)
        pods.pods[1].fault = "reset"
        with pytest.raises(caller.library.TransportError):
            caller.request("PUT", "/", content=io.BytesIO(b"abc"), headers={"X-Id": "file"})
        assert pods.arrived("file") <= 1


@every_kind
def test_a_reply_is_in_flight_until_it_is_closed_or_forgotten(kind: str) -> None:
    with serving(1) as pods, Caller(kind, pods) as caller:
        pods.pods[0].fault = "slow-body"
        reply = caller.open()
        assert sum(caller.peers.in_flight.values()) == 1
        caller.close_reply(reply)
        assert not caller.peers.in_flight
        reply = caller.open()
        assert sum(caller.peers.in_flight.values()) == 1
        del reply
        gc.collect()
        assert not caller.peers.in_flight


@every_kind
@pytest.mark.parametrize("is_begun", [False, True])
def test_the_connection_of_a_reply_that_was_dropped_is_closed_by_the_next_request(
    kind: str, is_begun: bool
) -> None:
    library = importlib.import_module(kind.partition("-")[0])
    make = library.AsyncHTTPTransport if kind.endswith("async") else library.HTTPTransport
    one = library.Limits(max_connections=1)
    with serving(1) as pods, Caller(kind, pods, make=lambda: make(limits=one)) as caller:
        pods.pods[0].fault = "slow-body"
        reply = caller.open()
        if is_begun:
            caller.read_some(reply)
        del reply
        gc.collect()
        pods.pods[0].fault = ""
        assert caller.get().status_code == 200  # it would wait for the only connection
        gc.collect()
        caller.get()  # the event loop ends what was dropped half-way
        assert not caller.peers.in_flight


@every_kind
def test_that_closing_a_dropped_reply_fails_is_logged_and_hurts_no_other_request(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    library = importlib.import_module(kind.partition("-")[0])

    class Broken(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc, name-defined]  # found by name
        def close(self) -> None:
            raise OSError("broken")

        async def aclose(self) -> None:
            raise OSError("broken")

    replies = [library.Response(200, stream=Broken()), library.Response(204)]
    mock = library.MockTransport(lambda _request: replies.pop(0))
    with serving(1) as pods, Caller(kind, pods, make=lambda: mock) as caller:
        caller.open()
        gc.collect()
        assert caller.get().status_code == 204
    assert "closing a dropped reply failed" in caplog.text


@every_kind
def test_an_interrupt_while_a_dropped_reply_is_closed_leaves_nothing_in_flight(kind: str) -> None:
    library = importlib.import_module(kind.partition("-")[0])

    class Interrupted(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc, name-defined]  # found by name
        def close(self) -> None:
            raise asyncio.CancelledError

        async def aclose(self) -> None:
            raise asyncio.CancelledError

    mock = library.MockTransport(lambda _request: library.Response(200, stream=Interrupted()))
    with serving(1) as pods, Caller(kind, pods, make=lambda: mock) as caller:
        caller.open()
        gc.collect()
        with pytest.raises(asyncio.CancelledError) as caught:
            caller.get()
        assert caught.value.__traceback__ is not None  # which holds what was in use
        assert not caller.peers.in_flight


@every_kind
def test_a_transport_that_cannot_be_made_leaves_nothing_in_flight(kind: str) -> None:
    def make() -> Any:
        raise ValueError("no certificate")

    with serving(1) as pods, Caller(kind, pods, make=make) as caller:
        with pytest.raises(ValueError, match="no certificate") as caught:
            caller.get()
        assert caught.value.__traceback__ is not None  # which holds what was in use
        assert not caller.peers.in_flight


@every_kind
@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_reply_that_has_come_whole_is_in_flight_no_more(kind: str, status: int) -> None:
    """A mock or a cache gives it, and nobody closes it."""

    def answer(_request: Any) -> Any:
        return caller.library.Response(status, text="whole")

    def make() -> Any:
        return caller.library.MockTransport(answer)

    with serving(1) as pods, Caller(kind, pods, make=make) as caller:
        reply = caller.get()
        assert (reply.status_code, reply.text) == (status, "whole")
        assert not caller.peers.in_flight
        assert caller.peers.stats.failures == (status == 503)


@every_kind
@pytest.mark.parametrize(
    ("ends", "says"),
    [
        (asyncio.CancelledError, "nothing"),
        (BaseException, "nothing"),
        (GeneratorExit, "it is well"),
    ],
)
def test_an_interrupted_reply_says_nothing_of_its_pod_and_one_left_early_that_it_is_well(
    kind: str, ends: type[BaseException], says: str
) -> None:
    def parts() -> Iterator[bytes]:
        yield b"the first part"
        raise ends

    def make() -> Any:
        library = caller.library

        class Body(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc,name-defined]  # whichever library it is
            def __iter__(self) -> Iterator[bytes]:
                return parts()

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for part in parts():
                    yield part

        return library.MockTransport(lambda _request: library.Response(200, stream=Body()))

    with serving(2) as pods, Caller(kind, pods, make=make) as caller:
        caller.run(caller.peers.refresh)
        failing = caller.peers.snapshot.endpoints[0]
        for _ in range(2):
            caller.peers.report(failing, TimeoutError())
        with pytest.raises(ends):
            caller.get(host=f"{failing.hostname}.web")
        assert not caller.peers.in_flight
        caller.peers.report(failing, TimeoutError())
        assert list(caller.peers.ejected) == ([failing] if says == "nothing" else [])


@every_kind
def test_a_pod_that_answers_503_is_ejected(kind: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        pods.pods[0].status = 503
        for _ in range(9):
            caller.get()
        assert [peer.address for peer in caller.peers.ejected] == [pods.pods[0].address]


@every_kind
def test_an_idle_connection_that_was_closed_says_nothing_of_the_pod(kind: str) -> None:
    with serving(2) as pods, Caller(kind, pods) as caller:
        for _ in range(6):
            assert caller.get().status_code == 200
            for pod in pods.pods:
                pod.close_connections()
        assert caller.peers.stats.failures == 0
        assert not caller.peers.ejected


@every_kind
def test_a_request_that_the_closing_of_the_client_ends_is_not_sent_again(kind: str) -> None:
    sent: list[str] = []

    def make() -> Any:
        library = caller.library

        class Threads(library.HTTPTransport):  # type: ignore[misc,name-defined]  # found by name
            def handle_request(self, request: Any) -> Any:
                sent.append(request.url.path)
                if request.url.path == "/close":
                    caller.client.close()
                    raise library.ReadError("closed")
                return super().handle_request(request)

        class Tasks(library.AsyncHTTPTransport):  # type: ignore[misc,name-defined]  # found by name
            async def handle_async_request(self, request: Any) -> Any:
                sent.append(request.url.path)
                if request.url.path == "/close":
                    await caller.client.aclose()
                    raise library.ReadError("closed")
                return await super().handle_async_request(request)

        return Tasks() if kind.endswith("async") else Threads()

    with serving(1) as pods, Caller(kind, pods, make=make) as caller:
        caller.get()
        with pytest.raises(caller.library.ConnectError, match="were closed"):
            caller.get("/close")
        assert sent == ["/", "/close"]
        assert not caller.peers.in_flight


@every_kind
def test_after_a_get_met_a_connection_that_was_closed_it_goes_once_more_over_a_new_one(
    kind: str,
) -> None:
    with serving(1) as pods, Caller(kind, pods) as caller:
        for reply in [caller.open(), caller.open()]:  # two connections, idle from then on
            caller.read_reply(reply)
        pods.pods[0].fault = "reset-once"
        assert caller.get(headers={"X-Id": "1"}).status_code == 200
        assert pods.arrived("1") == 2
        assert pods.pods[0].connections == 3, "the other idle one is as old, and not tried"
        assert caller.peers.stats.failures == 0


@every_kind
def test_a_post_on_a_connection_that_was_closed_fails_and_is_not_held_against_the_pod(
    kind: str,
) -> None:
    with serving(1) as pods, Caller(kind, pods) as caller:
        caller.get()
        pods.pods[0].fault = "reset"
        with pytest.raises(caller.library.TransportError):
            caller.request("POST", "/", content=b"x", headers={"X-Id": "1"})
        assert pods.arrived("1") == 1
        assert caller.peers.stats.failures == 0
        with pytest.raises(caller.library.TransportError):
            caller.request("POST", "/", content=b"x")  # on a new connection, it is
        assert caller.peers.stats.failures == 1


@every_kind
def test_redirects_keep_the_authorization(kind: str) -> None:
    with serving(2) as pods, Caller(kind, pods) as caller:
        reply = caller.get("/moved", headers={"Authorization": "Bearer x"})
        assert reply.json()["authorization"] == "Bearer x"
        assert reply.url.path == "/state"


@every_kind
def test_host_can_be_that_of_the_pod(kind: str) -> None:
    with serving(1) as pods, Caller(kind, pods, host="pod") as caller:
        name = "web-0.web.default.svc.cluster.local"
        assert caller.get().json()["host"] == f"{name}:{pods.port}"


@every_kind
@pytest.mark.parametrize("tls_name", ["url", "pod"])
def test_the_certificate_is_that_of_the_urls_host_or_of_the_pod(kind: str, tls_name: str) -> None:
    authority = trustme.CA()
    named = "web" if tls_name == "url" else "web-0.web.default.svc.cluster.local"
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(named).configure_cert(served)
    authority.configure_trust(trusted)
    with serving(1, served) as pods:
        library = importlib.import_module(kind.partition("-")[0])
        make = library.AsyncHTTPTransport if kind.endswith("async") else library.HTTPTransport
        with Caller(kind, pods, make=lambda: make(verify=trusted), tls_name=tls_name) as caller:
            reply = caller.run(lambda: caller.client.get("https://web/"))
            assert reply.status_code == 200
            assert pods.pods[0].names == [named]


@every_kind
def test_errors_of_discovery_are_the_librarys_with_ours_as_their_cause(kind: str) -> None:
    with serving(1) as pods:
        pods.cluster.fail("servfail")
        with Caller(kind, pods) as caller:
            with pytest.raises(caller.library.ConnectError) as raised:
                caller.get()
            assert isinstance(raised.value, caller.integration.NoPeer)
            assert isinstance(raised.value.__cause__, LookupFailed)
            assert not isinstance(raised.value, DiscoveryError)


@every_kind
def test_the_connections_to_a_pod_are_closed_after_it_left(kind: str) -> None:
    with serving(3) as pods, Caller(kind, pods) as caller:
        for _ in range(3):
            caller.get()
        pods.leave(0)
        for _ in range(4):
            pods.cluster.clock.advance(20)
            caller.get()
        assert not pods.pods[0].wait_for_no_connection()
        assert len(caller.client._transport._transports) == 2


@every_kind
def test_an_argument_that_makes_no_sense_is_refused(kind: str) -> None:
    with serving(0) as pods, pytest.raises(ConfigurationError, match="tls_name must be 'url'"):
        Caller(kind, pods, tls_name="service")


@pytest.mark.parametrize(
    ("make", "given", "wanted"),
    [
        (httpx.PeersTransport, aio.Peers, "peers"),
        (httpx2.PeersTransport, aio.Peers, "peers"),
        (httpx.AsyncPeersTransport, Peers, "aio.peers"),
        (httpx2.AsyncPeersTransport, Peers, "aio.peers"),
        (PeersMiddleware, Peers, "aio.peers"),
    ],
)
def test_peers_for_threads_are_not_taken_for_those_of_tasks(
    make: Any, given: Any, wanted: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"what headless_discovery.{wanted} returns"):
        make(given.static(["10.0.0.1:80"]))


def test_a_fixed_list_takes_every_host() -> None:
    with serving(2) as pods:
        listed = Peers.static([f"{pod.address}:{pod.port}" for pod in pods.pods])
        with Client(transport=httpx2.PeersTransport(listed)) as client:
            for _ in range(4):
                assert client.get("http://anything/").status_code == 200
        assert requests_of(pods) == [2, 2]


@every_kind
def test_a_trace_of_the_callers_own_is_called_as_well(kind: str) -> None:
    events: list[str] = []

    def trace(event: str, _info: Any) -> None:
        events.append(event)

    async def trace_async(event: str, _info: Any) -> None:
        events.append(event)

    with serving(1) as pods, Caller(kind, pods) as caller:
        own = trace_async if kind.endswith("async") else trace
        caller.get(extensions={"trace": own})
    assert "connection.connect_tcp.started" in events


def test_requests_from_threads_leak_no_connection_while_pods_come_and_go() -> None:
    with serving(6) as pods, Caller("httpx2", pods) as caller:
        failures: list[Exception] = []

        def work() -> None:
            for _ in range(60):
                try:
                    caller.get()
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for number in range(4):
            pods.leave(0)
            for _ in range(3):
                pods.cluster.clock.advance(20)
                caller.peers.refresh()
            pods.service.add_pod(pods.pods[number].address, hostname=f"again-{number}")
        for thread in threads:
            thread.join()
        assert not failures
        assert not caller.peers.in_flight
        assert len(caller.client._transport._transports) <= 6
