"""Following EndpointSlices over real connections: in a thread, on asyncio, on trio."""

import asyncio
import contextlib
import gc
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Self

import attrs
import pytest
import trio
import trustme

import headless_discovery
from headless_discovery import (
    Clock,
    ConfigurationError,
    DiscoveryError,
    LookupFailed,
    LookupTimeout,
    Policy,
    Snapshot,
    State,
    aio,
    peers,
)
from headless_discovery.kubernetes import EndpointSlices
from headless_discovery.testing import FakeCluster
from tests.api_server import ApiServer, Request, refusal
from tests.slices import Object, bookmark, endpoint, event, slice_of, status

pytestmark = pytest.mark.slow

SHELLS = ("threads", "asyncio", "trio")
ONE = slice_of("a", endpoint("10.0.0.1"))
TWO = slice_of("b", endpoint("10.0.0.2"))
UNREADY = slice_of("a", endpoint("10.0.0.1", ready=False), endpoint("10.0.0.3"))


class _Chance(random.Random):
    """No pauses but the least."""

    def uniform(self, low: float, high: float) -> float:
        return low


class Followed:
    """A `Peers` in one of the shells, beside the test."""

    peers: headless_discovery.Peers | aio.Peers

    def __init__(
        self, shell: str, source: EndpointSlices, clock: Clock | None = None, **others: Any
    ) -> None:
        self._arguments: dict[str, Any] = {
            "port": "http",
            "source": source,
            "clock": clock or Clock(),
            "rng": _Chance(),
            "policy": Policy(backoff_max=1),
            **others,
        }
        self._shell = shell
        self._began, self._over, self._hurry = threading.Event(), threading.Event(), False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._began.wait(20)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def hurry(self) -> None:
        """Asks for a refresh."""
        self._hurry = True

    def _is_hurried(self) -> bool:
        hurry, self._hurry = self._hurry, False
        return hurry

    def _run(self) -> None:
        match self._shell:
            case "threads":
                with headless_discovery.peers("web.shop", **self._arguments) as peers:
                    self.peers = peers
                    self._began.set()
                    while not self._over.wait(0.005):
                        if self._is_hurried():
                            peers.refresh()
            case "asyncio":
                asyncio.run(self._run_async(asyncio.sleep))
            case _:
                trio.run(self._run_async, trio.sleep)

    async def _run_async(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        async with aio.peers("web.shop", **self._arguments) as peers:
            self.peers = peers
            self._began.set()
            while not self._over.is_set():
                await sleep(0.005)
                if self._is_hurried():
                    await peers.refresh()

    def wait(self, what: Callable[[Snapshot], object], seconds: float = 20) -> Snapshot:
        """The snapshot, once that is true of it."""
        until = time.monotonic() + seconds
        while not what(self.peers.snapshot):
            assert time.monotonic() < until, self.peers.snapshot
            time.sleep(0.002)
        return self.peers.snapshot

    def has(self, *addresses: str) -> None:
        """Waits until just these are found."""
        self.wait(
            lambda snapshot: (
                snapshot.state is State.LIVE
                and [each.address for each in snapshot.endpoints] == list(addresses)
            )
        )

    def fails(self, *words: str) -> DiscoveryError:
        """Waits for a failure that says so."""
        error = self.wait(
            lambda snapshot: (
                snapshot.error is not None and all(word in str(snapshot.error) for word in words)
            )
        ).error
        assert isinstance(error, LookupFailed)
        return error


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits a second by the rules does not here: the rules are held by `test_slice_watch`."""
    monkeypatch.setattr("headless_discovery._api.protocol._FLOOR", 0.05)
    monkeypatch.setattr("headless_discovery._api.protocol._SHORT", 0.0)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.contextmanager
def followed(
    shell: str, api: ApiServer, clock: Clock | None = None, **options: Any
) -> Iterator[Followed]:
    with Followed(shell, EndpointSlices(server=api.url, **options), clock) as found:
        yield found


def test_it_follows_what_changes(shell: str) -> None:
    with ApiServer(ONE) as api, followed(shell, api) as web:
        web.has("10.0.0.1")
        began = time.monotonic()
        api.put(TWO)
        web.has("10.0.0.1", "10.0.0.2")
        assert 0.02 <= time.monotonic() - began < 1
        api.put(UNREADY)
        web.has("10.0.0.2", "10.0.0.3")
        api.drop("b")
        web.has("10.0.0.3")
        assert len(api.requests) == 1


@pytest.mark.filterwarnings(  # that of what the first loop leaves behind
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
@pytest.mark.parametrize("enter", [True, False])
@pytest.mark.parametrize("close", [True, False])
def test_in_another_event_loop_it_is_begun_again(close: bool, enter: bool) -> None:
    with ApiServer(ONE) as api:
        source = EndpointSlices(server=api.url)
        web = aio.peers("web.shop", port="http", source=source, rng=_Chance())

        async def begin() -> None:
            await web.__aenter__()
            assert len(await web.endpoints()) == 1

        async def go_on() -> None:
            if enter:
                await web.__aenter__()
            assert len((await web.wait_ready(2, timeout=10)).endpoints) == 2
            await web.aclose()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        if close:
            loop.close()
        api.put(TWO)
        asyncio.run(go_on())
        loop.close()
    gc.collect()


def test_it_lists_where_the_server_cannot_stream(shell: str) -> None:
    many = [slice_of(f"s{at:02}", endpoint(f"10.0.1.{at}")) for at in range(25)]
    with ApiServer(*many) as api:
        api.faults.append(refusal(422, status(422, "Invalid", "sendInitialEvents: Forbidden")))
        with followed(shell, api) as web:
            web.wait(lambda snapshot: len(snapshot.endpoints) == 25)
            assert [query.get("continue") for query in api.requests[1:4]] == [None, "10", "20"]
            api.put(ONE)
            web.wait(lambda snapshot: len(snapshot.endpoints) == 26)


def test_without_poll_each_page_is_asked_for_over_a_connection_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("select.poll")
    many = [slice_of(f"s{at:02}", endpoint(f"10.0.1.{at}")) for at in range(25)]
    with ApiServer(*many) as api:
        api.faults.append(refusal(422, status(422, "Invalid", "sendInitialEvents: Forbidden")))
        with followed("threads", api) as web:
            web.wait(lambda snapshot: len(snapshot.endpoints) == 25)


def test_it_lists_where_the_server_sends_no_end(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery._api.protocol._END_AFTER_LAST", 0.3)
    with ApiServer(ONE) as api:
        api.bookmarks = False
        with followed(shell, api) as web:
            web.has("10.0.0.1")
            assert "limit" in api.requests[1]


def test_a_server_that_is_killed_and_comes_back_is_found_again(shell: str) -> None:
    with ApiServer(ONE) as api, followed(shell, api) as web:
        web.has("10.0.0.1")
        api.kill()
        web.fails(api.url)
        api.restart()
        api.put(TWO)
        web.has("10.0.0.1", "10.0.0.2")


def test_one_that_is_not_there_is_a_failure_and_asked_for_again(shell: str) -> None:
    with ApiServer(ONE) as api:
        api.kill()
        with followed(shell, api) as web:
            error = web.fails(api.url, "[Errno 111] ")
            assert isinstance(error, LookupFailed)
            assert error.nameserver == api.url
            api.restart()
            web.has("10.0.0.1")


def test_who_is_in_a_hurry_does_not_wait_for_backoff(shell: str) -> None:
    with ApiServer(ONE) as api:
        api.always = refusal(429, retry_after="300")
        with followed(shell, api) as web:
            web.fails("429")
            api.always = None
            web.hurry()
            web.has("10.0.0.1")


def test_a_watch_cut_in_mid_line_is_resumed(shell: str) -> None:
    with ApiServer(ONE) as api, followed(shell, api) as web:
        web.has("10.0.0.1")
        api.send(event("MODIFIED", UNREADY)[:100])
        api.cut()
        api.put(TWO)
        web.has("10.0.0.1", "10.0.0.2")
        assert api.requests[-1]["resourceVersion"] == "10"


def test_a_server_that_falls_silent_is_given_up(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery._api.protocol._SILENT", 0.3)

    def fall_silent(request: Request) -> None:
        request.first_state()
        request.hold()

    with ApiServer(ONE) as api:
        api.faults.append(fall_silent)
        with followed(shell, api) as web:
            web.has("10.0.0.1")
            assert isinstance(web.fails("nothing came"), LookupTimeout)
            api.put(TWO)
            web.has("10.0.0.1", "10.0.0.2")


def test_a_server_that_never_answers_is_given_up(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery._api.protocol._ANSWER", 0.3)
    with ApiServer(ONE) as api:
        api.faults.append(Request.hold)
        with followed(shell, api) as web:
            web.fails("nothing came")
            web.has("10.0.0.1")


def test_a_slow_server_is_waited_for(shell: str) -> None:
    def slowly(request: Request) -> None:
        request.begin()
        for byte in event("ADDED", ONE) + bookmark(10, end=True):
            request.chunk(bytes([byte]))
        request.hold()

    with ApiServer(ONE) as api:
        api.faults.append(slowly)
        with followed(shell, api) as web:
            web.has("10.0.0.1")
            assert web.peers.stats.changes == 1


def test_a_rotated_token_is_read_again(shell: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    with ApiServer(ONE) as api, followed(shell, api, token_file=token) as web:
        web.has("10.0.0.1")
        assert api.tokens == ["Bearer old"]
        token.write_text("new")
        api.faults.append(refusal(401, status(401, "Unauthorized", "Unauthorized")))
        api.cut()
        api.put(TWO)
        web.has("10.0.0.1", "10.0.0.2")
        assert api.tokens == ["Bearer old", "Bearer new", "Bearer new"]
        assert web.peers.stats.unknown == 0


@pytest.mark.parametrize("content", [None, "", "two\nlines", "ümlaut", "\udcff\udc00"])
def test_a_token_that_cannot_be_read_is_a_failure_that_does_not_tell_it(
    content: str | None, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content.encode(errors="surrogatepass"))
    with ApiServer(ONE) as api, followed("threads", api, token_file=token) as web:
        error = web.fails("token")
        assert not content or content not in str(error)
        assert api.requests == []
        token.write_text("good")
        web.has("10.0.0.1")


def test_a_role_that_is_made_later_is_waited_for(shell: str) -> None:
    with ApiServer(ONE) as api:
        api.always = refusal(403, status(403, "Forbidden", "endpointslices is forbidden"))
        with followed(shell, api) as web:
            assert "Role" in (web.fails("forbidden").hint or "")
            api.always = None
            web.has("10.0.0.1")


def test_429_and_500_pass(shell: str) -> None:
    with ApiServer(ONE) as api:
        api.faults += [refusal(429, retry_after="0"), refusal(500)]
        with followed(shell, api) as web:
            web.has("10.0.0.1")
            assert len(api.requests) == 3


@pytest.mark.parametrize(
    "error",
    [
        status(410, "Expired", "too old resource version: 1 (5)"),
        status(504, "Timeout", "Too large resource version: 9, current: 5"),
    ],
    ids=["too old", "too large"],
)
def test_an_error_event_in_the_stream_is_begun_anew(shell: str, error: Object) -> None:
    with ApiServer(ONE) as api, followed(shell, api) as web:
        web.has("10.0.0.1")
        api.send(event("ERROR", error))
        api.put(TWO)
        web.has("10.0.0.1", "10.0.0.2")
        assert "sendInitialEvents" in api.requests[-1]


def test_an_etcd_that_was_restored_from_a_backup_is_read_anew(shell: str) -> None:
    """The version is then of the future: the server accepts it, and says nothing to its end."""

    def silent(request: Request) -> None:
        request.begin()
        request.chunk(b"")

    with ApiServer(ONE) as api, followed(shell, api) as web:
        web.has("10.0.0.1")
        with api.lock:
            api.slices["b"], api.version = TWO, 3
            api.faults.append(silent)
        api.cut()
        web.has("10.0.0.1", "10.0.0.2")
        assert api.requests[-2]["resourceVersion"] == "10"
        assert "sendInitialEvents" in api.requests[-1]


def test_a_slice_may_hold_line_breaks_of_unicode_nulls_and_pods_on_one_address(shell: str) -> None:
    odd = slice_of("b", endpoint("10.0.0.2", pod="p"), endpoint("10.0.0.2", pod="q"), version=11)
    odd["metadata"]["labels"] |= {"note": "one\x85two\u2028three", "nothing": None}
    odd["endpoints"][0] |= {"hostname": None, "targetRef": None, "zone": None, "conditions": None}
    sent = json.dumps({"type": "ADDED", "object": odd}, ensure_ascii=False).encode() + b"\n"
    with ApiServer(ONE, slice_of("c", ports=None)) as api, followed(shell, api) as web:
        web.has("10.0.0.1")
        api.send(sent)
        web.has("10.0.0.1", "10.0.0.2")


class _Jumping(Clock):
    """That of a machine that slept, or was moved to another."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_clock_that_jumps_hides_no_change(shell: str, seconds: float) -> None:
    clock = _Jumping()
    with ApiServer(ONE) as api, followed(shell, api, clock) as web:
        web.has("10.0.0.1")
        clock.ahead = seconds
        api.put(TWO)
        web.has("10.0.0.1", "10.0.0.2")
        api.put(UNREADY)
        web.has("10.0.0.2", "10.0.0.3")


def test_8_mebibytes_in_a_line_are_read(shell: str) -> None:
    with ApiServer(ONE) as api, followed(shell, api) as web:
        web.has("10.0.0.1")
        large = event("ADDED", slice_of("b", endpoint("10.0.0.2"), version=11))
        api.send(large[:-2] + b" " * (8 * 1024 * 1024 - len(large)) + large[-2:])
        web.has("10.0.0.1", "10.0.0.2")


def test_no_redirect_is_followed(shell: str) -> None:
    with ApiServer(ONE) as other, ApiServer() as api:
        api.always = refusal(302, location=other.url)
        with followed(shell, api) as web:
            web.fails("302")
            assert other.requests == []


def test_no_proxy_of_the_environment_is_used(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    with ApiServer(ONE) as api, followed(shell, api) as web:
        web.has("10.0.0.1")


def test_a_connection_that_is_reset_is_made_anew(shell: str) -> None:
    def reset(request: Request) -> None:
        request.first_state()
        linger = struct.pack("ii", 1, 0)  # closing it sends a reset
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.connection.close()  # before the server would end it in good order
        request.break_off()

    with ApiServer(ONE) as api:
        api.faults.append(reset)
        with followed(shell, api) as web:
            web.has("10.0.0.1")
            api.put(TWO)
            web.has("10.0.0.1", "10.0.0.2")


def test_a_reset_is_told_in_words(shell: str, tmp_path: Path) -> None:
    """While it waits for a reply, and while a token as long as no other is being sent."""
    token = tmp_path / "token"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset() -> None:
            linger = struct.pack("ii", 1, 0)  # closing it sends a reset
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    connection.recv(10)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    connection.close()

        threading.Thread(target=reset, daemon=True).start()
        source = EndpointSlices(
            server=f"http://127.0.0.1:{listening.getsockname()[1]}", token_file=token
        )
        for length in (10, 2**24):
            token.write_text("x" * length)
            with Followed(shell, source) as web:
                said = str(web.fails("asked")).rpartition(": ")[2]
                assert any(word in said for word in ("reset", "pipe", "disconnected")), said
        listening.shutdown(socket.SHUT_RDWR)


def test_a_handshake_that_times_out_is_told_too(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery._api.watch.TIMEOUT.connect", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # and nothing is ever accepted
        source = EndpointSlices(server=f"https://127.0.0.1:{listening.getsockname()[1]}")
        with Followed(shell, source) as web:
            web.fails("timed out")


def test_a_connection_that_was_closed_while_it_was_idle_is_no_trouble(shell: str) -> None:
    def end(request: Request) -> None:
        request.first_state()
        request.chunk(b"")

    with ApiServer(ONE) as api:
        api.faults += [end, Request.break_off]
        with followed(shell, api) as web:
            web.has("10.0.0.1")
            api.put(TWO)
            web.has("10.0.0.1", "10.0.0.2")
            assert web.peers.stats.unknown == 0
            assert len(api.requests) == 3


def test_a_fault_of_our_own_does_not_end_it(
    shell: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with ApiServer(ONE) as api, followed(shell, api) as web:
        web.has("10.0.0.1")
        with monkeypatch.context() as broken:
            broken.setattr("headless_discovery._api.protocol.Watch._event", lambda *_: 1 / 0)
            api.put(TWO)
            web.fails("ZeroDivisionError")
        web.has("10.0.0.1", "10.0.0.2")
    assert "ZeroDivisionError" in caplog.text


def test_over_tls_the_servers_authority_is_checked_and_the_token_sent(
    shell: str, tmp_path: Path
) -> None:
    authority, token = trustme.CA(), tmp_path / "token"
    token.write_text("secret")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    with (
        ApiServer(ONE, tls=tls) as api,
        followed(shell, api, ca_file=tmp_path / "ca.crt", token_file=token) as web,
    ):
        web.has("10.0.0.1")
        api.put(TWO)
        web.has("10.0.0.1", "10.0.0.2")
        assert set(api.tokens) == {"Bearer secret"}


@pytest.mark.parametrize("host", ["127.0.0.1", "10.96.0.1"])
def test_a_certificate_of_somebody_else_is_refused(shell: str, host: str, tmp_path: Path) -> None:
    """One of another authority, and one of the cluster's own for another host."""
    cluster, other, token = trustme.CA(), trustme.CA(), tmp_path / "token"
    token.write_text("secret")
    cluster.cert_pem.write_to_path(tmp_path / "ca.crt")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (other if host == "127.0.0.1" else cluster).issue_cert(host).configure_cert(tls)
    with (
        ApiServer(ONE, tls=tls) as api,
        followed(shell, api, ca_file=tmp_path / "ca.crt", token_file=token) as web,
    ):
        error = web.fails("certificate verify failed")
        assert "No reply came" in (error.hint or "")
        assert not api.requests


# Ending.


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("times", [40])
def test_starting_and_ending_it_leaves_nothing(shell: str, times: int) -> None:
    with ApiServer(ONE) as api:
        source = EndpointSlices(server=api.url)
        with Followed(shell, source) as web:
            web.has("10.0.0.1")
        while api.streams:
            time.sleep(0.01)
        gc.collect()
        files, threads = open_files(), threading.active_count()
        for _ in range(times // 20):
            with contextlib.ExitStack() as stack:
                for _ in range(20):
                    stack.enter_context(Followed(shell, source))
        while api.streams:
            time.sleep(0.01)
        gc.collect()
        until = time.monotonic() + 5
        while (open_files() > files or threading.active_count() > threads) and (
            time.monotonic() < until
        ):
            time.sleep(0.01)  # the server's own
        assert open_files() <= files
        assert threading.active_count() <= threads


def test_ending_it_waits_for_nothing(shell: str) -> None:
    def fall_silent(request: Request) -> None:
        request.first_state()
        request.hold()

    with ApiServer(ONE) as api:
        for fault in (fall_silent, Request.hold, refusal(500)):
            api.always = fault
            web = Followed(shell, EndpointSlices(server=api.url))
            with web:
                time.sleep(0.05)
                began = time.monotonic()
            assert time.monotonic() - began < 3  # it would be 5 and more


def test_ending_it_does_not_wait_for_a_handshake_or_a_connection(shell: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        with Followed(shell, EndpointSlices(server=url)):
            time.sleep(0.2)
            began = time.monotonic()
        assert time.monotonic() - began < 3  # it would be 5 and more
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):  # its queue is full: nobody else is let in
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Followed(shell, EndpointSlices(server=url)):
            time.sleep(0.2)
            began = time.monotonic()
        assert time.monotonic() - began < 3  # it would be 5 and more


@pytest.mark.parametrize("moment", ["getaddrinfo", "wrap_socket", "settimeout", "do_handshake"])
def test_ending_it_in_a_thread_at_any_step_of_a_connection_is_quiet(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step the thread is about to take, it ends at once and leaves nothing."""
    owners: dict[str, Any] = {"getaddrinfo": socket, "wrap_socket": ssl.SSLContext}
    owner = owners.get(moment, ssl.SSLSocket)
    step, begun = getattr(owner, moment), threading.Event()

    def late(*arguments: Any, **named: Any) -> Any:
        begun.set()
        time.sleep(0.1)  # in which `close` does what it does
        return step(*arguments, **named)

    monkeypatch.setattr(owner, moment, late)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        source = EndpointSlices(server=f"https://127.0.0.1:{listening.getsockname()[1]}")
        web = peers("web.shop", port=80, source=source)
        files = open_files()
        web.start()
        assert begun.wait(5)
        began = time.monotonic()
        web.close()
        assert time.monotonic() - began < 2
        gc.collect()
        assert open_files() <= files


# Whom to ask, and as whom.


@pytest.mark.parametrize(
    "server", ["", "10.96.0.1", "ftp://10.96.0.1", "https://", "https://a:b@c", "https://a:99999",
               "https://a?x", 5, "https://a\n", "https://a b", " https://a", "https://a..b",
               f"https://{'a' * 64}.b", "https://a\x7f"]
)  # fmt: skip
def test_a_server_is_a_url(server: Any) -> None:
    with pytest.raises(ConfigurationError, match="server"):
        EndpointSlices(server=server)


@pytest.mark.parametrize("argument", ["token_file", "ca_file"])
@pytest.mark.parametrize("path", [5, b"/token", ["/token"]])
def test_a_file_is_a_path(argument: str, path: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{argument} must be a path"):
        EndpointSlices(**{argument: path})  # type: ignore[arg-type] # that is the point


def test_endpoint_pod_names_is_a_truth_value() -> None:
    with pytest.raises(ConfigurationError, match="endpoint_pod_names"):
        EndpointSlices(endpoint_pod_names="yes")  # type: ignore[arg-type] # that is the point


def test_in_a_pod_the_server_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    assert EndpointSlices().server == "https://10.96.0.1:6443"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT")
    assert EndpointSlices().server == "https://[fd00::1]:443"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert "in the cluster" in repr(EndpointSlices())
    with pytest.raises(ConfigurationError, match="KUBERNETES_SERVICE_HOST") as caught:
        _ = EndpointSlices().server
    assert "EndpointSlices(server=" in (caught.value.hint or "")


def test_a_service_account_is_used_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr("headless_discovery._api.server._ACCOUNT", tmp_path)
    assert "Authorization" not in EndpointSlices(server="https://a").headers()
    anywhere = EndpointSlices(server="https://a")
    assert anywhere.context().verify_mode is ssl.CERT_REQUIRED
    assert anywhere.context() is anywhere.context()  # the system's authorities are read once
    assert not EndpointSlices(server="http://a").context().get_ca_certs()
    (tmp_path / "token").write_text("secret")
    assert EndpointSlices(server="https://a").headers()["Authorization"] == "Bearer secret"
    assert "Authorization" not in EndpointSlices(server="http://a").headers()
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(OSError, match=r"."):
        EndpointSlices(server="https://a").context()


def test_the_local_address_is_the_one_that_routes_to_the_server() -> None:
    assert EndpointSlices(server="https://127.0.0.1:9").own_addresses() == ("127.0.0.1",)
    with pytest.raises(LookupFailed, match="no route"):
        EndpointSlices(server="https://[fe80::1]").own_addresses()


def test_the_name_of_a_server_is_not_looked_up_for_it_since_a_connection_tells(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ApiServer(ONE) as api:
        slices = EndpointSlices(server=api.url.replace("127.0.0.1", "localhost"))
        with pytest.raises(LookupFailed, match="no connection"):
            slices.own_addresses()
        with Followed(shell, slices) as web, monkeypatch.context() as held:
            web.has("10.0.0.1")
            held.setattr(socket, "getaddrinfo", None)
            assert slices.own_addresses() == ("127.0.0.1",)


def test_who_wants_to_know_this_pod_is_told_why_there_is_no_connection(shell: str) -> None:
    with ApiServer() as api:
        gone = EndpointSlices(server=api.url.replace("127.0.0.1", "localhost"))
    with Followed(shell, gone, include_self=False) as web:
        web.fails("[Errno")


def test_without_its_library_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    EndpointSlices().check()
    monkeypatch.delitem(sys.modules, "headless_discovery._api.aio_watch")
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ConfigurationError, match="httpx2") as caught:
        EndpointSlices().check()
    assert "headless_discovery[api]" in (caught.value.hint or "")


@attrs.frozen
class Broken:
    """A finder of modules by which httpx2 cannot be imported."""

    error: Exception

    def find_spec(self, name: str, *_: object) -> None:
        if name == "httpx2":
            raise self.error


@pytest.mark.parametrize(
    "error", [AttributeError("no sendmsg"), TypeError("a metaclass"), OSError("no descriptor")]
)
def test_a_library_that_cannot_be_imported_is_told_and_auto_does_without(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster()
    cluster.add_service("web").scale(2)
    EndpointSlices().check()
    monkeypatch.delitem(sys.modules, "headless_discovery._api.aio_watch")
    monkeypatch.delitem(sys.modules, "httpx2")
    monkeypatch.setattr(sys, "meta_path", [Broken(error), *sys.meta_path])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    with pytest.raises(ConfigurationError, match=f"httpx2, .* cannot be imported: .*{error}"):
        EndpointSlices().check()
    web = peers("web", source="auto", resolver=cluster.resolver, clock=cluster.clock)
    assert len(web.endpoints()) == 2
    assert web.snapshot.source == "dns"


DESCRIPTORS = """
import asyncio, os, resource
from headless_discovery import LookupFailed, aio, peers
from headless_discovery.kubernetes import EndpointSlices

async def main():
    source = EndpointSlices(server="http://127.0.0.1:1")
    web = peers("web", namespace="default", source=source)
    kubia = aio.peers("kubia", namespace="default", source=source)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1,) * 2)
    try:
        web.endpoints()
    except LookupFailed as error:
        print(error)
    async with kubia:
        try:
            await kubia.endpoints()
        except LookupFailed as error:
            print(error)
    web.close()

asyncio.run(main())
"""


def test_no_descriptor_at_the_first_state_is_a_failure() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIPTORS], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.count("for the EndpointSlices of") == 2
