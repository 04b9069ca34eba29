"""Real faults on loopback, and clients that meet them: each posts, and reads the whole reply."""

import asyncio
import atexit
import contextlib
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import grpc
import grpc.aio
import httpx
import httpx2
import redis
import redis.asyncio
import requests
import trio
import trustme
import urllib3

SHORT = 0.15
"""Seconds, where a time-out is the fault."""


AUTHORITY = trustme.CA()
TRUST = ssl.create_default_context()
"""Made once: it takes its time."""
AUTHORITY.configure_trust(TRUST)
TRUST_FILE = str(Path(tempfile.mkdtemp()) / "authority.pem")
"""For those that take a file alone."""
AUTHORITY.cert_pem.write_to_path(TRUST_FILE)
atexit.register(shutil.rmtree, Path(TRUST_FILE).parent)


NO_RETRY: Any = None
"""redis-py takes it for none at all."""


class Place(NamedTuple):
    """Where a client is to go."""

    host: str
    port: int
    tls: bool = False
    timeout: float = 10
    """Seconds: for connecting and reading."""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/"


# The servers.


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_request(connection: socket.socket) -> bytes:
    """Headers and body, or whatever comes of another protocol."""
    data = connection.recv(65536)
    while b"\r\n\r\n" not in data or not data.endswith(b"body"):
        if not data.startswith(b"POST") or not (more := connection.recv(65536)):
            break
        data += more
    return data


PART = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it"


def status(line: str) -> Callable[[socket.socket], None]:
    reply = f"HTTP/1.1 {line}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".encode()

    def answer(connection: socket.socket) -> None:
        connection.sendall(reply)
        connection.close()

    return answer


def half(then: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(PART)
        _turn.wait(0.03)  # so that the half is read before the end comes
        then(connection)

    return answer


def silence(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.settimeout(5)
        connection.recv(1)  # until the client gives up
    connection.close()


_turn = threading.Event()
AFTER_THE_REQUEST: dict[str, Callable[[socket.socket], None]] = {
    "read time-out": silence,
    "reset before the reply": reset,
    "end before the reply": socket.socket.close,
    "reset in the reply": half(reset),
    "end in the reply": half(socket.socket.close),
    "404": status("404 Not Found"),
    "503": status("503 Service Unavailable"),
}


class Serving:
    """Reads each request, counts it, and answers with a fault."""

    def __init__(self, host: str, answer: Callable[[socket.socket], None]) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._listening = socket.create_server((host, 0))
        self.place = Place(*self._listening.getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data = read_request(connection)
            if data:
                self.requests.append(data)
            self._answer(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextlib.contextmanager
def refused() -> Iterator[Place]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        yield Place(*bound.getsockname())


@contextlib.contextmanager
def full() -> Iterator[Place]:
    """A listener whose queue is full: what connects to it is not answered."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        host, port = listening.getsockname()
        place = Place(host, port, timeout=SHORT)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(place[:2])
        yield place


@contextlib.contextmanager
def bad_certificate() -> Iterator[Place]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)  # nobody trusts that CA

    def shake(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
            pass

    yield from _raw(shake)


@contextlib.contextmanager
def certificate_wanted() -> Iterator[Place]:
    """With TLS 1.3 the server refuses a client without one when the request was sent already."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)

    def shake(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)

    yield from _raw(shake)


def _raw(answer: Callable[[socket.socket], None]) -> Iterator[Place]:
    """A server that is handed each connection before anything was read."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    answer(listening.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        host, port = listening.getsockname()
        yield Place(host, port, tls=True)
        listening.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def handshake_reset() -> Iterator[Place]:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        reset(connection)

    yield from _raw(answer)


@contextlib.contextmanager
def handshake_timeout() -> Iterator[Place]:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        silence(connection)

    with contextlib.contextmanager(_raw)(answer) as place:
        yield place._replace(timeout=SHORT)


@contextlib.contextmanager
def handshake_garbage() -> Iterator[Place]:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"this is no TLS\r\n" * 10)
        connection.close()

    yield from _raw(answer)


@contextlib.contextmanager
def unknown_host() -> Iterator[Place]:
    yield Place("no-such-host.invalid", 80)  # the test lets getaddrinfo say so at once


def serving(fault: str) -> Callable[[], contextlib.AbstractContextManager[Place]]:
    answer = AFTER_THE_REQUEST[fault]

    @contextlib.contextmanager
    def make() -> Iterator[Place]:
        with contextlib.closing(Serving("127.0.0.1", answer)) as server:
            yield server.place._replace(timeout=SHORT) if answer is silence else server.place

    return make


FAULTS: dict[str, Callable[[], contextlib.AbstractContextManager[Place]]] = {
    "refused": refused,
    "connect time-out": full,
    "unknown host": unknown_host,
    "bad certificate": bad_certificate,
    "client certificate wanted": certificate_wanted,
    "handshake reset": handshake_reset,
    "handshake time-out": handshake_timeout,
    "handshake garbage": handshake_garbage,
    **{fault: serving(fault) for fault in AFTER_THE_REQUEST},
}

# The clients.


def by_urllib(place: Place) -> object:
    request = urllib.request.Request(place.url, data=b"body")
    with urllib.request.urlopen(request, timeout=place.timeout, context=TRUST) as reply:
        return reply.read()


def by_http_client(place: Place) -> object:
    made = (
        HTTPSConnection(place.host, place.port, timeout=place.timeout, context=TRUST)
        if place.tls
        else HTTPConnection(place.host, place.port, timeout=place.timeout)
    )
    with contextlib.closing(made) as connection:
        connection.request("POST", "/", b"body")
        return connection.getresponse().read()


def by_requests(place: Place) -> object:
    with requests.post(place.url, data=b"body", timeout=place.timeout, verify=TRUST_FILE) as reply:
        reply.raise_for_status()
        return reply.content


def by_urllib3(place: Place) -> object:
    with urllib3.PoolManager(ssl_context=TRUST) as pool:
        reply = pool.request("POST", place.url, body=b"body", timeout=place.timeout, retries=False)
        return reply.data


def by_httpx(place: Place) -> object:
    with httpx.Client(timeout=place.timeout, verify=TRUST) as client:
        return client.post(place.url, content=b"body").raise_for_status().content


def by_httpx2(place: Place) -> object:
    with httpx2.Client(timeout=place.timeout, verify=TRUST) as client:
        return client.post(place.url, content=b"body").raise_for_status().content


def by_socket(place: Place) -> object:
    with contextlib.ExitStack() as stack:
        connection: socket.socket = stack.enter_context(
            socket.create_connection((place.host, place.port), place.timeout)
        )
        if place.tls:
            connection = stack.enter_context(
                TRUST.wrap_socket(connection, server_hostname=place.host)
            )
        connection.sendall(b"POST / HTTP/1.1\r\n\r\nbody")
        while data := connection.recv(65536):
            pass
        return data


def by_redis(place: Place) -> object:
    with redis.Redis(
        host=place.host,
        port=place.port,
        socket_timeout=place.timeout,
        socket_connect_timeout=place.timeout,
        retry=NO_RETRY,
    ) as client:
        return client.ping()


def by_grpc(place: Place) -> object:
    with grpc.insecure_channel(f"{place.host}:{place.port}") as channel:
        call: Any = channel.unary_unary("/demo.State/Post")
        return call(b"body", timeout=2 * place.timeout)


async def by_httpx_async(place: Place) -> object:
    async with httpx.AsyncClient(timeout=place.timeout, verify=TRUST) as client:
        return (await client.post(place.url, content=b"body")).raise_for_status().content


async def by_httpx2_async(place: Place) -> object:
    async with httpx2.AsyncClient(timeout=place.timeout, verify=TRUST) as client:
        return (await client.post(place.url, content=b"body")).raise_for_status().content


async def by_aiohttp(place: Place) -> object:
    timeout = aiohttp.ClientTimeout(sock_connect=place.timeout, sock_read=place.timeout)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.post(place.url, data=b"body", ssl=TRUST) as reply,
    ):
        return await reply.read()


async def by_asyncio(place: Place) -> object:
    async with asyncio.timeout(place.timeout):
        reader, writer = await asyncio.open_connection(
            place.host, place.port, ssl=TRUST if place.tls else None
        )
        try:
            writer.write(b"POST / HTTP/1.1\r\n\r\nbody")
            return await reader.read()
        finally:
            writer.close()


async def by_redis_async(place: Place) -> object:
    client = redis.asyncio.Redis(
        host=place.host,
        port=place.port,
        socket_timeout=place.timeout,
        socket_connect_timeout=place.timeout,
        retry=NO_RETRY,
    )
    try:
        return await client.ping()
    finally:
        await client.aclose()


async def by_grpc_async(place: Place) -> object:
    async with grpc.aio.insecure_channel(f"{place.host}:{place.port}") as channel:
        call: Any = channel.unary_unary("/demo.State/Post")
        return await call(b"body", timeout=2 * place.timeout)


async def by_trio(place: Place) -> object:
    with trio.fail_after(place.timeout):
        stream: Any
        if place.tls:
            stream = await trio.open_ssl_over_tcp_stream(place.host, place.port, ssl_context=TRUST)
        else:
            stream = await trio.open_tcp_stream(place.host, place.port)
        async with stream:
            await stream.send_all(b"POST / HTTP/1.1\r\n\r\nbody")
            return [data async for data in stream]


SYNC: dict[str, Callable[[Place], object]] = {
    "urllib": by_urllib,
    "http.client": by_http_client,
    "requests": by_requests,
    "urllib3": by_urllib3,
    "httpx": by_httpx,
    "httpx2": by_httpx2,
    "socket": by_socket,
    "redis": by_redis,
    "grpc": by_grpc,
}
ASYNC: dict[str, Callable[[Place], Any]] = {
    "httpx async": by_httpx_async,
    "httpx2 async": by_httpx2_async,
    "aiohttp": by_aiohttp,
    "asyncio": by_asyncio,
    "redis async": by_redis_async,
    "grpc async": by_grpc_async,
}
ON_TRIO: dict[str, Callable[[Place], Any]] = {
    "trio": by_trio,
    "httpx on trio": by_httpx_async,
    "httpx2 on trio": by_httpx2_async,
}


def call(client: str, place: Place) -> object:
    """Posts by that client; returns what it returns, raises what it raises."""
    if client in SYNC:
        return SYNC[client](place)
    if client in ASYNC:
        return asyncio.run(ASYNC[client](place))
    return trio.run(ON_TRIO[client], place)


CLIENTS = [*SYNC, *ASYNC, *ON_TRIO]
