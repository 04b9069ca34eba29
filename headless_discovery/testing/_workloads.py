"""What makes Pods: StatefulSets, Deployments and their like, as their controllers do it.

All Pods are made at once and run ready; a scheduler, a kubelet and a network are in `run`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from ._documents import Manifest
from ._model import Model, Pod, family_of

MOST_PODS = 20_000
"""That one `apply` makes."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "StatefulSet": ("apps",),
    "Deployment": ("apps", "extensions"),
    "ReplicaSet": ("apps", "extensions"),
    "DaemonSet": ("apps", "extensions"),
    "ReplicationController": ("",),
    "Job": ("batch",),
}
"""The kinds, and the API groups in which they are these."""
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Of the ends of Pods' names (Kubernetes, ``apimachinery/pkg/util/rand``)."""
_SUFFIXES = len(_LETTERS) ** 5
_RUNNING = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
_NODE = "node-1"
"""Where Pods run while no Node was given."""
_INDEX = "batch.kubernetes.io/job-completion-index"

Owner = tuple[str, str, str]
"""Kind, namespace and name of what made a Pod."""


@attrs.frozen
class Workload:
    """One that makes Pods; ``count`` is how many, or ``None`` for one on each node."""

    owner: Owner
    template: Pod
    count: int | None
    selector: Mapping[str, str]
    name_of: Callable[[int], str]
    of_each: Callable[[int, str], Mapping[str, Any]] = lambda *_: {}
    """What differs from the template in the Pod of that number and name."""

    def put(self, model: Model) -> None:
        """Makes the Pods that are missing, and deletes those that are too many."""
        wanted = {pod.name: pod for pod in self._pods(model)}
        for key, pod in list(model.pods.items()):
            if pod.owner == self.owner and pod.name not in wanted:
                model.delete("Pod", *key)
        families = _families(model, self.template)
        for name, pod in wanted.items():
            old = model.pods.get((pod.namespace, name))
            if old is None or old.owner == self.owner:
                run(model, pod, families)

    def _pods(self, model: Model) -> Iterable[Pod]:
        nodes = sorted(model.nodes) or [_NODE]
        count = len(nodes) if self.count is None else self.count
        if self.owner[0] != "StatefulSet":
            # Pods that were given count as its own, as a controller adopts them.
            count -= sum(self._adopts(pod) for pod in model.pods.values())
        for number in range(count):
            yield self.pod(number, self.template.node or nodes[number % len(nodes)])

    def pod(self, number: int, node: str) -> Pod:
        """The one of that number; raises `ValueError` if there can be none."""
        name = self.name_of(number)
        more = self.of_each(number, name)
        return attrs.evolve(self.template, name=name, owner=self.owner, node=node, **more)

    def _adopts(self, pod: Pod) -> bool:
        return (
            pod.owner is None
            and bool(self.selector)
            and pod.namespace == self.owner[1]
            and pod.labels.items() >= self.selector.items()
        )


def run(model: Model, pod: Pod, families: tuple[int, ...] | None = None) -> None:
    """Puts a Pod that has no status yet: it gets a node and addresses, or keeps those it had."""
    key = (pod.namespace, pod.name)
    old = model.pods.get(key)
    if families is None:
        families = _families(model, pod)
    pod.node = pod.node or _NODE
    if pod.node in model.nodes:
        pod.zone = model.nodes[pod.node].zone
    if pod.host_network:
        pod.addresses = model.addresses_of_node(pod.node, families)
    else:
        had = old.addresses if old else model.leased(key)
        kept = tuple(address for address in had if family_of(address) in families)
        missing = set(families) - set(map(family_of, kept))
        pod.addresses = kept + model.free_addresses(sorted(missing))
    pod.ready = old is None or old.ready
    model.put_pod(pod)


def read(
    kind: str, namespace: str, manifest: Manifest, pod_of: Callable[[Manifest], Pod]
) -> Workload:
    """Of its manifest; raises `ValueError` for what no API server takes."""
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    given = spec["template"]
    labels = {**((given.get("metadata") or {}).get("labels") or {})}
    if kind == "Job":
        labels = {"job-name": name, "batch.kubernetes.io/job-name": name, **labels}
    selector = spec.get("selector") or {}
    if kind != "ReplicationController":
        selector = selector.get("matchLabels") or {}
    template = pod_of(
        {
            "metadata": {"name": "template", "namespace": namespace, "labels": labels},
            "spec": given.get("spec") or {},
            "status": _RUNNING,
        }
    )
    count: int | None = _number(spec, "replicas", 1)
    prefix = name
    match kind:
        case "StatefulSet":
            start = _number(spec.get("ordinals") or {}, "start", 0)
            template = attrs.evolve(template, subdomain=spec.get("serviceName") or "")
            return Workload(
                (kind, namespace, name), template, count, {}, lambda n: f"{name}-{start + n}",
                lambda n, own: {"hostname": own, "labels": {
                    **labels, "statefulset.kubernetes.io/pod-name": own,
                    "apps.kubernetes.io/pod-index": str(start + n)}},
            )  # fmt: skip
        case "Deployment":
            # Another template makes another ReplicaSet, with Pods of other names.
            text = json.dumps(given, sort_keys=True, default=str)
            prefix = f"{name}-{_suffix(text, 0)}{_suffix(text, 1)}"
        case "ReplicaSet" if _made_by(manifest) == "Deployment":
            count = 0
        case "DaemonSet":
            count = None
        case "Job":
            count = _job(spec, manifest.get("status") or {})
            if spec.get("completionMode") == "Indexed":
                return Workload(
                    (kind, namespace, name), template, count, dict(selector) or labels,
                    lambda n: f"{name}-{n}-{_suffix(name, n)}",
                    lambda n, _: {
                        "hostname": f"{name}-{n}", "labels": {**labels, _INDEX: str(n)}},
                )  # fmt: skip
    return Workload(
        (kind, namespace, name), template, count, dict(selector) or labels,
        lambda n: f"{prefix}-{_suffix(prefix, n)}",
    )  # fmt: skip


def _job(spec: Manifest, status: Manifest) -> int:
    """How many of its Pods run at once, at its start."""
    over = any(
        condition["type"] in ("Complete", "Failed") and condition["status"] == "True"
        for condition in status.get("conditions") or ()
    )
    if over or spec.get("suspend") is True:
        return 0
    parallelism = _number(spec, "parallelism", 1)
    return min(parallelism, _number(spec, "completions", parallelism))


def _number(spec: Manifest, key: str, default: int) -> int:
    value = spec.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{key} is not a number from 0 to {2**31 - 1}")
    return value


def _made_by(manifest: Manifest) -> str | None:
    owners = manifest["metadata"].get("ownerReferences") or ()
    return next((owner.get("kind") for owner in owners if owner.get("controller")), None)


def _families(model: Model, pod: Pod) -> tuple[int, ...]:
    """Those that the Services need of it: the cluster has no more."""
    found = {
        family
        for service in model.services.values()
        if service.namespace == pod.namespace
        and service.selector
        and pod.labels.items() >= service.selector.items()
        for family in service.families
    }
    return tuple(sorted(found)) or (4,)


def _suffix(text: str, number: int) -> str:
    """Five random letters, the same each time, and different for each number."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    # 7,654,321 and the number of suffixes have no divisor in common.
    value = (int.from_bytes(digest, "big") + 7_654_321 * number) % _SUFFIXES
    letters = []
    for _ in range(5):
        value, rest = divmod(value, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(letters)
