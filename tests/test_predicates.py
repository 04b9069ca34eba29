"""not_reached and connection_failed: what libraries really raise, each fault made on loopback."""

import asyncio
import contextlib
import errno
import functools
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import redis
import redis.asyncio
import requests
import trio
import urllib3

from headless_discovery import (
    LookupTimeout,
    Peers,
    Policy,
    connection_failed,
    not_reached,
)
from tests import faults
from tests.faults import CLIENTS, FAULTS, Place, Serving

pytestmark = pytest.mark.slow

NEVER = {"redis", "redis async", "grpc", "grpc async"}
"""Their errors do not tell: a handler that ran, or a retry of their own, gives the same."""
STREAMS = {"socket", "asyncio", "trio"}
"""They speak no HTTP here: an end and a status are no errors of theirs."""
ALL = set(CLIENTS)
NOT_REACHED = {
    "refused": ALL - NEVER,
    "unknown host": ALL - NEVER,
    "connect time-out": ALL - NEVER - {"asyncio", "trio"},  # a bare time-out around everything
    "bad certificate": ALL - NEVER - {"trio"},
    "handshake garbage": ALL - NEVER - {"trio", "asyncio"},
    # As after the request, for those below.
    "handshake reset": ALL - NEVER - {"trio", "asyncio", "requests", "urllib3"},
    "handshake time-out": ALL - NEVER - {"trio", "asyncio", "requests", "urllib3"},
}
NO_ERROR = {
    "end before the reply": STREAMS,
    "end in the reply": STREAMS,
    "404": STREAMS | {"http.client", "urllib3"},
    "503": STREAMS | {"http.client", "urllib3"},
}
SPEAK_HTTP_ALONE = {"404", "503", "reset in the reply", "end in the reply", "handshake garbage"}
"""What redis and gRPC cannot read is no fault of the connection, or one of its own."""


@functools.cache
def raised(fault: str) -> dict[str, BaseException | None]:
    """What each client raises; all at once, since many wait."""
    known = socket.getaddrinfo

    def getaddrinfo(host: object, *rest: object, **more: object) -> object:
        if "invalid" in str(host):  # at once, whatever DNS there is here
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *rest, **more)  # type: ignore[arg-type]  # handed on

    def one(client: str) -> BaseException | None:
        with FAULTS[fault]() as place:
            try:
                faults.call(client, place)
            except Exception as error:
                return error
        return None

    with mock.patch("socket.getaddrinfo", getaddrinfo), ThreadPoolExecutor(6) as pool:
        return dict(zip(CLIENTS, pool.map(one, CLIENTS), strict=True))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_library_raises_is_judged_by_whether_the_request_can_have_arrived(
    fault: str, client: str
) -> None:
    if client in NEVER and fault in SPEAK_HTTP_ALONE:
        pytest.skip("not its protocol")
    error = raised(fault)[client]
    if client in NO_ERROR.get(fault, ()):
        assert error is None
        return
    assert error is not None
    answered = fault in ("404", "503")
    assert not_reached(error) is (client in NOT_REACHED.get(fault, ())), repr(error)
    assert connection_failed(error) is not answered, repr(error)


ALONE = """
import sys
from headless_discovery import connection_failed, not_reached
from tests import faults

for client in sys.argv[1:]:
    try:
        faults.call(client, faults.Place("203.0.113.1", 80, timeout=5))
    except Exception as error:
        print(client, not_reached(error), connection_failed(error), repr(error), sep=", ")
"""
"""Run where there is no network at all."""


def test_a_network_that_is_not_there_is_not_reached() -> None:
    inside = ["unshare", "--net", "--map-root-user"]
    try:
        subprocess.run([*inside, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no network namespace of our own: {error}")
    clients = [client for client in CLIENTS if client not in NEVER]
    done = subprocess.run(
        [*inside, sys.executable, "-c", ALONE, *clients],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    said = [line.split(", ", 3) for line in done.stdout.splitlines()]
    assert [client for client, *_ in said] == clients
    assert all(verdicts[:2] == ["True", "True"] for _, *verdicts in said), done.stdout


# A request arrives once.


@pytest.mark.parametrize("client", [one for one in CLIENTS if one not in NEVER])
@pytest.mark.parametrize(
    "fault", ["read time-out", "reset before the reply", "end before the reply",
              "reset in the reply", "end in the reply", "503"]
)  # fmt: skip
def test_a_post_arrives_once_whatever_happens_to_its_reply(fault: str, client: str) -> None:
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(contextlib.closing(Serving(host, faults.AFTER_THE_REQUEST[fault])))
            for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3")
        ]
        web = Peers.static([f"{server.place.host}:{server.place.port}" for server in servers])

        def post(peer: object) -> object:
            host, _, port = str(peer).partition(":")
            timeout = faults.SHORT if fault == "read time-out" else 10
            try:
                return faults.call(client, Place(host, int(port), timeout=timeout))
            except urllib.error.HTTPError as error:
                error.close()  # Python 3.14 warns of one that was not
                raise

        with contextlib.suppress(Exception):
            web.call(post)
        assert sum(len(server.requests) for server in servers) == 1
        if fault != "503" and client not in STREAMS:
            with contextlib.suppress(Exception):
                web.call(post, idempotent=True)
            assert sum(len(server.requests) for server in servers) == 4


@pytest.mark.parametrize("fault", ["404", "503"])
@pytest.mark.parametrize("client", ["requests", "urllib3"])
def test_the_status_after_which_urllib3_gave_up_sending_again_is_the_answer(
    client: str, fault: str
) -> None:
    again = urllib3.Retry(1, status_forcelist=[404, 503], backoff_factor=0)
    web = Peers.static(["10.0.0.1:80"])
    with FAULTS[fault]() as place, requests.Session() as session, urllib3.PoolManager() as pool:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=again))
        with (
            contextlib.suppress(requests.exceptions.RetryError, urllib3.exceptions.MaxRetryError),
            web.use(),
        ):
            if client == "requests":
                session.get(place.url)
            else:
                pool.request("GET", place.url, retries=again)
    assert (web.stats.attempts, web.stats.failures) == (1, fault == "503")


@pytest.mark.parametrize("client", [one for one in CLIENTS if one not in NEVER])
def test_it_goes_on_to_the_next_pod_where_nothing_listens(client: str) -> None:
    with (
        contextlib.closing(Serving("127.0.0.1", faults.status("200 OK"))) as server,
        faults.refused() as one,
        faults.refused() as other,
    ):
        web = Peers.static(
            [f"{place.host}:{place.port}" for place in (one, other, server.place)],
            policy=Policy(eject_after=100),
        )

        def post(peer: object) -> object:
            host, _, port = str(peer).partition(":")
            return faults.call(client, Place(host, int(port)))

        for _ in range(3):
            web.call(post)
        assert len(server.requests) == 3


# Cancellation.


def test_a_cancelled_call_says_nothing_of_the_endpoint() -> None:
    async def main() -> None:
        with contextlib.closing(Serving("127.0.0.1", faults.silence)) as server:
            for client in ("httpx async", "httpx2 async", "aiohttp", "asyncio"):
                task = asyncio.create_task(faults.ASYNC[client](server.place))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError) as cancelled:
                    await task
                assert not connection_failed(cancelled.value)

    asyncio.run(main())


def test_a_cancelled_call_on_trio_says_nothing_either() -> None:
    found: list[BaseException] = []

    async def work() -> None:
        try:
            await trio.sleep_forever()
        except BaseException as error:
            found.append(error)
            raise

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert not connection_failed(found[0])


# By class, without a library.


def http_error(status: int) -> urllib.error.HTTPError:
    error = urllib.error.HTTPError("http://x", status, "an answer", Message(), None)
    error.close()  # Python 3.14 warns of one that was not
    return error


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def during(error: BaseException, context: BaseException) -> BaseException:
    error.__context__ = context
    return error


def circular() -> BaseException:
    error, other = ValueError(), ValueError()
    error.__cause__, other.__cause__ = other, error
    return error


def of(
    module: str, name: str, *bases: type[BaseException], **attributes: object
) -> type[Exception]:
    return type(name, bases or (Exception,), {"__module__": module, **attributes})


class WithResponse(OSError):
    response = SimpleNamespace(status_code=503)


class Numbered(OSError):
    """As libraries derive them: the number says what it is."""


class Odd(Exception):
    @property
    def response(self) -> object:
        raise RuntimeError("not set")


HTTPCORE = of("httpcore", "RemoteProtocolError", of("httpcore", "ProtocolError"))
HTTPX = of("httpx2", "RemoteProtocolError", of("httpx2", "TransportError"))
AIOHTTP = of("aiohttp.client_exceptions", "ClientConnectionError")
PSYCOPG = of("psycopg", "OperationalError", sqlstate=None)
PSYCOPG2 = of("psycopg2", "OperationalError", pgcode=None)
VALKEY = of("valkey.exceptions", "ConnectionError")
TOO_SLOW = of("aiohttp.client_exceptions", "ServerTimeoutError", AIOHTTP, TimeoutError)
REFUSED_STREAM = SimpleNamespace(stream_id=5, error_code=7)
CANCELLED_STREAM = SimpleNamespace(stream_id=5, error_code=8)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        socket.gaierror(socket.EAI_NONAME, "no such name"),
        ssl.SSLCertVerificationError("bad"),
        *(
            OSError(number, "unreachable")
            for number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
        ),
        urllib.error.URLError(ConnectionRefusedError()),
        caused(RuntimeError(), ConnectionRefusedError()),
        caused(RuntimeError(), caused(OSError("all"), ConnectionRefusedError())),
        ExceptionGroup("all of them", [ConnectionRefusedError(), ConnectionRefusedError()]),
        HTTPCORE(REFUSED_STREAM),
        caused(HTTPX("refused"), HTTPCORE(REFUSED_STREAM)),
        caused(HTTPX("goaway"), HTTPCORE(SimpleNamespace(last_stream_id=0, error_code=0))),
    ],
    ids=repr,
)
def test_the_endpoint_was_not_reached(error: BaseException) -> None:
    assert not_reached(error)
    assert connection_failed(error)


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(),
        TimeoutError(),
        ConnectionResetError(),
        ssl.SSLError("in the middle"),
        Numbered(errno.ECONNREFUSED, "as a library has it, maybe after the request"),
        Numbered(errno.ECONNRESET, "reset"),
        caused(RuntimeError(), TimeoutError()),
        ExceptionGroup("all of them", [ConnectionRefusedError(), TimeoutError()]),
        caused(HTTPX("cancelled"), HTTPCORE(CANCELLED_STREAM)),
        caused(HTTPX("goaway"), HTTPCORE(SimpleNamespace(last_stream_id=3, error_code=0))),
        of("redis.exceptions", "ConnectionError")("refused"),
        of("requests.exceptions", "ConnectionError")("no cause"),
        of("anyio", "BrokenResourceError")(),
        of("anyio", "IncompleteRead")(),
        asyncio.IncompleteReadError(b"half of it", 20),
        of("pymemcache.exceptions", "MemcacheUnexpectedCloseError")(),
        of("grpc", "FutureTimeoutError")(),
        VALKEY("refused"),
        PSYCOPG("connection failed"),
        PSYCOPG2("server closed the connection unexpectedly"),
        of("psycopg.errors", "ConnectionTimeout", PSYCOPG)("connection timeout expired"),
        of("psycopg.errors", "AdminShutdown", PSYCOPG, sqlstate="57P01")("terminating"),
        of("psycopg2.errors", "ConnectionFailure", PSYCOPG2, pgcode="08006")("lost"),
        AIOHTTP("Connection lost"),
        caused(AIOHTTP("Failed to send bytes"), ConnectionResetError()),
    ],
    ids=repr,
)
def test_the_connection_failed_but_the_request_may_have_arrived(error: BaseException) -> None:
    assert not not_reached(error)
    assert connection_failed(error)


@pytest.mark.parametrize(
    "error",
    [
        http_error(404),
        caused(http_error(503), ConnectionResetError()),
        caused(RuntimeError(), caused(http_error(503), ConnectionResetError())),
        caused(WithResponse(), ConnectionResetError()),
        OSError(),
        Odd(),
        FileNotFoundError(errno.ENOENT, "no file"),
        urllib.error.URLError("unknown url type"),
        LookupTimeout("DNS"),
        caused(RuntimeError(), LookupTimeout("DNS")),
        during(KeyError(), ConnectionRefusedError()),
        during(ValueError("inside except ConnectionRefusedError"), ConnectionRefusedError()),
        circular(),
        ExceptionGroup("not all of them", [ConnectionRefusedError(), KeyError()]),
        KeyboardInterrupt(),
        of("httpx", "PoolTimeout", of("httpx", "TransportError"))("our own pool is full"),
        of("httpx", "LocalProtocolError", of("httpx", "TransportError"))("our own mistake"),
        of("redis.exceptions", "AuthenticationError", of("redis.exceptions", "ConnectionError"))(),
        of("redis.exceptions", "AuthorizationError", of("redis.exceptions", "ConnectionError"))(),
        of("valkey.exceptions", "AuthenticationError", VALKEY)(),
        VALKEY("No connection available."),
        of("psycopg.errors", "DeadlockDetected", PSYCOPG, sqlstate="40P01")(),
        of("psycopg2.extensions", "QueryCanceledError", PSYCOPG2, pgcode="57014")(),
        of("psycopg_pool", "PoolTimeout", PSYCOPG)("couldn't get a connection"),
        caused(AIOHTTP("Failed to send bytes"), ZeroDivisionError("in the body")),
        of("grpc", "RpcError")("without a code"),
        of("grpc", "RpcError", code=lambda self: SimpleNamespace(name="NOT_FOUND"))(),
    ],
    ids=repr,
)
def test_an_answer_or_a_mistake_of_the_caller_is_neither(error: BaseException) -> None:
    assert not not_reached(error)
    assert not connection_failed(error)


def naming_itself() -> urllib.error.URLError:
    error = urllib.error.URLError("unknown url type")
    error.reason = error
    return error


def naming_each_other() -> urllib.error.URLError:
    one = naming_itself()
    one.reason = urllib.error.URLError(one)
    return one


def caused_by_its_group() -> BaseException:
    error = ValueError()
    error.__cause__ = group = ExceptionGroup("all", [error])
    return group


def nested(error: Exception) -> BaseException:
    for _ in range(5000):
        error = ExceptionGroup("one more", [error])
    return error


class NoCause(Exception):
    __cause__ = property(lambda self: 1 / 0)


class OfNoModule(Exception):
    __module__ = None  # type: ignore[assignment]  # classes that are made by other code have it


class OddGroup(ExceptionGroup[Exception]):
    exceptions = property(lambda self: 1 / 0)


@pytest.mark.parametrize(
    "make",
    [
        naming_itself,
        naming_each_other,
        caused_by_its_group,
        lambda: nested(OSError()),
        NoCause,
        OfNoModule,
        lambda: OddGroup("some", [OSError()]),
        of("grpc", "RpcError", code=lambda self: 1 / 0),
    ],
)
def test_whatever_holds_whatever_an_answer_is_given(make: Callable[[], BaseException]) -> None:
    error = make()
    assert not not_reached(error)
    assert not connection_failed(error)


class OfRedis(redis.Connection):
    """It needs no server."""

    def connect(self) -> None:
        pass

    def can_read(self, *_: object, **_more: object) -> bool:
        return False


class OfRedisForTasks(redis.asyncio.Connection):
    async def connect(self) -> None:
        pass

    async def can_read(self, *_: object, **_more: object) -> bool:
        return False

    can_read_destructive = can_read  # as earlier versions call it


def full_pool_of_redis() -> None:
    make: Any = redis.BlockingConnectionPool
    pool = make(1, 0.01, OfRedis)
    for _ in range(2):
        pool.get_connection()


def full_pool_of_redis_for_tasks() -> None:
    async def take_two() -> None:
        pool: Any = redis.asyncio.BlockingConnectionPool(1, 0.01, OfRedisForTasks)
        for _ in range(2):
            await pool.get_connection()

    asyncio.run(take_two())


@pytest.mark.parametrize("fill", [full_pool_of_redis, full_pool_of_redis_for_tasks])
def test_a_full_pool_of_redis_says_nothing_of_the_endpoint(fill: Callable[[], None]) -> None:
    with pytest.raises(redis.ConnectionError) as full:
        fill()
    assert not connection_failed(full.value)


@pytest.fixture
def at_most_5_seconds() -> Iterator[None]:
    """What would go on for ever fails instead."""

    def over(*_: object) -> None:
        raise AssertionError("it took more than 5 s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="nothing ends what hangs here")
@pytest.mark.usefixtures("at_most_5_seconds")
@pytest.mark.parametrize("kind", [TimeoutError, TOO_SLOW], ids=["built in", "of a library"])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_time_out_may_be_its_own_cause_also_far_away(length: int, kind: type[Exception]) -> None:
    errors = [kind(str(number)) for number in range(length)]
    for error, cause in zip(errors, errors[1:] + errors[:1], strict=True):
        error.__cause__ = cause
    assert not not_reached(errors[0])
    assert connection_failed(errors[0])
    kubia = Peers.static(["10.0.0.1:80", "10.0.0.2:80"])
    with contextlib.suppress(kind), kubia.use():
        raise errors[0]
    with contextlib.suppress(kind), next(kubia.attempts()):
        raise errors[0]
    assert kubia.stats.failures == 2


def unhad(kind: type[Exception], attribute: str) -> Exception:
    """One of that name, whose attribute raises."""
    raising = property(lambda self: 1 / 0)
    return of(kind.__module__, kind.__name__, kind, **{attribute: raising})()


@pytest.mark.parametrize(
    "error",
    [
        unhad(AIOHTTP, "__cause__"),
        unhad(HTTPX, "__cause__"),
        unhad(TimeoutError, "__cause__"),
        unhad(HTTPX, "args"),
        unhad(of("requests.exceptions", "ConnectionError"), "args"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_is_one_also_where_what_it_holds_cannot_be_had(error: BaseException) -> None:
    assert not not_reached(error)
    assert connection_failed(error)


def test_one_error_may_be_in_a_group_twice_and_its_cause_far_away() -> None:
    refused = ConnectionRefusedError()
    assert not_reached(ExceptionGroup("twice", [refused, ExceptionGroup("again", [refused])]))
    error: BaseException = refused
    for _ in range(20_000):
        error = caused(RuntimeError(), error)
    assert not_reached(error)


def test_a_time_out_counts_as_connecting_only_where_the_connection_was_being_made() -> None:
    def connecting() -> Iterator[BaseException]:
        with faults.full() as place:
            try:
                socket.create_connection(place[:2], 0.05)
            except TimeoutError as error:
                yield error

    (error,) = connecting()
    assert not_reached(error)
    wrapped = urllib.error.URLError(error)
    assert not_reached(wrapped)
    assert not not_reached(TimeoutError("the same class"))


def test_no_library_is_imported_for_it() -> None:
    program = (
        "import sys; from headless_discovery import connection_failed, not_reached\n"
        "connection_failed(ConnectionResetError()), not_reached(TimeoutError())\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"ssl", "http.client", "httpx", "requests", "aiohttp", "grpc"} & set(loaded)
