"""Resolver: real sockets on loopback addresses, against a name server that is scripted."""

import errno
import itertools
import os
import random
import select
import socket
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, ClassVar, cast

import attrs
import dns.message
import dns.rdatatype
import pytest

from headless_discovery import Clock, LookupFailed, LookupTimeout, Resolver, ServiceName
from headless_discovery.testing import FakeClock
from tests import tasks
from tests.lookups import (
    Answer,
    Found,
    GaveUp,
    Learnt,
    Lookup,
    Memory,
    Outcome,
    Question,
    Reply,
    Type,
    Wanted,
    exchange,
    lookup,
    parse,
)
from tests.messages import nxdomain, reply
from tests.nameserver import (
    Elsewhere,
    NameServer,
    Stream,
    UdpHandler,
    closed_port,
    framed,
    ipv6_works,
)
from tests.speed import allowed

pytestmark = pytest.mark.slow

SERVICE = ServiceName("web", "shop")
WEB = str(SERVICE)
A = Question(WEB, Type.A)


def found(asked: bytes) -> bytes:
    return reply(asked, f"{WEB}. 30 IN A 10.1.1.1")


def cut(asked: bytes) -> bytes:
    return reply(asked, truncated=True)


def silent(_asked: bytes) -> None:
    return None


SHELLS = ("threads", *tasks.LIBRARIES)


@pytest.fixture(autouse=True, params=SHELLS)
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test is about all three: they come to the same."""
    monkeypatch.setattr(Shell, "name", request.param)
    name: str = request.param
    return name


class Shell:
    """The one that a test is run with."""

    name: ClassVar[str] = "threads"


def run(
    resolver: Resolver,
    playing: Lookup,
    *,
    clock: Clock | None = None,
    learnt: Learnt | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Carries a lookup out, over the resolver's sockets."""
    clock = clock or Clock()
    steps = exchange(playing, SERVICE, resolver.plan(), learnt or Learnt(), clock.now)
    if Shell.name == "threads":
        return resolver.run(steps, clock, stop=stop)
    outcome: Outcome = tasks.run(
        cast("tasks.LibraryName", Shell.name), lambda: resolver.run_async(steps, clock)
    )
    return outcome


def ask(
    resolver: Resolver, *questions: Question, learnt: Learnt | None = None, **options: Any
) -> list[Reply]:
    """Asks these questions side by side; their replies are the outcome."""

    def asking() -> Generator[list[Question], Sequence[Reply], Sequence[Reply]]:
        return (yield list(questions or (A,)))

    playing = cast("Lookup", asking())
    outcome = run(resolver, playing, learnt=learnt, **options)
    return cast("list[Reply]", outcome)


def ask_server(server: NameServer | str, **limits: Any) -> Reply:
    address = server if isinstance(server, str) else server.address
    limits = {"timeout": 2, "lifetime": 3} | limits
    [came] = ask(Resolver([address], **limits))
    return came


def addresses(came: Reply) -> tuple[str, ...]:
    assert isinstance(came, Answer), came
    return came.addresses


def trouble(came: Reply) -> str:
    assert isinstance(came, LookupFailed), came
    return str(came)


def use_sockets(monkeypatch: pytest.MonkeyPatch, kind: Callable[..., socket.socket]) -> None:
    """The library's own are of this kind, not those of event loops and name servers."""
    others = types.SimpleNamespace(**vars(socket))
    others.socket = kind
    monkeypatch.setattr("headless_discovery._dns.sockets.socket", others)


class Noted(socket.socket):
    """A socket that can be found again."""

    all: ClassVar[list["Noted"]] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if threading.current_thread() is threading.main_thread():  # not the name server's
            self.all.append(self)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Noted]]:
    Noted.all = []
    use_sockets(monkeypatch, Noted)
    yield Noted.all
    assert all(opened.fileno() == -1 for opened in Noted.all), "a socket was left open"


NO_POLL = types.SimpleNamespace(select=select.select)
"""What is left of `select` by eventlet, and on Windows."""


# UDP.


def test_a_question_goes_out_and_its_answer_comes_back() -> None:
    with NameServer(found) as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)
    assert [over for over, _ in server.asked] == ["udp"]


def test_a_whole_lookup_runs_to_its_outcome() -> None:
    def handler(asked: bytes) -> bytes:
        return reply(
            asked,
            f"{WEB}. 30 IN SRV 0 100 8080 web-0.{WEB}.",
            additional=[f"web-0.{WEB}. 30 IN A 10.1.1.1"],
        )

    learnt = Learnt()
    with NameServer(handler) as server:
        outcome = run(
            Resolver([server.address]),
            lookup(Wanted(SERVICE), Memory(), 0, random.Random(0)),
            learnt=learnt,
        )
    assert isinstance(outcome, Found)
    assert [str(endpoint) for endpoint in outcome.endpoints] == ["10.1.1.1:8080"]
    assert (learnt.udp, learnt.tcp) == (1, 0)


def test_what_does_not_answer_the_question_is_dropped_and_the_wait_goes_on() -> None:
    def handler(asked: bytes) -> list[bytes | Elsewhere]:
        other_id = bytes([asked[0] ^ 0xFF]) + nxdomain(asked)[1:]
        other_name = nxdomain(asked).replace(b"\x03web", b"\x03wab")
        return [b"", b"nonsense", asked, other_id, other_name, found(asked)]

    with NameServer(handler) as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)
    assert len(server.asked) == 1


def test_what_comes_from_elsewhere_is_dropped_and_the_wait_goes_on() -> None:
    with NameServer(lambda asked: [Elsewhere(nxdomain(asked)), found(asked)]) as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)


def test_each_question_goes_out_from_a_socket_of_its_own() -> None:
    with NameServer(nxdomain) as server:
        ask(Resolver([server.address]), A, Question(WEB, Type.AAAA))
    assert len(set(server.ports)) == 2


def test_edns_is_offered_and_given_up_when_the_server_does_not_know_it() -> None:
    def handler(asked: bytes) -> bytes:
        edns = dns.message.from_wire(asked).edns >= 0
        return asked[:2] + b"\x80\x01" + bytes(8) if edns else found(asked)

    with NameServer(handler) as server:
        assert addresses(ask_server(server, edns=4096)) == ("10.1.1.1",)
    [first, second] = [dns.message.from_wire(asked) for _, asked in server.asked]
    assert (first.edns, first.payload, second.edns) == (0, 4096, -1)


def test_a_port_where_nobody_listens_is_told_at_once() -> None:
    started = time.monotonic()
    came = ask_server(f"127.0.0.1:{closed_port()}", timeout=2, lifetime=5)
    assert "Connection refused" in trouble(came)
    assert not isinstance(came, LookupTimeout)
    assert time.monotonic() - started < 1


def test_an_address_that_cannot_be_sent_to_is_told_at_once() -> None:
    assert "Permission denied" in trouble(ask_server("255.255.255.255"))


def test_the_next_name_server_is_asked_when_one_fails_or_stays_silent() -> None:
    with NameServer(silent) as first, NameServer(found) as second:
        nobody = f"127.0.0.1:{closed_port()}"
        resolver = Resolver([nobody, first.address, second.address], timeout=0.05, lifetime=1)
        [came] = ask(resolver)
    assert addresses(came) == ("10.1.1.1",)


def test_a_lost_datagram_is_sent_again() -> None:
    count = itertools.count()
    with NameServer(lambda asked: found(asked) if next(count) else None) as server:
        assert addresses(ask_server(server, timeout=0.05)) == ("10.1.1.1",)


def test_a_socket_that_wakes_up_for_nothing_is_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Spurious(socket.socket):
        woke_up = False

        def recv(self, *args: Any) -> bytes:
            if not Spurious.woke_up:
                Spurious.woke_up = True
                raise TimeoutError if self.gettimeout() else BlockingIOError
            return super().recv(*args)

    with NameServer(found) as server:
        use_sockets(monkeypatch, Spurious)
        assert addresses(ask_server(server)) == ("10.1.1.1",)
    assert Spurious.woke_up


@pytest.mark.skipif(not ipv6_works(), reason="no IPv6 on this machine")
def test_an_ipv6_name_server_is_asked_over_udp_and_tcp() -> None:
    with NameServer(cut, found, host="::1") as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)
    assert [over for over, _ in server.asked] == ["udp", "tcp"]


@pytest.mark.skipif(not ipv6_works(), reason="no IPv6 on this machine")
def test_a_name_server_is_reached_by_the_zone_of_its_address() -> None:
    with NameServer(found, host="::1") as server:
        assert addresses(ask_server(f"[::1%1]:{server.port}")) == ("10.1.1.1",)
    with NameServer(found, host="::1") as server:
        own = Resolver([f"[::1%1]:{server.port}"]).own_addresses()
    assert [address.partition("%")[0] for address in own] == ["::1"]
    came = ask_server("fe80::1%no-such-zone")
    assert not isinstance(came, Answer | LookupTimeout)


def test_on_a_clock_that_moves_only_when_it_is_told_to_silence_takes_its_time() -> None:
    clock = FakeClock()
    began = clock.now()
    with NameServer(silent) as server:
        [came] = ask(Resolver([server.address], timeout=0.05, lifetime=0.2), clock=clock)
    assert isinstance(came, LookupTimeout)
    assert clock.now() - began == pytest.approx(0.2)


# TCP.


def test_a_cut_answer_comes_whole_over_tcp() -> None:
    learnt = Learnt()
    with NameServer(cut, found) as server:
        [came] = ask(Resolver([server.address]), learnt=learnt)
    assert addresses(came) == ("10.1.1.1",)
    assert [over for over, _ in server.asked] == ["udp", "tcp"]
    assert (learnt.udp, learnt.tcp) == (1, 1)


def test_an_answer_of_64_kib_comes_whole() -> None:
    many = [f"{WEB}. 30 IN A 10.0.{n // 256}.{n % 256}" for n in range(4000)]
    with NameServer(cut, lambda asked: reply(asked, *many)) as server:
        assert len(addresses(ask_server(server, timeout=5, lifetime=5))) == 4000


def test_an_answer_that_trickles_in_byte_by_byte_is_put_together() -> None:
    def trickle(asked: bytes) -> Stream:
        return Stream([bytes([byte]) for byte in framed(found(asked))], pause=0.0005)

    with NameServer(cut, trickle) as server:
        assert addresses(ask_server(server, timeout=1)) == ("10.1.1.1",)


def test_a_question_that_is_taken_byte_by_byte_is_sent_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Narrow(socket.socket):
        def send(self, data: Any, *args: Any) -> int:
            return super().send(data[:1] if self.type == socket.SOCK_STREAM else data, *args)

    with NameServer(cut, found) as server:
        use_sockets(monkeypatch, Narrow)
        assert addresses(ask_server(server)) == ("10.1.1.1",)


def test_no_more_is_read_than_the_message() -> None:
    def more(asked: bytes) -> Stream:
        return Stream([framed(found(asked)) + framed(nxdomain(asked)) + b"and more"])

    with NameServer(cut, more) as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)


def test_messages_that_do_not_answer_the_question_are_passed_over() -> None:
    def chatty(asked: bytes) -> Stream:
        other = bytes([asked[0] ^ 0xFF]) + nxdomain(asked)[1:]
        return Stream([framed(b""), framed(other), framed(found(asked))])

    with NameServer(cut, chatty) as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)


def no_tcp(server: NameServer, **limits: Any) -> str:
    """Why TCP gave nothing."""
    came = ask_server(server, **limits)
    assert isinstance(came, Answer)
    assert came.truncated
    return came.no_tcp or ""


def test_tcp_that_is_refused_leaves_the_cut_answer_and_says_why() -> None:
    with NameServer(cut) as server:
        assert "Connection refused" in no_tcp(server)


@pytest.mark.parametrize("sent", [0, 1, 2, 20])
def test_a_connection_that_is_closed_early_leaves_the_cut_answer(sent: int) -> None:
    with NameServer(cut, lambda asked: Stream([framed(found(asked))[:sent]])) as server:
        assert "was closed before the complete answer" in no_tcp(server)


def test_what_one_server_sent_over_tcp_is_no_part_of_the_next_ones_answer() -> None:
    def early(asked: bytes) -> Stream:
        return Stream([framed(found(asked))[:20]])

    with NameServer(cut, early) as first, NameServer(cut, found) as second:
        [came] = ask(Resolver([first.address, second.address]))
    assert addresses(came) == ("10.1.1.1",)


def test_a_connection_that_stays_silent_to_edns_alone_is_asked_without() -> None:
    def drops_edns(asked: bytes) -> bytes | None:
        return None if dns.message.from_wire(asked).edns >= 0 else found(asked)

    with NameServer(cut, drops_edns) as server:
        assert addresses(ask_server(server, timeout=0.2)) == ("10.1.1.1",)
    assert [over for over, _ in server.asked] == ["udp", "tcp", "tcp"]


def test_a_connection_that_stays_silent_leaves_the_cut_answer() -> None:
    with NameServer(cut, silent) as server:
        assert "no answer in 0.1 s" in no_tcp(server, timeout=0.1)


def test_a_length_that_is_too_long_is_waited_for_and_given_up() -> None:
    def too_long(asked: bytes) -> Stream:
        return Stream([b"\xff\xff" + found(asked)], close=False)

    with NameServer(cut, too_long) as server:
        assert "no answer in 0.1 s" in no_tcp(server, timeout=0.1)


def test_a_length_that_is_too_short_is_a_malformed_answer() -> None:
    def too_short(asked: bytes) -> Stream:
        wire = found(asked)
        return Stream([(len(wire) - 4).to_bytes(2, "big") + wire])

    with NameServer(cut, too_short) as server:
        assert "malformed" in no_tcp(server)


# Limits.


def answer_in_groups(opened: socket.socket, count: int, groups: list[int]) -> None:
    """Answers whatever came once nothing more comes."""
    opened.settimeout(0.05)
    pending: list[tuple[bytes, Any]] = []
    while sum(groups) < count:
        try:
            pending.append(opened.recvfrom(512))
        except TimeoutError:
            if pending:
                groups.append(len(pending))
            for asked, sender in pending:
                opened.sendto(nxdomain(asked), sender)
            pending.clear()


def test_at_most_64_questions_are_in_flight() -> None:
    groups: list[int] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=answer_in_groups, args=(opened, 300, groups), daemon=True)
        thread.start()
        questions = [Question(f"web-{n}.{WEB}", Type.A) for n in range(300)]
        port = opened.getsockname()[1]
        # Time enough for a machine that is busy with other things.
        came = ask(Resolver([f"127.0.0.1:{port}"], timeout=60, lifetime=60), *questions)
        thread.join()
    assert sum(groups) == 300
    assert max(groups) == 64
    assert all(isinstance(one, Answer) for one in came)


def test_replies_come_in_the_order_of_the_questions() -> None:
    def handler(asked: bytes) -> bytes:
        name = dns.message.from_wire(asked).question[0].name.to_text()
        return reply(asked, f"{name} 30 IN A 10.0.0.{name.split('.')[0].removeprefix('web-')}")

    with NameServer(handler) as server:
        questions = [Question(f"web-{n}.{WEB}", Type.A) for n in range(200)]
        came = ask(Resolver([server.address]), *questions)
    assert [addresses(one) for one in came] == [(f"10.0.0.{n}",) for n in range(200)]


@pytest.mark.parametrize("count", [1, 200])
def test_a_silent_server_costs_the_lifetime_and_no_more(count: int) -> None:
    with NameServer(silent, silent) as server:
        resolver = Resolver([server.address], timeout=0.05, lifetime=0.2)
        learnt = Learnt()
        started = time.monotonic()
        came = ask(resolver, *[A] * count, learnt=learnt)
        took = time.monotonic() - started
    assert all(isinstance(one, LookupTimeout) for one in came)
    assert 0.2 <= took < 2  # far below the sum of all tries, however loaded the machine
    assert "no answer in 0.05 s" in trouble(came[0])
    assert 1 < learnt.udp <= 4 * min(count, 64)


def test_each_message_is_waited_for_by_its_own_time() -> None:
    def cut_later(asked: bytes) -> bytes | None:
        if dns.message.from_wire(asked).question[0].rdtype == dns.rdatatype.A:
            return None
        time.sleep(0.2)
        return cut(asked)

    with NameServer(cut_later, silent) as server:
        resolver = Resolver([server.address], timeout=0.4, lifetime=0.5)
        silence, part = ask(resolver, A, attrs.evolve(A, rdtype=Type.AAAA))
    assert "no answer in 0.4 s" in trouble(silence)
    assert isinstance(part, Answer)
    assert part.no_tcp == f"{server.address}: no answer in time"


def test_a_flood_of_wrong_answers_does_not_outlast_the_lifetime() -> None:
    with NameServer(lambda _: [b"nonsense"] * 5000) as server:
        started = time.monotonic()
        came = ask_server(server, timeout=0.1, lifetime=0.1)
        took = time.monotonic() - started
    assert isinstance(came, LookupTimeout)
    assert took < 0.1 + allowed(0.4)


def test_the_lifetime_is_for_all_questions_of_a_lookup() -> None:
    def two_rounds() -> Generator[list[Question], Sequence[Reply], Sequence[Reply]]:
        yield [A]
        return (yield [A])

    with NameServer(silent) as server:
        resolver = Resolver([server.address], timeout=0.1, lifetime=0.2)
        started = time.monotonic()
        came = run(resolver, cast("Lookup", two_rounds()))
        took = time.monotonic() - started
    assert 0.2 <= took < 0.2 + allowed(0.2)
    assert "no answer in time" in trouble(cast("list[Reply]", came)[0])


def test_a_lookup_that_nobody_wants_any_more_ends_soon(shell: str, sockets: list[Noted]) -> None:
    clock = Clock()
    with NameServer(silent) as server:
        plan = Resolver([server.address]).plan()
        steps = exchange(endless(), SERVICE, plan, Learnt(), clock.now)
        started = time.monotonic()
        if shell == "threads":
            unwanted = threading.Event()
            threading.Timer(0.1, unwanted.set).start()
            with pytest.raises(GaveUp):
                Resolver().run(steps, clock, stop=unwanted.is_set)
        else:

            async def main() -> bool:
                return await tasks.give_up_after(0.1, lambda: Resolver().run_async(steps, clock))

            assert tasks.run(cast("tasks.LibraryName", shell), main)
        took = time.monotonic() - started
    assert 0.1 <= took < 0.1 + allowed(0.2)
    assert all(opened.fileno() == -1 for opened in sockets)


def test_whoever_led_a_lookup_may_have_less_time_than_it() -> None:
    clock = Clock()
    with NameServer(silent) as server:
        plan = Resolver([server.address]).plan()
        steps = exchange(endless(), SERVICE, plan, Learnt(), clock.now)
        started = clock.now()
        with pytest.raises(GaveUp):
            Resolver().run(steps, clock, until=started + 0.1)
    assert 0.1 <= clock.now() - started < 0.3


def endless() -> Generator[list[Question], Sequence[Reply], None]:
    """Asks on and on."""
    while True:
        yield [A] * 100


# Sockets.


@pytest.mark.parametrize("udp", [found, cut, silent])
def test_no_socket_is_left_whatever_happens(udp: UdpHandler, sockets: list[Noted]) -> None:
    with NameServer(udp, silent) as server:
        sockets.clear()
        ask_server(server, timeout=0.05, lifetime=0.1)
        assert sockets
        assert all(opened.fileno() == -1 for opened in sockets)
        longest = max(1.0 if (t := each.gettimeout()) is None else t for each in sockets)
        assert longest <= 0.05, "one might have blocked"


def test_no_socket_is_left_after_ctrl_c(sockets: list[Noted]) -> None:
    class Interrupted(Clock):
        def now(self) -> float:
            if sockets:
                raise KeyboardInterrupt
            return super().now()

    with NameServer(silent) as server:
        sockets.clear()
        with pytest.raises(KeyboardInterrupt):
            ask(Resolver([server.address]), *[A] * 10, clock=Interrupted())
        assert len(sockets) == 8
        assert all(opened.fileno() == -1 for opened in sockets)


def test_no_socket_is_left_when_one_cannot_be_used(
    sockets: list[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ctrl_c(_self: Noted, _address: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Noted, "connect", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        ask(Resolver(["127.0.0.1"]))
    assert len(sockets) == 1


def test_a_message_that_the_system_does_not_take_is_told_at_once(
    sockets: list[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Noted, _message: bytes) -> int:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(Noted, "send", full)
    assert "No buffer space available" in trouble(ask_server("127.0.0.1"))
    assert len(sockets) == 1


def test_a_connection_that_the_system_gives_up_is_told_in_its_words(
    sockets: list[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    send = socket.socket.send

    def given_up(self: Noted, message: bytes) -> int:
        if self.type == socket.SOCK_STREAM:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
        return send(self, message)

    monkeypatch.setattr(Noted, "send", given_up)
    with NameServer(cut, silent) as server:
        assert "Connection timed out" in no_tcp(server)
    assert sockets


def test_running_out_of_sockets_is_a_failed_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_: object) -> socket.socket:
        raise OSError(24, os.strerror(24))

    use_sockets(monkeypatch, no_more)
    assert "Too many open files" in trouble(ask_server("127.0.0.1"))


def test_an_error_without_words_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def wordless(*_: object) -> socket.socket:
        raise ConnectionAbortedError

    use_sockets(monkeypatch, wordless)
    assert "ConnectionAbortedError" in trouble(ask_server("127.0.0.1"))


# Where less can be had.


def test_where_there_is_no_poll_select_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headless_discovery._dns.sockets.select", NO_POLL)
    monkeypatch.setattr("headless_discovery._dns.aio_sockets.select", NO_POLL)
    names = [Question(f"web-{n}.{WEB}", Type.A) for n in range(100)]
    with NameServer(cut, found) as server, NameServer(nxdomain) as other:
        assert addresses(ask_server(server)) == ("10.1.1.1",)
        assert all(isinstance(one, Answer) for one in ask(Resolver([other.address]), *names))
    with NameServer(silent) as server:
        assert isinstance(ask_server(server, timeout=0.05, lifetime=0.1), LookupTimeout)


def odd(asked: bytes) -> bytes:
    """An answer of a shape that the fast reader does not take."""
    return reply(asked, f"{WEB}. 30 IN A 10.1.1.1", f'{WEB}. 30 IN TXT "odd"')


def test_a_reply_of_an_unusual_shape_is_read_in_a_thread_where_a_loop_runs(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def noted(wire: bytes) -> Answer:
        threads.append(threading.current_thread())
        return parse(wire)

    monkeypatch.setattr("headless_discovery._dns.exchange.parse", noted)
    with NameServer(odd) as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)
    [thread] = threads
    assert (thread is threading.main_thread()) == (shell == "threads")


def test_where_no_thread_can_be_had_it_is_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    for library in ("on_asyncio._Asyncio", "on_trio._Trio"):
        monkeypatch.setattr(f"headless_discovery._time.{library}.in_thread", none)
    with NameServer(odd) as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)


@attrs.define
class Interrupts:
    """Raises at one line of the wire's modules, counted from the first."""

    at: int
    seen: int = 0

    def __call__(self, frame: types.FrameType, event: str, _: object) -> "Interrupts | None":
        if "headless_discovery/_dns" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.seen += 1
            if self.seen == self.at:
                raise KeyboardInterrupt
        return self


class Seen(socket.socket):
    """A socket that is seen as long as anybody holds it."""

    all: ClassVar[weakref.WeakSet["Seen"]] = weakref.WeakSet()

    def __init__(self, *args: Any) -> None:
        self.all.add(self)
        super().__init__(*args)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # one is closed by being forgotten
def test_an_interrupt_at_any_line_leaves_no_socket(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shell != "threads":
        pytest.skip("a trace function cannot interrupt a task without ending its loop")
    use_sockets(monkeypatch, Seen)
    with NameServer(cut, found) as server:
        resolver = Resolver([server.address])
        ask(resolver)
        for at in itertools.count(1, 3):
            before = sys.gettrace()
            sys.settrace(Interrupts(at))
            try:
                ask(resolver)
                break
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            assert not [one for one in Seen.all if one.fileno() != -1], f"line {at}"
    assert at > 200
