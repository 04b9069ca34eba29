"""Resolver: real sockets on loopback addresses, against a name server that is scripted."""

import errno
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, cast

import attrs
import dns.message
import dns.rdatatype
import pytest

from headless_discovery import _transport
from headless_discovery._clock import Clock
from headless_discovery._errors import ConfigurationError, LookupFailed, LookupTimeout
from headless_discovery._exchange import Asking, Question, Reply, Server, Traffic
from headless_discovery._outcomes import Found, Outcome
from headless_discovery._questions import Lookup, Memory, Wanted, lookup
from headless_discovery._service import ServiceName
from headless_discovery._steps import Converse, carry_out, steps_of
from headless_discovery._surroundings import read_text
from headless_discovery._transport import Resolver, parse_server
from headless_discovery._wire import Answer, Type
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

SERVICE = ServiceName("web", "shop")
WEB = str(SERVICE)
A = Question(WEB, Type.A)


def found(asked: bytes) -> bytes:
    return reply(asked, f"{WEB}. 30 IN A 10.1.1.1")


def cut(asked: bytes) -> bytes:
    return reply(asked, truncated=True)


def silent(_asked: bytes) -> None:
    return None


BESIDE: ContextVar[int] = ContextVar("BESIDE", default=0)


def no_question() -> Asking:
    """A conversation that is over at once."""
    return LookupFailed("nobody was asked")
    yield


@pytest.fixture(autouse=True, params=[0, 1], ids=["alone", "among-others"])
def beside(request: pytest.FixtureRequest) -> Iterator[None]:
    """A conversation that is alone is held in another way, and comes to the same."""
    token = BESIDE.set(request.param)
    yield
    BESIDE.reset(token)


def run(
    resolver: Resolver,
    playing: Lookup,
    *,
    clock: Clock | None = None,
    traffic: Traffic | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Carries a lookup out, over the resolver's sockets."""
    clock = clock or Clock()
    traffic = traffic or Traffic()
    deadline = clock.now() + resolver.lifetime
    steps = steps_of(playing, SERVICE, resolver.servers(), resolver.edns, deadline)
    others = [no_question] * BESIDE.get()

    def converse(step: Converse) -> Sequence[Reply]:
        asks = [*step.asks, *(other() for other in others)]
        replies = resolver.converse(Converse(asks, step.deadline), clock, traffic, stop)
        return replies[: len(step.asks)]

    return carry_out(steps, converse)


def ask(
    resolver: Resolver, *questions: Question, traffic: Traffic | None = None, **options: Any
) -> list[Reply]:
    """Asks these questions side by side; their replies are the outcome."""

    def asking() -> Generator[list[Question], Sequence[Reply], Sequence[Reply]]:
        return (yield list(questions or (A,)))

    playing = cast("Lookup", asking())
    outcome = run(resolver, playing, traffic=traffic, **options)
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

    traffic = Traffic()
    with NameServer(handler) as server:
        outcome = run(
            Resolver([server.address]), lookup(Wanted(SERVICE), Memory()), traffic=traffic
        )
    assert isinstance(outcome, Found)
    assert [str(endpoint) for endpoint in outcome.endpoints] == ["10.1.1.1:8080"]
    assert traffic == Traffic(udp=1)


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
        monkeypatch.setattr(socket, "socket", Spurious)
        assert addresses(ask_server(server)) == ("10.1.1.1",)
    assert Spurious.woke_up


@pytest.mark.skipif(not ipv6_works(), reason="no IPv6 on this machine")
def test_an_ipv6_name_server_is_asked_over_udp_and_tcp() -> None:
    with NameServer(cut, found, host="::1") as server:
        assert addresses(ask_server(server)) == ("10.1.1.1",)
    assert [over for over, _ in server.asked] == ["udp", "tcp"]


# TCP.


def test_a_cut_answer_comes_whole_over_tcp() -> None:
    traffic = Traffic()
    with NameServer(cut, found) as server:
        [came] = ask(Resolver([server.address]), traffic=traffic)
    assert addresses(came) == ("10.1.1.1",)
    assert [over for over, _ in server.asked] == ["udp", "tcp"]
    assert traffic == Traffic(udp=1, tcp=1)


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
        monkeypatch.setattr(socket, "socket", Narrow)
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
        assert "was closed before the whole answer" in no_tcp(server)


def test_what_one_server_sent_over_tcp_is_no_part_of_the_next_ones_answer() -> None:
    def early(asked: bytes) -> Stream:
        return Stream([framed(found(asked))[:20]])

    with NameServer(cut, early) as first, NameServer(cut, found) as second:
        [came] = ask(Resolver([first.address, second.address]))
    assert addresses(came) == ("10.1.1.1",)


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
    with NameServer(silent) as server:
        resolver = Resolver([server.address], timeout=0.05, lifetime=0.2)
        traffic = Traffic()
        started = time.monotonic()
        came = ask(resolver, *[A] * count, traffic=traffic)
        took = time.monotonic() - started
    assert all(isinstance(one, LookupTimeout) for one in came)
    assert 0.2 <= took < 0.5
    assert "no answer in 0.05 s" in trouble(came[0])
    assert 1 < traffic.udp <= 4 * min(count, 64)


def test_each_message_is_waited_for_by_its_own_time() -> None:
    def cut_later(asked: bytes) -> bytes | None:
        if dns.message.from_wire(asked).question[0].rdtype == dns.rdatatype.A:
            return None
        time.sleep(0.05)
        return cut(asked)

    with NameServer(cut_later, silent) as server:
        resolver = Resolver([server.address], timeout=0.1, lifetime=0.12)
        silence, part = ask(resolver, A, attrs.evolve(A, rdtype=Type.AAAA))
    assert "no answer in 0.1 s" in trouble(silence)
    assert isinstance(part, Answer)
    assert part.no_tcp == f"{server.address}: no answer before the lookup's time was over"


def test_a_flood_of_wrong_answers_does_not_outlast_the_lifetime() -> None:
    with NameServer(lambda _: [b"nonsense"] * 5000) as server:
        started = time.monotonic()
        came = ask_server(server, timeout=0.1, lifetime=0.1)
        took = time.monotonic() - started
    assert isinstance(came, LookupTimeout)
    assert took < 0.5


def test_the_lifetime_is_for_all_questions_of_a_lookup() -> None:
    def two_rounds() -> Generator[list[Question], Sequence[Reply], Sequence[Reply]]:
        yield [A]
        return (yield [A])

    with NameServer(silent) as server:
        resolver = Resolver([server.address], timeout=0.1, lifetime=0.2)
        started = time.monotonic()
        came = run(resolver, cast("Lookup", two_rounds()))
        took = time.monotonic() - started
    assert 0.2 <= took < 0.4
    assert "no answer before the lookup's time was over" in trouble(cast("list[Reply]", came)[0])


def test_a_lookup_that_nobody_wants_any_more_ends_soon() -> None:
    unwanted = threading.Event()
    with NameServer(silent) as server:
        resolver = Resolver([server.address])
        threading.Timer(0.1, unwanted.set).start()
        started = time.monotonic()
        came = ask(resolver, *[A] * 100, stop=unwanted.is_set)
        took = time.monotonic() - started
    assert all(isinstance(one, LookupTimeout) for one in came)
    assert 0.1 <= took < 0.25


# Sockets.


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
    monkeypatch.setattr(socket, "socket", Noted)
    yield Noted.all
    assert all(opened.fileno() == -1 for opened in Noted.all), "a socket was left open"


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
    rounds = itertools.count()

    def ctrl_c() -> bool:
        if next(rounds) == 1:
            raise KeyboardInterrupt
        return False

    with NameServer(silent) as server:
        sockets.clear()
        with pytest.raises(KeyboardInterrupt):
            ask(Resolver([server.address]), *[A] * 10, stop=ctrl_c)
        assert len(sockets) == 10
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

    monkeypatch.setattr(socket, "socket", no_more)
    assert "Too many open files" in trouble(ask_server("127.0.0.1"))


def test_an_error_without_words_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def wordless(*_: object) -> socket.socket:
        raise ConnectionAbortedError

    monkeypatch.setattr(socket, "socket", wordless)
    assert "ConnectionAbortedError" in trouble(ask_server("127.0.0.1"))


# Which name servers.


@pytest.fixture
def resolv_conf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("HEADLESS_DISCOVERY_NAMESERVER", raising=False)
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr(_transport, "RESOLV_CONF", path)
    return path


def servers(resolver: Resolver) -> list[str]:
    return [str(server) for server in resolver.servers()]


def test_name_servers_that_are_given_are_used_in_order() -> None:
    given = ["10.96.0.10", "127.0.0.1:5353", "[fd00::a]:54", "fd00:0::b", "[fd00::c]"]
    assert servers(Resolver(given)) == [
        "10.96.0.10:53",
        "127.0.0.1:5353",
        "[fd00::a]:54",
        "[fd00::b]:53",
        "[fd00::c]:53",
    ]


def test_else_those_of_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch, resolv_conf: Path
) -> None:
    resolv_conf.write_text("nameserver 10.0.0.9\n")
    monkeypatch.setenv("HEADLESS_DISCOVERY_NAMESERVER", "10.0.0.1, [fd00::a]:5353")
    assert servers(Resolver()) == ["10.0.0.1:53", "[fd00::a]:5353"]
    assert servers(Resolver(["10.0.0.2"])) == ["10.0.0.2:53"]


def test_else_those_of_resolv_conf(resolv_conf: Path) -> None:
    resolv_conf.write_text("nameserver 10.0.0.1\nnameserver fe80::1%eth0\n")
    assert servers(Resolver()) == ["10.0.0.1:53", "[fe80::1%eth0]:53"]


def test_resolv_conf_is_read_again_when_it_has_changed(
    resolv_conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []

    def counted(path: Path) -> str | None:
        reads.append(path)
        return read_text(path)

    monkeypatch.setattr(_transport, "read_text", counted)
    resolv_conf.write_text("nameserver 10.0.0.1\n")
    resolver = Resolver()
    assert [servers(resolver), servers(resolver)] == [["10.0.0.1:53"]] * 2
    assert len(reads) == 1
    resolv_conf.write_text("nameserver 10.0.0.22\n")
    assert servers(resolver) == ["10.0.0.22:53"]
    resolv_conf.unlink()
    with pytest.raises(ConfigurationError):
        resolver.servers()
    resolv_conf.write_text("nameserver 10.0.0.3\n")
    assert servers(resolver) == ["10.0.0.3:53"]


def test_a_resolver_that_is_made_reads_nothing(resolv_conf: Path) -> None:
    resolver = Resolver()
    resolv_conf.write_text("nameserver 10.0.0.1\n")
    assert servers(resolver) == ["10.0.0.1:53"]


@pytest.mark.parametrize("text", [None, "", "search svc.cluster.local\n"])
def test_no_name_server_at_all_is_an_error_that_says_what_to_do(
    resolv_conf: Path, text: str | None
) -> None:
    if text is not None:
        resolv_conf.write_text(text)
    with pytest.raises(ConfigurationError, match="no name server") as caught:
        ask(Resolver())
    for part in (str(resolv_conf), "Resolver([", "$HEADLESS_DISCOVERY_NAMESERVER"):
        assert part in str(caught.value)


# Wrong arguments.


@pytest.mark.parametrize(
    "text",
    ["", "dns.example.com", "10.0.0", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x", "[fd00::a", 5],
)
def test_what_is_not_a_name_servers_address_is_an_error_that_names_it(text: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"nameservers: .*is not an IP address"):
        Resolver([text])


@pytest.mark.parametrize("nameservers", ["10.0.0.1", b"10.0.0.1", [], {"10.0.0.1"}, 5])
def test_name_servers_that_are_no_list_are_an_error(nameservers: Any) -> None:
    with pytest.raises(ConfigurationError, match="nameservers"):
        Resolver(nameservers)


def test_a_wrong_environment_variable_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADLESS_DISCOVERY_NAMESERVER", "10.0.0.1,")
    with pytest.raises(ConfigurationError, match=r"\$HEADLESS_DISCOVERY_NAMESERVER: ''"):
        Resolver().servers()


def test_a_wrong_line_of_resolv_conf_is_an_error_that_names_the_file(resolv_conf: Path) -> None:
    resolv_conf.write_text("nameserver dns.example.com\n")
    with pytest.raises(ConfigurationError, match=r"resolv\.conf: 'dns\.example\.com'"):
        Resolver().servers()


@pytest.mark.parametrize("argument", ["timeout", "lifetime"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "2", None, True])
def test_a_time_that_makes_no_sense_is_an_error_that_names_it(argument: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=argument):
        Resolver(**{argument: value})


@pytest.mark.parametrize("value", [511, 65536, 1232.0, "1232", None, True])
def test_an_edns_size_that_makes_no_sense_is_an_error_that_names_it(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="edns"):
        Resolver(edns=value)


def test_a_resolver_shows_its_settings() -> None:
    assert repr(Resolver()) == "Resolver(None, timeout=2, lifetime=5, edns=1232)"
    given = Resolver(["10.0.0.1"], timeout=0.5, lifetime=1, edns=512)
    assert repr(given) == "Resolver(['10.0.0.1:53'], timeout=0.5, lifetime=1, edns=512)"


def test_an_address_in_brackets_may_be_of_either_family() -> None:
    assert parse_server(" [10.0.0.1]:54 ", argument="x") == Server("10.0.0.1", 54)
