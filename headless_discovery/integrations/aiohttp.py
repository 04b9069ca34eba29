"""aiohttp: a client middleware that sends each request for a Service to one of its pods.

    session = aiohttp.ClientSession(middlewares=[PeersMiddleware(web)])
    await session.get("http://web/state")

It is a middleware and not a resolver, since aiohttp keeps connections by the host of the URL: with
a resolver, all requests would stay on the pod that was connected first, also after it left.

aiohttp itself sends an idempotent request a second time when the server closes the connection
before it answers; this cannot be switched off.
"""

from collections.abc import Callable

try:
    import aiohttp
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
except ImportError as _error:  # pragma: no cover - tests/integrations does it in its own process
    raise ImportError(
        "headless_discovery.integrations.aiohttp needs aiohttp 3.12: "
        "install headless_discovery[aiohttp]"
    ) from _error

from .. import aio
from .._attempts import connection_failed, not_reached
from .._attempts.use import InUse
from .._endpoint import Endpoint
from .._errors import DiscoveryError
from .._selection import Key
from ._http import Hosts, error_of, may_be_repeated

__all__ = ["NoPeerError", "PeersMiddleware"]

KeyOf = Callable[[ClientRequest], Key | None]
"""Gives the key of a request, or ``None``."""
_CLOSED = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientOSError,
    aiohttp.ClientConnectionResetError,
)
"""What is raised when the server has closed the connection."""


class NoPeerError(aiohttp.ClientConnectionError):
    """No pod could be chosen; the `DiscoveryError` that says why is its ``__cause__``."""


class PeersMiddleware:
    """Sends each request for the Service to one of its pods.

    A request whose host is the Service, in any of its spellings, goes to a pod by the strategy of
    ``peers``; one whose host is the name of a pod goes to that pod; any other goes where its URL
    says. It goes to a second pod only if the first one was never reached, or if it may be received
    twice: its method is idempotent (RFC 9110, 9.2.2) or it has an ``Idempotency-Key``.

    Args:
        peers: The pods of the Service.
        key: Gives the key of a request, or ``None``; requests with the same key go to one pod.

    Raises:
        ConfigurationError: ``peers`` is one for threads.
    """

    def __init__(self, peers: aio.Peers, *, key: KeyOf | None = None) -> None:
        self._peers = peers
        self._key = key
        self._hosts = Hosts.of(peers, aio.Peers)
        self._closed: set[Endpoint] = set()
        """Those that closed the connection of the last request before they answered."""

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Sends one request; called by aiohttp.

        Raises:
            NoPeerError: No pod could be chosen.
            aiohttp.ClientError: The error of the last pod that was tried.
        """
        host = request.url.host or ""
        repeatable = may_be_repeated(request.method, request.headers)

        def leads_on(error: Exception) -> bool:
            return _is_whole(request) and (
                not_reached(error) or (repeatable and connection_failed(error))
            )

        try:
            if self._hosts.may_be_pod(host):
                endpoint = self._hosts.pod(host, await self._peers.endpoints())
                if endpoint is not None:
                    in_use = InUse(self._peers).begin(endpoint)
                    return await self._send(request, handler, endpoint, in_use, repeatable)
            if self._hosts.is_service(host):
                key = None if self._key is None else self._key(request)
                async for attempt in self._peers.attempts(key, on=leads_on):
                    with attempt as endpoint:
                        in_use = attempt._keep()
                        return await self._send(request, handler, endpoint, in_use, repeatable)
                raise AssertionError  # pragma: no cover - it ends with a reply or an error
        except DiscoveryError as error:
            raise NoPeerError(str(error)) from error
        return await handler(request)

    async def _send(
        self,
        request: ClientRequest,
        handler: ClientHandlerType,
        endpoint: Endpoint,
        in_use: InUse,
        repeatable: bool,
    ) -> ClientResponse:
        url = request.url
        if request.is_ssl() and request.server_hostname is None:
            request.server_hostname = url.host
        # The response, and with it cookies and redirects, has the URL of the request.
        request.url = url.with_host(endpoint.address).with_port(endpoint.port or url.port)
        try:
            try:
                response = await handler(request)
            except _CLOSED as error:
                # The server may just have closed an idle connection, which says nothing of the
                # pod; twice in a row says something.
                if not_reached(error) or endpoint in self._closed:
                    raise
                self._closed = {
                    *self._closed.intersection(self._peers.snapshot.endpoints),
                    endpoint,
                }
                await request.close()
                if not (repeatable and _is_whole(request)):
                    in_use.drop()
                    raise
                response = await handler(request)
        except BaseException as error:
            in_use.end(_timed_out(error) if _is_out_of_time(request) else error)
            raise
        finally:
            request.url = url
        self._closed.discard(endpoint)

        def end() -> None:
            error = response.content.exception()
            if type(error) is aiohttp.ClientConnectionError:
                error = None  # aiohttp's own, for a body that the caller did not read
            if _is_out_of_time(request) and not response.content.is_eof():
                error = _timed_out(error)
            in_use.end(error or error_of(response.status))

        if response.connection is None:  # all of it has come
            end()
        else:
            response.connection.add_callback(end)
        return response


def _is_out_of_time(request: ClientRequest) -> bool:
    """Whether the time-out ``total`` is over, for which aiohttp cancels the request.

    There is no public way to it, and no difference to a cancellation by the caller.
    """
    return getattr(getattr(request, "_timer", None), "_cancelled", False) is True


def _timed_out(error: BaseException | None) -> TimeoutError:
    """What aiohttp raises after that."""
    timed_out = TimeoutError()
    timed_out.__cause__ = error  # it tells whether a full pool of aiohttp's own was waited for
    return timed_out


def _is_whole(request: ClientRequest) -> bool:
    """Whether all of the body would be sent again."""
    body = request.body
    return isinstance(body, bytes) or not body.consumed
