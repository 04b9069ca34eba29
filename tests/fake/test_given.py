"""Manifests as people have them, and what Kubernetes' own controllers make of them.

What is expected is what the code of the EndpointSlice controllers, kube-apiserver and CoreDNS does.
"""

from typing import Any

import pytest

from headless_discovery import Endpoint
from headless_discovery.testing import FakeCluster
from tests.fake.asking import ask, data, rcode
from tests.fake.test_manifests import endpoint_slice, pod, service
from tests.fake.test_workloads import found, pod_names, workload

ZONE = "topology.kubernetes.io/zone"


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def node(name: str, zone: str) -> dict[str, Any]:
    return {"kind": "Node", "metadata": {"name": name, "labels": {ZONE: zone}}}


def by_slices(cluster: FakeCluster) -> list[Endpoint]:
    return list(cluster.peers("web", source="api"))


# Where pods run.


def test_the_zone_of_a_pod_is_that_of_its_node_whatever_came_first(cluster: FakeCluster) -> None:
    cluster.apply([service(), pod(spec={"nodeName": "n"}), pod("web-b", "10.0.0.2")])
    assert [one.zone for one in by_slices(cluster)] == [None, None]
    cluster.apply(node("n", "z1"))
    assert [one.zone for one in by_slices(cluster)] == ["z1", None]
    cluster.apply(node("n", "z2"))
    assert [one.zone for one in by_slices(cluster)] == ["z2", None]


def test_a_pod_that_is_run_has_one_of_the_nodes_that_there_are(cluster: FakeCluster) -> None:
    cluster.apply([service(), node("n", "z"), pod(status={})])
    (one,) = by_slices(cluster)
    assert (one.node, one.zone) == ("n", "z")


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"zone": "z", "nodeName": "n"}, ("n", "z")),
        ({"topology": {ZONE: "z", "kubernetes.io/hostname": "n"}}, ("n", "z")),
        ({"topology": {ZONE: "z"}, "nodeName": "n"}, ("n", "z")),
        ({"deprecatedTopology": {"kubernetes.io/hostname": "n"}}, (None, None)),
    ],
)
def test_a_slice_of_any_version_tells_nodes_and_zones(
    cluster: FakeCluster, written: dict[str, Any], where: tuple[str, str]
) -> None:
    version = {"apiVersion": f"discovery.k8s.io/{'v1beta1' if 'topology' in written else 'v1'}"}
    endpoints = [{"addresses": ["10.0.0.1"], **written}]
    cluster.apply([service(selector=None), endpoint_slice(endpoints=endpoints, **version)])
    (one,) = by_slices(cluster)
    assert (one.node, one.zone) == where


def test_a_slice_without_its_pods_still_tells_their_names(cluster: FakeCluster) -> None:
    named = FakeCluster(endpoint_pod_names=True)
    target = {"kind": "Pod", "name": "web-x", "uid": "u"}
    endpoints = [{"addresses": ["10.0.0.1"], "targetRef": target}]
    named.apply([service(selector=None), endpoint_slice(endpoints=endpoints)])
    assert [one.hostname for one in by_slices(named)] == list(found(named)) == ["web-x"]


# Which pods count.


@pytest.mark.parametrize(
    "gone",
    [
        {"status": {"phase": "Failed", "reason": "Evicted"}},
        {"status": {"phase": "Succeeded", "podIP": "10.0.0.9"}},
        {"metadata": {"name": "gone", "labels": {"app": "web"}, "deletionTimestamp": "2026-01-01"}},
    ],
    ids=["evicted", "finished", "terminating"],
)
def test_a_pod_that_is_no_more_is_none_of_those_that_there_are_to_be(
    cluster: FakeCluster, gone: dict[str, Any]
) -> None:
    owned = workload("Deployment", replicas=2)
    cluster.apply([service(), owned, pod(), pod("gone", "10.0.0.9", **gone)])
    assert list(found(cluster).values()) == ["10.0.0.1", "10.244.0.2"]
    cluster.apply([pod("web-b", "10.0.0.2"), owned])
    assert list(found(cluster).values()) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("spec", "status", "active"),
    [
        ({"completions": 5, "parallelism": 2}, {"succeeded": 2}, 2),
        ({"completions": 5, "parallelism": 2}, {"succeeded": 4}, 1),
        ({"completions": 5, "parallelism": 2}, {"succeeded": 7}, 0),
        ({"parallelism": 2}, {"succeeded": 1}, 2),
        ({"completions": 5, "parallelism": 2}, {"succeeded": None}, 2),
    ],
)
def test_a_job_runs_what_is_left_of_it(
    cluster: FakeCluster, spec: dict[str, Any], status: dict[str, Any], active: int
) -> None:
    job = {**workload("Job", **spec), "status": status}
    cluster.apply([service(selector={"job-name": "db"}), job])
    assert len(pod_names(cluster)) == active


@pytest.mark.parametrize(
    ("status", "indexes"),
    [
        ({"completedIndexes": "0-1,3", "succeeded": 3}, [2, 4, 5]),
        ({"completedIndexes": "1", "failedIndexes": "0,4-5"}, [2, 3]),
        ({"completedIndexes": "0-999999999"}, []),
        ({"completedIndexes": "", "failedIndexes": None}, [0, 1, 2]),
    ],
)
def test_an_indexed_job_runs_the_first_indexes_that_are_left(
    cluster: FakeCluster, status: dict[str, Any], indexes: list[int]
) -> None:
    job = workload("Job", {"subdomain": "web"}, completionMode="Indexed", completions=6,
                   parallelism=3)  # fmt: skip
    cluster.apply([service(selector={"job-name": "db"}), {**job, "status": status}])
    assert sorted(found(cluster)) == [f"db-{index}" for index in indexes]


# What an API server fills in, or refuses.


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({"clusterIP": "10.96.3.3"}, [4]),
        ({"clusterIP": "fd00:10:96::33"}, [6]),
        ({"clusterIP": "10.96.3.3", "ipFamilyPolicy": "PreferDualStack"}, [4, 6]),
        ({"clusterIP": "fd00:10:96::33", "ipFamilyPolicy": "RequireDualStack"}, [4, 6]),
        (
            {
                "clusterIP": "10.96.3.3",
                "clusterIPs": ["10.96.3.3", "fd00:10:96::33"],
                "ipFamilyPolicy": "PreferDualStack",
            },
            [4, 6],
        ),
    ],
)
def test_the_families_of_a_service_are_those_of_its_virtual_ips(
    cluster: FakeCluster, spec: dict[str, Any], families: list[int]
) -> None:
    cluster.apply([service(**spec, ports=[{"port": 80}]), workload("Deployment")])
    virtual = data(ask(cluster)) + data(ask(cluster, kind="AAAA"), "AAAA")
    assert [6 if ":" in address else 4 for address in virtual] == families
    assert spec["clusterIP"] in virtual
    (one,) = cluster.service("web").pods
    assert [6 if ":" in address else 4 for address in one.addresses] == families


def test_a_service_that_becomes_dual_stack_keeps_its_first_virtual_ip(cluster: FakeCluster) -> None:
    cluster.apply(service(clusterIP=None, ports=[{"port": 80}]))
    first = data(ask(cluster))
    cluster.apply(service(clusterIP=None, ports=[{"port": 80}], ipFamilyPolicy="PreferDualStack"))
    assert data(ask(cluster)) == first
    assert len(data(ask(cluster, kind="AAAA"), "AAAA")) == 1


@pytest.mark.parametrize("policy", [None, "SingleStack"])
def test_two_families_without_a_policy_are_refused(
    cluster: FakeCluster, policy: str | None
) -> None:
    both = {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": policy}
    with pytest.raises(ValueError, match="two families need an ipFamilyPolicy: PreferDualStack or"):
        cluster.apply(service(**both))
    cluster.apply([service(**both, selector=None), endpoint_slice()])  # where nothing is selected
    assert data(ask(cluster)) == ["10.0.0.1"]


REFUSED = [
    (service(selector={"version": 1.0}), "Service 'web': selector 'version' is 1.0, which is"),
    (
        {**service(), "metadata": {"name": True}},
        "metadata.name is True, which is not text: put it in quotes",
    ),
    (
        {**service(), "metadata": {"name": 80}},
        "metadata.name is 80, which is not text: put it in quotes",
    ),
    (pod(metadata={"name": "p", "labels": {"on": True}}), "Pod 'p': label 'on' is True, which"),
    (workload("Deployment", selector={"matchLabels": {"n": 5}}), "selector 'n' is 5, which is"),
    (service(ports=[{"port": 80, "targetPort": "8080"}]), "targetPort '8080' is text"),
    (service(ipFamilies=["IPv4", "IPv6"]), "two families need an ipFamilyPolicy"),
]


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        *REFUSED,
        ({"kind": "Job", "metadata": {"generateName": "job-"}}, "generateName is for kubectl cre"),
    ],
)
def test_what_yaml_makes_of_values_without_quotes_is_refused_as_by_an_api_server(
    cluster: FakeCluster, manifest: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        cluster.apply(manifest)


def test_a_label_without_a_value_is_an_empty_one(cluster: FakeCluster) -> None:
    labels = {"app": "web", "primary": ""}
    cluster.apply(
        [service(selector={"primary": None}), pod(metadata={"name": "p", "labels": labels})]
    )
    assert data(ask(cluster)) == ["10.0.0.1"]


# Annotations and fields that change nothing, though they look as if they did.


@pytest.mark.parametrize(
    "annotations", [{}, {"service.alpha.kubernetes.io/tolerate-unready-endpoints": "true"}]
)
def test_only_the_field_publishes_pods_that_are_not_ready(
    cluster: FakeCluster, annotations: dict[str, str]
) -> None:
    waiting = pod(status={"phase": "Running", "podIP": "10.0.0.1"})
    of_old = service()
    of_old["metadata"]["annotations"] = annotations
    cluster.apply([of_old, waiting])
    assert rcode(ask(cluster)) == "NXDOMAIN"
    cluster.apply(service(publishNotReadyAddresses=True))
    assert data(ask(cluster)) == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"hostname": "a", "subdomain": "web"}, "a"),
        ({"hostname": "a", "subdomain": "other"}, "10-0-0-1"),
        ({"hostname": "a"}, "10-0-0-1"),
        ({"subdomain": "web"}, "10-0-0-1"),
        ({"hostname": "a", "subdomain": "web", "setHostnameAsFQDN": True}, "a"),
    ],
)
def test_a_pod_is_called_by_its_host_name_in_its_own_subdomain_alone(
    cluster: FakeCluster, spec: dict[str, Any], name: str
) -> None:
    cluster.apply([service(), pod(spec=spec)])
    assert list(found(cluster)) == [name]
    assert [one.hostname for one in by_slices(cluster)] == [name]


# Objects of operators.


def custom(kind: str, spec: dict[str, Any], group: str = "example.org") -> dict[str, Any]:
    return {
        "apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec,
    }  # fmt: skip


CONTAINERS = {"template": {"spec": {"containers": [{"name": "c"}]}}}


@pytest.mark.parametrize(
    "one",
    [
        custom("Kafka", {"kafka": {"replicas": 3}}, "kafka.strimzi.io"),
        custom("Cluster", {"instances": 3}, "postgresql.cnpg.io"),
        custom("postgresql", {"numberOfInstances": 2}, "acid.zalan.do"),
        custom("MongoDBCommunity", {"members": 3}, "mongodbcommunity.mongodb.com"),
        custom("RabbitmqCluster", {"replicas": 3}, "rabbitmq.com"),
        custom("RayCluster", {"headGroupSpec": CONTAINERS}, "ray.io"),
        custom(
            "JobSet", {"replicatedJobs": [{"template": {"spec": CONTAINERS}}]}, "jobset.x-k8s.io"
        ),
        custom("LeaderWorkerSet", {"leaderWorkerTemplate": CONTAINERS}, "leaderworkerset.x-k8s.io"),
        custom("SparkApplication", {"executor": {"instances": 2}}, "sparkoperator.k8s.io"),
    ],
    ids=lambda one: one["kind"],
)
def test_what_an_operator_would_make_pods_of_is_told(
    cluster: FakeCluster, one: dict[str, Any]
) -> None:
    (line,) = cluster.apply(one)
    assert line == f"{one['kind']} 'x': no operator makes its Pods here: give them as manifests"


@pytest.mark.parametrize(
    "one",
    [
        custom("ScaledObject", {"minReplicaCount": 1}, "keda.sh"),
        custom("KafkaTopic", {"partitions": 3, "replicas": 3}, "kafka.strimzi.io"),
        custom("ServiceMonitor", {"endpoints": [{"port": "http"}]}, "monitoring.coreos.com"),
        custom("Certificate", {"privateKey": {"size": 256}}, "cert-manager.io"),
        custom("HorizontalPodAutoscaler", {"minReplicas": 2}, "autoscaling"),
        {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
         "metadata": {"name": "x"}, "spec": {"versions": [{"schema": {"properties": {
             "replicas": {"type": "integer"}, "containers": {"type": "array"}}}}]}},
    ],
    ids=lambda one: one["kind"],
)  # fmt: skip
def test_what_makes_no_pods_is_let_be(cluster: FakeCluster, one: dict[str, Any]) -> None:
    assert cluster.apply(one) == ()
