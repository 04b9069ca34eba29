"""A fake cluster that is told to get it wrong, and what it was asked."""

from typing import Any, get_args, get_type_hints

import dns.exception
import dns.flags
import dns.message
import pytest

from headless_discovery import IncompleteAnswer, LookupFailed, LookupTimeout, State
from headless_discovery.testing import FakeCluster
from tests.fake.asking import WEB, ask, data, query, rcode


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).add_pod("10.0.0.1")
    return cluster


@pytest.mark.parametrize(
    ("kind", "error", "seconds"),
    [
        ("servfail", LookupFailed, 0),
        ("refused", LookupFailed, 0),
        ("timeout", LookupTimeout, 5),
        ("truncate", IncompleteAnswer, 0),
        ("garbage", LookupFailed, 0),
        ("wrong-id", LookupTimeout, 5),
    ],
)
def test_each_kind_of_failure_is_told_and_takes_its_time(
    cluster: FakeCluster, kind: Any, error: type[Exception], seconds: float
) -> None:
    cluster.fail(kind)
    web = cluster.peers("web")
    began = cluster.clock.now()
    with pytest.raises(error):
        web.endpoints()
    assert cluster.clock.now() - began <= seconds
    cluster.heal()
    cluster.clock.advance(1)  # never sooner
    assert len(web.refresh().endpoints) == 1


def test_nxdomain_comes_with_the_clusters_soa(cluster: FakeCluster) -> None:
    cluster.fail("nxdomain")
    assert rcode(ask(cluster)) == "NXDOMAIN"
    assert str(ask(cluster).authority[0].name) == "cluster.local."
    assert cluster.peers("web").snapshot.state is State.PENDING
    assert cluster.peers("web").endpoints() == ()


def test_garbage_is_a_reply_to_the_question_and_cannot_be_read(cluster: FakeCluster) -> None:
    cluster.fail("garbage")
    for edns in (None, 1232):
        asked = query(edns=edns)
        wire = cluster.answer(asked)
        assert wire is not None
        end = len(query(edns=None))
        assert (wire[:2], wire[12:end]) == (asked[:2], asked[12:end])
        with pytest.raises(dns.exception.DNSException):
            dns.message.from_wire(wire)


def test_a_cut_reply_is_cut_over_tcp_too(cluster: FakeCluster) -> None:
    cluster.fail("truncate")
    for tcp in (False, True):
        reply = ask(cluster, tcp=tcp)
        assert reply.flags & dns.flags.TC
        assert not reply.answer


def test_it_fails_so_many_times(cluster: FakeCluster) -> None:
    cluster.fail("servfail", times=2)
    assert [rcode(ask(cluster)) for _ in range(3)] == ["SERVFAIL", "SERVFAIL", "NOERROR"]


@pytest.mark.parametrize(
    "name",
    ["web", "WEB", "web.default", "web.default.svc", WEB, WEB[:-1], "cluster.local", "local."],
)
def test_a_failure_holds_for_a_name_and_all_below_it(cluster: FakeCluster, name: str) -> None:
    cluster.add_service("other.".strip("."), "shop")
    cluster.fail("servfail", name=name)
    for asked in (WEB, f"_http._tcp.{WEB}", f"10-0-0-1.{WEB}"):
        assert rcode(ask(cluster, asked, "SRV")) == "SERVFAIL"
    assert rcode(ask(cluster, "1.0.0.10.in-addr.arpa.", "PTR")) == "NOERROR"


def test_a_failure_for_one_name_leaves_the_others_alone(cluster: FakeCluster) -> None:
    cluster.fail("servfail", name="shop")
    cluster.fail("servfail", name="in-addr.arpa")
    assert rcode(ask(cluster)) == "NOERROR"
    assert rcode(ask(cluster, "1.0.0.10.in-addr.arpa.", "PTR")) == "SERVFAIL"


def test_a_failure_holds_for_a_type(cluster: FakeCluster) -> None:
    cluster.fail("servfail", qtype="srv")
    assert rcode(ask(cluster, kind="SRV")) == "SERVFAIL"
    assert data(ask(cluster)) == ["10.0.0.1"]


def test_the_newest_failure_counts(cluster: FakeCluster) -> None:
    cluster.fail("servfail")
    cluster.fail("refused", times=1)
    assert [rcode(ask(cluster)) for _ in range(2)] == ["REFUSED", "SERVFAIL"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"kind": "slow"}, "fail\\('slow'\\): it is one of 'servfail', 'refused'"),
        ({"times": 0}, "times=0"),
        ({"times": True}, "times=True"),
        ({"times": 1.5}, r"times=1\.5"),
        ({"qtype": "NOPE!"}, "qtype='NOPE!': it is a record type"),
        ({"qtype": 33}, "qtype=33: it is a record type"),
        ({"name": 1}, "name 1 is not text"),
        ({"name": "a.b.c.d"}, "name='a.b.c.d': give a Service"),
    ],
)
def test_what_cannot_fail_so_is_refused(
    cluster: FakeCluster, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        cluster.fail(**{"kind": "servfail", **arguments})
    assert rcode(ask(cluster)) == "NOERROR"


def test_all_kinds_are_known() -> None:
    of_dns, _of_the_api = map(get_args, get_args(get_type_hints(FakeCluster.fail)["kind"]))
    assert of_dns == (
        "servfail", "refused", "nxdomain", "timeout", "truncate", "garbage", "wrong-id",
    )  # fmt: skip


def test_queries_are_kept_in_order_and_read_well(cluster: FakeCluster) -> None:
    ask(cluster, kind="SRV")
    cluster.clock.advance(2.5)
    ask(cluster, kind="HTTPS", tcp=True)
    ask(cluster, kind="TYPE999")
    assert [str(one) for one in cluster.queries] == [
        f"{WEB} SRV over UDP",
        f"{WEB} HTTPS over TCP",
        f"{WEB} TYPE999 over UDP",
    ]
    assert repr(cluster.queries[1]) == f"<{WEB} HTTPS over TCP at 1002.5>"


def test_what_failed_was_asked_too(cluster: FakeCluster) -> None:
    cluster.fail("timeout")
    assert cluster.answer(query()) is None
    assert len(cluster.queries) == 1
