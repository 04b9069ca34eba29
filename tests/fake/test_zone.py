"""What the recordings cannot hold of CoreDNS's answers: chance, and lists that are half there."""

import pytest

from headless_discovery.testing import FakeCluster
from tests.fake.asking import WEB, ask, data, rcode
from tests.fake.rows import about


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@about(35)
def test_below_a_ports_name_there_are_the_addresses_of_those_that_have_it(
    cluster: FakeCluster,
) -> None:
    cluster.add_service("web", ports={"http": 8080}).scale(2)
    assert len(data(ask(cluster, f"_http._tcp.{WEB}"))) == 2
    assert rcode(ask(cluster, f"_http._tcp.{WEB}", "AAAA")) == "NOERROR"
    assert rcode(ask(cluster, f"_http._udp.{WEB}")) == "NXDOMAIN"


@about(67, 68)
def test_with_half_of_the_list_a_part_is_told_and_the_rest_is_servfail(
    cluster: FakeCluster,
) -> None:
    cluster.add_service("web").add_pod("10.0.0.1")
    assert cluster.synced
    cluster.synced = False
    part = ask(cluster)
    assert (rcode(part), data(part)) == ("NOERROR", ["10.0.0.1"])
    assert rcode(ask(cluster, kind="AAAA")) == "NOERROR"
    assert rcode(ask(cluster, f"10-0-0-2.{WEB}")) == "SERVFAIL"


@about(51, 78)
def test_addresses_come_in_any_order_and_srv_records_slice_by_slice(cluster: FakeCluster) -> None:
    cluster.add_service("web", ports={"http": 80}).scale(101)
    names = [f"0 1 80 web-{number}.{WEB}" for number in range(101)]
    orders = [data(ask(cluster, kind="SRV", tcp=True), "SRV") for _ in range(20)]
    assert {tuple(order) for order in orders} == {
        tuple(names), (*names[100:], *names[:100])
    }  # fmt: skip
    shuffled = {tuple(data(ask(cluster, tcp=True))) for _ in range(5)}
    assert len(shuffled) == 5
    assert len({tuple(sorted(order)) for order in shuffled}) == 1


@about(52)
def test_a_pod_of_two_services_has_two_reverse_names(cluster: FakeCluster) -> None:
    cluster.add_service("web").add_pod("10.0.0.1", hostname="web-0")
    cluster.apply(
        {
            "kind": "Service",
            "metadata": {"name": "all"},
            "spec": {"clusterIP": "None", "selector": {"headless-discovery": "web"}},
        }
    )
    assert sorted(data(ask(cluster, "1.0.0.10.in-addr.arpa.", "PTR"), "PTR")) == [
        "10-0-0-1.all.default.svc.cluster.local.",
        "web-0.web.default.svc.cluster.local.",
    ]


@about(54)
@pytest.mark.parametrize(
    "name",
    [
        "0.0.10.in-addr.arpa.",
        "x.0.0.10.in-addr.arpa.",
        "1.2.ip6.arpa.",
        "x." * 32 + "ip6.arpa.",
        "ab." * 16 + "ip6.arpa.",
    ],
)
def test_what_is_no_whole_address_has_no_reverse_name(cluster: FakeCluster, name: str) -> None:
    assert rcode(ask(cluster, name, "PTR")) == "NXDOMAIN"


def test_the_serial_moves_with_every_change(cluster: FakeCluster) -> None:
    def serial() -> int:
        return int(data(ask(cluster, kind="TXT"), "SOA", "authority")[0].split()[2])

    seen = [serial()]
    web = cluster.add_service("web")
    seen.append(serial())
    pod = web.add_pod("10.0.0.1")
    seen.append(serial())
    pod.move_to("10.0.0.2")
    seen.append(serial())
    pod.ready = False
    seen.append(serial())
    pod.terminate()
    seen.append(serial())
    pod.delete()
    seen.append(serial())
    assert seen == sorted(set(seen))


def test_a_dot_within_a_label_is_no_end_of_it(cluster: FakeCluster) -> None:
    cluster.add_service("web", ports={"http": 80}).add_pod("10.0.0.1")
    assert rcode(ask(cluster, r"_http\._tcp." + WEB)) == "NXDOMAIN"
    assert rcode(ask(cluster, r"web.default.svc.x\.cluster.local.")) != "NOERROR"
    reply = ask(cluster, "a\\.b\\\\\\000\\200." + WEB)
    assert str(reply.question[0].name) == "a\\.b\\\\\\000\\200." + WEB
    assert cluster.queries[-1].name == "a\\046b\\092\\000\\200." + WEB[:-1]


@about(64)
def test_below_an_echoed_address_there_is_nothing() -> None:
    cluster = FakeCluster(pods="insecure")
    assert data(ask(cluster, "1-2-3-4.default.pod.cluster.local.")) == ["1.2.3.4"]
    assert rcode(ask(cluster, "a.1-2-3-4.default.pod.cluster.local.")) == "NXDOMAIN"


@about(2)
def test_of_a_pod_of_both_families_a_service_of_one_publishes_that(cluster: FakeCluster) -> None:
    cluster.add_service("web").add_pod("10.0.0.1", "fd00::1")
    assert data(ask(cluster)) == ["10.0.0.1"]
    assert data(ask(cluster, kind="AAAA"), "AAAA") == []
