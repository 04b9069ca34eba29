"""Kubernetes manifests, as dicts and as YAML: taken, replaced, refused."""

import sys
from typing import Any

import pytest

from headless_discovery.testing import FakeCluster
from tests.fake.asking import WEB, ask, data, rcode
from tests.fake.rows import about

YAML = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
---
apiVersion: v1
kind: PodList
items:
- metadata: {name: web-a, labels: {app: web}}
  spec:
    containers:
    - ports: [{name: http, containerPort: 8080}, {containerPort: 9090}]
  status:
    phase: Running
    podIPs: [{ip: 10.0.0.1}]
    conditions: [{type: PodScheduled, status: "True"}, {type: Ready, status: "True"}]
"""


def pod(name: str = "web-a", address: str = "10.0.0.1", **more: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {},
        "status": {
            "podIP": address,
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
        **more,
    }


def service(**spec: Any) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}, **spec},
    }


def endpoint_slice(name: str = "web-1", of: str = "web", **more: Any) -> dict[str, Any]:
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        **more,
    }


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def test_yaml_is_taken_with_lists_and_empty_documents(cluster: FakeCluster) -> None:
    cluster.apply(YAML)
    assert [str(peer) for peer in cluster.peers("web", port="http")] == ["10.0.0.1:8080"]


def test_one_object_a_list_object_and_several_are_taken(cluster: FakeCluster) -> None:
    cluster.apply(service())
    cluster.apply({"kind": "List", "items": [pod()]})
    cluster.apply([pod("web-b", "10.0.0.2"), {"kind": "List"}])
    assert len(cluster.service("web").pods) == 2


def test_what_changes_no_answer_is_let_be(cluster: FakeCluster) -> None:
    cluster.apply([{"kind": "ConfigMap", "metadata": {"name": "x"}}, service(), pod(extra=1)])
    assert data(ask(cluster)) == ["10.0.0.1"]


def test_applied_again_an_object_is_replaced_and_stays_the_same_one(cluster: FakeCluster) -> None:
    cluster.apply([service(), pod()])
    web = cluster.service("web")
    (handle,) = web.pods
    cluster.apply(pod(address="10.0.0.7"))
    assert handle.addresses == ("10.0.0.7",)
    assert data(ask(cluster)) == ["10.0.0.7"]
    cluster.apply(service(selector={"app": "other"}))
    assert web.pods == ()
    cluster.apply([service(selector=None), endpoint_slice()])
    cluster.apply(endpoint_slice(endpoints=[{"addresses": ["10.0.0.8"]}]))
    assert data(ask(cluster)) == ["10.0.0.8"]


def test_handles_change_what_was_applied(cluster: FakeCluster) -> None:
    cluster.apply([service(), pod()])
    (handle,) = cluster.service("web").pods
    handle.ready = False
    assert rcode(ask(cluster)) == "NXDOMAIN"
    handle.ready = True
    handle.delete()
    assert rcode(ask(cluster)) == "NXDOMAIN"


def test_objects_are_deleted_by_kind_and_name(cluster: FakeCluster) -> None:
    objects = [service(), pod(), endpoint_slice()]
    cluster.apply([{"kind": "Namespace", "metadata": {"name": "shop"}}, *objects])
    for one in objects:
        cluster.delete(one)
        with pytest.raises(ValueError, match=f"there is no {one['kind']} 'web"):
            cluster.delete(one)
    assert rcode(ask(cluster)) == "NXDOMAIN"
    assert rcode(ask(cluster, "shop.svc.cluster.local.")) == "NOERROR"
    cluster.delete({"kind": "Namespace", "metadata": {"name": "shop"}})
    assert rcode(ask(cluster, "shop.svc.cluster.local.")) == "NXDOMAIN"


def test_a_namespace_goes_with_what_is_in_it(cluster: FakeCluster) -> None:
    cluster.apply([service(), pod(), endpoint_slice()])
    cluster.add_service("web", "shop").add_pod("10.0.0.2")
    cluster.delete({"kind": "Namespace", "metadata": {"name": "default"}})
    assert rcode(ask(cluster)) == "NXDOMAIN"
    assert data(ask(cluster, "web.shop.svc.cluster.local.")) == ["10.0.0.2"]
    cluster.apply({"kind": "Namespace", "metadata": {"name": "default"}})
    assert repr(cluster) == "<FakeCluster cluster.local: 1 Services>"


def test_a_service_without_a_virtual_ip_is_handed_one_and_keeps_it(cluster: FakeCluster) -> None:
    cluster.apply(service(clusterIP="", ipFamilies=["IPv4", "IPv6"], ports=[{"port": 80}]))
    first = data(ask(cluster)) + data(ask(cluster, kind="AAAA"), "AAAA")
    assert len(first) == 2
    cluster.apply(service(clusterIP="", ipFamilies=["IPv4", "IPv6"], ports=[{"port": 81}]))
    assert data(ask(cluster)) + data(ask(cluster, kind="AAAA"), "AAAA") == first
    other = {"kind": "Service", "metadata": {"name": "two"}, "spec": {"ports": [{"port": 80}]}}
    cluster.apply(other)
    assert data(ask(cluster, WEB.replace("web", "two"))) not in ([], first[:1])


@about(38)
def test_a_named_port_is_found_in_sidecars_too_and_only_there_where_it_is(
    cluster: FakeCluster,
) -> None:
    port = {"name": "http", "containerPort": 8080}
    cluster.apply(
        [
            service(ports=[{"name": "http", "port": 80, "targetPort": "http"}]),
            pod(spec={"initContainers": [{"restartPolicy": "Always", "ports": [port]}]}),
            pod("web-b", "10.0.0.2", spec={"initContainers": [{"ports": [port]}]}),
        ]
    )
    assert [str(peer) for peer in cluster.peers("web", port="http")] == ["10.0.0.1:8080"]


@about(54)
def test_a_slice_whose_service_is_gone_still_has_reverse_names(cluster: FakeCluster) -> None:
    cluster.apply([endpoint_slice(of="gone"), service(), pod()])
    pointers = data(ask(cluster, "1.0.0.10.in-addr.arpa.", "PTR"), "PTR")
    assert sorted(pointers) == [
        f"10-0-0-1.{name}.default.svc.cluster.local." for name in ("gone", "web")
    ]


@about(49)
def test_of_two_pods_at_one_address_one_may_go(cluster: FakeCluster) -> None:
    cluster.apply([service(), pod(), pod("web-b")])
    assert data(ask(cluster)) == ["10.0.0.1"]
    cluster.delete(pod())
    assert data(ask(cluster)) == ["10.0.0.1"]
    with pytest.raises(ValueError, match="is the address of pod default/web-b"):
        cluster.add_service("other").add_pod("10.0.0.1")


def test_pods_behind_an_alias_have_no_names(cluster: FakeCluster) -> None:
    cluster.apply([service(type="ExternalName", externalName="x.org"), pod()])
    assert rcode(ask(cluster, "1.0.0.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"


def test_a_service_without_selector_has_no_pods_to_add(cluster: FakeCluster) -> None:
    cluster.apply(service(selector=None))
    with pytest.raises(ValueError, match="without a selector"):
        cluster.service("web").add_pod("10.0.0.1")


def stateful_set(replicas: int) -> dict[str, Any]:
    return {
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "web",
            "replicas": replicas,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
            },
        },
    }


def names_and_addresses(cluster: FakeCluster) -> dict[str, str]:
    return {endpoint.hostname: endpoint.address for endpoint in cluster.peers("web")}


def test_a_stateful_set_has_its_pods_under_the_names_that_they_keep(cluster: FakeCluster) -> None:
    cluster.apply([service(), stateful_set(2)])
    before = names_and_addresses(cluster)
    assert sorted(before) == ["db-0", "db-1"]
    cluster.apply(stateful_set(3))
    assert sorted(names_and_addresses(cluster)) == ["db-0", "db-1", "db-2"]
    cluster.apply(stateful_set(1))
    assert names_and_addresses(cluster) == {"db-0": before["db-0"]}
    cluster.delete(stateful_set(1))
    assert names_and_addresses(cluster) == {}


def test_a_stateful_set_applied_again_leaves_a_pod_not_ready(cluster: FakeCluster) -> None:
    cluster.apply([stateful_set(2), service()])
    cluster.service("web").pods[0].ready = False
    cluster.apply(stateful_set(2))
    assert sorted(names_and_addresses(cluster)) == ["db-1"]


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ("just text", "a manifest is a mapping with a kind, not 'just text'"),
        ("a: [", "not YAML"),
        ([5], "a manifest is a mapping with a kind, not 5"),
        ({"metadata": {}}, "a manifest is a mapping with a kind"),
        ({"kind": "Deployment"}, "kind 'Deployment': nobody here makes its Pods"),
        ({"kind": "Pod"}, "Pod '' has no metadata.name"),
        ({"kind": "Pod", "metadata": "x"}, "Pod '' has no metadata.name"),
        (pod(metadata={"name": "X"}), "Pod 'X': 'X' is not a Pod's name"),
        (pod(metadata={"name": "x", "namespace": "a.b"}), "namespace 'a.b' is not a DNS label"),
        (pod(address="10.0.0"), "Pod 'web-a': '10.0.0' is not an IP address"),
        (pod(status={"podIPs": ["10.0.0.1"]}), "Pod 'web-a' is not as Kubernetes has them"),
        (pod(spec={"hostname": "a.b"}), "Pod 'web-a': hostname 'a.b' is not a DNS label"),
        (service(ports=[{"name": "http"}]), "Service 'web' is not as Kubernetes has them: 'port'"),
        (service(ports=[{"port": "80"}]), "Service 'web': port '80' is not a number"),
        (service(ipFamilies=["ipv4"]), "Service 'web' is not as Kubernetes has them: 'ipv4'"),
        (service(type="ExternalName"), "is not as Kubernetes has them: 'externalName'"),
        (service(clusterIP="vip"), "Service 'web': 'vip' is not an IP address"),
        (endpoint_slice(metadata={"name": "x"}), "no label kubernetes.io/service-name"),
        (endpoint_slice(endpoints=[{}]), "is not as Kubernetes has them: 'addresses'"),
        (endpoint_slice(endpoints=[{"addresses": ["a.org"]}]), "'a.org' is not an IP address"),
        (
            endpoint_slice(endpoints=[{"addresses": ["10.0.0.1"], "hostname": "a.b"}]),
            "EndpointSlice 'web-1': hostname 'a.b' is not a DNS label",
        ),
        ({"kind": "Namespace", "metadata": {"name": "A"}}, "namespace 'A' is not a DNS label"),
    ],
)
def test_what_the_api_server_refuses_is_refused_and_nothing_is_changed(
    cluster: FakeCluster, manifest: Any, told: str
) -> None:
    cluster.apply([service(), pod("web-0", "10.0.0.9")])
    with pytest.raises(ValueError, match=told):
        cluster.apply(manifest if isinstance(manifest, str) else [pod("new", "10.0.0.8"), *(
            manifest if isinstance(manifest, list) else [manifest]
        )])  # fmt: skip
    assert data(ask(cluster)) == ["10.0.0.9"]


def test_yaml_without_pyyaml_says_what_to_install(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ValueError, match=r"pip install 'headless_discovery\[yaml\]'"):
        cluster.apply(YAML)
