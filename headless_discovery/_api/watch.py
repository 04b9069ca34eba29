"""A thread that follows EndpointSlices, over httpx2. It decides nothing.

A read timeout would end the response, so the sockets are our own: they wait in
turns, and do what is due in between. To stop the thread its socket is shut down, since
nothing else wakes a blocked read.
"""

import contextlib
import select
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import httpcore2
import httpx2

from .._time.clock import Clock, DaemonThread, ThreadWaiters
from .protocol import Pauses, Watch

CONNECT = 5.0
"""Seconds for a connection, and as many for TLS."""
TIMEOUT = httpx2.Timeout(CONNECT)


class Access(Protocol):
    """Where the API server is, and what a request to it needs."""

    @property
    def server(self) -> str:
        """The URL; raises `ConfigurationError` if it is not known."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Of a request made now; raises `OSError` for a token that cannot be read."""
        ...

    def context(self) -> ssl.SSLContext:
        """Trusts the cluster's authority; raises `OSError` for a file that cannot be used."""
        ...

    def connected(self, local: str) -> None:
        """There is a connection to the server, from that address."""
        ...


class Watcher:
    """The thread, and what it holds."""

    def __init__(self, source: Access, watch: Watch, clock: Clock) -> None:
        self.watch = watch
        self.clock = clock
        self.stopped = False
        self.socket: socket.socket | None = None
        self.source = source
        self._received: deque[bytes] = deque()
        self._client: httpx2.Client | None = None
        self._waiters = ThreadWaiters()
        self._thread = DaemonThread(self._run, "headless-discovery-api")

    def runs(self) -> bool:
        """Whether it does: a fork leaves it behind."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begins; raises `RuntimeError` if no thread can be had."""
        self._thread.start()

    def hurry(self) -> None:
        """Requests them now, even during backoff."""
        self.watch.hurry(self.clock.now())
        self._waiters.wake()

    def stop(self) -> None:
        """Wakes it up to end."""
        self.stopped = True
        self._waiters.wake()
        connected = self.socket
        if connected is not None:
            with contextlib.suppress(OSError):  # it is closed, or was never connected
                if isinstance(connected, ssl.SSLSocket):
                    # Its own `shutdown` also takes away what the thread may be about to use.
                    super(ssl.SSLSocket, connected).shutdown(socket.SHUT_RDWR)
                else:
                    connected.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Waits for its end."""
        self._thread.join()

    def look_after(self) -> float:
        """Does what is due; returns the seconds until more is due; at its end, 0."""
        self._take_in()
        now = self.clock.now()
        _all_of(self.watch.tick(now))
        return 0 if self.stopped else self.watch.seconds_left(now)

    def _take_in(self) -> None:
        # Here and not where it is received: every error or cancellation is then raised by
        # a read, and passes through all the generators in between.
        while self._received:
            _all_of(self.watch.received(self._received.popleft(), self.clock.now()))

    def _run(self) -> None:
        try:
            while not self.stopped:
                path = self.watch.next(self.clock.now())
                if path is None:
                    self._pause()
                    continue
                try:
                    self._ask(path)
                except Exception as error:  # what goes wrong must not end the background
                    self._disconnect()
                    self.watch.broke(error, self.clock.now())
        finally:
            self._disconnect()

    def _pause(self) -> None:
        _all_of(self.watch.tick(self.clock.now()))
        until = self.watch.wake_at
        self.clock.wait_for(
            self._waiters, lambda: self.stopped or self.watch.wake_at < until, until
        )

    def _ask(self, path: str) -> None:
        watch, now = self.watch, self.clock.now
        self._received.clear()
        error: str | None = None
        try:
            with self._connected().stream(
                "GET", self.source.server + path, headers=dict(self.source.headers())
            ) as response:
                watch.answered(response.status_code, response.headers, now())
                for data in response.iter_raw():
                    self._received.append(data)
        except (httpx2.HTTPError, OSError) as failed:
            error = said(failed)
        if error is not None:
            self._disconnect()
        self._take_in()
        if not self.stopped:
            _all_of(watch.ended(error, now()))

    def _connected(self) -> httpx2.Client:
        if self._client is None:
            context = self.source.context()
            transport = httpx2.HTTPTransport(verify=context, trust_env=False)
            transport.close()
            # Where httpx2 keeps its connections; it hands no sockets of our own on to them.
            transport._pool = httpcore2.ConnectionPool(
                ssl_context=context, network_backend=_Network(self)
            )
            self._client = httpx2.Client(transport=transport, timeout=TIMEOUT, trust_env=False)
        return self._client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        self.socket = None
        if client is not None:
            client.close()


def _all_of(pauses: Pauses) -> None:
    for _ in pauses:
        pass


def said(error: Exception) -> str:
    """What went wrong, for people, in a few words: the system's own, if it said any."""
    if isinstance(error, httpx2.ConnectTimeout):
        return "the connection timed out"  # its causes are of the event loop: a cancellation
    words = ""
    cause: BaseException | None = error
    while cause is not None:
        text = "".join(filter(str.isprintable, str(cause)))[:160]
        if isinstance(cause, OSError) and cause.errno is not None:
            return text
        words = words or text
        group = cause.exceptions[:1] if isinstance(cause, BaseExceptionGroup) else ()
        cause = group[0] if group else cause.__cause__ or cause.__context__
    return words or type(error).__name__


class _Network(httpcore2.NetworkBackend):
    """Makes connections that their watcher can wake."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore2 has it
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - httpcore2 has it
    ) -> httpcore2.NetworkStream:
        self._watcher.watch.connects()
        failed: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            connected = socket.socket(family, kind, protocol)
            self._watcher.socket = connected
            connected.settimeout(timeout)
            try:
                if self._watcher.stopped:
                    raise OSError("stopped")  # noqa: TRY301 - closed as after any other failure
                connected.connect(address)
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._watcher.source.connected(connected.getsockname()[0])
            except OSError as error:
                connected.close()
                failed = error
            else:
                return _WatchedStream(self._watcher, connected)
        raise httpcore2.ConnectError(f"no connection to {host}:{port}: {failed}") from failed


class _WatchedStream(httpcore2.NetworkStream):
    """Waits in turns."""

    def __init__(self, watcher: Watcher, connected: socket.socket) -> None:
        self._watcher = watcher
        self._socket = connected

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the watch knows better
        while seconds := self._watcher.look_after():
            self._socket.settimeout(seconds)
            try:
                return self._socket.recv(max_bytes)
            except TimeoutError:
                continue
            except OSError as error:
                raise httpcore2.ReadError(said(error)) from error
        raise httpcore2.ReadTimeout("nothing came")

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(buffer)
        except OSError as error:
            raise httpcore2.WriteError(said(error)) from error

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            wrapped = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._watcher.socket = self._socket = wrapped
            wrapped.settimeout(timeout)
            if self._watcher.stopped:  # `stop` may have seen the socket that this one is made of
                raise OSError("stopped")  # noqa: TRY301 - closed as after any other failure
            wrapped.do_handshake()
        except OSError as error:
            self._socket.close()
            raise httpcore2.ConnectError(said(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # of an idle one: then the server has closed it
            if not hasattr(select, "poll"):  # eventlet takes it away: then it is not used again
                return True
            waiting = select.poll()
            waiting.register(self._socket, select.POLLIN)
            return bool(waiting.poll(0))
        return self._socket if info == "socket" else None
