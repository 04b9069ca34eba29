"""What an error says about the endpoint, whichever library raised it.

Libraries are known by the names of their error classes: none is imported here. What each of them
raises for which fault was measured: tests/test_predicates.py makes every fault for real.
"""

import enum
import errno
import re
import socket
import sys
import traceback
from collections.abc import Iterator, Set

from .._errors import DiscoveryError


class Verdict(enum.IntEnum):
    """What an error says, the least first."""

    NOTHING = 0
    """It says nothing about the endpoint: a mistake of the caller, a cancellation."""
    ANSWERED = 1
    """It answered, with an HTTP status."""
    UNAVAILABLE = 2
    """It answered that it, or what stands behind it, cannot serve now: 502, 503, 504."""
    FAILED = 3
    """The connection failed; the request may have been received."""
    NOT_REACHED = 4
    """It cannot have got the request."""


UNAVAILABLE = frozenset({502, 503, 504})
"""HTTP statuses of one that cannot serve now."""
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
_LOST = frozenset(
    # Python makes a ConnectionError or a TimeoutError of these; subclasses of OSError that
    # libraries have come with the number alone.
    {errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ESHUTDOWN}
    | {errno.ETIMEDOUT}
)


def _names(libraries: str, classes: str) -> list[str]:
    return [f"{library}.{name}" for library in libraries.split() for name in classes.split()]


_WRAPPERS = frozenset(
    [
        *_names("urllib", "URLError"),
        *_names("requests", "ConnectionError SSLError RetryError"),
        *_names("urllib3", "MaxRetryError SSLError"),
    ]
)
"""They are judged by the error that they name, too."""
_HTTPX = "httpx httpx2 httpcore httpcore2"
_SAID_BY: dict[Verdict, list[str]] = {
    # What a library raises for connecting alone.
    Verdict.NOT_REACHED: [
        *_names("urllib3", "NewConnectionError ConnectTimeoutError"),
        *_names("requests", "ConnectTimeout"),
        *_names("aiohttp", "ClientConnectorError ConnectionTimeoutError"),
        *_names(_HTTPX, "ConnectError ConnectTimeout"),
    ],
    # Of the caller's own doing: a full pool of its own says nothing of the endpoint.
    Verdict.NOTHING: [
        *_names(_HTTPX, "LocalProtocolError UnsupportedProtocol PoolTimeout"),
        *_names("redis valkey", "AuthenticationError AuthorizationError MaxConnectionsError"),
        *_names("psycopg_pool", "PoolTimeout PoolClosed TooManyRequests"),
    ],
    Verdict.FAILED: [
        *_names("httpx httpx2", "TransportError"),
        *_names("httpcore httpcore2", "NetworkError ProtocolError TimeoutException"),
        *_names("aiohttp", "ClientConnectionError ClientPayloadError"),
        *_names("requests", "ConnectionError Timeout ChunkedEncodingError"),
        *_names("urllib3", "ProtocolError ReadTimeoutError"),
        *_names("http", "IncompleteRead RemoteDisconnected"),
        *_names("redis valkey", "ConnectionError TimeoutError"),
        *_names("pymemcache", "MemcacheUnexpectedCloseError"),
        *_names("psycopg psycopg2", "OperationalError"),
        *_names("grpc", "FutureTimeoutError"),
        *_names("asyncio", "IncompleteReadError"),
        *_names("anyio", "IncompleteRead"),
        *_names("anyio trio", "BrokenResourceError"),
        *_names("trio", "TooSlowError"),
    ],
}
_KNOWN = {name: verdict for verdict, names in _SAID_BY.items() for name in names}
"""By the top-level package and the name of the class; the first in the error's MRO counts."""
_TOO_MANY_OF_URLLIB3 = re.compile(r"too many (\d{3}) error responses")
"""What its ``ResponseError`` says of the status for which its `Retry` sent again, to the last."""
_OF_REDIS = frozenset(_names("redis valkey", "ConnectionError"))
_FULL_POOL_OF_REDIS = "No connection available."
"""Of the ``BlockingConnectionPool`` of both, which raises a `ConnectionError` with this text."""


def not_reached(error: BaseException) -> bool:
    """Whether the endpoint cannot have received the request, so that another one may get it.

    True only for errors of connecting: a refused or timed-out connection, an unreachable or unknown
    host, a TLS handshake that failed. The errors of urllib, requests, urllib3, httpx, httpx2,
    aiohttp, plain sockets, asyncio, trio and anyio are recognised by their names. Those of gRPC,
    redis, valkey and psycopg do not say whether a request was sent: it is never true for them.

    Args:
        error: What was raised.

    Returns:
        ``False`` in doubt, for an HTTP status, for a `DiscoveryError`, and for an exception group
        unless it is true for all its errors.
    """
    return judged(error) >= Verdict.NOT_REACHED


def connection_failed(error: BaseException) -> bool:
    """Whether the connection to the endpoint failed, before or after the request was sent.

    True if `not_reached` is true, and for a connection that was lost, timed out or broke TLS: then
    the endpoint may have received the request.

    Args:
        error: What was raised.

    Returns:
        ``False`` for an HTTP status, for a `DiscoveryError`, for errors that say nothing about the
        endpoint (the client's pool is full), and for an exception group unless it is true for all
        its errors.
    """
    return judged(error) >= Verdict.FAILED


def judged(error: object) -> Verdict:
    """What an error says; the outermost class that is known decides."""
    try:
        return _of_all(error, frozenset())
    except Exception:  # groups of groups of groups, or what it holds cannot be had
        return Verdict.NOTHING


def _of_all(error: object, around: Set[int]) -> Verdict:
    """The same, within errors that may be in it again."""
    seen = set(around)
    for each in _with_causes(error, seen):
        verdict = _of_one(each, seen)
        if verdict is not None:
            return verdict
    return Verdict.NOTHING


def _with_causes(error: object, seen: set[int]) -> Iterator[BaseException]:
    """An error and its causes, each once; never an implicit context: it may be anything."""
    while isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = _attribute(error, "__cause__")


def _of_one(error: BaseException, around: Set[int]) -> Verdict | None:
    """The same of this error alone; ``None``: its cause decides."""
    if isinstance(error, DiscoveryError):
        return Verdict.NOTHING
    names = [f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__]
    status = _http_status(error, names)
    if status is not None:
        return Verdict.UNAVAILABLE if status in UNAVAILABLE else Verdict.ANSWERED
    if isinstance(error, BaseExceptionGroup):
        return min(_of_all(each, around) for each in error.exceptions)
    known = next((_KNOWN[name] for name in names if name in _KNOWN), None)
    if known is not Verdict.NOT_REACHED and not _WRAPPERS.isdisjoint(names):
        return max(known or Verdict.NOTHING, _of_all(_named_by(error), around))
    if known is Verdict.FAILED and _was_refused_by_http_2(error):
        return Verdict.NOT_REACHED
    if names[0] == "aiohttp.ClientConnectionError" and _attribute(error, "__cause__") is not None:
        return None  # around whatever ended the sending of a body, an error of the caller's too
    if isinstance(error, TimeoutError) and _waited_for_its_pool(error):
        return Verdict.NOTHING
    if not _OF_REDIS.isdisjoint(names) and _FULL_POOL_OF_REDIS in _arguments(error):
        return Verdict.NOTHING
    if known is Verdict.FAILED and _is_of_a_statement(error):
        return Verdict.NOTHING
    if known is not None:
        return known
    return _of_grpc(error) if "grpc.RpcError" in names else _of_python(error)


def _http_status(error: BaseException, names: list[str]) -> int | None:
    """As libraries have it: on the error, or on its response."""
    places: list[tuple[object, str]] = [(error, "status"), (error, "status_code")]
    if "urllib.HTTPError" in names:
        places.append((error, "code"))  # other libraries have other codes there
    if "urllib3.ResponseError" in names and (said := _TOO_MANY_OF_URLLIB3.match(str(error))):
        return int(said[1])
    response = _attribute(error, "response")
    places += [(response, "status"), (response, "status_code")]
    for place, name in places:
        status = _attribute(place, name)
        if isinstance(status, int) and 100 <= status <= 599:
            return status
    return None


def _attribute(place: object, name: str) -> object:
    try:
        return getattr(place, name, None)
    except Exception:
        return None


def _arguments(error: object) -> tuple[object, ...]:
    arguments = _attribute(error, "args")
    return arguments if isinstance(arguments, tuple) else ()


def _named_by(error: BaseException) -> BaseException | None:
    """What a wrapper is about: its reason, or the first argument that is an error."""
    for each in (_attribute(error, "reason"), *_arguments(error)):
        if isinstance(each, BaseException):
            return each
    return None


def _was_refused_by_http_2(error: BaseException) -> bool:
    """REFUSED_STREAM, or a GOAWAY below our stream (RFC 9113, 8.7): nothing was processed.

    httpcore raises its error with the event of h2; httpx raises its own from that. Where the last
    stream is not 0, httpcore sends again by itself.
    """
    for each in (error, _attribute(error, "__cause__")):
        event = next(iter(_arguments(each)), None)
        if _attribute(event, "last_stream_id") == 0:
            return True
        if _attribute(event, "stream_id") is not None and _attribute(event, "error_code") == 7:
            return True
    return False


def _waited_for_its_pool(error: BaseException) -> bool:
    """Whether the time went by while aiohttp's own pool was full."""
    return any(
        getattr(code, "co_name", "") == "_wait_for_available_connection"
        for each in _with_causes(error, set())
        for code in _passed(each)
    )


def _is_of_a_statement(error: BaseException) -> bool:
    """Whether PostgreSQL refused a statement: its state is none of connections or shutdowns."""
    state = _attribute(error, "sqlstate") or _attribute(error, "pgcode")
    return isinstance(state, str) and not state.startswith(("08", "57P"))


def _of_grpc(error: BaseException) -> Verdict:
    """A handler that ran gives the same codes as a connection that was refused."""
    code = _attribute(error, "code")
    name = _attribute(code() if callable(code) else None, "name")
    return Verdict.FAILED if name in ("UNAVAILABLE", "DEADLINE_EXCEEDED") else Verdict.NOTHING


def _of_python(error: BaseException) -> Verdict | None:
    """The errors of the standard library."""
    ssl = sys.modules.get("ssl")  # not imported: slow, and nothing can have raised its errors then
    number = error.errno if isinstance(error, OSError) else None
    by_tls = ssl is not None and isinstance(error, ssl.SSLError)
    if ssl is not None and isinstance(error, ssl.SSLCertVerificationError):
        return Verdict.NOT_REACHED
    if isinstance(error, ConnectionRefusedError | socket.gaierror):
        return Verdict.NOT_REACHED
    if not by_tls and number in _UNREACHABLE:
        return Verdict.NOT_REACHED
    if by_tls or isinstance(error, TimeoutError | ConnectionResetError):
        return Verdict.NOT_REACHED if _was_connecting(error) else Verdict.FAILED
    if isinstance(error, ConnectionError) or number in _LOST:
        return Verdict.FAILED
    return None


def _was_connecting(error: BaseException) -> bool:
    """Whether it was raised within a connection attempt or a TLS handshake of the standard library.

    By their code, which is looked up each time, since gevent replaces it.
    """
    ssl = sys.modules.get("ssl")
    connecting = {getattr(socket.create_connection, "__code__", None)}
    if ssl is not None:
        connecting.add(getattr(ssl.SSLSocket.do_handshake, "__code__", None))
    return not connecting.isdisjoint(_passed(error))


def _passed(error: BaseException) -> Iterator[object]:
    """The code that its traceback passes."""
    return (frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__))
