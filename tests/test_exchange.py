"""One question and its name servers, played without sockets."""

from collections.abc import Callable

import pytest

from headless_discovery._errors import IncompleteAnswer, LookupFailed, LookupTimeout
from headless_discovery._exchange import (
    OUT_OF_TIME,
    NoReply,
    Question,
    Reply,
    Send,
    Server,
    ask,
    incomplete,
)
from headless_discovery._service import ServiceName
from headless_discovery._wire import Answer, Type, query
from tests.messages import nodata, nxdomain, reply

WEB = "web.shop.svc.cluster.local"
SERVICE = ServiceName("web", "shop")
A = Question(WEB, Type.A)
ONE, TWO, THREE = (Server(f"10.0.0.{number}", 53) for number in (1, 2, 3))
ROOT_SOA = ". 86400 IN SOA a.root-servers.net. nstld.verisign-grs.com. 1 1800 900 604800 86400"
SILENCE = NoReply.in_time(2)

Came = NoReply | Callable[[bytes], bytes]


class Played:
    """The reply of a conversation, and what was sent for it: "1 udp", "1 tcp", "2 udp -edns"."""

    def __init__(self, *script: Came, question: Question = A, servers: int = 3) -> None:
        self.sent: list[str] = []
        self.reply = self._play(list(script), question, (ONE, TWO, THREE)[:servers])

    def _play(self, script: list[Came], question: Question, servers: tuple[Server, ...]) -> Reply:
        asking = ask(question, SERVICE, servers, 1232)
        send = next(asking)
        while True:
            self._note(send, question)
            came = script.pop(0) if script else OUT_OF_TIME
            try:
                send = asking.send(came if isinstance(came, NoReply) else came(send.wire))
            except StopIteration as done:
                assert not script, "the conversation ended early"
                reply: Reply = done.value
                return reply

    def _note(self, send: Send, question: Question) -> None:
        number = (ONE, TWO, THREE).index(send.server) + 1
        edns = next(
            edns
            for edns in (1232, None)
            if query(question.name, question.rdtype, edns=edns)[2:] == send.wire[2:]
        )
        over = "tcp" if send.tcp else "udp"
        self.sent.append(f"{number} {over}" + ("" if edns else " -edns"))

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


def garbage(asked: bytes) -> bytes:
    return asked[:2] + b"\x80\0\0\1"


def upstream_nxdomain(asked: bytes) -> bytes:
    return nxdomain(asked, ROOT_SOA)


# Whom to ask.


def test_the_first_server_that_answers_is_the_only_one_asked() -> None:
    played = Played(found)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.sent == ["1 udp"]


@pytest.mark.parametrize("no", [nxdomain, nodata])
def test_a_no_of_the_clusters_own_zone_is_an_answer(no: Callable[[bytes], bytes]) -> None:
    played = Played(no)
    assert played.answer.negative
    assert played.sent == ["1 udp"]


@pytest.mark.parametrize(
    "bad",
    [servfail, refused, garbage, upstream_nxdomain, SILENCE, NoReply("Connection refused")],
)
def test_a_server_that_fails_or_stays_silent_is_followed_by_the_next(bad: Came) -> None:
    played = Played(bad, bad, found)
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.sent == ["1 udp", "2 udp", "3 udp"]


def test_a_silent_server_is_asked_again_after_the_others_and_a_failing_one_is_not() -> None:
    played = Played(SILENCE, servfail, SILENCE, SILENCE, found)
    assert played.sent == ["1 udp", "2 udp", "3 udp", "1 udp", "3 udp"]
    assert played.answer.addresses == ("10.1.1.1",)


def test_when_every_server_has_failed_it_is_over() -> None:
    played = Played(servfail, refused, garbage)
    assert played.error.rcode == "REFUSED"
    assert type(played.error) is LookupFailed


def test_when_time_is_over_it_is_over() -> None:
    played = Played(SILENCE, SILENCE, OUT_OF_TIME)
    assert played.sent == ["1 udp", "2 udp", "3 udp"]
    assert isinstance(played.error, LookupTimeout)


# EDNS.


@pytest.mark.parametrize("confused", [formerr, badvers])
def test_a_server_that_does_not_know_edns_is_asked_once_more_without(
    confused: Callable[[bytes], bytes],
) -> None:
    played = Played(confused, found)
    assert played.sent == ["1 udp", "1 udp -edns"]
    assert played.answer.addresses == ("10.1.1.1",)


def test_then_tcp_goes_without_edns_too() -> None:
    played = Played(formerr, cut, found)
    assert played.sent == ["1 udp", "1 udp -edns", "1 tcp -edns"]


def test_a_server_that_is_confused_without_edns_as_well_has_failed() -> None:
    played = Played(formerr, formerr, found)
    assert played.sent == ["1 udp", "1 udp -edns", "2 udp"]


# Answers that were cut.


def test_a_cut_answer_is_asked_for_again_over_tcp() -> None:
    played = Played(cut, found)
    assert played.sent == ["1 udp", "1 tcp"]
    assert not played.answer.truncated


def test_but_not_where_a_part_is_enough() -> None:
    played = Played(cut, question=Question(WEB, Type.A, tcp=False))
    assert played.sent == ["1 udp"]
    assert played.answer.truncated


def test_what_is_cut_over_tcp_too_is_the_answer_and_says_so() -> None:
    played = Played(cut, cut)
    assert played.sent == ["1 udp", "1 tcp"]
    assert (played.answer.truncated, played.answer.no_tcp) == (True, None)
    assert played.answer.nameserver == "10.0.0.1:53"


@pytest.mark.parametrize(
    "broken", [SILENCE, NoReply("Connection refused"), servfail, garbage, upstream_nxdomain]
)
def test_where_tcp_gives_nothing_the_next_server_may(broken: Came) -> None:
    played = Played(cut, broken, cut, found)
    assert played.sent == ["1 udp", "1 tcp", "2 udp", "2 tcp"]
    assert not played.answer.truncated


def test_where_no_server_gives_the_whole_the_first_part_is_kept_with_the_reasons() -> None:
    played = Played(cut, SILENCE, servfail, cut, NoReply("Connection refused"))
    assert played.sent == ["1 udp", "1 tcp", "2 udp", "3 udp", "3 tcp"]
    assert played.answer.addresses == ("10.1.1.1",)
    assert played.answer.no_tcp == (
        "10.0.0.1:53: no answer in 2 s; 10.0.0.3:53: Connection refused"
    )


def test_a_part_is_kept_when_time_runs_out_over_tcp() -> None:
    played = Played(cut, OUT_OF_TIME, OUT_OF_TIME)
    assert played.answer.truncated
    assert "before the lookup's time was over" in (played.answer.no_tcp or "")


# Answers that may not be believed.


@pytest.mark.parametrize("no", [nxdomain, nodata])
@pytest.mark.parametrize(
    "soa", [ROOT_SOA, ROOT_SOA.replace(".", "local.", 1), "example.com" + ROOT_SOA]
)
def test_a_no_of_another_zone_is_none_of_this_services(
    no: Callable[[bytes, str], bytes], soa: str
) -> None:
    played = Played(lambda asked: no(asked, soa), servers=1)
    assert "does not serve cluster.local" in str(played.error)
    assert played.error.rcode in ("NXDOMAIN", "NOERROR")


def test_a_no_of_a_zone_below_the_clusters_domain_is_an_answer() -> None:
    soa = "svc.cluster.local" + ROOT_SOA
    assert Played(lambda asked: nxdomain(asked, soa)).answer.soa == "svc.cluster.local"


def test_a_no_without_an_soa_is_an_answer() -> None:
    assert Played(lambda asked: reply(asked, rcode="NXDOMAIN")).answer.no_such_name


def test_a_referral_elsewhere_is_no_answer() -> None:
    root = [". 3600 IN NS a.root-servers.net."]
    played = Played(lambda asked: reply(asked, authority=root), servers=1)
    assert "speaks for the root" in str(played.error)


def test_any_zone_may_say_that_an_address_has_no_name() -> None:
    question = Question("1.0.0.10.in-addr.arpa", Type.PTR)
    soa = "10.in-addr.arpa" + ROOT_SOA
    assert Played(lambda asked: nxdomain(asked, soa), question=question).answer.no_such_name


def test_one_no_of_an_upstream_does_not_hide_a_later_answer() -> None:
    assert Played(upstream_nxdomain, found).answer.addresses == ("10.1.1.1",)


# What the errors say.


def test_a_time_out_says_what_was_asked_of_whom_and_what_to_check() -> None:
    error = Played(SILENCE, SILENCE, SILENCE, OUT_OF_TIME).error
    assert str(error) == (
        "asked for web.shop.svc.cluster.local. A and got no usable answer: "
        "10.0.0.1:53: no answer in 2 s; 10.0.0.2:53: no answer in 2 s; "
        "10.0.0.3:53: no answer in 2 s; "
        "10.0.0.1:53: no answer before the lookup's time was over. "
        "Check that these name servers are the cluster's and that no NetworkPolicy keeps "
        "UDP and TCP port 53 from them"
    )
    assert isinstance(error, TimeoutError)
    assert (error.rcode, error.name, error.nameserver) == (None, WEB, "10.0.0.1:53")


def test_the_same_trouble_with_a_server_is_told_once() -> None:
    error = Played(*[SILENCE] * 5, servers=1).error
    assert str(error).count("no answer in 2 s") == 1


def test_a_failure_tells_the_last_response_code_and_who_sent_it() -> None:
    error = Played(servfail, refused, SILENCE, OUT_OF_TIME).error
    assert (error.rcode, error.name, error.nameserver) == ("REFUSED", WEB, "10.0.0.2:53")
    for part in (f"{WEB}. A", "10.0.0.1:53: SERVFAIL", "10.0.0.2:53: REFUSED", "Check"):
        assert part in str(error)
    assert not isinstance(error, LookupTimeout)


def test_a_failure_without_a_response_code_names_the_last_server() -> None:
    error = Played(NoReply("Connection refused"), garbage, servers=2).error
    assert (error.rcode, error.nameserver) == (None, "10.0.0.2:53")
    assert "a malformed reply of 6 bytes" in str(error)


def test_another_zones_no_hints_at_the_nodes_resolv_conf_and_a_wrong_domain() -> None:
    error = Played(upstream_nxdomain, servers=1).error
    for part in ("NXDOMAIN", "speaks for the root", "hostNetwork", "cluster_domain"):
        assert part in str(error)


def test_an_incomplete_answer_without_tcp_names_the_port_and_networkpolicy() -> None:
    played = Played(cut, NoReply("Connection refused"), servers=1)
    error = incomplete(A, played.answer)
    assert isinstance(error, IncompleteAnswer)
    for part in (
        "10.0.0.1:53",
        f"{WEB}. A",
        "records that came: 1",
        "Connection refused",
        "TCP port 53",
    ):
        assert part in str(error)
    assert "NetworkPolicy" in str(error)
    assert (error.rcode, error.name, error.nameserver) == ("NOERROR", WEB, "10.0.0.1:53")


def test_an_incomplete_answer_over_tcp_says_that_dns_carries_no_more() -> None:
    error = incomplete(A, Played(cut, cut).answer)
    assert "64 KiB" in str(error)
    assert "NetworkPolicy" not in str(error)


@pytest.mark.parametrize(
    ("server", "text"),
    [(Server("10.0.0.1", 53), "10.0.0.1:53"), (Server("fd00::a", 5353), "[fd00::a]:5353")],
)
def test_a_server_reads_as_its_address_and_port(server: Server, text: str) -> None:
    assert str(server) == text
