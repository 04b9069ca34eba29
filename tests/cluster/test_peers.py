"""The library on a real control plane: pods made through the API, answered by CoreDNS."""

import pytest

from headless_discovery import (
    IncompleteAnswer,
    LookupFailed,
    NoEndpoints,
    NoSuchPort,
    NotHeadless,
    Peers,
    Policy,
    Resolver,
    State,
)
from tests.cluster.api import port
from tests.cluster.conftest import Namespace, eventually, free_address
from tests.cluster.control_plane import Corefile, NameServers
from tests.cluster.relays import relay

# Believes an answer at once and asks again within a second: what is tested here is the lookup.
IMPATIENT = Policy(min_refresh=0.05, max_refresh=0.1, refresh_floor=0.05, on_empty="clear")


@pytest.fixture(autouse=True)
def one_answer_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headless_discovery._membership.members._CONFIRM_AFTER", 0)


def addresses(web: Peers) -> list[str]:
    return sorted(endpoint.address for endpoint in web.refresh().endpoints)


def hostnames(web: Peers) -> list[str]:
    return sorted(endpoint.hostname for endpoint in web.refresh().endpoints)


def three_pods(namespace: Namespace, app: str) -> None:
    namespace.pod("kubia-1", "172.30.35.3", app=app)
    namespace.pod("kubia-2", "172.30.14.3", app=app)
    namespace.pod("kubia-3", "172.30.35.2", app=app, ready=False)


# The three steps of the demo.


def test_a_cluster_ip_service_is_not_headless_and_the_error_names_its_virtual_ip(
    namespace: Namespace,
) -> None:
    namespace.service("kubia", cluster_ip="10.254.129.235", ports=[port(80, target=8080)])
    three_pods(namespace, "kubia")
    web = namespace.peers("kubia")

    def check() -> None:
        with pytest.raises(NotHeadless, match=r"10\.254\.129\.235"):
            web.refresh()

    eventually(check)


def test_a_headless_service_gives_its_ready_pods_with_names_and_ports(namespace: Namespace) -> None:
    namespace.service("kubia-headless", ports=[port(80, "http", target=8080)])
    three_pods(namespace, "kubia-headless")
    web = namespace.peers("kubia-headless", port="http", policy=IMPATIENT)

    def check() -> None:
        domain = f"kubia-headless.{namespace.name}.svc.cluster.local"
        assert [(e.name, e.address, e.port) for e in web.refresh().endpoints] == [
            (f"172-30-14-3.{domain}", "172.30.14.3", 8080),
            (f"172-30-35-3.{domain}", "172.30.35.3", 8080),
        ]

    eventually(check)


def test_publish_not_ready_addresses_adds_the_pod_that_is_not_ready(namespace: Namespace) -> None:
    namespace.service("kubia-headless", ports=[port(80, target=8080)], publish_not_ready=True)
    three_pods(namespace, "kubia-headless")
    web = namespace.peers("kubia-headless", policy=IMPATIENT)

    def check() -> None:
        assert addresses(web) == ["172.30.14.3", "172.30.35.2", "172.30.35.3"]

    eventually(check)


# Names and ports.


def test_one_question_finds_everything_when_glue_suffices(namespace: Namespace) -> None:
    namespace.service("web", ports=[port(80, "http")])
    for number in range(3):
        namespace.pod(f"web-{number}", app="web")
    eventually(lambda: _expect(len(namespace.peers("web").endpoints()), 3))
    web = namespace.peers("web", port="http")
    web.endpoints()
    assert (web.stats.queries_udp, web.stats.queries_tcp) == (1, 0)


def _expect(found: object, wanted: object) -> None:
    assert found == wanted


def test_pods_of_a_stateful_set_have_their_host_names_and_ordinals(namespace: Namespace) -> None:
    namespace.service("nginx", ports=[port(80, "web")])
    for number in range(3):
        namespace.pod(f"web-{number}", app="nginx", hostname=f"web-{number}", subdomain="nginx")
    web = namespace.peers("nginx", port="web", policy=IMPATIENT)
    eventually(lambda: _expect(hostnames(web), ["web-0", "web-1", "web-2"]))
    assert [endpoint.ordinal for endpoint in web] == [0, 1, 2]
    found = web.get("web-1")
    assert found is not None
    assert found.name == f"web-1.nginx.{namespace.name}.svc.cluster.local"


def test_two_named_ports_are_told_apart_by_name_and_are_none_without_one(
    namespace: Namespace,
) -> None:
    namespace.service("db", ports=[port(5432, "sql"), port(9187, "metrics")])
    namespace.pod("db-0", app="db")

    def check() -> None:
        for asked, wanted in (("sql", 5432), ("metrics", 9187), (7000, 7000), (None, None)):
            [endpoint] = namespace.peers("db", port=asked).endpoints()
            assert endpoint.port == wanted

    eventually(check)


def test_an_unnamed_port_is_found_without_a_name(namespace: Namespace) -> None:
    namespace.service("one", ports=[port(80, target=8080)])
    namespace.pod("one-0", app="one")
    web = namespace.peers("one", policy=IMPATIENT)
    eventually(lambda: _expect([e.port for e in web.refresh().endpoints], [8080]))


def test_a_service_without_ports_is_found_by_addresses_and_named_by_ptr(
    namespace: Namespace,
) -> None:
    namespace.service("bare")
    one = namespace.pod("bare-0", app="bare", hostname="bare-0", subdomain="bare")
    two = namespace.pod("bare-1", app="bare")
    web = namespace.peers("bare", policy=IMPATIENT)
    dashed = two.replace(".", "-")

    def check() -> None:
        found = {e.hostname: (e.address, e.port) for e in web.refresh().endpoints}
        assert found == {"bare-0": (one, None), dashed: (two, None)}

    eventually(check)


def test_a_pod_that_lacks_the_named_port_is_not_among_its_endpoints(namespace: Namespace) -> None:
    namespace.service("mixed", ports=[port(80, "http", target="http")])
    with_port = namespace.pod("mixed-0", app="mixed", ports={"http": 8080})
    namespace.pod("mixed-1", app="mixed", ports={"other": 9090})
    web = namespace.peers("mixed", port="http", policy=IMPATIENT)
    eventually(lambda: _expect(addresses(web), [with_port]))


def test_tcp_and_udp_of_one_number_are_one_endpoint_each(namespace: Namespace) -> None:
    namespace.service("dns", ports=[port(53, "dns-tcp"), port(53, "dns-udp", protocol="UDP")])
    namespace.pod("dns-0", app="dns")

    def check() -> None:
        for asked, protocol in (("dns-tcp", "tcp"), ("dns-udp", "udp"), (None, "tcp")):
            [endpoint] = namespace.peers("dns", port=asked, protocol=protocol).endpoints()
            assert endpoint.port == 53
        with pytest.raises(NoSuchPort, match="dns-tcp"):
            namespace.peers("dns", port="dns-tcp", protocol="udp").endpoints()

    eventually(check)


def test_a_port_name_that_is_not_there_is_no_such_port(namespace: Namespace) -> None:
    namespace.service("web", ports=[port(80, "http")])
    namespace.pod("web-0", app="web")

    def check() -> None:
        with pytest.raises(NoSuchPort, match="grpc"):
            namespace.peers("web", port="grpc").endpoints()

    eventually(check)


# Nobody there.


@pytest.mark.parametrize("asked", [None, "http", 80])
def test_no_pods_at_all_is_empty(namespace: Namespace, asked: str | int | None) -> None:
    namespace.service("web", ports=[port(80, "http")])
    web = namespace.peers("web", port=asked)
    assert web.endpoints() == ()
    assert web.snapshot.state is State.EMPTY
    with pytest.raises(NoEndpoints, match="publishNotReadyAddresses"):
        web.pick()


def test_pods_none_of_which_is_ready_are_empty(namespace: Namespace) -> None:
    namespace.service("web", ports=[port(80, "http")])
    namespace.service(
        "all", ports=[port(80, "http")], selector={"app": "web"}, publish_not_ready=True
    )
    address = namespace.pod("web-0", app="web", ready=False)
    # Once the other Service shows the pod, this one had the chance to.
    every = namespace.peers("all", policy=IMPATIENT)
    eventually(lambda: _expect(addresses(every), [address]))
    assert namespace.peers("web").endpoints() == ()


def test_no_such_service_and_no_such_namespace_are_empty(namespace: Namespace) -> None:
    assert namespace.peers("nobody").refresh().state is State.EMPTY
    other = Namespace(namespace.api, f"{namespace.name}-not", namespace.nameserver)
    assert other.peers("nobody").refresh().state is State.EMPTY


@pytest.mark.parametrize("asked", [None, "http"])
def test_a_cluster_ip_service_is_not_headless_by_any_port(
    namespace: Namespace, asked: str | None
) -> None:
    namespace.service("web", cluster_ip=None, ports=[port(80, "http")])

    def check() -> None:
        with pytest.raises(NotHeadless, match="ClusterIP"):
            namespace.peers("web", port=asked).endpoints()
        with pytest.raises(NotHeadless, match="ClusterIP"):
            namespace.peers("web", records="address").endpoints()

    eventually(check)


def test_an_external_name_service_is_not_headless_or_cannot_be_resolved_here(
    namespace: Namespace,
) -> None:
    """Without a forwarder this CoreDNS cannot follow the alias; it names it all the same."""
    namespace.service("away", external_name="ext.example.com")

    def check() -> None:
        with pytest.raises(NotHeadless, match=r"ext\.example\.com"):
            namespace.peers("away").endpoints()

    eventually(check)


# Membership.


def test_readiness_flips_are_followed(namespace: Namespace) -> None:
    namespace.service("web", ports=[port(80, "http")])
    one, two = (namespace.pod(f"web-{n}", app="web") for n in range(2))
    web = namespace.peers("web", policy=IMPATIENT)
    eventually(lambda: _expect(addresses(web), sorted([one, two])))
    namespace.set_status("web-1", two, ready=False)
    eventually(lambda: _expect(addresses(web), [one]))
    namespace.set_status("web-1", two, ready=True)
    eventually(lambda: _expect(addresses(web), sorted([one, two])))


def test_scaling_up_and_down_is_followed_and_who_stays_is_the_same_object(
    namespace: Namespace,
) -> None:
    namespace.service("web", ports=[port(80, "http")])
    namespace.pod("web-0", app="web", hostname="web-0", subdomain="web")
    web = namespace.peers("web", policy=IMPATIENT)
    eventually(lambda: _expect(hostnames(web), ["web-0"]))
    [stays] = web.endpoints()
    for number in (1, 2):
        namespace.pod(f"web-{number}", app="web", hostname=f"web-{number}", subdomain="web")
    eventually(lambda: _expect(hostnames(web), ["web-0", "web-1", "web-2"]))
    for number in (1, 2):
        namespace.delete("Pod", f"web-{number}")
    eventually(lambda: _expect(hostnames(web), ["web-0"]))
    assert web.endpoints()[0] is stays


def test_a_pod_that_comes_back_with_a_new_address_keeps_its_identity(namespace: Namespace) -> None:
    namespace.service("web", ports=[port(80, "http")])
    namespace.pod("web-0", app="web", hostname="web-0", subdomain="web")
    web = namespace.peers("web", policy=IMPATIENT)
    eventually(lambda: _expect(hostnames(web), ["web-0"]))
    [before] = web.endpoints()
    namespace.delete("Pod", "web-0")
    again = namespace.pod("web-0", app="web", hostname="web-0", subdomain="web")
    eventually(lambda: _expect(addresses(web), [again]))
    [after] = web.endpoints()
    assert before.address != after.address
    assert before.identity == after.identity


@pytest.mark.parametrize("published", [False, True])
def test_a_terminating_pod_is_published_only_where_not_ready_ones_are(
    namespace: Namespace, *, published: bool
) -> None:
    namespace.service("web", ports=[port(80, "http")], publish_not_ready=published)
    stays = namespace.pod("web-0", app="web")
    leaving = namespace.pod("web-1", app="web")
    web = namespace.peers("web", policy=IMPATIENT)
    eventually(lambda: _expect(addresses(web), sorted([stays, leaving])))
    namespace.delete("Pod", "web-1", now=False)
    eventually(lambda: _expect(addresses(web), sorted([stays, leaving][: 1 + published])))


def test_two_pods_on_one_host_address_are_two_endpoints(namespace: Namespace) -> None:
    namespace.service("host", ports=[port(80, "http")])
    address = free_address()
    for number in range(2):
        namespace.pod(
            f"host-{number}", address, app="host", hostname=f"host-{number}", subdomain="host"
        )
    web = namespace.peers("host", port="http", policy=IMPATIENT)
    eventually(lambda: _expect(hostnames(web), ["host-0", "host-1"]))
    assert {endpoint.address for endpoint in web} == {address}


# Families.


def test_an_ipv6_only_service_is_found(namespace: Namespace) -> None:
    namespace.service("six", ports=[port(80, "http")], families=["IPv6"])
    namespace.pod("six-0", "fd00:1:2::5", app="six")
    namespace.pod("six-1", "fd00:1:3::", app="six")
    web = namespace.peers("six", port="http", policy=IMPATIENT)
    eventually(lambda: _expect(hostnames(web), ["fd00-1-2--5", "fd00-1-3--0"]))
    assert {str(endpoint) for endpoint in web} == {"[fd00:1:2::5]:80", "[fd00:1:3::]:80"}
    assert namespace.peers("six", family="ipv4").endpoints() == ()


def test_a_dual_stack_deployment_is_listed_by_one_family(namespace: Namespace) -> None:
    namespace.service("dual", ports=[port(80, "http")], families=["IPv4", "IPv6"])
    four = namespace.pod("dual-0", free_address(), "fd00:2::1", app="dual")
    web = namespace.peers("dual", family="any", policy=IMPATIENT)
    eventually(lambda: _expect(len(web.refresh().endpoints), 2))
    assert addresses(namespace.peers("dual")) == [four]
    assert addresses(namespace.peers("dual", family="prefer-ipv6")) == ["fd00:2::1"]
    assert addresses(namespace.peers("dual", family="ipv6")) == ["fd00:2::1"]


def test_a_dual_stack_stateful_set_has_both_addresses_under_one_name(namespace: Namespace) -> None:
    namespace.service("dual", ports=[port(80, "http")], families=["IPv4", "IPv6"])
    four = namespace.pod(
        "d-0", free_address(), "fd00:2::2", app="dual", hostname="d-0", subdomain="dual"
    )
    web = namespace.peers("dual", family="any", policy=IMPATIENT)
    eventually(lambda: _expect([len(e.addresses) for e in web.refresh().endpoints], [2]))
    assert [e.addresses for e in namespace.peers("dual")] == [(four, "fd00:2::2")]
    assert [e.addresses for e in namespace.peers("dual", family="ipv6")] == [("fd00:2::2",)]


# Sizes.


def many(namespace: Namespace, count: int, *, prefix: int) -> set[str]:
    """So many endpoints, in EndpointSlices written directly; returns their addresses."""
    namespace.service("big", ports=[port(80, "http", target=8080)], selector={})
    found = [f"10.{prefix}.{n // 250}.{n % 250 + 1}" for n in range(count)]
    for start in range(0, count, 1000):
        namespace.slice(
            f"big-{start}",
            of="big",
            endpoints=[
                {"addresses": [address], "conditions": {"ready": True}}
                for address in found[start : start + 1000]
            ],
            ports=[{"name": "http", "port": 8080, "protocol": "TCP"}],
        )
    return set(found)


@pytest.mark.parametrize(("count", "tcp"), [(12, False), (30, True), (100, True), (640, True)])
def test_srv_over_udp_or_tcp_lists_all_pods(namespace: Namespace, count: int, *, tcp: bool) -> None:
    wanted = many(namespace, count, prefix=110 + count % 7)
    web = namespace.peers("big", port="http", policy=IMPATIENT)
    eventually(lambda: _expect({e.address for e in web.refresh().endpoints}, wanted))
    fresh = namespace.peers("big", port="http")
    assert {(e.port, e.hostname) for e in fresh} == {(8080, a.replace(".", "-")) for a in wanted}
    assert (fresh.stats.queries_udp, fresh.stats.queries_tcp) == (1, tcp)


@pytest.mark.parametrize(("count", "prefix"), [(800, 120), (1200, 121)])
def test_srv_that_fits_nowhere_is_completed_by_addresses_and_names(
    namespace: Namespace, count: int, prefix: int
) -> None:
    wanted = many(namespace, count, prefix=prefix)
    web = namespace.peers("big", port="http", policy=IMPATIENT)
    eventually(lambda: _expect({e.address for e in web.refresh().endpoints}, wanted))
    assert {(e.port, e.hostname) for e in web} == {(8080, a.replace(".", "-")) for a in wanted}
    before = web.stats
    again = web.endpoints()

    def looked_up_again() -> None:
        assert web.refresh().state is State.LIVE
        assert web.stats.lookups > before.lookups

    eventually(looked_up_again)
    after = web.stats
    # The names are known by now: A, AAAA, SRV, and 8 names that are checked.
    assert web.endpoints() is again
    assert after.queries_udp - before.queries_udp <= 11 * (after.lookups - before.lookups)


def test_an_answer_that_fits_nowhere_is_incomplete_and_never_a_part(namespace: Namespace) -> None:
    many(namespace, 4500, prefix=130)

    def check() -> None:
        with pytest.raises(IncompleteAnswer, match="4,000 pods"):
            namespace.peers("big", port="http").refresh()

    eventually(check)


def test_addresses_alone_carry_four_thousand_pods(namespace: Namespace) -> None:
    wanted = many(namespace, 4000, prefix=150)
    web = namespace.peers("big", port=8080, records="address", policy=IMPATIENT)
    eventually(lambda: _expect({e.address for e in web.refresh().endpoints}, wanted))
    assert all(e.hostname == e.address.replace(".", "-") for e in web)


# Name servers.


def test_the_no_of_a_name_server_of_another_domain_empties_nothing(
    namespace: Namespace, name_servers: NameServers
) -> None:
    namespace.service("web", ports=[port(80, "http")])
    address = namespace.pod("web-0", app="web")
    stranger = name_servers.stranger()
    both = Resolver([stranger, namespace.nameserver])
    web = namespace.peers("web", resolver=both, policy=IMPATIENT)
    eventually(lambda: _expect(addresses(web), [address]))
    with pytest.raises(LookupFailed, match=r"does not serve cluster\.local"):
        namespace.peers("web", resolver=Resolver([stranger])).endpoints()


def test_a_core_dns_that_has_not_synced_yet_empties_nothing(
    namespace: Namespace, name_servers: NameServers
) -> None:
    unsynced = Resolver([name_servers.coredns(Corefile(synced=False))])
    with pytest.raises(LookupFailed, match="SERVFAIL"):
        namespace.peers("web", resolver=unsynced).endpoints()


def test_without_tcp_what_fits_udp_is_found_and_the_rest_is_incomplete(
    namespace: Namespace,
) -> None:
    wanted = many(namespace, 40, prefix=141)
    whole = namespace.peers("big", port="http", policy=IMPATIENT)
    eventually(lambda: _expect({e.address for e in whole.refresh().endpoints}, wanted))
    with relay(namespace.nameserver, tcp=False) as nameserver:
        web = namespace.peers("big", port="http", resolver=Resolver([nameserver]))
        assert {e.address for e in web} == wanted
        assert {e.port for e in web} == {8080}


def test_without_tcp_an_answer_too_large_for_udp_is_incomplete(namespace: Namespace) -> None:
    wanted = many(namespace, 100, prefix=142)
    whole = namespace.peers("big", port="http", policy=IMPATIENT)
    eventually(lambda: _expect({e.address for e in whole.refresh().endpoints}, wanted))
    with relay(namespace.nameserver, tcp=False) as nameserver:
        web = namespace.peers("big", port="http", resolver=Resolver([nameserver]))
        with pytest.raises(IncompleteAnswer, match="TCP port 53"):
            web.endpoints()
