"""Pods, and what makes them: StatefulSets, Deployments and their like, as their controllers do it.

All Pods are made at once and run ready; a scheduler, a kubelet and a network are in `run`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from ._addresses import family_of
from ._documents import Document, Manifest, texts
from ._model import Model, Pod, Port
from ._placing import fits_of

MOST_PODS = 20_000
"""That one `apply` makes."""
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Of the ends of Pods' names (Kubernetes, ``apimachinery/pkg/util/rand``)."""
_SUFFIXES = len(_LETTERS) ** 5
_NODE = "node-1"
"""Where Pods run while no Node was given."""
_ENDS = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")
"""Conditions of a Job at which its Pods end."""
_INDEX = "batch.kubernetes.io/job-completion-index"


@attrs.frozen
class Workload:
    """One that makes Pods; ``count`` is how many, or ``None`` for one on each node."""

    owner: tuple[str, str, str]
    """Its kind, namespace and name."""
    template: Pod
    count: int | None
    selector: Mapping[str, str]
    differs: Callable[[int], Mapping[str, Any]]
    """What differs from the template in the Pod of that number, its name at least."""

    @property
    def most(self) -> int:
        """How many Pods it makes; of one on each node it is not known yet."""
        return self.count or 0

    def __call__(self, model: Model) -> None:
        """Makes the Pods that are missing, and deletes those that are too many."""
        wanted = {pod.name: pod for pod in self._pods(model)}
        for key, pod in list(model.pods.items()):
            if pod.owner == self.owner and pod.name not in wanted:
                model.delete("Pod", *key)
        families = _families(model, self.template)
        for pod in wanted.values():
            old = model.pods.get(pod.key)
            if old is None or old.owner == self.owner:
                run(model, pod, families)

    def pod(self, number: int, node: str = "") -> Pod:
        """The one of that number; raises `ValueError` if there can be none."""
        node = self.template.node or node
        return attrs.evolve(self.template, owner=self.owner, node=node, **self.differs(number))

    def _pods(self, model: Model) -> Iterator[Pod]:
        nodes = model.nodes_for(self.template) if model.nodes else [_NODE]
        count = len(nodes) if self.count is None else self.count
        if self.owner[0] != "StatefulSet":
            # Pods that were given count as its own, as a controller adopts them.
            count -= sum(map(self._adopts, model.pods.values()))
        for number in range(count):
            yield self.pod(number, nodes[number % len(nodes)] if nodes else "")

    def _adopts(self, pod: Pod) -> bool:
        return (
            pod.owner is None
            and bool(self.selector)
            and not pod.finished
            and not pod.terminating
            and pod.namespace == self.owner[1]
            and pod.labels.items() >= self.selector.items()
        )


def run(model: Model, pod: Pod, families: tuple[int, ...] | None = None) -> None:
    """Puts a Pod that has no status yet: it gets a node and addresses, or keeps those it had.

    One for which there is no node waits for it, without an address.
    """
    old = model.pods.get(pod.key)
    if families is None:
        families = _families(model, pod)
    if not pod.node:
        pod.node = min(model.nodes_for(pod) if model.nodes else [_NODE], default="")
    if not pod.node:
        pod.phase, pod.addresses = "Pending", ()
    elif pod.host_network:
        pod.addresses = model.addresses_of_node(pod.node, families)
    else:
        had = old.addresses if old else model.leased(pod.key)
        kept = tuple(address for address in had if family_of(address) in families)
        missing = set(families) - set(map(family_of, kept))
        pod.addresses = kept + model.free_addresses(sorted(missing))
    pod.ready = old is None or old.ready
    model.put_pod(pod)


def pod_of(name: str, namespace: str, labels: Manifest, spec: Manifest, status: Manifest) -> Pod:
    """A Pod of its manifest; raises `ValueError` for what no API server takes."""
    addresses = [ip["ip"] for ip in status.get("podIPs") or ()]
    if not addresses and status.get("podIP"):
        addresses = [status["podIP"]]
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    return Pod(
        name,
        namespace,
        tuple(addresses),
        ready=any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in status.get("conditions") or ()
        ),
        hostname=spec.get("hostname") or "",
        subdomain=spec.get("subdomain") or "",
        labels=texts("label", labels),
        ports=tuple(
            Port(port["name"], port["containerPort"], port.get("protocol") or "tcp")
            for container in (*(spec.get("containers") or ()), *sidecars)
            for port in container.get("ports") or ()
            if port.get("name")
        ),
        phase=status.get("phase") or "Pending",
        node=spec.get("nodeName") or "",
        host_network=spec.get("hostNetwork") is True,
        fits=fits_of(spec),
    )


def workload_of(document: Document, namespace: str, name: str) -> Workload:
    """What makes Pods, of its manifest; raises `ValueError` for what no API server takes."""
    kind, spec = document.kind, document.manifest["spec"]
    given = spec["template"]
    labels = texts("label", (given.get("metadata") or {}).get("labels"))
    if kind == "Job":
        labels = {"job-name": name, "batch.kubernetes.io/job-name": name, **labels}
    selector = spec.get("selector") or {}
    if kind != "ReplicationController":
        selector = selector.get("matchLabels") or {}
    template = pod_of("template", namespace, labels, given.get("spec") or {}, {})
    template.phase = "Running"
    count: int | None = _number(spec, "replicas", 1)
    prefix = name

    def differs(number: int) -> Mapping[str, Any]:
        return {"name": f"{prefix}-{_suffix(prefix, number)}"}

    match kind:
        case "StatefulSet":
            template.subdomain = spec.get("serviceName") or ""
            start = _number(spec.get("ordinals") or {}, "start", 0)

            def differs(number: int) -> Mapping[str, Any]:
                own = f"{name}-{start + number}"
                more = {
                    "statefulset.kubernetes.io/pod-name": own,
                    "apps.kubernetes.io/pod-index": str(start + number),
                }
                return {"name": own, "hostname": own, "labels": labels | more}

        case "Deployment":
            # Another template makes another ReplicaSet, with Pods of other names.
            text = json.dumps(given, sort_keys=True, default=str)
            prefix = f"{name}-{_suffix(text, 0)}{_suffix(text, 1)}"
        case "ReplicaSet" if _is_of_deployment(document):
            count = 0
        case "DaemonSet":
            count = None
            template.fits = fits_of(given.get("spec") or {}, everywhere=True)
        case "Job":
            over = _over(document.part("status"))
            count = _job(spec, document.part("status"), over)
            if spec.get("completionMode") == "Indexed":

                def differs(number: int) -> Mapping[str, Any]:
                    index = _index(number, over)
                    own = f"{name}-{index}"
                    more = {_INDEX: str(index)}
                    ending = _suffix(name, index)
                    return {"name": f"{own}-{ending}", "hostname": own, "labels": labels | more}

    owner = kind, namespace, name
    found = Workload(owner, template, count, texts("selector", selector) or labels, differs)
    for number in {0, found.most - 1} if found.most else ():
        found.pod(number)  # raises now for what cannot be
    return found


def _over(status: Manifest) -> list[tuple[int, int]]:
    """The indexes of a Job that need no Pod any more: the first and the last of each run."""
    texts = (status.get(key) or "" for key in ("completedIndexes", "failedIndexes"))
    runs = [run.split("-") for text in texts for run in text.split(",") if run]
    return sorted((int(run[0]), int(run[-1])) for run in runs)


def _index(number: int, over: list[tuple[int, int]]) -> int:
    """That of the Pod of this number: those that are over are passed by."""
    for first, last in over:
        if number >= first:
            number += last - first + 1
    return number


def _job(spec: Manifest, status: Manifest, over: list[tuple[int, int]]) -> int:
    """How many of its Pods run at once, by now."""
    ended = any(
        condition["type"] in _ENDS and condition["status"] == "True"
        for condition in status.get("conditions") or ()
    )
    if ended or spec.get("suspend") is True:
        return 0
    parallelism = _number(spec, "parallelism", 1)
    if spec.get("completions") is None:
        return parallelism
    done = sum(last - first + 1 for first, last in over) or _number(status, "succeeded", 0)
    left = _number(spec, "completions", 0) - done
    return max(0, min(parallelism, left))


def _number(spec: Manifest, key: str, default: int) -> int:
    value = spec.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"{key} is not a number from 0 to {2**31 - 1}")
    return value


def _is_of_deployment(document: Document) -> bool:
    owners = document.part("metadata").get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("kind") == "Deployment" for owner in owners)


def _families(model: Model, pod: Pod) -> tuple[int, ...]:
    """Those that the Services need of it: the cluster has no more."""
    selecting = (service for service in model.services.values() if service.selects(pod))
    found = {family for service in selecting for family in service.families}
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
