"""The exchange between a lookup's questions and the name servers, played without sockets.

A server is played by a script: what it does with each message that it gets, in order.
"""

import errno
import itertools
import os
import random
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import attrs
import dns.message
import dns.rcode
import pytest

from headless_discovery import IncompleteAnswer, LookupFailed, LookupTimeout, ServiceName
from tests.lookups import (
    Answer,
    Event,
    Learnt,
    Plan,
    Question,
    Reply,
    Send,
    Server,
    Step,
    Type,
    exchange,
    incomplete,
)
from tests.messages import nodata, nxdomain, reply

WEB = "web.shop.svc.cluster.local"
SERVICE = ServiceName("web", "shop")
_T = TypeVar("_T")
A = Question(WEB, Type.A)
AAAA = Question(WEB, Type.AAAA)
SERVERS = tuple(Server(f"10.0.0.{number}", 53) for number in (1, 2, 3))
ROOT_SOA = ". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 1 1800 900 604800 86400"
REFUSED_PORT = OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


@attrs.frozen
class Later:
    """A reply that takes its time, in seconds."""

    seconds: float
    said: Callable[[bytes], bytes]


CONNECTED = "connected"
"""What a server does that takes a question over TCP, and then says nothing."""
Does = Callable[[bytes], bytes] | OSError | Later | str | None
"""What becomes of one message; ``None``: silence."""
Handler = Callable[[Send], Does]


class World:
    """Name servers that are played, time that is told, and what was sent to whom."""

    def __init__(self, **plan: Any) -> None:
        servers = plan.pop("servers", 3)
        self.plan = Plan(SERVERS[:servers], **plan)
        self.learnt = Learnt()
        self.now = 1000.0
        self.sent: list[str] = []
        self.most_open = 0
        self.most_sent = 0

    def ask(self, handler: Handler, *questions: Question) -> list[Reply]:
        """Asks side by side."""
        [replies] = self.rounds(handler, list(questions or (A,)))
        return replies

    def rounds(self, handler: Handler, *batches: list[Question]) -> list[list[Reply]]:
        """Asks one batch after the other, in one lookup."""

        def lookup() -> Generator[list[Question], Sequence[Reply], list[list[Reply]]]:
            came: list[list[Reply]] = []
            while len(came) < len(batches):
                came.append(list((yield batches[len(came)])))
            return came

        return self.play(lookup(), handler)

    def play(self, going: Generator[list[Question], Sequence[Reply], _T], handler: Handler) -> _T:
        """Goes through a whole lookup."""
        steps = exchange(going, SERVICE, self.plan, self.learnt, lambda: self.now)
        arriving: list[tuple[float, int, Event]] = []
        order = itertools.count()
        open_sockets: set[Send] = set()
        try:
            step = next(steps)
            while True:
                self._check(step, open_sockets)
                for send in step.sends:
                    self.sent.append(_told(send))
                    came = _event(send, handler(send))
                    if came is not None:
                        after, event = came
                        arriving.append((self.now + after, next(order), event))
                if step.work is not None:
                    step.work()
                arriving = [one for one in arriving if one[2][0] in open_sockets]
                arriving.sort()
                events = []
                if arriving and arriving[0][0] <= max(step.until, self.now):
                    self.now = max(self.now, arriving[0][0])
                    while arriving and arriving[0][0] <= self.now:
                        events.append(arriving.pop(0)[2])
                else:
                    self.now = max(self.now, step.until)
                for sent, what in events:
                    if isinstance(what, OSError):
                        open_sockets.discard(sent)
                step = steps.send(events)
        except StopIteration as done:
            result: _T = done.value
            return result

    def _check(self, step: Step, open_sockets: set[Send]) -> None:
        assert len(set(step.sends)) == len(step.sends)
        assert open_sockets.isdisjoint(step.sends), "each message has a socket of its own"
        open_sockets.difference_update(step.closes)
        open_sockets.update(step.sends)
        self.most_open = max(self.most_open, len(open_sockets))
        self.most_sent = max(self.most_sent, len(step.sends))


def _told(send: Send) -> str:
    """``1 udp``, ``2 tcp -edns``; of another type than A: ``1 udp AAAA``."""
    end = send.wire.index(0, 12) + 1
    rdtype = Type(int.from_bytes(send.wire[end : end + 2], "big"))
    told = f"{SERVERS.index(send.server) + 1} {'tcp' if send.tcp else 'udp'}"
    told += "" if rdtype is Type.A else f" {rdtype.name}"
    return told + ("" if send.wire[10:12] == b"\0\1" else " -edns")


def _event(send: Send, does: Does) -> tuple[float, Event] | None:
    if does is None:
        return None
    if isinstance(does, str):
        send.left = True
        return None
    if isinstance(does, OSError):
        return 0.0, (send, does)
    if isinstance(does, Later):
        return does.seconds, (send, does.said(send.wire))
    return 0.0, (send, does(send.wire))


def script(*does: Does) -> Handler:
    """The messages in the order in which they are sent; after the last one there is silence."""
    left = list(does)
    return lambda _: left.pop(0) if left else None


class Played:
    """The reply to one question, and what was sent for it."""

    def __init__(self, *does: Does, question: Question = A, **plan: Any) -> None:
        self.world = World(**plan)
        [self.reply] = self.world.ask(script(*does), question)
        self.sent = self.world.sent
        self.took = self.world.now - 1000

    @property
    def answer(self) -> Answer:
        assert isinstance(self.reply, Answer), self.reply
        return self.reply

    @property
    def error(self) -> LookupFailed:
        assert isinstance(self.reply, LookupFailed), self.reply
        return self.reply


def found(asked: bytes) -> bytes:
    return reply(asked, f"{WEB}. 30 IN A 10.1.1.1")


def cut(asked: bytes) -> bytes:
    return reply(asked, f"{WEB}. 30 IN A 10.1.1.1", truncated=True)


def servfail(asked: bytes) -> bytes:
    return reply(asked, rcode="SERVFAIL")


def refused(asked: bytes) -> bytes:
    return reply(asked, rcode="REFUSED")


def formerr(asked: bytes) -> bytes:
    return reply(asked, rcode="FORMERR")


def badvers(asked: bytes) -> bytes:
    return reply(asked, rcode="BADVERS")


def badcookie(asked: bytes) -> bytes:
    message = dns.message.make_response(dns.message.from_wire(asked))
    message.use_edns(0)
    message.set_rcode(dns.rcode.BADCOOKIE)
    return message.to_wire()


def referral_to(zone: str) -> Callable[[bytes], bytes]:
    """A server that does not go and ask for others, and only says where to."""
    return lambda asked: reply(asked, authority=[f"{zone} 30 IN NS ns1.example."])


def notimp(asked: bytes) -> bytes:
    return reply(asked, rcode="NOTIMP")


def garbage(asked: bytes) -> bytes:
    return asked[:2] + b"\x80\0\0\1\0\1\0\0\0\0" + asked[12 : asked.index(0, 12) + 5]


def torn(asked: bytes) -> bytes:
    """A truncated answer that ends in the middle of a record."""
    return cut(asked)[:-3]


def upstream_nxdomain(asked: bytes) -> bytes:
    return nxdomain(asked, ROOT_SOA)


def bare_nxdomain(asked: bytes) -> bytes:
    return reply(asked, rcode="NXDOMAIN")


def with_edns(send: Send) -> bool:
    return send.wire[10:12] == b"\0\1"


def addresses(came: Reply) -> tuple[str, ...]:
    assert isinstance(came, Answer), came
    return came.addresses


# Whom to ask.


def test_the_first_server_that_answers_is_the_only_one_asked() -> None:
    played = Played(found)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.answer.server == SERVERS[0]
    assert played.sent == ["1 udp"]


@pytest.mark.parametrize("no", [nxdomain, nodata])
def test_a_no_of_the_clusters_own_zone_is_an_answer(no: Callable[[bytes], bytes]) -> None:
    played = Played(no)
    assert played.answer.negative
    assert played.sent == ["1 udp"]


@pytest.mark.parametrize("bad", [refused, garbage, REFUSED_PORT])
def test_a_server_that_fails_is_followed_by_the_next(bad: Does) -> None:
    played = Played(bad, bad, found)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.answer.server == SERVERS[2]
    assert played.sent == ["1 udp", "2 udp", "3 udp"]


def test_when_every_server_has_failed_it_is_over() -> None:
    played = Played(refused, REFUSED_PORT, garbage)
    assert played.error.rcode == "REFUSED"
    assert type(played.error) is LookupFailed
    assert played.took == 0


def test_a_silent_server_is_asked_in_other_ways_and_the_next_one_beside_it() -> None:
    played = Played()
    assert played.sent == [
        *["1 udp"],
        *["1 udp -edns", "2 udp"],
        *["1 tcp -edns", "3 udp", "2 udp -edns"],
    ]
    assert played.took == 5
    assert isinstance(played.error, LookupTimeout)


def test_a_lost_datagram_is_sent_again() -> None:
    played = Played(None, found)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.took == 2


def test_the_only_server_is_asked_for_as_long_as_there_is_time() -> None:
    played = Played(None, None, REFUSED_PORT, None, found, servers=1, timeout=1)
    assert played.sent == ["1 udp", "1 udp -edns", "1 tcp -edns", "1 udp", "1 udp"]
    assert played.answer.addresses == ("10.1.1.1",)


@pytest.mark.parametrize("seconds", [2.6, 4.9])
def test_a_reply_that_comes_after_its_try_is_taken(seconds: float) -> None:
    played = Played(*[Later(seconds, found)] * 9)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.took == pytest.approx(seconds)


def test_a_failure_that_comes_late_does_not_end_what_goes_on_meanwhile() -> None:
    played = Played(Later(2.5, refused), None, Later(1, found), servers=2)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.took == 3


def test_a_reply_after_the_lookups_time_is_not_taken() -> None:
    """A process that was stopped finds replies waiting that are older than it knows."""
    world = World(servers=1)

    def stopped(send: Send) -> Does:
        world.now += 60
        return found

    [came] = world.ask(stopped)
    assert isinstance(came, LookupTimeout)


def test_the_lifetime_is_for_all_questions_of_a_lookup() -> None:
    world = World(servers=1, timeout=3)
    [[first], [second]] = world.rounds(
        lambda _: Later(2.9, found) if world.now < 1001 else None, [A], [A]
    )
    assert addresses(first)
    assert isinstance(second, LookupTimeout)
    assert world.now == 1005


@pytest.mark.parametrize("zone", [".", "local.", "cluster.local.", "shop.svc.cluster.local."])
def test_a_referral_to_other_servers_is_no_answer(zone: str) -> None:
    played = Played(referral_to(zone), found)
    assert played.answer.server == SERVERS[1]
    assert played.sent == ["1 udp", "2 udp"]
    error = Played(referral_to(zone), servers=1).error
    assert "only a referral" in str(error)
    assert error.rcode == "NOERROR"


def test_nor_is_one_over_tcp_which_is_not_asked_for_again_over_udp() -> None:
    played = Played(referral_to("local."), tcp_first=True, servers=1)
    assert played.sent == ["1 tcp"]


def test_a_question_for_one_server_is_never_put_to_another() -> None:
    played = Played(refused, question=attrs.evolve(A, at=SERVERS[1]))
    assert played.sent == ["2 udp"]
    assert played.error.nameserver == "10.0.0.2:53"


def test_what_does_not_answer_the_question_is_dropped_and_the_wait_goes_on() -> None:
    world = World(servers=1)
    other_id = lambda asked: bytes([asked[0] ^ 0xFF]) + found(asked)[1:]  # noqa: E731 - short
    other_name = lambda asked: found(asked).replace(b"\3web", b"\3wab")  # noqa: E731 - short
    answers = iter([other_id, other_name, found])
    [came] = world.ask(lambda _: next(answers))
    assert world.sent == ["1 udp", "1 udp -edns", "1 tcp -edns"]
    assert addresses(came) == ("10.1.1.1",)


# EDNS.


@pytest.mark.parametrize("confused", [formerr, badvers, badcookie, notimp, servfail])
@pytest.mark.parametrize("tcp", [False, True])
def test_a_server_that_may_not_know_edns_is_asked_once_more_without(
    confused: Callable[[bytes], bytes], tcp: bool
) -> None:
    played = Played(confused, found, tcp_first=tcp)
    over = "tcp" if tcp else "udp"
    assert played.sent == [f"1 {over}", f"1 {over} -edns"]
    assert played.answer.addresses == ("10.1.1.1",)


def test_then_tcp_goes_without_edns_too() -> None:
    played = Played(formerr, cut, found)
    assert played.sent == ["1 udp", "1 udp -edns", "1 tcp -edns"]


@pytest.mark.parametrize("confused", [formerr, servfail])
def test_what_is_confused_by_edns_over_tcp_alone_is_asked_without_it_there(
    confused: Callable[[bytes], bytes],
) -> None:
    played = Played(cut, confused, found)
    assert played.sent == ["1 udp", "1 tcp", "1 tcp -edns"]
    assert not played.answer.truncated


def test_a_server_that_is_confused_without_edns_as_well_has_failed() -> None:
    played = Played(formerr, formerr, found)
    assert played.sent == ["1 udp", "1 udp -edns", "2 udp"]


def test_a_resolver_without_edns_never_offers_it() -> None:
    played = Played(None, found, edns=None, servers=1)
    assert played.sent == ["1 udp -edns", "1 tcp -edns"]


# TCP.


def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    played = Played(cut, found)
    assert played.sent == ["1 udp", "1 tcp"]
    assert not played.answer.truncated


def test_but_not_where_a_part_is_enough() -> None:
    played = Played(cut, question=attrs.evolve(A, tcp=False))
    assert played.sent == ["1 udp"]
    assert played.answer.truncated


def test_an_answer_that_was_cut_off_in_a_record_is_asked_for_over_tcp_too() -> None:
    assert Played(torn, found).sent == ["1 udp", "1 tcp"]
    played = Played(torn, REFUSED_PORT, found)
    assert played.sent == ["1 udp", "1 tcp", "2 udp"]
    assert "malformed bytes" in str(Played(torn, REFUSED_PORT, servers=1).error)


def test_what_is_truncated_over_tcp_too_is_the_answer_and_says_so() -> None:
    played = Played(cut, cut)
    assert played.sent == ["1 udp", "1 tcp"]
    assert (played.answer.truncated, played.answer.no_tcp) == (True, None)
    assert played.answer.nameserver == "10.0.0.1:53"


@pytest.mark.parametrize("broken", [[None], [REFUSED_PORT], [servfail] * 2, [garbage]])
def test_where_tcp_gives_nothing_the_next_server_may(broken: list[Does]) -> None:
    played = Played(cut, *broken, cut, found)
    assert played.sent[0] == "1 udp"
    assert played.sent[-2:] == ["2 udp", "2 tcp"]
    assert not played.answer.truncated


def test_where_no_server_gives_the_whole_the_first_part_is_kept_with_the_reasons() -> None:
    played = Played(cut, None, refused, cut, REFUSED_PORT)
    assert played.sent == ["1 udp", "1 tcp", "2 udp", "3 udp", "3 tcp"]
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.answer.no_tcp == (
        "10.0.0.1:53: no answer in 2 s; 10.0.0.3:53: Connection refused"
    )


def test_tcp_that_cannot_be_reached_costs_one_try() -> None:
    """A NetworkPolicy that forgot it: what UDP carries must still be asked for in time."""
    played = Played(cut, None, servers=1)
    assert played.sent == ["1 udp", "1 tcp"]
    assert played.took == 2
    assert played.answer.truncated


def test_tcp_that_takes_the_question_and_says_nothing_is_asked_without_edns() -> None:
    played = Played(cut, CONNECTED, found, servers=1)
    assert played.sent == ["1 udp", "1 tcp", "1 tcp -edns"]
    assert not played.answer.truncated


def test_a_part_is_kept_when_time_runs_out_over_tcp() -> None:
    played = Played(Later(3.5, cut), None, None, timeout=9, servers=1)
    assert played.answer.truncated
    assert "no answer in time" in (played.answer.no_tcp or "")


def test_use_vc_means_tcp_first_and_udp_where_that_fails() -> None:
    assert Played(found, tcp_first=True).sent == ["1 tcp"]
    played = Played(REFUSED_PORT, REFUSED_PORT, found, tcp_first=True, servers=2)
    assert played.sent == ["1 tcp", "2 tcp", "1 udp"]


def test_a_failure_said_over_tcp_is_not_asked_for_again_over_udp() -> None:
    played = Played(servfail, servfail, tcp_first=True, servers=1)
    assert played.error.rcode == "SERVFAIL"
    assert played.sent == ["1 tcp", "1 tcp -edns"]


# What is not needed.

AAAA_TOO = attrs.evolve(AAAA, needed=False)


def never_aaaa(send: Send) -> Does:
    return None if "AAAA" in _told(send) else found


def test_what_is_not_needed_is_waited_for_half_a_second_after_the_rest() -> None:
    world = World()
    four, six = world.ask(never_aaaa, A, AAAA_TOO)
    assert addresses(four) == ("10.1.1.1",)
    assert isinstance(six, LookupTimeout)
    assert world.now - 1000 == 0.5


def test_and_20_ms_where_it_was_silent_the_last_time() -> None:
    world = World()
    world.ask(never_aaaa, A, AAAA_TOO)
    before = world.now
    world.ask(never_aaaa, A, AAAA_TOO)
    assert world.now - before == pytest.approx(0.02)
    world.now += 600
    before = world.now
    world.ask(never_aaaa, A, AAAA_TOO)
    assert world.now - before == pytest.approx(0.5)


def test_it_is_taken_as_long_as_the_rest_is_not_there() -> None:
    world = World(servers=1)

    def slow(send: Send) -> Does:
        return Later(1.5, nodata) if "AAAA" in _told(send) else Later(1.9, found)

    _, six = world.ask(slow, A, AAAA_TOO)
    assert isinstance(six, Answer)
    assert world.now - 1000 == pytest.approx(1.9)


def test_a_server_that_learns_to_answer_it_is_waited_for_again() -> None:
    world = World()
    world.ask(never_aaaa, A, AAAA_TOO)
    _, six = world.ask(lambda _: Later(0.01, nodata), A, AAAA_TOO)
    assert isinstance(six, Answer)
    world.ask(lambda send: Later(0.3, nodata) if "AAAA" in _told(send) else found, A, AAAA_TOO)
    assert isinstance(six, Answer)


def test_what_is_not_needed_takes_no_place_of_what_is() -> None:
    names = [f"web-{n}.{WEB}" for n in range(200)]
    questions = [
        Question(name, rdtype, needed=rdtype is Type.A)
        for name in names
        for rdtype in (Type.A, Type.AAAA)
    ]
    world = World(servers=1)

    def handler(send: Send) -> Does:
        return None if "AAAA" in _told(send) else lambda asked: Later(0.01, nodata).said(asked)

    replies = world.ask(handler, *questions)
    assert [isinstance(one, Answer) for one in replies] == [True, False] * 200
    assert world.now - 1000 <= 0.6


def test_where_nothing_is_needed_it_is_waited_for_as_briefly_from_the_start() -> None:
    world = World(servers=1)
    [came] = world.ask(lambda _: Later(0.4, nodata), AAAA_TOO)
    assert isinstance(came, Answer)
    for seconds in (0.5, 0.02):
        before = world.now
        [came] = world.ask(lambda _: Later(0.6, nodata), AAAA_TOO)
        assert isinstance(came, LookupTimeout)
        assert world.now - before == pytest.approx(seconds)


# A "no" of another zone.


@pytest.mark.parametrize("no", [bare_nxdomain, upstream_nxdomain, reply])
def test_a_no_of_another_zone_or_of_none_is_held_while_other_servers_are_asked(
    no: Callable[[bytes], bytes],
) -> None:
    played = Played(no, found)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.sent == ["1 udp", "2 udp"]
    assert Played(no, nxdomain).answer.server == SERVERS[1]


def test_where_no_server_says_more_it_is_the_answer_and_tells_who_said_it() -> None:
    played = Played(bare_nxdomain, refused, upstream_nxdomain)
    assert played.answer.no_such_name
    assert played.answer.server == SERVERS[0]
    assert played.answer.servers == (SERVERS[0], SERVERS[2])


@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.9])
def test_other_servers_have_the_time_of_one_try_then(seconds: float) -> None:
    played = Played(bare_nxdomain, Later(seconds, found), servers=2)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.took == pytest.approx(seconds)


def test_a_silent_one_costs_that_once_in_a_lookup_and_half_a_second_later() -> None:
    world = World(servers=2)
    handler: Handler = lambda send: bare_nxdomain if send.server == SERVERS[0] else None  # noqa: E731 - short
    [[first], [_]] = world.rounds(handler, [A], [AAAA])
    assert isinstance(first, Answer)
    assert first.servers == (SERVERS[0],)
    assert world.now - 1000 == 2.5
    before = world.now
    world.rounds(handler, [A])
    assert world.now - before == 0.5


def test_a_no_that_is_held_is_the_answer_when_time_is_over() -> None:
    played = Played(Later(4.8, bare_nxdomain), None, None, timeout=4.9)
    assert played.answer.no_such_name
    assert played.took == 5


def test_any_zone_may_say_that_an_address_has_no_name() -> None:
    question = Question("1.0.0.10.in-addr.arpa", Type.PTR)
    soa = "10.in-addr.arpa" + ROOT_SOA
    played = Played(lambda asked: nxdomain(asked, soa), question=question)
    assert played.answer.no_such_name
    assert played.sent == ["1 udp PTR"]


# What is learnt of a server.


def test_a_server_without_edns_is_not_asked_with_it_again_for_a_while() -> None:
    def knows_none(send: Send) -> Does:
        return formerr if with_edns(send) else found

    world = World(servers=1)
    for _ in range(3):
        world.ask(knows_none)
    assert world.sent == ["1 udp", *["1 udp -edns"] * 3]
    world.now += 600
    world.ask(found_by_all := lambda _: found)
    world.ask(found_by_all)
    assert world.sent[-2:] == ["1 udp", "1 udp"]


def test_a_server_that_drops_edns_costs_no_second_detour() -> None:
    def drops(send: Send) -> Does:
        return None if with_edns(send) else found

    world = World(servers=1)
    world.ask(drops)
    assert world.now - 1000 == 2
    world.ask(drops)
    assert world.now - 1000 == 2


def test_one_lost_datagram_is_no_reason_to_give_up_edns() -> None:
    world = World(servers=1)
    world.ask(lambda _: found)
    world.ask(script(None, found))
    assert world.sent[-1] == "1 udp -edns"
    world.ask(lambda _: found)
    assert world.sent[-1] == "1 udp"


def test_a_server_that_answers_over_tcp_alone_is_asked_so_from_then_on() -> None:
    def tcp_alone(send: Send) -> Does:
        return found if send.tcp else None

    world = World(servers=1)
    world.ask(tcp_alone)
    assert world.now - 1000 == 4
    world.ask(tcp_alone)
    assert world.now - 1000 == 4
    assert world.sent[-1].startswith("1 tcp")
    world.now += 600
    world.ask(lambda _: found)
    assert world.sent[-1].startswith("1 udp")


def test_a_server_that_is_silent_is_asked_last_the_next_time() -> None:
    def first_is_dead(send: Send) -> Does:
        return None if send.server == SERVERS[0] else found

    world = World()
    world.rounds(first_is_dead, [A], [A], [A])
    assert world.now - 1000 == 2
    assert world.sent[-1] == "2 udp"
    world.now += 600
    world.ask(lambda _: found)
    assert world.sent[-1] == "1 udp"


def test_messages_are_counted() -> None:
    played = Played(cut, found)
    assert (played.world.learnt.udp, played.world.learnt.tcp) == (1, 1)


# Whatever the servers do.


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_whatever_servers_do_it_ends_in_time_and_a_good_answer_is_found(seed: int) -> None:
    chance = random.Random(seed)
    ways: list[Does] = [
        found,
        cut,
        servfail,
        refused,
        formerr,
        garbage,
        torn,
        bare_nxdomain,
        None,
        REFUSED_PORT,
        CONNECTED,
        Later(chance.uniform(0, 6), found),
        Later(chance.uniform(0, 6), servfail),
    ]
    world = World(
        servers=chance.randint(1, 3),
        timeout=chance.choice([0.3, 2, 7]),
        edns=chance.choice([1232, None]),
        tcp_first=chance.random() < 0.3,
    )
    good = chance.random() < 0.5

    def handler(send: Send) -> Does:
        if good and send.server == SERVERS[0]:
            return found
        return chance.choice([way for way in ways if way != CONNECTED or send.tcp])

    for _ in range(3):
        began = world.now
        needed = chance.random() < 0.7
        questions = [A, attrs.evolve(A, needed=needed), attrs.evolve(A, tcp=chance.random() < 0.5)]
        replies = world.ask(handler, *questions)
        assert len(replies) == len(questions)
        assert world.now - began <= 5.001, f"seed {seed}"
        if good and world.plan.servers == SERVERS[:1]:
            assert all(addresses(one) for one in replies), f"seed {seed}"
        for one in replies:
            assert isinstance(one, Answer) or len(str(one).split()) <= 25


def test_at_most_64_questions_are_in_flight() -> None:
    world = World(servers=1)
    questions = [Question(f"web-{n}.{WEB}", Type.A) for n in range(300)]
    waiting: list[Send] = []

    def handler(send: Send) -> Does:
        waiting.append(send)
        return Later(0.01, nodata)

    replies = world.ask(handler, *questions)
    assert all(isinstance(one, Answer) for one in replies)
    assert world.most_open == 64
    assert len(waiting) == 300


def test_others_are_let_run_while_many_questions_are_sent() -> None:
    world = World(servers=1)
    world.ask(lambda _: nodata, *[Question(f"web-{n}.{WEB}", Type.A) for n in range(1000)])
    assert world.most_sent == 8


# What the errors say.


def test_a_time_out_says_what_was_asked_of_whom_and_what_to_check() -> None:
    error = Played().error
    assert str(error) == (
        "asked for web.shop.svc.cluster.local. A and got no answer in 2 s from 10.0.0.1:53, "
        "10.0.0.2:53; no answer in time from 10.0.0.3:53"
    )
    assert "NetworkPolicy" in (error.hint or "")
    assert isinstance(error, TimeoutError)
    assert (error.rcode, error.name, error.nameserver) == (None, WEB, "10.0.0.1:53")


def test_a_failure_tells_the_response_code_and_who_sent_it() -> None:
    error = Played(servfail, servfail, refused, None, servers=3).error
    assert (error.rcode, error.name) == ("SERVFAIL", WEB)
    assert error.nameserver == "10.0.0.1:53"
    for part in (f"{WEB}. A", "SERVFAIL from 10.0.0.1:53", "REFUSED from 10.0.0.2:53"):
        assert part in str(error)
    assert not isinstance(error, LookupTimeout)


def test_a_failure_without_a_response_code_says_what_came() -> None:
    error = Played(REFUSED_PORT, garbage, servers=2).error
    assert error.rcode is None
    assert "Connection refused from 10.0.0.1:53" in str(error)
    assert "malformed bytes from 10.0.0.2:53" in str(error)


def test_an_incomplete_answer_without_tcp_names_the_port_and_networkpolicy() -> None:
    played = Played(cut, REFUSED_PORT, servers=1)
    error = incomplete(A, played.answer)
    assert isinstance(error, IncompleteAnswer)
    for part in ("10.0.0.1:53", f"{WEB}. A", "only 1 records", "Connection refused"):
        assert part in str(error)
    assert "TCP port 53" in (error.hint or "")
    assert "NetworkPolicy" in (error.hint or "")
    assert (error.rcode, error.name, error.nameserver) == ("NOERROR", WEB, "10.0.0.1:53")


def test_an_incomplete_answer_over_tcp_says_that_dns_carries_no_more() -> None:
    error = incomplete(A, Played(cut, cut).answer)
    assert "64 KiB" in str(error)
    assert "NetworkPolicy" not in (error.hint or "")


@pytest.mark.parametrize(
    ("server", "text"),
    [(Server("10.0.0.1", 53), "10.0.0.1:53"), (Server("fd00::a", 5353), "[fd00::a]:5353")],
)
def test_a_server_reads_as_its_address_and_port(server: Server, text: str) -> None:
    assert str(server) == text
