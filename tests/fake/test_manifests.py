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


def endpoints(*addresses: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "web", **metadata},
        "subsets": [
            {
                "addresses": [{"ip": address} for address in addresses],
                "notReadyAddresses": [{"ip": "10.0.0.99", "hostname": "late"}],
                "ports": [{"name": "http", "port": 8080}],
            }
        ],
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


# Endpoints, which a controller mirrors to EndpointSlices.


def test_endpoints_stand_for_the_pods_of_a_service_without_selector(cluster: FakeCluster) -> None:
    cluster.apply([service(selector=None), endpoints("10.0.0.1", "fd00::1")])
    found = cluster.peers("web", port="http", family="any").refresh().endpoints
    assert sorted(map(str, found)) == ["10.0.0.1:8080", "[fd00::1]:8080"]
    by_slices = cluster.peers("web", port="http", family="any", source="api").refresh().endpoints
    assert sorted(map(str, by_slices)) == sorted(map(str, found))
    reverse = ask(cluster, "1.0.0.10.in-addr.arpa.", "PTR")
    assert data(reverse, "PTR") == [f"10-0-0-1.{WEB}"]
    cluster.apply(endpoints("10.0.0.2"))
    assert data(ask(cluster)) == ["10.0.0.2"]
    cluster.delete(endpoints())
    assert rcode(ask(cluster)) == "NXDOMAIN"


def test_endpoints_are_not_mirrored_where_kubernetes_does_not_do_it(cluster: FakeCluster) -> None:
    cluster.apply([service(), endpoints("10.0.0.1")])
    assert rcode(ask(cluster)) == "NXDOMAIN", "the Service has a selector"
    cluster.apply(service(selector=None))
    assert data(ask(cluster)) == ["10.0.0.1"]
    for metadata in (
        {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}},
    ):
        cluster.apply(endpoints("10.0.0.1", **metadata))
        assert rcode(ask(cluster)) == "NXDOMAIN"


def test_of_one_subset_a_thousand_addresses_are_mirrored(cluster: FakeCluster) -> None:
    many = [f"10.1.{number >> 8}.{number & 255}" for number in range(1200)]
    cluster.apply([service(selector=None), endpoints(*many)])
    assert len(cluster.peers("web").refresh().endpoints) == 1000


def test_in_a_dump_mirrored_slices_are_not_there_twice(cluster: FakeCluster) -> None:
    mirrored = endpoint_slice(endpoints=[{"addresses": ["10.0.0.5"]}])
    mirrored["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = (
        "endpointslicemirroring-controller.k8s.io"
    )
    cluster.apply([service(selector=None), mirrored])
    assert data(ask(cluster)) == ["10.0.0.5"]
    cluster.apply(endpoints("10.0.0.1"))
    assert data(ask(cluster)) == ["10.0.0.1"]
    assert list(map(str, cluster.peers("web", source="api").refresh().endpoints)) == [
        "10.0.0.1:8080"
    ]


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({}, "A"),
        ({"ipFamilyPolicy": "SingleStack"}, "A"),
        ({"ipFamilyPolicy": "PreferDualStack"}, "A AAAA"),
        ({"ipFamilyPolicy": "RequireDualStack"}, "A AAAA"),
        ({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6"]}, "A AAAA"),
        ({"ipFamilies": ["IPv6"]}, "AAAA"),
        # As an API server of one family filled it in.
        (
            {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4"], "clusterIPs": ["None"]},
            "A",
        ),
    ],
)
def test_a_service_has_the_families_that_an_api_server_of_both_gives_it(
    cluster: FakeCluster, spec: dict[str, Any], families: str
) -> None:
    both = pod()
    both["status"]["podIPs"] = [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]
    cluster.apply([service(**spec), both])
    answered = [rdtype for rdtype in ("A", "AAAA") if data(ask(cluster, WEB, rdtype), rdtype)]
    assert " ".join(answered) == families


def test_objects_are_deleted_by_kind_and_name(cluster: FakeCluster) -> None:
    objects = [service(), pod(), endpoint_slice()]
    cluster.delete({"kind": "ConfigMap", "metadata": {"name": "of no concern"}})
    cluster.apply([{"kind": "Namespace", "metadata": {"name": "shop"}}, *objects])
    for one in objects:
        cluster.delete(one)
        with pytest.raises(ValueError, match=f"{one['kind']} 'web.*': there is none in namespace"):
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
    cluster.apply(service(clusterIP="", ipFamilyPolicy="PreferDualStack", ports=[{"port": 80}]))
    first = data(ask(cluster)) + data(ask(cluster, kind="AAAA"), "AAAA")
    assert len(first) == 2
    cluster.apply(service(clusterIP="", ipFamilyPolicy="PreferDualStack", ports=[{"port": 81}]))
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


def test_in_a_dump_what_the_controller_wrote_of_pods_that_are_there_is_not_there_twice(
    cluster: FakeCluster,
) -> None:
    labels = {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    dumped = endpoint_slice(metadata={"name": "web-x7", "labels": labels})
    cluster.apply([service(), dumped])
    assert data(ask(cluster)) == ["10.0.0.1"], "without Pods it is all there is"
    cluster.apply([pod(address="10.0.0.1"), pod("web-b", "10.0.0.2", status={})])
    by_slices = cluster.peers("web", source="api")
    assert [peer.address for peer in by_slices] == ["10.0.0.1", "10.244.0.2"]
    cluster.service("web").pods[0].ready = False
    assert data(ask(cluster)) == ["10.244.0.2"]
    assert data(ask(cluster, "1.0.0.10.in-addr.arpa.", "PTR"), "PTR") == []


def test_pods_behind_an_alias_have_no_names(cluster: FakeCluster) -> None:
    cluster.apply([service(type="ExternalName", externalName="x.org"), pod()])
    assert rcode(ask(cluster, "1.0.0.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"


def test_a_service_without_selector_has_no_pods_to_add(cluster: FakeCluster) -> None:
    cluster.apply(service(selector=None))
    with pytest.raises(ValueError, match="without a selector"):
        cluster.service("web").add_pod("10.0.0.1")


@pytest.mark.parametrize("nothing", [None, 5, b"kind: Pod"], ids=repr)
def test_what_is_neither_text_nor_mappings_is_refused(cluster: FakeCluster, nothing: Any) -> None:
    for do in (cluster.apply, cluster.delete):
        with pytest.raises(ValueError, match="manifests are text or mappings, not"):
            do(nothing)


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ("just text", "a manifest is a mapping with a kind, not 'just text'"),
        ("a: [", "not YAML"),
        ([5], "a manifest is a mapping with a kind, not 5"),
        ({"kind": "ServiceList", "items": 0}, "ServiceList '': no list of items"),
        ({"kind": "ServiceList", "items": [None]}, "item 1: a manifest is a mapping"),
        ({"metadata": {}}, "a manifest is a mapping with a kind"),
        ({"kind": "Deployment"}, "Deployment '': it has no metadata.name"),
        ({"kind": "Deployment", "metadata": {"name": "x"}}, "Deployment 'x': it has no spec"),
        ({"kind": "Pod"}, "Pod '': it has no metadata.name"),
        ({"kind": "Pod", "metadata": "x"}, "Pod '': it has no metadata.name"),
        ({"kind": "List", "items": 5}, "item 2: List '': no list of items"),
        (pod(metadata={"name": "X"}), "Pod 'X': 'X' is not a Pod's name"),
        (pod(metadata={"name": "x", "namespace": "a.b"}), "namespace 'a.b' is not a DNS label"),
        (pod(address="10.0.0"), "Pod 'web-a': '10.0.0' is not an IP address"),
        (pod(status={"podIPs": ["10.0.0.1"]}), "Pod 'web-a' is not as Kubernetes has them"),
        (pod(spec={"hostname": "a.b"}), "Pod 'web-a': hostname 'a.b' is not a DNS label"),
        (service(ports=[{"name": "http"}]), "Service 'web': it has no port"),
        (service(ports=[{"port": "80"}]), "Service 'web': port '80' is not a number"),
        (service(ipFamilies=["ipv4"]), "ipFamilies 'ipv4' is neither 'IPv4' nor 'IPv6'"),
        (service(type="ExternalName"), "Service 'web': it has no externalName"),
        (service(clusterIP="vip"), "Service 'web': 'vip' is not an IP address"),
        (endpoint_slice(endpoints=[{}]), "EndpointSlice 'web-1': it has no addresses"),
        (endpoint_slice(endpoints=[{"addresses": ["a.org"]}]), "'a.org' is not an IP address"),
        (service(ports=[{"port": 80, "targetPort": [80]}]), r"port \[80\] is not a number"),
        (service(ports=[{"port": 80, "targetPort": 70000}]), "port 70000 is not a number"),
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
