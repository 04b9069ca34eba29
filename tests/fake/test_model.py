"""Services and pods of a fake cluster: what DNS then says, and what misuse is told."""

from typing import Any

import pytest

from headless_discovery import ConfigurationError, NoEndpoints, State, peers
from headless_discovery.testing import FakeCluster, FakePod
from tests.fake.asking import WEB, ask, data, rcode


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def addresses(cluster: FakeCluster, service: str = "web", **arguments: Any) -> list[str]:
    return [peer.address for peer in cluster.peers(service, **arguments)]


def test_a_pod_is_published_while_it_is_ready(cluster: FakeCluster) -> None:
    web = cluster.add_service("web", ports={"http": 8080})
    pod = web.add_pod("10.0.0.1", ready=False)
    assert addresses(cluster) == []
    assert not pod.ready
    pod.ready = True
    assert addresses(cluster) == ["10.0.0.1"]
    pod.terminate()
    assert addresses(cluster) == []


def test_all_pods_are_published_where_readiness_does_not_count(cluster: FakeCluster) -> None:
    web = cluster.add_service("web", publish_not_ready=True)
    pod = web.add_pod("10.0.0.1", ready=False)
    pod.terminate()
    assert addresses(cluster) == ["10.0.0.1"]
    pod.delete()
    assert addresses(cluster) == []


def test_a_pod_moves_and_keeps_its_host_name(cluster: FakeCluster) -> None:
    (pod,) = cluster.add_service("web").scale(1)
    pod.move_to("10.0.0.9")
    assert (pod.name, pod.hostname, pod.addresses) == ("web-0", "web-0", ("10.0.0.9",))
    assert [(p.hostname, p.address) for p in cluster.peers("web")] == [("web-0", "10.0.0.9")]


def test_a_pod_without_a_host_name_is_called_by_its_address(cluster: FakeCluster) -> None:
    pod = cluster.add_service("web").add_pod("10.0.0.1")
    assert (pod.name, pod.hostname) == ("web-10-0-0-1", "10-0-0-1")
    named = FakeCluster(endpoint_pod_names=True).add_service("web").add_pod("10.0.0.1", name="x7")
    assert (named.name, named.hostname) == ("x7", "x7")


@pytest.mark.parametrize("address", ["fd00::", "fd00::1", "fd00:1::"])
def test_any_address_gives_a_pod_a_name(cluster: FakeCluster, address: str) -> None:
    pod = cluster.add_service("web", families=["ipv6"]).add_pod(address)
    assert pod.name == f"web-{pod.hostname}"
    assert addresses(cluster, family="ipv6") == [address]


def test_scale_makes_a_stateful_set_of_it(cluster: FakeCluster) -> None:
    web = cluster.add_service("web", families=["ipv4", "ipv6"])
    pods = web.scale(3)
    assert [pod.name for pod in pods] == ["web-0", "web-1", "web-2"]
    assert [len(pod.addresses) for pod in pods] == [2, 2, 2]
    assert len({address for pod in pods for address in pod.addresses}) == 6
    assert web.scale(1) == pods[:1]
    again = web.scale(3)
    assert [pod.name for pod in again] == ["web-0", "web-1", "web-2"]
    assert again[0] == pods[0]
    assert again[1] != pods[1], "another pod of that name"
    assert again[1].addresses != pods[1].addresses
    assert web.scale(0) == ()


def test_scale_lets_pods_of_other_names_be(cluster: FakeCluster) -> None:
    web = cluster.add_service("web")
    other = web.add_pod("10.0.0.1")
    web.scale(1)
    assert web.scale(0) == (other,) == web.pods


def test_addresses_that_are_handed_out_are_free_ones(cluster: FakeCluster) -> None:
    web = cluster.add_service("web")
    web.add_pod("10.244.0.2")
    scaled = web.scale(260)
    found = [address for pod in scaled for address in pod.addresses]
    assert len(set(found)) == 261
    assert not {address for address in found if address.endswith((".0", ".1", ".255"))}


def test_a_service_is_its_namespaces(cluster: FakeCluster) -> None:
    cluster.add_service("web").add_pod("10.0.0.1")
    shop = cluster.add_service("web", "shop")
    shop.add_pod("10.0.0.2", name="web-10-0-0-1")
    assert addresses(cluster) == ["10.0.0.1"]
    assert addresses(cluster, "web.shop") == addresses(cluster, namespace="shop") == ["10.0.0.2"]
    assert (shop.name, shop.namespace) == ("web", "shop")


def test_a_service_that_is_not_there_is_no_error_in_dns(cluster: FakeCluster) -> None:
    kubia = cluster.peers("nobody")
    assert kubia.endpoints() == ()
    assert kubia.snapshot.state is State.EMPTY
    with pytest.raises(NoEndpoints):
        kubia.pick()


def test_a_virtual_ip_is_told_as_one_and_its_pods_have_names(cluster: FakeCluster) -> None:
    vip = cluster.add_service("web", ports={"http": 80}, cluster_ip="10.96.0.9")
    vip.add_pod("10.0.0.1", hostname="web-0")
    assert data(ask(cluster)) == ["10.96.0.9"]
    assert data(ask(cluster, f"web-0.{WEB}")) == ["10.0.0.1"]


def test_none_is_a_headless_services_cluster_ip(cluster: FakeCluster) -> None:
    cluster.add_service("web", cluster_ip="None").add_pod("10.0.0.1")
    assert addresses(cluster) == ["10.0.0.1"]


def test_an_alias_may_be_written_with_its_final_dot(cluster: FakeCluster) -> None:
    cluster.add_service("web", external_name="db.example.com.")
    assert data(ask(cluster, kind="CNAME"), "CNAME") == ["db.example.com."]


def test_an_alias_of_itself_stands_for_nothing(cluster: FakeCluster) -> None:
    cluster.add_service("web", external_name=WEB)
    assert rcode(ask(cluster)) == "NOERROR"
    assert data(ask(cluster)) == []


def test_aliases_of_each_other_come_to_an_end(cluster: FakeCluster) -> None:
    cluster.add_service("web", external_name="two.default.svc.cluster.local")
    cluster.add_service("two", external_name=WEB)
    assert data(ask(cluster)) == []


def test_an_alias_of_a_service_that_is_not_there_stands_for_nothing(cluster: FakeCluster) -> None:
    cluster.add_service("web", external_name="nobody.default.svc.cluster.local")
    assert data(ask(cluster)) == []


def test_peers_of_a_pod_are_those_that_it_sees(cluster: FakeCluster) -> None:
    gossip = cluster.add_service("gossip", "shop", ports={"swim": (7946, "udp")})
    one, two = gossip.scale(2)
    others = one.peers("gossip", port="swim", protocol="udp", include_self=False)
    assert [peer.hostname for peer in others] == [two.hostname]


def others_of(cluster: FakeCluster, **arguments: Any) -> list[str | None]:
    """What code finds that makes its own `peers` and is no pod of the cluster."""
    web = peers(
        "web", include_self=False, resolver=cluster.resolver, clock=cluster.clock, **arguments
    )
    return [peer.hostname for peer in web]


@pytest.mark.parametrize(
    ("environment", "others"),
    [
        ({"POD_IP": "10.244.0.2"}, ["web-1", "web-2"]),
        ({"POD_IPS": "10.244.0.3,fd00::3", "POD_NAMESPACE": "elsewhere"}, ["web-0", "web-2"]),
        ({"POD_IP": "10.0.0.1", "POD_NAME": "web-1"}, ["web-0", "web-1", "web-2"]),
    ],
)
def test_code_that_makes_its_own_peers_is_the_pod_that_its_environment_names(
    environment: dict[str, str],
    others: list[str],
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster.add_service("web", ports={"http": 80}).scale(3)
    with pytest.raises(ConfigurationError, match="this pod's own address could not be found"):
        others_of(cluster)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert others_of(cluster) == others


def test_the_zone_of_a_process_is_that_of_its_environment_and_of_a_pod_its_own(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = cluster.add_service("web", ports={"http": 80})
    pods = [web.add_pod(f"10.0.0.{number}", zone=zone) for number, zone in enumerate("abc")]
    monkeypatch.setenv("POD_ZONE", "b")
    in_zone = [cluster.peers("web", source="api", zone="auto").pick().zone for _ in range(5)]
    assert in_zone == ["b"] * 5
    for pod, zone in zip(pods, "abc", strict=True):
        assert pod.peers("web", source="api", zone="auto").pick().zone == zone


def test_a_pod_that_was_deleted_cannot_be_used(cluster: FakeCluster) -> None:
    pod = cluster.add_service("web").add_pod("10.0.0.1")
    pod.delete()
    for use in (
        pod.delete,
        pod.terminate,
        lambda: pod.move_to("10.0.0.2"),
        lambda: setattr(pod, "ready", True),
        lambda: pod.peers("web"),
    ):
        with pytest.raises(ValueError, match="pod default/web-10-0-0-1 was deleted"):
            use()


def test_a_service_that_was_deleted_cannot_be_used(cluster: FakeCluster) -> None:
    web = cluster.add_service("web")
    cluster.delete({"kind": "Service", "metadata": {"name": "web"}})
    with pytest.raises(ValueError, match="Service default/web was deleted"):
        web.add_pod("10.0.0.1")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"name": "Web"}, "Service 'Web' is not a DNS label"),
        ({"name": "a" * 64}, "is not a DNS label"),
        ({"name": 5}, "Service 5 is not a DNS label"),
        ({"namespace": "my.shop"}, "namespace 'my.shop' is not a DNS label"),
        ({"ports": "http"}, "ports='http': give"),
        ({"ports": 80}, "ports=80: give"),
        ({"ports": {"http": 0}}, "port 0 is not a number from 1 to 65535"),
        ({"ports": {"http": 65536}}, "port 65536 is not"),
        ({"ports": {"http": True}}, "port True is not"),
        ({"ports": {"http": "80"}}, "port 'http': '80' is neither"),
        ({"ports": {"http": (80,)}}, r"port 'http': \(80,\) is neither"),
        ({"ports": {"http": (80, "quic")}}, "protocol 'quic' is not"),
        ({"ports": {"http": (80, 6)}}, "protocol 6 is not"),
        ({"ports": {"Http": 80}}, "port 'Http' is not a DNS label"),
        ({"ports": [80, 81]}, "needs a name for each"),
        ({"ports": {"a": 80, "b": 80}}, "one number and protocol"),
        ({"families": ["ipv5"]}, "families are ipv4, ipv6 or both"),
        ({"families": []}, "families are"),
        ({"external_name": 1}, "external_name 1 is not text"),
        ({"families": "ipv4"}, "families are"),
        ({"families": ["ipv4", "ipv4"]}, "families are"),
        ({"cluster_ip": "vip"}, "'vip' is not an IP address"),
        ({"cluster_ip": "fd00::1"}, r"cluster_ip='fd00::1' is of none of families"),
        ({"cluster_ip": "10.96.0.1", "external_name": "x.org"}, "not both"),
        ({"name": "taken"}, "there is a Service 'taken' in namespace 'default' already"),
    ],
)
def test_a_service_that_cannot_be_is_refused(
    cluster: FakeCluster, arguments: dict[str, Any], told: str
) -> None:
    cluster.add_service("taken")
    with pytest.raises(ValueError, match=told):
        cluster.add_service(**{"name": "web", **arguments})
    assert repr(cluster) == "<FakeCluster cluster.local: 1 Services>"


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        (["10.0.0.1"], {}, "10.0.0.1 is the address of pod default/web-10-0-0-1"),
        (["10.0.0"], {}, "'10.0.0' is not an IP address"),
        ([10], {}, "10 is not an IP address"),
        (["10.0.0.2", "10.0.0.3"], {}, "one IPv4 and one IPv6 address at most"),
        (["fd00::1"], {}, "publishes ipv4 only, and fd00::1 is not"),
        (["10.0.0.2"], {"name": "web-10-0-0-1"}, "there is a pod default/web-10-0-0-1 already"),
        (["10.0.0.2"], {"name": "Web"}, "'Web' is not a Pod's name"),
        (["10.0.0.2"], {"hostname": "web.0"}, "hostname 'web.0' is not a DNS label"),
        (["10.0.0.2"], {"hostname": ""}, "hostname '' is not a DNS label"),
    ],
)
def test_a_pod_that_cannot_be_is_refused(
    cluster: FakeCluster, given: list[str], options: dict[str, Any], told: str
) -> None:
    web = cluster.add_service("web")
    web.add_pod("10.0.0.1")
    with pytest.raises(ValueError, match=told):
        web.add_pod(*given, **options)
    assert len(web.pods) == 1


def test_a_pod_does_not_move_to_another_ones_address(cluster: FakeCluster) -> None:
    web = cluster.add_service("web")
    one, two = web.add_pod("10.0.0.1"), web.add_pod("10.0.0.2")
    with pytest.raises(ValueError, match=r"10\.0\.0\.2 is the address of pod"):
        one.move_to("10.0.0.2")
    two.delete()
    one.move_to("10.0.0.2")
    one.move_to("10.0.0.2")
    assert one.addresses == ("10.0.0.2",)


def test_an_alias_has_no_pods(cluster: FakeCluster) -> None:
    away = cluster.add_service("away", external_name="db.example.com")
    with pytest.raises(ValueError, match="is an alias: it has no pods of its own"):
        away.add_pod("10.0.0.1")
    with pytest.raises(ValueError, match="is an alias"):
        away.scale(1)
    assert away.pods == ()


@pytest.mark.parametrize("n", [-1, 1.5, True, "3"])
def test_a_service_is_scaled_to_a_number_of_pods(cluster: FakeCluster, n: Any) -> None:
    with pytest.raises(ValueError, match="give a number of pods"):
        cluster.add_service("web").scale(n)


def test_an_unknown_service_is_told_with_those_that_are_known(cluster: FakeCluster) -> None:
    with pytest.raises(ValueError, match="no Service 'web' in namespace 'default': none"):
        cluster.service("web")
    cluster.add_service("web", "shop")
    with pytest.raises(ValueError, match=r"no Service 'web' in namespace 'default': web\.shop"):
        cluster.service("web")
    assert cluster.service("web", "shop") == cluster.service("web", "shop")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ttl": -1}, "ttl=-1 is not a number from 0 to 3600"),
        ({"ttl": 5.5}, "ttl=5.5 is not"),
        ({"cache": 0}, "cache=0 is not"),
        ({"cache": True}, "cache=True is not"),
        ({"denial": 5}, "those of a cache"),
        ({"serve_stale": 60}, "those of a cache"),
        ({"bufsize": 100}, "bufsize=100 is not a number from 512 to 4096"),
        ({"cache": 5, "serve_stale": -1}, "serve_stale=-1 is not a number of seconds"),
        ({"cache": 5, "serve_stale": float("nan")}, "serve_stale=nan is not"),
        ({"pods": "verified"}, "pods='verified' is neither"),
        ({"clock": 1}, "clock=1 is not a FakeClock"),
        ({"domain": 1}, "domain 1 is not text"),
        ({"domain": "cluster..local"}, "domain '' is not a DNS label"),
    ],
)
def test_options_that_coredns_would_not_take_are_refused(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        FakeCluster(**options)


def test_another_domain_is_served_instead() -> None:
    cluster = FakeCluster("Example.INTERNAL.")
    cluster.add_service("web").add_pod("10.0.0.1")
    assert addresses(cluster) == ["10.0.0.1"]
    assert data(ask(cluster, "web.default.svc.example.internal.")) == ["10.0.0.1"]


def test_objects_say_what_they_are(cluster: FakeCluster) -> None:
    web = cluster.add_service("web")
    pod = web.add_pod("10.0.0.1")
    assert repr(web) == "<FakeService web.default>"
    assert repr(pod) == "<FakePod web-10-0-0-1 10.0.0.1>"


def test_handles_of_one_pod_are_equal(cluster: FakeCluster) -> None:
    web = cluster.add_service("web")
    one, two = web.add_pod("10.0.0.1"), web.add_pod("10.0.0.2")
    assert web.pods == (one, two)
    assert len({one, two, *web.pods}) == 2
    assert isinstance(web.pods[0], FakePod)


def test_a_seed_gives_the_same_order_again() -> None:
    def orders(seed: int) -> list[list[str]]:
        cluster = FakeCluster(seed=seed)
        cluster.add_service("web").scale(5)
        return [data(ask(cluster)) for _ in range(5)]

    assert orders(1) == orders(1) != orders(2)


def test_a_pod_says_where_it_runs_to_whoever_reads_its_slice(cluster: FakeCluster) -> None:
    web = cluster.add_service("web")
    web.add_pod("10.0.0.1", node="node-a", zone="eu-1")
    web.add_pod("10.0.0.2")
    one, other = cluster.peers("web", source="api")
    assert (one.node, one.zone) == ("node-a", "eu-1")
    assert (other.node, other.zone) == (None, None)
    with pytest.raises(ValueError, match="'eu 1' is neither a node's name nor a zone's"):
        web.add_pod("10.0.0.3", zone="eu 1")


@pytest.mark.parametrize(("host_network", "others"), [(True, ["a", "b"]), (False, ["a"])])
def test_under_the_host_s_network_a_pod_is_called_as_its_node(
    cluster: FakeCluster, host_network: bool, others: list[str]
) -> None:
    service = {
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}},
    }
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    pods = [
        {
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {
                "hostNetwork": host_network, "nodeName": "n-1", "hostname": name,
                "subdomain": "web",
            },
            "status": {**running, "podIP": "10.0.0.1"},
        }
        for name in ("a", "b")
    ]  # fmt: skip
    cluster.apply([service, *pods])
    _, b = cluster.service("web").pods
    assert [peer.hostname for peer in b.peers("web", include_self=False)] == others
