"""CoreDNS's cache in front of the cluster, on the fake clock."""

from typing import Any

import dns.flags
import pytest

from headless_discovery.testing import FakeCluster
from tests.fake.asking import WEB, ask, data, query, rcode, ttls
from tests.fake.rows import about


def cached(**options: Any) -> FakeCluster:
    cluster = FakeCluster(**{"ttl": 30, "cache": 30} | options)
    cluster.add_service("web", ports={"http": 80}).add_pod("10.0.0.1", hostname="web-0")
    return cluster


@about(69)
@pytest.mark.parametrize(
    ("after", "ttl"), [(0, 30), (0.9, 30), (7, 23), (29, 1), (29.9, 1), (30, 30)]
)
def test_a_kept_reply_counts_its_ttl_down_in_whole_seconds_and_then_is_new(
    after: float, ttl: int
) -> None:
    cluster = cached()
    ask(cluster)
    cluster.clock.advance(after)
    assert ttls(ask(cluster)) == {ttl}


@about(69)
def test_a_pod_that_became_ready_is_not_seen_until_the_kept_reply_is_over() -> None:
    cluster = cached()
    ask(cluster)
    cluster.service("web").add_pod("10.0.0.2")
    cluster.clock.advance(29.9)
    assert data(ask(cluster)) == ["10.0.0.1"]
    cluster.clock.advance(0.1)
    assert sorted(data(ask(cluster))) == ["10.0.0.1", "10.0.0.2"]


@about(70)
def test_a_kept_nxdomain_hides_a_pod_and_its_soa_counts_down() -> None:
    cluster = FakeCluster(ttl=30, cache=30)
    web = cluster.add_service("web", ports={"http": 80})
    assert rcode(ask(cluster)) == "NXDOMAIN"
    web.add_pod("10.0.0.1")
    cluster.clock.advance(29)
    still = ask(cluster)
    assert rcode(still) == "NXDOMAIN"
    assert ttls(still) == {1}
    assert data(still, "SOA", "authority")[0].endswith(" 30"), "its minimum stays"
    assert rcode(ask(cluster, kind="SRV")) == "NOERROR", "each type is kept for itself"
    cluster.clock.advance(1)
    assert data(ask(cluster)) == ["10.0.0.1"]


@about(71)
@pytest.mark.parametrize("ttl", [0, 4])
def test_a_ttl_below_five_seconds_is_raised_to_it(ttl: int) -> None:
    cluster = cached(ttl=ttl)
    assert ttls(ask(cluster)) == {5}
    assert ttls(ask(cluster, "nobody." + WEB)) == {5}


@about(69)
def test_a_ttl_above_the_cap_is_lowered_to_it() -> None:
    assert ttls(ask(cached(cache=10))) == {10}


@about(72)
def test_servfail_is_kept_for_five_seconds() -> None:
    cluster = FakeCluster(cache=30)
    cluster.synced = False
    assert rcode(ask(cluster)) == "SERVFAIL"
    cluster.synced = True
    cluster.add_service("web").add_pod("10.0.0.1")
    cluster.clock.advance(4.9)
    assert rcode(ask(cluster)) == "SERVFAIL"
    cluster.clock.advance(0.1)
    assert rcode(ask(cluster)) == "NOERROR"


@about(73)
def test_owners_keep_the_letters_of_whoever_asked_first() -> None:
    cluster = cached()
    shouted = WEB.replace("web", "WEB")
    ask(cluster, shouted)
    second = ask(cluster, WEB)
    assert str(second.question[0].name) == WEB
    assert str(second.answer[0].name) == shouted


@about(74)
def test_dnssec_ok_and_checking_disabled_have_entries_of_their_own() -> None:
    cluster = cached()
    ask(cluster)
    cluster.service("web").add_pod("10.0.0.2")
    assert len(data(ask(cluster))) == 1
    assert len(data(ask(cluster, want_dnssec=True))) == 2
    checking_disabled = ask(cluster, flags="CD")
    assert len(data(checking_disabled)) == 2
    assert checking_disabled.flags & dns.flags.CD


@about(75)
def test_serve_stale_tells_old_data_with_a_ttl_of_0_once_and_renews_it_behind() -> None:
    cluster = cached(serve_stale=60)
    ask(cluster)
    cluster.service("web").pods[0].move_to("10.0.0.9")
    cluster.clock.advance(40)
    stale = ask(cluster)
    assert (data(stale), ttls(stale)) == (["10.0.0.1"], {0})
    fresh = ask(cluster)
    assert (data(fresh), ttls(fresh)) == (["10.0.0.9"], {30})
    cluster.service("web").pods[0].move_to("10.0.0.10")
    cluster.clock.advance(30 + 60)
    assert data(ask(cluster)) == ["10.0.0.10"], "too old"


@about(76)
def test_denial_is_kept_for_a_time_of_its_own() -> None:
    cluster = cached(denial=5)
    assert ttls(ask(cluster)) == {30}
    assert ttls(ask(cluster, "nobody." + WEB)) == {5}
    assert ttls(ask(cluster, kind="AAAA")) == {5}, "NODATA is a denial, too"


@about(77)
def test_without_a_cache_the_ttl_stays_and_changes_show_at_once() -> None:
    cluster = FakeCluster(ttl=30)
    web = cluster.add_service("web")
    web.add_pod("10.0.0.1")
    cluster.clock.advance(29)
    web.add_pod("10.0.0.2")
    reply = ask(cluster)
    assert (len(data(reply)), ttls(reply)) == (2, {30})


def test_refusals_are_not_kept() -> None:
    cluster = cached()
    assert rcode(ask(cluster, kind="AXFR")) == "REFUSED"
    assert rcode(ask(cluster, kind="AXFR")) == "REFUSED"


def test_the_cache_is_bounded_and_forgets_the_oldest_first() -> None:
    cluster = cached()
    ask(cluster)
    cluster.service("web").pods[0].move_to("10.0.0.9")
    other = query(f"x0000.{WEB}")
    for number in range(9983):
        cluster.answer(other.replace(b"x0000", b"x%04d" % number))
    assert data(ask(cluster)) == ["10.0.0.1"]
    ask(cluster, f"another.{WEB}")
    assert data(ask(cluster)) == ["10.0.0.9"]
