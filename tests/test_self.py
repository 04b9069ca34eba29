"""Which endpoint is this pod: by its address, among those that share it by its name."""

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from headless_discovery import ConfigurationError, LookupFailed, Peers, State
from headless_discovery.testing import FakeCluster
from tests.lookups import FakeResolver, Surroundings


def node(cluster: FakeCluster, *pods: tuple[str | None, int], address: str = "10.0.0.5") -> None:
    """A Service ``web`` of pods on one address: (host name, port)."""
    cluster.apply({"kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "None"}})
    for number, (hostname, port) in enumerate(pods):
        cluster.apply(
            {
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"web-{number}",
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "ports": [{"name": "http", "port": port}],
                "endpoints": [{"addresses": [address], "hostname": hostname}],
            }
        )


class Inside(FakeResolver):
    """What a process on that node is told."""

    environ: Mapping[str, str] = {}
    routed: tuple[str, ...] = ()

    def surroundings(self) -> Surroundings:
        return attrs.evolve(super().surroundings(), environ=self.environ)

    def own_addresses(self) -> tuple[str, ...]:
        return self.routed

    def own_hostname(self) -> str:
        return "the-node"


def others(
    cluster: FakeCluster,
    environ: Mapping[str, str] | None = None,
    routed: tuple[str, ...] = (),
    **arguments: Any,
) -> Peers:
    resolver = Inside(cluster, domain="cluster.local", namespace="default")
    resolver.environ, resolver.routed = environ or {}, routed
    asked: dict[str, Any] = {
        "port": "http",
        "include_self": False,
        "resolver": resolver,
    } | arguments
    return cluster.peers("web", **asked)


TWO = (("web-0", 8001), ("web-1", 8002))


def hostnames(found: Peers) -> list[str]:
    return [endpoint.hostname for endpoint in found]


@pytest.mark.parametrize(
    ("environ", "arguments"),
    [
        ({"POD_NAME": "web-0"}, {}),
        ({"POD_NAME": "WEB-0"}, {}),
        ({}, {"self_name": "web-0"}),
        ({}, {"self_name": "web-0.web.default.svc.cluster.local."}),
        ({"POD_NAME": "web-1"}, {"self_name": "web-0"}),
        ({"POD_NAME": "web-0"}, {"self_name": "not-published"}),
    ],
)
def test_of_two_on_one_address_self_name_then_pod_name_tell_who_we_are(
    cluster: FakeCluster,
    environ: dict[str, str],
    arguments: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    node(cluster, *TWO)
    web = others(cluster, {"POD_IP": "10.0.0.5", **environ}, **arguments)
    assert hostnames(web) == ["web-1"]
    assert not caplog.records


def test_else_our_host_name_does(cluster: FakeCluster) -> None:
    node(cluster, ("web-0", 8001), ("the-node", 8002))
    assert hostnames(others(cluster, {"POD_IP": "10.0.0.5"})) == ["web-0"]


def test_where_none_is_called_like_us_nobody_is_left_out_and_that_is_told_once(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    node(cluster, *TWO)
    web = others(cluster, {"POD_IP": "10.0.0.5", "POD_NAME": "web-7d9f-x2"})
    assert hostnames(web) == ["web-0", "web-1"]
    for port in (8003, 8004):
        cluster.clock.advance(60)
        node(cluster, ("web-0", 8001), ("web-1", port))
        web.refresh()
    [warning] = caplog.records
    assert warning.levelname == "WARNING"
    for part in ("10.0.0.5", "web-7d9f-x2 or the-node", "self_name", "$POD_NAME"):
        assert part in warning.getMessage()


@pytest.mark.parametrize("self_address", ["10.0.0.5:8001", ["10.0.0.9", "10.0.0.5:8001"]])
def test_an_address_with_a_port_tells_it_without_a_name(
    cluster: FakeCluster, self_address: Any, caplog: pytest.LogCaptureFixture
) -> None:
    node(cluster, *TWO)
    assert hostnames(others(cluster, self_address=self_address)) == ["web-1"]
    assert not caplog.records


@pytest.mark.parametrize(
    ("environ", "arguments", "shown"),
    [
        ({"POD_NAME": "web-7d9f-x2"}, {}, [8001, 8002]),
        ({}, {"self_name": "web-7d9f-x2"}, [8001, 8002]),
        ({}, {"self_address": "10.0.0.5:8002"}, [8001]),
    ],
)
def test_two_of_a_deployment_on_one_node_have_one_name_so_only_a_port_tells_them_apart(
    cluster: FakeCluster,
    environ: dict[str, str],
    arguments: dict[str, Any],
    shown: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    node(cluster, (None, 8001), (None, 8002))
    web = others(cluster, {"POD_IP": "10.0.0.5", **environ}, **arguments)
    assert [endpoint.port for endpoint in web] == shown
    assert [record.levelname for record in caplog.records] == ["WARNING"] * (len(shown) == 2)


@pytest.mark.parametrize("given", ["10.0.0.5,fd00::5", "fd00::5, 10.0.0.5"])
@pytest.mark.parametrize("family", ["any", "prefer-ipv6", "ipv4"])
def test_a_pod_of_two_families_is_left_out_under_both_names(
    cluster: FakeCluster, family: str, given: str, caplog: pytest.LogCaptureFixture
) -> None:
    web = cluster.add_service("web", ports={"http": 80}, families=("ipv4", "ipv6"))
    web.add_pod("10.0.0.5", "fd00::5")
    web.add_pod("10.0.0.6", "fd00::6")
    found = others(cluster, {"POD_IPS": given}, family=family)
    assert {endpoint.address[-1] for endpoint in found} == {"6"}
    assert not caplog.records


def test_each_of_several_ports_of_an_address_may_be_this_pods(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    node(cluster, *TWO, ("web-2", 8003))
    web = others(cluster, self_address=["10.0.0.5:8001", "10.0.0.5:8003"])
    assert hostnames(web) == ["web-1"]
    assert not caplog.records


def test_an_ipv6_address_with_a_port_stands_in_brackets(cluster: FakeCluster) -> None:
    node(cluster, *TWO, address="fd00::5")
    assert hostnames(others(cluster, self_address="[fd00:0::5]:8002")) == ["web-0"]


def test_an_address_with_the_port_of_nobody_is_nobody(cluster: FakeCluster) -> None:
    node(cluster, *TWO)
    assert hostnames(others(cluster, self_address="10.0.0.5:8003")) == ["web-0", "web-1"]


def test_a_name_alone_proves_nothing(cluster: FakeCluster) -> None:
    node(cluster, *TWO)
    web = others(cluster, {"POD_IP": "10.0.0.6"}, self_name="web-0")
    assert hostnames(web) == ["web-0", "web-1"]


@pytest.mark.parametrize(
    "wrong",
    ["me", "10.0.0.5:0", "10.0.0.5:http", "web-0:80", ["10.0.0.5", 5], 5, [], b"10.0.0.5"],
)
def test_any_other_own_address_is_an_error_that_names_it(cluster: FakeCluster, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="self_address"):
        others(cluster, self_address=wrong)


# Addresses that nobody told: those that route to the name server.


LOCAL = ["127.0.0.1", "127.0.0.53", "169.254.20.10", "::1", "fe80::1"]


@pytest.mark.parametrize("address", LOCAL)
def test_a_local_address_that_no_endpoint_has_is_none_of_ours_and_that_is_told_once(
    cluster: FakeCluster, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A name server on this node: loopback, or NodeLocal DNSCache's link-local address."""
    web = others(cluster, routed=(address,))
    cluster.apply({"kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "None"}})
    assert web.endpoints() == ()
    assert not caplog.records, "there is nobody to leave out"
    for port in (8001, 8002):
        cluster.clock.advance(60)
        node(cluster, ("web-0", port))
        web.refresh()
    assert hostnames(web) == ["web-0"]
    [warning] = [each for each in caplog.records if each.levelname == "WARNING"]
    for part in (address, "own address is not known", "$POD_IP", "self_address"):
        assert part in warning.getMessage()


@pytest.mark.parametrize("address", LOCAL)
def test_it_is_ours_where_an_endpoint_has_it(cluster: FakeCluster, address: str) -> None:
    node(cluster, ("web-0", 8001), address=address)
    web = others(cluster, routed=(address,))
    assert hostnames(web) == []
    assert web.snapshot.state is State.LIVE


def test_beside_one_that_is_not_local_it_does_not_matter(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    node(cluster, ("web-0", 8001))
    cluster.apply({"kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "None"}})
    assert hostnames(others(cluster, routed=("127.0.0.1", "10.0.0.5"))) == []
    assert hostnames(others(cluster, routed=("127.0.0.1", "10.0.0.6"))) == ["web-0"]
    assert not caplog.records


def test_a_local_address_that_was_told_is_taken_as_it_is(cluster: FakeCluster) -> None:
    node(cluster, *TWO)
    assert hostnames(others(cluster, self_address="127.0.0.1")) == ["web-0", "web-1"]
    assert hostnames(others(cluster, {"POD_IP": "127.0.0.1"})) == ["web-0", "web-1"]


def test_where_self_is_shown_nobody_asks_who_it_is(cluster: FakeCluster) -> None:
    node(cluster, *TWO)
    resolver = Inside(cluster, domain="cluster.local", namespace="default")
    resolver.routed = ("127.0.0.1",)
    web = cluster.peers("web", port="http", resolver=resolver)
    assert hostnames(web) == ["web-0", "web-1"]


@pytest.mark.parametrize("shown", [True, False])
def test_without_a_way_to_the_name_server_it_is_looked_for_again_where_it_matters(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    node(cluster, *TWO)

    def no_way(_: Inside) -> tuple[str, ...]:
        raise LookupFailed("no way to the server: too many open files")

    web = others(cluster, {"POD_NAME": "web-0"}, ("10.0.0.5",), include_self=shown)
    with monkeypatch.context() as broken:
        broken.setattr(Inside, "own_addresses", no_way)
        if shown:
            assert hostnames(web) == ["web-0", "web-1"]
        else:
            with pytest.raises(LookupFailed, match="open files"):
                web.endpoints()
    cluster.clock.advance(60)
    assert hostnames(web) == (["web-0", "web-1"] if shown else ["web-1"])


# What else is told once.


def test_addresses_that_no_pod_can_have_are_warned_of_once(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    web = cluster.add_service("web", ports={"http": 8080})
    for address in ("10.0.0.1", "0.0.0.0", "224.0.0.1"):
        web.add_pod(address)
    found = cluster.peers("web", port="http")
    assert [endpoint.address for endpoint in found] == ["10.0.0.1"]
    web.add_pod("255.255.255.255")
    cluster.clock.advance(60)
    found.refresh()
    [warning] = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "0.0.0.0, 224.0.0.1" in warning.getMessage()
