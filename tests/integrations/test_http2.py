"""The transports over HTTP/2, with servers that say of a stream what became of it."""

import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, RequestReceived, StreamEnded

from headless_discovery.testing import FakeCluster

from .callers import KINDS, Caller

pytestmark = pytest.mark.slow

every_kind = pytest.mark.parametrize("kind", KINDS)


class Pod:
    """Speaks HTTP/2 without TLS; `arrived` counts requests by their ``X-Id``."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.arrived: Counter[str] = Counter()
        self.fault = ""
        """``refused``: no stream is taken. ``goaway``: the connection ends, below the stream.
        ``failed``: the stream ends with an error after it was received."""
        self.connections = 0
        self._listening = socket.create_server((address, port))
        self.address, self.port = self._listening.getsockname()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def end_connections(self) -> None:
        """As a server does that restarts."""
        for opened in self._open:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.end_connections()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                opened, _ = self._listening.accept()
                opened.settimeout(20)
                self.connections += 1
                self._open.append(opened)
                threading.Thread(target=self._serve, args=(opened,), daemon=True).start()

    def _serve(self, opened: socket.socket) -> None:
        state = H2Connection(H2Configuration(client_side=False))
        state.initiate_connection()
        with contextlib.suppress(OSError), opened:
            opened.sendall(state.data_to_send())
            is_over = False
            while data := opened.recv(65536):
                if is_over:  # what was on its way is not looked at, and the client closes
                    continue
                for event in state.receive_data(data):
                    self._answer(state, event)
                    is_over |= self.fault == "goaway" and isinstance(event, RequestReceived)
                opened.sendall(state.data_to_send())

    def _answer(self, state: H2Connection, event: Event) -> None:
        if isinstance(event, RequestReceived) and event.stream_id is not None:
            if self.fault == "refused":
                state.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            elif self.fault == "goaway":
                state.close_connection(ErrorCodes.NO_ERROR, last_stream_id=0)
            else:
                self.arrived[dict(event.headers or []).get(b"x-id", b"").decode()] += 1
        elif isinstance(event, StreamEnded) and event.stream_id is not None:
            if self.fault == "failed":
                state.reset_stream(event.stream_id, ErrorCodes.INTERNAL_ERROR)
            elif not self.fault:
                state.send_headers(event.stream_id, [(":status", "200")])
                said = json.dumps({"pod": self.address}).encode()
                state.send_data(event.stream_id, said, end_stream=True)


class Pods:
    """The pods of a Service."""

    def __init__(self, count: int) -> None:
        first = Pod("127.0.7.1")
        self.pods = [first, *(Pod(f"127.0.7.{n}", first.port) for n in range(2, count + 1))]
        self.cluster = FakeCluster()
        service = self.cluster.add_service("web", ports={"http": first.port})
        for pod in self.pods:
            service.add_pod(pod.address)

    def arrived(self, request_id: str) -> int:
        return sum(pod.arrived[request_id] for pod in self.pods)


@contextlib.contextmanager
def calling(kind: str, count: int) -> Iterator[tuple[Pods, Caller]]:
    pods = Pods(count)

    def make() -> Any:
        name = "AsyncHTTPTransport" if kind.endswith("async") else "HTTPTransport"
        return getattr(caller.library, name)(http1=False, http2=True, verify=False)

    try:
        with Caller(kind, pods, make=make) as caller:
            yield pods, caller
    finally:
        for pod in pods.pods:
            pod.stop()


@every_kind
def test_all_requests_to_a_pod_share_one_connection_also_those_at_the_same_time(kind: str) -> None:
    with calling(kind, 2) as (pods, caller):
        replies = [caller.open() for _ in range(6)]
        assert sum(caller.peers.in_flight.values()) == 6
        for reply in replies:
            assert reply.http_version == "HTTP/2"
            caller.read_reply(reply)
        assert not caller.peers.in_flight
        assert [pod.connections for pod in pods.pods] == [1, 1]
        assert [pod.arrived.total() for pod in pods.pods] == [3, 3]


@every_kind
@pytest.mark.parametrize("fault", ["refused", "goaway"])
def test_a_post_that_no_pod_processed_goes_on_to_the_next(kind: str, fault: str) -> None:
    with calling(kind, 2) as (pods, caller):
        pods.pods[0].fault = fault
        for number in range(4):
            reply = caller.request("POST", "/", content=b"x", headers={"X-Id": str(number)})
            assert reply.json()["pod"] == pods.pods[1].address
            assert pods.arrived(str(number)) == 1


@every_kind
def test_a_post_whose_stream_failed_is_sent_once_and_a_get_again(kind: str) -> None:
    with calling(kind, 2) as (pods, caller):
        pods.pods[0].fault = pods.pods[1].fault = "failed"
        with pytest.raises(caller.library.RemoteProtocolError):
            caller.request("POST", "/", content=b"x", headers={"X-Id": "post"})
        assert pods.arrived("post") == 1
        pods.pods[1].fault = ""
        for _ in range(2):
            assert caller.get().json()["pod"] == pods.pods[1].address


@every_kind
def test_a_connection_that_ended_while_it_was_idle_says_nothing_of_the_pod(kind: str) -> None:
    with calling(kind, 1) as (pods, caller):
        for number in range(3):
            assert caller.get(headers={"X-Id": str(number)}).status_code == 200
            pods.pods[0].end_connections()
        assert caller.peers.stats.failures == 0
        assert not caller.peers.ejected
