"""The manifests of the gossip example, as they are, on the real control plane.

No controller here makes the pods of a StatefulSet: the test makes them from its template.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from headless_discovery import NotHeadless
from tests.cluster import api as kubernetes
from tests.cluster.api import Manifest, collection
from tests.cluster.conftest import Namespace, eventually, free_address

FILE = Path(__file__).parents[2] / "examples" / "gossip" / "gossip.yaml"


def create(namespace: Namespace, manifest: Manifest) -> Any:
    """As ``kubectl create --validate=strict`` does it."""
    path = collection(manifest["kind"], namespace.name)
    return namespace.api.create(f"{path}?fieldValidation=Strict", manifest)


def pods_of(stateful_set: Any) -> list[dict[str, Any]]:
    """The pods that its controller would make, and their claims for volumes."""
    name, spec = stateful_set["metadata"]["name"], stateful_set["spec"]
    found = []
    for number in range(spec["replicas"]):
        pod = f"{name}-{number}"
        volumes = [
            {
                "name": claim["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": f"{claim['metadata']['name']}-{pod}"},
            }
            for claim in spec["volumeClaimTemplates"]
        ]
        found.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod, "labels": spec["template"]["metadata"]["labels"]},
                "spec": spec["template"]["spec"]
                | {
                    "hostname": pod,
                    "subdomain": spec["serviceName"],
                    "volumes": volumes,
                    "nodeName": "node",
                },
            }
        )
    return found


def test_the_gossip_example_is_taken_as_it_is_and_its_pods_find_each_other_before_they_are_ready(
    namespace: Namespace,
) -> None:
    made = {}
    for manifest in yaml.safe_load_all(FILE.read_text()):
        created = create(namespace, manifest)
        made[created["kind"], created["metadata"]["name"]] = created
    assert made["PodDisruptionBudget", "gossip"]["spec"]["maxUnavailable"] == 1
    for pod in pods_of(made["StatefulSet", "gossip"]):
        create(namespace, pod)
        path = f"{collection('Pod', namespace.name)}/{pod['metadata']['name']}/status"
        status = kubernetes.status([free_address()], ready=False)
        namespace.api.merge(path, {"status": status})
    store = namespace.peers("gossip", port="http")

    def check() -> None:
        assert [(peer.hostname, peer.port) for peer in store.refresh().endpoints] == [
            (f"gossip-{number}", 8080) for number in range(5)
        ]

    eventually(check)
    with pytest.raises(NotHeadless):
        namespace.peers("gossip-client", port="http").endpoints()
