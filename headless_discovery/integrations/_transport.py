"""The transports for httpx and httpx2, which differ in the name of their library alone.

They send and wait; what they decide is in `_http`.
"""

import contextlib
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar, Generic, TypeVar

from .. import aio
from .._attempts import connection_failed, not_reached
from .._attempts.use import InUse
from .._endpoint import Endpoint
from .._errors import DiscoveryError, log
from .._peers import Peers
from .._selection import Key
from ._http import KEEPALIVE_EXPIRY, Addressing, Hosts, Named, error_of, may_be_repeated

P = TypeVar("P", Peers, aio.Peers)
Request = TypeVar("Request")
Response = TypeVar("Response")
Transport = TypeVar("Transport")


class SentRequest:
    """One request on its way: its body, and what may be done if it fails."""

    library: ClassVar[Any]
    """The module that has the classes of requests and bodies."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self._body: Any = request.stream  # a sync or an async one, as the client has it
        self._is_bytes = isinstance(self._body, self.library.ByteStream)
        self._body_begun = False
        self.may_be_repeated = may_be_repeated(request.method, request.headers)
        """Whether it may be received twice."""

    @property
    def rules(self) -> dict[str, Any]:
        """Which errors lead on to another pod, as `Peers.attempts` has it."""
        if self._is_bytes:
            return {"idempotent": self.may_be_repeated}
        return {"on": self._leads_on}

    def _leads_on(self, error: Exception) -> bool:
        return self.is_whole and (
            not_reached(error) or (self.may_be_repeated and connection_failed(error))
        )

    @property
    def is_whole(self) -> bool:
        """Whether all of the body would be sent: bytes always, anything else only once."""
        return self._is_bytes or not self._body_begun

    def to(self, endpoint: Endpoint, addressing: Addressing) -> Any:
        """The request as it goes to the pod."""
        request = object.__new__(self.library.Request)  # `Request` would parse all of it again
        request.__dict__.update(self.request.__dict__)
        url = request.url
        port = endpoint.port if endpoint.port is not None else url.port
        request.url = _at(url, endpoint.address, port)
        if addressing.host == "pod":
            request.headers = request.headers.copy()
            request.headers["Host"] = addressing.host_header(endpoint, port)
        if url.scheme != "http":
            name = addressing.server_name(endpoint, url.host)
            request.extensions = {"sni_hostname": name, **request.extensions}
        if not self._is_bytes:
            request.stream = self
        return request

    def __iter__(self) -> Iterator[bytes]:
        self._body_begun = True
        yield from self._body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._body_begun = True
        async for part in self._body:
            yield part


class ReplyBody:
    """A reply's body: the pod is in use until it is closed or dropped."""

    _open = False  # as long as an interrupt may end its making

    def __init__(self, response: Any, in_use: InUse, borrowed: Any, dropped: deque[Any]) -> None:
        self._stream: Any = response.stream
        self._in_use = in_use
        self._borrowed = borrowed
        self._dropped = dropped
        self._error: BaseException | None = error_of(response.status_code)
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except GeneratorExit:  # the caller reads no more of it
            raise
        except BaseException as error:
            self._error = error
            raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except GeneratorExit:
            raise
        except BaseException as error:
            self._error = error
            raise

    def close(self) -> None:
        """Called by the library."""
        try:
            self._stream.close()
        finally:
            self.end()

    async def aclose(self) -> None:
        """Called by the library."""
        try:
            await self._stream.aclose()
        finally:
            self.end()

    def end(self) -> None:
        """The pod is not in use any more."""
        self._open = False
        self._in_use.end(self._error)
        self._borrowed.back()

    def __del__(self) -> None:
        if self._open:  # its connection would never be free again; here nothing can be awaited
            self._dropped.append(self._stream)


class HttpLibrary:
    """One library, and what a transport makes of its classes."""

    def __init__(self, module: Any, no_peer: Callable[..., Exception]) -> None:
        self.module = module
        self.no_peer = no_peer
        bodies = (module.SyncByteStream, module.AsyncByteStream)
        self.sent: Callable[[Any], Any] = type("Sent", (SentRequest, *bodies), {"library": module})
        self.reply: Callable[..., Any] = type("Reply", (ReplyBody, *bodies), {})
        self.closed = (module.ReadError, module.WriteError, module.RemoteProtocolError)
        """What is raised when the server has closed the connection."""
        self.limits = module.Limits(
            max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_EXPIRY
        )


class _Sender(Generic[P, Request, Transport]):
    """What is set up for threads and for tasks alike."""

    _library: ClassVar[HttpLibrary]
    _plain: ClassVar[str]
    """The name of the library's own transport."""
    _kind: ClassVar[type[Peers | aio.Peers]]

    def __init__(
        self,
        peers: P,
        *,
        key: Callable[[Request], Key | None] | None = None,
        make: Callable[[], Transport] | None = None,
        others: Transport | None = None,
        host: Named = "url",
        tls_name: Named = "url",
    ) -> None:
        self._peers: P = peers
        self._key = key
        self._addressing = Addressing(host, tls_name)
        self._hosts = Hosts.of(peers, self._kind)
        # Once: it takes 30 ms.
        self._trusted = functools.cache(self._library.module.create_ssl_context)
        self._others: Any = self._made() if others is None else others
        self._dropped: deque[Any] = deque()
        """Replies that were not closed; the next request closes them."""
        made = make or functools.partial(self._made, limits=self._library.limits)
        self._transports: Any = peers.clients(lambda _endpoint: made())

    def _made(self, **options: Any) -> Any:
        """A transport of the library's own."""
        return getattr(self._library.module, self._plain)(verify=self._trusted(), **options)

    def _replied(self, response: Any, in_use: InUse, borrowed: Any) -> Any:
        """The reply; the pod is in use until its body is closed or dropped."""
        body = self._library.reply(response, in_use, borrowed, self._dropped)
        if response.is_closed:  # all of it has come, from a cache or a mock: it is not closed again
            body.end()
        else:
            response.stream = body
        return response


class SyncSender(_Sender[Peers, Request, Transport], Generic[Request, Response, Transport]):
    """Sends for threads."""

    _kind = Peers
    _plain = "HTTPTransport"

    def handle_request(self, request: Request) -> Response:
        """Sends one request; called by the library.

        Raises:
            NoPeer: No pod could be chosen.
            TransportError: The error of the last pod that was tried.
        """
        response: Response = self._handle(request)
        return response

    def _handle(self, request: Any) -> Any:
        host, sent = request.url.host, self._library.sent(request)
        try:
            if self._hosts.may_be_pod(host):
                endpoint = self._hosts.pod(host, self._peers.endpoints())
                if endpoint is not None:
                    return self._send(sent, endpoint, InUse(self._peers).begin(endpoint))
            if self._hosts.is_service(host):
                key = None if self._key is None else self._key(request)
                for attempt in self._peers.attempts(key, **sent.rules):
                    with attempt as endpoint:
                        return self._send(sent, endpoint, attempt._keep())
                raise AssertionError  # pragma: no cover - it ends with a reply or an error
        except DiscoveryError as error:
            raise self._library.no_peer(str(error), request=request) from error
        return self._others.handle_request(request)

    def _send(self, sent: SentRequest, endpoint: Endpoint, in_use: InUse) -> Any:
        """To this pod; once more if the server had closed an idle connection."""
        try:
            if self._dropped:
                self._close_dropped()
            borrowed = self._transports._borrow(endpoint)
        except BaseException as error:
            in_use.end(error)
            raise
        transport = borrowed.client
        connections = _connections(transport)
        try:
            request = sent.to(endpoint, self._addressing)
            try:
                response = transport.handle_request(request)
            except self._library.closed:
                if self._transports._closed or not any(map(_is_broken, connections)):
                    raise  # after its end, a transport would open connections that stay open
                # That says nothing of the pod: the server closed it while it was idle.
                for each in _idle(transport):
                    each.close()
                if not (sent.may_be_repeated and sent.is_whole):
                    in_use.drop()
                    raise
                response = transport.handle_request(request)
        except BaseException as error:
            in_use.end(error)
            borrowed.back()
            raise
        return self._replied(response, in_use, borrowed)

    def _close_dropped(self) -> None:
        for dropped in _each(self._dropped):
            try:
                dropped.close()
            except Exception:
                log.exception("closing a dropped reply failed")

    def close(self) -> None:
        """Closes the connections to all pods, and to other hosts."""
        self._transports.__exit__(None, None, None)
        self._others.close()


class AsyncSender(_Sender[aio.Peers, Request, Transport], Generic[Request, Response, Transport]):
    """Sends for tasks."""

    _kind = aio.Peers
    _plain = "AsyncHTTPTransport"

    async def handle_async_request(self, request: Request) -> Response:
        """Sends one request; called by the library.

        Raises:
            NoPeer: No pod could be chosen.
            TransportError: The error of the last pod that was tried.
        """
        response: Response = await self._handle(request)
        return response

    async def _handle(self, request: Any) -> Any:
        host, sent = request.url.host, self._library.sent(request)
        try:
            if self._hosts.may_be_pod(host):
                endpoint = self._hosts.pod(host, await self._peers.endpoints())
                if endpoint is not None:
                    return await self._send(sent, endpoint, InUse(self._peers).begin(endpoint))
            if self._hosts.is_service(host):
                key = None if self._key is None else self._key(request)
                async for attempt in self._peers.attempts(key, **sent.rules):
                    with attempt as endpoint:
                        return await self._send(sent, endpoint, attempt._keep())
                raise AssertionError  # pragma: no cover - it ends with a reply or an error
        except DiscoveryError as error:
            raise self._library.no_peer(str(error), request=request) from error
        return await self._others.handle_async_request(request)

    async def _send(self, sent: SentRequest, endpoint: Endpoint, in_use: InUse) -> Any:
        """To this pod; once more if the server had closed an idle connection."""
        try:
            if self._dropped:
                await self._close_dropped()
            borrowed = await self._transports._borrow(endpoint)
        except BaseException as error:
            in_use.end(error)
            raise
        transport = borrowed.client
        connections = _connections(transport)
        try:
            request = sent.to(endpoint, self._addressing)
            try:
                response = await transport.handle_async_request(request)
            except self._library.closed:
                if self._transports._closed or not any(map(_is_broken, connections)):
                    raise  # after its end, a transport would open connections that stay open
                # That says nothing of the pod: the server closed it while it was idle.
                for each in _idle(transport):
                    await each.aclose()
                if not (sent.may_be_repeated and sent.is_whole):
                    in_use.drop()
                    raise
                response = await transport.handle_async_request(request)
        except BaseException as error:
            in_use.end(error)
            borrowed.back()
            raise
        return self._replied(response, in_use, borrowed)

    async def _close_dropped(self) -> None:
        for dropped in _each(self._dropped):
            try:
                await dropped.aclose()
            except Exception:
                log.exception("closing a dropped reply failed")

    async def aclose(self) -> None:
        """Closes the connections to all pods, and to other hosts."""
        await self._transports.__aexit__(None, None, None)
        await self._others.aclose()


def _at(url: Any, host: str, port: int | None) -> Any:
    """The URL with this host and port.

    `copy_with` parses and quotes all of it again, which takes a tenth of the time of a request.
    """
    parts = getattr(url, "_uri_reference", None)
    if parts is None:  # pragma: no cover - no version that is supported now
        return url.copy_with(host=host, port=port)
    moved = object.__new__(type(url))
    moved._uri_reference = parts._replace(host=host, port=port)
    return moved


def _each(dropped: deque[Any]) -> Iterator[Any]:
    """Each is taken once, also where threads take them."""
    with contextlib.suppress(IndexError):
        while dropped:
            yield dropped.popleft()


def _connections(transport: Any) -> list[Any]:
    """The connections of a transport; none of one that is not the library's own.

    There is no public way to them.
    """
    return getattr(getattr(transport, "_pool", None), "connections", [])


def _idle(transport: Any) -> Iterator[Any]:
    """Each is asked right before it is closed: meanwhile a request may have taken it."""
    return (each for each in tuple(_connections(transport)) if each.is_idle())


def _is_broken(connection: Any) -> bool:
    """Whether it was closed, or takes no further request although it has none."""
    return connection.is_closed() or (connection.is_idle() and not connection.is_available())
