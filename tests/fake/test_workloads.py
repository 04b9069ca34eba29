"""What makes Pods, applied to a fake cluster: their names, their ports, and how many there are."""

import contextlib
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from headless_discovery.testing import FakeCluster
from tests.fake.asking import WEB, ask, data, rcode
from tests.fake.test_manifests import endpoint_slice, pod, service


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def workload(kind: str, template: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """One called ``db``, whose Pods the Service ``web`` selects."""
    return {
        "kind": kind,
        "metadata": {"name": "db"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}],
                    **(template or {}),
                },
            },
            **spec,
        },
    }


def stateful_set(replicas: int | None, **spec: Any) -> dict[str, Any]:
    return workload("StatefulSet", replicas=replicas, **{"serviceName": "web", **spec})


def found(cluster: FakeCluster) -> dict[str, str]:
    return {endpoint.hostname: endpoint.address for endpoint in cluster.peers("web")}


def where(cluster: FakeCluster) -> set[tuple[str | None, str | None]]:
    """The nodes and zones, as EndpointSlices tell them."""
    return {(peer.node, peer.zone) for peer in cluster.peers("web", source="api")}


def pod_names(cluster: FakeCluster) -> list[str]:
    return [one.name for one in cluster.service("web").pods]


# Their names.


def test_a_stateful_set_has_its_pods_under_the_names_that_they_keep(cluster: FakeCluster) -> None:
    cluster.apply([service(), stateful_set(2)])
    before = found(cluster)
    assert sorted(before) == ["db-0", "db-1"]
    cluster.apply(stateful_set(3))
    assert sorted(found(cluster)) == ["db-0", "db-1", "db-2"]
    cluster.apply(stateful_set(1))
    assert found(cluster) == {"db-0": before["db-0"]}
    cluster.delete(stateful_set(1))
    assert found(cluster) == {}


def test_a_stateful_set_may_begin_at_any_ordinal(cluster: FakeCluster) -> None:
    cluster.apply([service(), stateful_set(2, ordinals={"start": 5})])
    assert sorted(found(cluster)) == ["db-5", "db-6"]
    cluster.apply(stateful_set(2, ordinals={"start": 6}))
    assert sorted(found(cluster)) == ["db-6", "db-7"]


@pytest.mark.parametrize(
    "named", [{"serviceName": None}, {"serviceName": ""}, {"serviceName": "x"}]
)
def test_a_stateful_set_of_no_or_another_service_has_dashed_names(
    cluster: FakeCluster, named: dict[str, Any]
) -> None:
    cluster.apply([service(), stateful_set(2, **named)])
    assert sorted(found(cluster)) == ["10-244-0-2", "10-244-0-3"]


def test_a_service_can_select_one_pod_of_a_stateful_set(cluster: FakeCluster) -> None:
    one = {"statefulset.kubernetes.io/pod-name": "db-1"}
    cluster.apply([service(selector=one), stateful_set(3)])
    assert list(found(cluster)) == ["db-1"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", r"db-[a-z0-9]{10}-[a-z0-9]{5}"),
        ("ReplicaSet", r"db-[a-z0-9]{5}"),
        ("ReplicationController", r"db-[a-z0-9]{5}"),
    ],
)
def test_others_have_pods_by_the_number_of_their_replicas(
    cluster: FakeCluster, kind: str, name: str
) -> None:
    one = workload(kind, replicas=3)
    if kind == "ReplicationController":
        one["spec"]["selector"] = {"app": "web"}
    cluster.apply([service(), one])
    first = pod_names(cluster)
    assert len(set(first)) == 3
    assert all(re.fullmatch(name, each) for each in first)
    assert sorted(found(cluster)) == ["10-244-0-2", "10-244-0-3", "10-244-0-4"]
    one["spec"]["replicas"] = 1
    cluster.apply(one)
    assert pod_names(cluster) == first[:1]
    one["spec"]["replicas"] = None
    cluster.delete(stateful_set(1))
    cluster.apply(one)
    assert pod_names(cluster) == first[:1], "one, where nothing is said"
    cluster.delete(one)
    assert pod_names(cluster) == []


def test_another_template_of_a_deployment_means_other_pods(cluster: FakeCluster) -> None:
    cluster.apply([service(), workload("Deployment", replicas=2)])
    before = pod_names(cluster)
    cluster.apply(workload("Deployment", {"hostname": "x"}, replicas=2))
    assert not set(before) & set(pod_names(cluster))
    assert len(pod_names(cluster)) == 2


def test_a_host_name_and_a_subdomain_in_a_template_are_those_of_all_its_pods(
    cluster: FakeCluster,
) -> None:
    template = {"hostname": "one", "subdomain": "web"}
    cluster.apply([service(), workload("Deployment", template, replicas=3)])
    assert len(data(ask(cluster, f"one.{WEB}"))) == 3
    cluster.apply(stateful_set(1))
    assert [each.hostname for each in cluster.service("web").pods][-1] == "db-0"


def test_a_named_port_is_that_of_the_template(cluster: FakeCluster) -> None:
    ports = [{"name": "web", "port": 80, "targetPort": "http"}]
    cluster.apply([service(ports=ports), workload("Deployment", replicas=2)])
    assert [peer.port for peer in cluster.peers("web", port="web")] == [8080, 8080]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, ["db-0"]),
        ({"completions": 4, "parallelism": 3}, ["db-0", "db-1", "db-2"]),
        ({"completions": 2, "parallelism": 3}, ["db-0", "db-1"]),
        ({"parallelism": 2}, ["db-0", "db-1"]),
        ({"parallelism": 0}, []),
        ({"suspend": True}, []),
    ],
)
def test_an_indexed_job_has_host_names_by_index(
    cluster: FakeCluster, spec: dict[str, Any], names: list[str]
) -> None:
    headless = service(selector={"batch.kubernetes.io/job-name": "db"})
    job = workload("Job", {"subdomain": "web"}, completionMode="Indexed", **spec)
    del job["spec"]["selector"]
    cluster.apply([headless, job])
    assert sorted(found(cluster)) == names
    assert all(re.fullmatch(r"db-\d-[a-z0-9]{5}", each) for each in pod_names(cluster))


@pytest.mark.parametrize("condition", ["Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"])
def test_a_job_has_dashed_names_until_it_is_over(cluster: FakeCluster, condition: str) -> None:
    job = workload("Job", {"subdomain": "web"}, parallelism=2, completions=5)
    cluster.apply([service(selector={"job-name": "db"}), job])
    assert sorted(found(cluster)) == ["10-244-0-2", "10-244-0-3"]
    over = {"conditions": [{"type": condition, "status": "True"}]}
    cluster.apply({**job, "status": over})
    assert found(cluster) == {}


def test_a_daemon_set_has_one_pod_on_each_node(cluster: FakeCluster) -> None:
    cluster.apply([service(), workload("DaemonSet")])
    assert len(found(cluster)) == 1
    nodes = [
        {
            "kind": "Node",
            "metadata": {"name": f"n-{n}", "labels": {"topology.kubernetes.io/zone": f"z-{n}"}},
            "status": {"addresses": [{"type": "Hostname", "address": f"n-{n}"},
                                     {"type": "InternalIP", "address": f"192.168.0.{n}"}]},
        }
        for n in (1, 2, 3)
    ]  # fmt: skip
    cluster.apply([*nodes, workload("DaemonSet")])
    assert len(found(cluster)) == 3
    assert where(cluster) == {("n-1", "z-1"), ("n-2", "z-2"), ("n-3", "z-3")}
    cluster.delete(nodes[:2])
    cluster.apply(workload("DaemonSet", {"hostNetwork": True}))
    assert list(found(cluster).values()) == ["192.168.0.3"]


@pytest.mark.parametrize(
    ("addresses", "taken"),
    [
        (["192.168.0.1", "192.168.0.2"], ["192.168.0.1"]),
        (["192.168.0.2", "192.168.0.1", "192.168.1.1"], ["192.168.0.2"]),
        (["fd00::2", "192.168.0.1", "fd00::1"], ["192.168.0.1", "fd00::2"]),
    ],
)
def test_of_a_node_with_several_addresses_the_first_of_each_family_counts(
    cluster: FakeCluster, addresses: list[str], taken: list[str]
) -> None:
    status = {"addresses": [{"type": "InternalIP", "address": each} for each in addresses]}
    cluster.apply([{"kind": "Node", "metadata": {"name": "n-1"}, "status": status}, service()])
    cluster.apply(workload("DaemonSet", {"hostNetwork": True}))
    [one] = cluster.service("web").pods
    assert sorted(one.addresses) == taken


def node(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"kind": "Node", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}


GPU = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}
NODES = [
    node("cordoned", {"disk": "ssd"}, unschedulable=True),
    node("gpu", {"disk": "ssd", "cores": "64"}, taints=[GPU]),
    node("old", {"disk": "hdd", "cores": "4", "kubernetes.io/os": "windows"}),
    node("plain", {"cores": "many"}, taints=[{"key": "busy", "effect": "PreferNoSchedule"}]),
    node("sick", {"disk": "ssd"}, taints=[{"key": "node.kubernetes.io/not-ready",
                                           "effect": "NoExecute"}]),
]  # fmt: skip
ALL = "cordoned gpu old plain sick"


def affine(*terms: dict[str, Any]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": list(terms)}
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    }


def label(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("template", "nodes"),
    [
        ({}, "cordoned old plain sick"),
        ({"tolerations": [{"operator": "Exists"}]}, ALL),
        ({"tolerations": [{"operator": "Exists", "key": "gpu", "effect": "NoSchedule"}]}, ALL),
        ({"tolerations": [{"key": "gpu", "value": "a100"}]}, ALL),
        ({"tolerations": [{"key": "gpu", "operator": "Equal"}]}, "cordoned old plain sick"),
        ({"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}, "cordoned old plain "
                                                                           "sick"),
        ({"nodeSelector": {"disk": "ssd"}}, "cordoned sick"),
        ({"nodeSelector": {"kubernetes.io/os": "linux"}}, "cordoned plain sick"),
        ({"nodeSelector": {"kubernetes.io/hostname": "old"}}, "old"),
        ({"nodeSelector": {"disk": "tape"}}, ""),
        (affine(label("disk", "In", "hdd", "nvme")), "old"),
        (affine(label("disk", "NotIn", "ssd")), "old plain"),
        (affine(label("disk", "Exists")), "cordoned old sick"),
        (affine(label("disk", "DoesNotExist")), "plain"),
        (affine(label("cores", "Gt", "4")), ""),
        (affine(label("cores", "Lt", "5")), "old"),
        (affine(label("disk", "In", "hdd"), label("disk", "DoesNotExist")), "old plain"),
        (affine(label("disk", "Exists") | {"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["plain", "sick"]}]}), "sick"),
        (affine({}), ""),
        ({"affinity": {"nodeAffinity": {}, "podAffinity": {}}}, "cordoned old plain sick"),
    ],
)  # fmt: skip
def test_a_daemon_set_has_its_pods_on_the_nodes_that_it_may_run_on(
    cluster: FakeCluster, template: dict[str, Any], nodes: str
) -> None:
    cluster.apply([service(), *NODES, workload("DaemonSet", template)])
    assert sorted(name for name, _ in where(cluster) if name) == nodes.split()


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job"])
def test_others_run_on_such_nodes_alone_and_wait_for_one(cluster: FakeCluster, kind: str) -> None:
    headless = service(selector={"app": "web"})
    pods = workload(kind, {"nodeSelector": {"disk": "ssd"}})
    cluster.apply([headless, *NODES, pods])
    assert found(cluster) == {}
    assert len(pod_names(cluster)) == 1
    cluster.apply([node("new", {"disk": "ssd"}), pods])
    assert where(cluster) == {("new", None)}


def test_so_does_a_pod_without_a_status(cluster: FakeCluster) -> None:
    bare = pod(spec={"nodeSelector": {"disk": "hdd"}})
    del bare["status"]
    cluster.apply([service(), *NODES[:2], bare])
    assert found(cluster) == {}
    cluster.apply([NODES[2], bare])
    assert where(cluster) == {("old", None)}


def test_under_the_host_s_network_pods_have_the_address_and_name_of_their_node(
    cluster: FakeCluster,
) -> None:
    cluster.apply([service(), stateful_set(2, template={"hostNetwork": True})])
    one, other = cluster.service("web").pods
    assert one.addresses == other.addresses
    others = one.peers("web", include_self=False)
    assert [peer.hostname for peer in others] == ["db-0", "db-1"], "it is called as its node"
    assert sorted(found(cluster)) == ["db-0", "db-1"]


# What is there besides.


def test_the_order_of_the_documents_does_not_count(cluster: FakeCluster) -> None:
    cluster.apply([stateful_set(2), service(ipFamilies=["IPv6"], ipFamilyPolicy="PreferDualStack")])
    assert [len(each.addresses) for each in cluster.service("web").pods] == [2, 2]


def test_applied_again_a_pod_stays_as_it_is(cluster: FakeCluster) -> None:
    cluster.apply([stateful_set(2), service()])
    cluster.service("web").pods[0].ready = False
    cluster.apply([service(ipFamilyPolicy="PreferDualStack"), stateful_set(2)])
    assert sorted(found(cluster)) == ["db-1"]
    assert [each.addresses[0] for each in cluster.service("web").pods] == [
        "10.244.0.2",
        "10.244.0.3",
    ]
    assert [len(each.addresses) for each in cluster.service("web").pods] == [2, 2]


def test_pods_that_are_given_are_those_of_their_set(cluster: FakeCluster) -> None:
    # As in a dump: the Deployment, its ReplicaSets old and new, and the Pods.
    owned = {"ownerReferences": [{"kind": "Deployment", "name": "db", "controller": True}]}
    new, old = workload("ReplicaSet", replicas=2), workload("ReplicaSet", replicas=0)
    new["metadata"] |= owned
    old["metadata"] = {"name": "old", **owned}
    given = [pod("db-1-a", "10.0.0.1"), pod("db-1-b", "10.0.0.2")]
    cluster.apply([service(), workload("Deployment", replicas=2), old, new, *given])
    assert sorted(pod_names(cluster)) == ["db-1-a", "db-1-b"]
    cluster.apply(workload("Deployment", replicas=3))
    assert len(pod_names(cluster)) == 3
    cluster.apply([pod("db-0", "10.0.0.3"), stateful_set(2)])
    assert {"db-0", "db-1"} <= set(pod_names(cluster))


def test_a_pod_without_a_status_is_run(cluster: FakeCluster) -> None:
    cluster.apply([service(), pod(status={}), pod("web-b", status={}, spec={"nodeName": "n-7"})])
    assert list(found(cluster).values()) == ["10.244.0.2", "10.244.0.3"]
    assert where(cluster) == {("node-1", None), ("n-7", None)}


def test_what_helm_runs_while_it_installs_or_tests_is_not_there(cluster: FakeCluster) -> None:
    hook = {"name": "x", "labels": {"app": "web"}, "annotations": {"helm.sh/hook": "test"}}
    objects = [service(), pod(metadata=hook), {**workload("Job"), "metadata": hook}]
    assert cluster.apply(objects) == ()
    assert found(cluster) == {}


@contextlib.contextmanager
def little_work() -> Iterator[None]:
    """Fewer calls than are made in a second, by far, whatever machine this is."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)
    assert calls < 500_000


# What is left out.


def test_what_dns_does_not_show_is_left_out_and_told(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    odd = [
        endpoint_slice("mcs", metadata={"name": "mcs", "namespace": "shop", "labels": {
            "multicluster.kubernetes.io/service-name": "web"}}),
        endpoint_slice("fqdn", addressType="FQDN", endpoints=[{"addresses": ["a.org"]}]),
        endpoint_slice("dots", endpoints=[
            {"addresses": ["10.0.0.1"], "hostname": "a.b"},
            {"addresses": ["10.0.0.2"], "hostname": "a"}]),
        {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "train"},
         "spec": {"pytorchReplicaSpecs": {"Worker": {"template": {"spec": {"containers": []}}}}}},
        {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {"name": "v"},
         "spec": {"tasks": [{"template": {"spec": {"containers": [{}]}}}]}},
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "later"},
         "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{}]}}}}}},
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "web"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
        {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
         "spec": {"rules": [{"validate": {"pattern": {"spec": {"containers": [{}]}}}}]}},
    ]  # fmt: skip
    left_out = cluster.apply([service(), {"kind": "List", "items": odd}])
    assert left_out == (
        "item 2, item 1: EndpointSlice 'shop/mcs': no label kubernetes.io/service-name says which "
        "Service's it is",
        "item 2, item 2: EndpointSlice 'fqdn': its endpoints are names, and DNS has addresses "
        "alone",
        "item 2, item 3: EndpointSlice 'dots': an endpoint's hostname 'a.b' is not a DNS label in "
        "lower case",
        "item 2, item 4: PyTorchJob 'train': no operator makes its Pods here: give them as "
        "manifests",
        "item 2, item 5: Job 'v': no operator makes its Pods here: give them as manifests",
    )
    assert found(cluster) == {"a": "10.0.0.2"}
    assert [record.getMessage() for record in caplog.records] == [
        f"left out: {line}" for line in left_out
    ]


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (workload("Deployment", replicas=-1), "Deployment 'db': replicas is not a number from 0"),
        (workload("Deployment", replicas="3"), "replicas is not a number"),
        (workload("Deployment", replicas=True), "replicas is not a number"),
        (workload("Deployment", replicas=10**5000), "replicas is not a number"),
        (
            workload("Deployment", replicas=10**9),
            "1000000000 Pods are too many: 20,000 can be made",
        ),
        (stateful_set(10**9), "1000000000 Pods are too many"),
        (workload("Job", parallelism=10**9, completions=10**9), "1000000000 Pods are too many"),
        ([workload("Job", parallelism=15_000), stateful_set(15_000)], "15000 Pods are too many"),
        (stateful_set(1, ordinals={"start": 10**5000}), "start is not a number from 0"),
        ({**stateful_set(1), "metadata": {"name": "x" * 63}}, "hostname 'x+-0' is not a DNS label"),
        ({**stateful_set(1), "metadata": {"name": "a.b"}}, "hostname 'a.b-0' is not a DNS label"),
        (workload("Deployment", {"hostname": "a.b"}), "hostname 'a.b' is not a DNS label"),
        (
            workload("Job", {"containers": [{"ports": [{"name": "x"}]}]}),
            "Job 'db': it has no containerPort",
        ),
        ({"kind": "Job", "metadata": {"name": "x"}, "spec": {}}, "Job 'x': it has no template"),
        (workload("DaemonSet", affine(label("a", "Near"))), "operator 'Near' is none of a node"),
        (workload("DaemonSet", affine(label("a", "Gt", "x"))), "DaemonSet 'db': invalid literal"),
        (
            workload("DaemonSet", affine({"matchFields": [{"key": [], "operator": "In"}]})),
            "no text",
        ),
        (workload("DaemonSet", {"nodeSelector": {"a": True}}), "nodeSelector 'a' is True, which"),
        (workload("DaemonSet", {"tolerations": [5]}), "is not as Kubernetes has them"),
        (node("n", taints=[{"key": "a"}]), "Node 'n': it has no effect"),
        (node("n", {"a": True}), "label 'a' is True, which"),  # type: ignore[dict-item]  # no text
    ],
)
def test_what_cannot_be_is_refused_at_once_and_nothing_is_changed(
    cluster: FakeCluster, manifest: Any, told: str
) -> None:
    cluster.apply(service())
    with little_work(), pytest.raises(ValueError, match=told):
        cluster.apply([pod(), *(manifest if isinstance(manifest, list) else [manifest])])
    assert rcode(ask(cluster)) == "NXDOMAIN"


@pytest.mark.slow
def test_twenty_thousand_pods_can_be_made(cluster: FakeCluster) -> None:
    cluster.apply([service(), workload("Deployment", replicas=20_000)])
    assert len(set(pod_names(cluster))) == 20_000


# Text.


def holding_itself() -> list[Any]:
    items: list[Any] = []
    items.append({"kind": "List", "items": items})
    return items


def lists_in_lists(depth: int) -> str:
    return '{"kind": "List", "items": [' * depth + "]}" * depth


def aliases(inside: str) -> str:
    lines = ["kind: ConfigMap", "a: &a {x: 1}"]
    for of, to in itertools.pairwise("abcdefghij"):
        lines.append(f"{to}: &{to} {inside % ','.join([f'*{of}'] * 9)}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("manifests", "told"),
    [
        (aliases("[%s]"), "not YAML: its aliases expand to more than can be read"),
        (aliases("{y: [%s]}"), "its aliases expand"),
        (aliases("{<<: [%s]}"), "its aliases expand"),
        ("kind: List\nitems: &a [*a]", "it contains itself"),
        ("kind: List\nmetadata: &a {x: {y: *a}}", "it contains itself"),
        (holding_itself(), "it contains itself"),
        ("a: " + "[" * 300 + "]" * 300, "nested more than 200 levels deep"),
        ("[" * 100_000, "not JSON: it is nested too deeply"),
        ('{"kind":' * 100_000, "not JSON: it is nested too deeply"),
        (lists_in_lists(12), "lists are in lists, more than 10 levels deep"),
        (lists_in_lists(400), "lists are in lists, more than 10 levels deep"),
        ("kind: Pod\nspec: [\n\n{{ x }}", "not YAML: .* in line 5; a template is to be rendered"),
        ("kind: Pod\nmetadata: " + "1" * 5000, "not YAML: Exceeds the limit"),
        ("kind: !!python/object:os.system {}", "not YAML: could not determine a constructor"),
        ("\x00", "not YAML"),
        ("{kind: Pod", "not YAML"),
        ("kind: [Pod]", "a manifest is a mapping with a kind, not {'kind': "),
        ("- kind: Pod\n- 5", "a manifest is a mapping with a kind, not 5"),
    ],
)
def test_text_that_cannot_be_written_out_or_read_is_refused_at_once(
    cluster: FakeCluster, manifests: Any, told: str
) -> None:
    with little_work(), pytest.raises(ValueError, match=told) as refused:
        cluster.apply(manifests)
    assert len(str(refused.value)) < 400


def test_what_yaml_reads_in_another_way_than_kubernetes_is_text(cluster: FakeCluster) -> None:
    text = """
    kind: Service
    metadata: {name: web}
    spec: {clusterIP: None, selector: {released: "2026-01-02", sign: "="}}
    ---
    kind: Pod
    metadata: {name: a, labels: {released: 2026-01-02, sign: =, other: 2026-99-99}}
    spec: {hostname: a, subdomain: web}
    """
    cluster.apply(text)
    assert list(found(cluster)) == ["a"]


def test_aliases_that_unfold_into_little_are_read(cluster: FakeCluster) -> None:
    text = """
    kind: Service
    metadata: {name: web, labels: &labels {app: web}}
    spec: {clusterIP: None, selector: *labels}
    ---
    kind: Deployment
    metadata: {name: db}
    spec:
      selector: {matchLabels: *gone}
    """
    with pytest.raises(ValueError, match="undefined alias"):
        cluster.apply(text)
    cluster.apply(text[: text.index("---")])
    cluster.service("web").add_pod("10.0.0.1")
    assert len(found(cluster)) == 1


def test_json_is_read_without_an_extra_and_one_object_after_the_other(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [service(), stateful_set(1)]
    monkeypatch.setitem(sys.modules, "yaml", None)
    cluster.apply("\ufeff" + "\n".join(map(json.dumps, objects)))
    assert list(found(cluster)) == ["db-0"]
    cluster.apply(json.dumps([stateful_set(2)]))
    assert sorted(found(cluster)) == ["db-0", "db-1"]


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_files_that_begin_with_a_byte_order_mark_may_stand_in_a_row(
    cluster: FakeCluster, write: Callable[[Any], str]
) -> None:
    objects = [service(), stateful_set(1), stateful_set(2)]
    cluster.apply("".join(f"\ufeff---\n{write(one)}\n" for one in objects))
    assert len(found(cluster)) == 2


def test_yaml_that_begins_as_json_does_is_read(cluster: FakeCluster) -> None:
    cluster.apply("{kind: Service, metadata: {name: web}, spec: {clusterIP: None}}\n---\n[]")
    assert cluster.service("web").pods == ()
