"""Kubernetes manifests to changes of the model. What does not affect answers is ignored.

A manifest can be refused, as the API server would, with a `ValueError`. Or it can be one that a
cluster holds and DNS does not show, or that an operator would act on: that is left out, and said.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import attrs

from ._addresses import family_of
from ._documents import Document, Manifest, Manifests, documents, texts
from ._model import (
    Model,
    Node,
    Port,
    Service,
    ServicePort,
    Slice,
    SliceEndpoint,
    check_address,
    check_label,
)
from ._placing import Site
from ._workloads import MOST_PODS, Workload, pod_of, run, workload_of

_SERVICE_NAME = "kubernetes.io/service-name"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_MIRRORED = 1000
"""Addresses of one subset of Endpoints (kube-controller-manager's default)."""
_FAMILIES = {"IPv4": 4, "IPv6": 6}
_DUAL = ("PreferDualStack", "RequireDualStack")
_ZONE, _HOSTNAME = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
_HOOK = "helm.sh/hook"
_DEEP_ENOUGH = 8
_NO_PODS = ("CronJob", "Policy", "Topic")
"""How kinds end that come and go, that say how others' Pods may be, or that count other things."""
_COUNTS = ("replicas", "instances", "numberOfInstances", "members")
_Apply = Callable[[Model], object]
_Tell = Callable[[str], object]


@contextlib.contextmanager
def _reading(document: Document) -> Iterator[None]:
    """Errors say which document they are of."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{document}: {error}") from None
    except KeyError as error:
        raise ValueError(f"{document}: it has no {error.args[0]}") from error
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{document} is not as Kubernetes has them: {error}") from error


@attrs.frozen
class Effect:
    """What one manifest does to the model."""

    document: Document
    _apply: _Apply

    @property
    def rank(self) -> int:
        """Lower ones come first, since controllers see all objects, in whatever order they came."""
        return list(_KINDS).index(self.document.kind)

    def __call__(self, model: Model) -> None:
        """Does it; raises `ValueError` where the model has no place for it."""
        with _reading(self.document):
            self._apply(model)


@attrs.define
class Reading:
    """What some manifests do, in the order in which it is to be done."""

    effects: list[Effect] = attrs.field(factory=list)
    left_out: list[str] = attrs.field(factory=list)
    """One line for each: where, what, and why."""


def to_apply(manifests: Manifests, *, lenient: bool = False) -> Reading:
    """What to do to the model; raises `ValueError` before anything is done.

    If it is ``lenient``, what would be refused is left out as well.
    """
    reading = Reading()
    room = MOST_PODS
    for document in documents(manifests, reading.left_out.append if lenient else None):
        try:
            with _reading(document):
                apply = _read(document, reading)
                if isinstance(apply, Workload):
                    room = _left(room, apply.most)
        except ValueError as error:
            if not lenient:
                raise
            reading.left_out.append(str(error))
        else:
            if apply is not None:
                reading.effects.append(Effect(document, apply))
    reading.effects.sort(key=lambda effect: effect.rank)
    return reading


def _left(room: int, pods: int) -> int:
    if pods > room:
        raise ValueError(f"{pods} Pods are too many: {MOST_PODS:,} can be made here")
    return room - pods


def to_delete(manifests: Manifests) -> list[Effect]:
    """What takes away what the manifests name."""
    effects = []
    for document in documents(manifests):
        if _is_known(document):
            with _reading(document):
                effects.append(Effect(document, _deletion(document.kind, *_key(document))))
    return effects


def _is_known(document: Document) -> bool:
    return document.kind in _KINDS and document.group in (None, *_KINDS[document.kind][0])


def _read(document: Document, reading: Reading) -> _Apply | None:
    """What it does, if it does anything; what of it cannot be used is left out."""

    def tell(why: str) -> None:
        reading.left_out.append(f"{document}: {why}")

    if not _is_known(document):
        # Other kinds change no answer, unless they stand for Pods.
        if not document.kind.endswith(_NO_PODS) and _makes_pods(
            document.manifest.get("spec"), custom="." in (document.group or "")
        ):
            tell("no operator makes its Pods here: give them as manifests")
        return None
    namespace, name = _key(document)
    read = _KINDS[document.kind][1]
    if read in (_pod, _workload) and _HOOK in document.part("metadata", "annotations"):
        return None  # Helm runs it while it installs or tests, and no longer
    return read(document, namespace, name, tell)


def _makes_pods(value: object, *, custom: bool, depth: int = 0) -> bool:
    """Whether it has containers, or in a custom resource says how many there are to be."""
    if isinstance(value, Mapping):
        if isinstance(value.get("containers"), list) or (
            custom and any(type(value.get(key)) is int for key in _COUNTS)
        ):
            return True
        value = list(value.values())
    if not isinstance(value, list) or depth > _DEEP_ENOUGH:
        return False
    return any(_makes_pods(one, custom=custom, depth=depth + 1) for one in value)


def _key(document: Document) -> tuple[str, str]:
    metadata = document.manifest.get("metadata")
    found = metadata if isinstance(metadata, Mapping) else {}
    name = found.get("name")
    if not isinstance(name, str) or not name:
        only = ", and its generateName is for kubectl create" if found.get("generateName") else ""
        if name:
            raise ValueError(f"metadata.name is {name!r}, which is not text: put it in quotes")
        raise ValueError(f"it has no metadata.name{only}")
    return check_label("namespace", found.get("namespace") or "default"), name


def _deletion(kind: str, namespace: str, name: str) -> _Apply:
    def delete(model: Model) -> None:
        if _KINDS[kind][1] is _workload:
            for key, pod in list(model.pods.items()):
                if pod.owner == (kind, namespace, name):
                    model.delete("Pod", *key)
            return
        try:
            model.delete(kind, namespace, name)
        except KeyError:
            raise ValueError(f"there is none in namespace {namespace!r}") from None

    return delete


def _namespace(_document: Document, _namespace: str, name: str, _tell: _Tell) -> _Apply:
    check_label("namespace", name)
    return lambda model: model.add_namespace(name)


def _node(document: Document, _namespace: str, name: str, _tell: _Tell) -> _Apply:
    labels = texts("label", document.part("metadata", "labels"))
    addresses: dict[int, str] = {}  # the first of each family, as the kubelet takes them
    for one in document.part("status").get("addresses") or ():
        if one["type"] == "InternalIP":
            addresses.setdefault(family_of(one["address"]), one["address"])
    node = Node(
        name,
        labels.get(_ZONE, ""),
        tuple(addresses.values()),
        Site.of(name, labels, document.part("spec")),
    )
    return lambda model: model.put_node(node)


def _service(document: Document, namespace: str, name: str, _tell: _Tell) -> _Apply:
    spec = document.part("spec")
    external = spec["externalName"] if spec.get("type") == "ExternalName" else None
    given = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip]
    headless = external is not None or given == ["None"]
    virtual = () if headless else tuple(check_address(ip) for ip in given)
    service = Service(
        name,
        namespace,
        ports=tuple(
            ServicePort(
                port.get("name") or "",
                port["port"],
                port.get("protocol") or "tcp",
                port.get("targetPort"),
            )
            for port in spec.get("ports") or ()
        ),
        cluster_ips=virtual,
        external_name=None if external is None else external.removesuffix("."),
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
        families=_families(spec, virtual),
        selector=texts("selector", spec.get("selector")) or None,
    )

    def put(model: Model) -> None:
        if not headless:
            # The API server hands out virtual IPs, one of each family, and never changes them.
            old = model.services.get(service.key)
            kept = virtual or (old.cluster_ips if old else ())
            had = set(map(family_of, kept))
            missing = [family for family in service.families if family not in had]
            service.cluster_ips = kept + model.virtual_ips(missing)
        model.put_service(service)

    return put


def _families(spec: Manifest, virtual: tuple[str, ...]) -> tuple[int, ...]:
    """As an API server of both families fills them in: it writes clusterIPs, too."""
    named = spec.get("ipFamilies") or ()
    if unknown := [family for family in named if family not in _FAMILIES]:
        raise ValueError(f"ipFamilies {unknown[0]!r} is neither 'IPv4' nor 'IPv6'")
    found = [_FAMILIES[family] for family in named]
    found += map(family_of, virtual[len(found) :])
    both = spec.get("ipFamilyPolicy") in _DUAL
    if len(found) > 1 and not both and (virtual or spec.get("selector")):
        raise ValueError(f"two families need an ipFamilyPolicy: {' or '.join(_DUAL)}")
    found = found or [4]
    if both and not spec.get("clusterIPs"):
        found += [family for family in (4, 6) if family not in found]
    return tuple(found)


def _pod(document: Document, namespace: str, name: str, _tell: _Tell) -> _Apply:
    pod = pod_of(
        name,
        namespace,
        document.part("metadata", "labels"),
        document.part("spec"),
        document.part("status"),
    )
    pod.terminating = bool(document.part("metadata").get("deletionTimestamp"))
    if document.part("status"):
        return lambda model: model.put_pod(pod)
    pod.phase = "Running"
    return lambda model: run(model, pod)


def _workload(document: Document, namespace: str, name: str, _tell: _Tell) -> _Apply:
    return workload_of(document, namespace, name)


def _slice(document: Document, namespace: str, name: str, tell: _Tell) -> _Apply | None:
    service = document.part("metadata", "labels").get(_SERVICE_NAME)
    if not service:
        tell(f"no label {_SERVICE_NAME} says which Service's it is")
        return None
    if document.manifest.get("addressType") == "FQDN":
        tell("its endpoints are names, and DNS has addresses alone")
        return None
    endpoints: list[SliceEndpoint] = []
    for endpoint in document.manifest.get("endpoints") or ():
        told = endpoint.get("conditions") or {}
        conditions = {key: value is True for key, value in told.items() if value is not None}
        endpoints += _endpoints_of(endpoint, endpoint["addresses"], conditions, tell)
    managed = document.part("metadata", "labels").get(_MANAGED_BY) in _CONTROLLERS
    found = Slice(tuple(endpoints), _ports(document.manifest), name, managed)
    key = namespace, check_label("Service", service)
    return lambda model: model.put_slice(key, found)


def _endpoints(document: Document, namespace: str, name: str, tell: _Tell) -> _Apply:
    """As the controller that mirrors them: a slice for each family and subset."""
    key = namespace, check_label("Service", name)
    skipped = document.part("metadata", "labels").get(_SKIP) == "true" or _LEADER in document.part(
        "metadata", "annotations"
    )
    mirrored = []
    for subset in () if skipped else document.manifest.get("subsets") or ():
        found = [
            one
            for part, ready in (("addresses", True), ("notReadyAddresses", False))
            for address in subset.get(part) or ()
            for one in _endpoints_of(address, [address["ip"]], {"ready": ready}, tell)
        ][:_MIRRORED]
        mirrored += [
            Slice(of_family, _ports(subset))
            for family in _FAMILIES.values()
            if (of_family := tuple(one for one in found if family_of(one.address) == family))
        ]
    return lambda model: model.put_endpoints(key, tuple(mirrored))


def _endpoints_of(
    given: Manifest, addresses: list[str], conditions: Mapping[str, bool], tell: _Tell
) -> Iterator[SliceEndpoint]:
    hostname = given.get("hostname") or ""
    try:
        check_label("hostname", hostname or "none")
    except ValueError as error:
        tell(f"an endpoint's {error}")
        return
    target = given.get("targetRef") or {}
    topology = given.get("topology") or {}  # in v1beta1, which had no field for the zone
    for address in addresses:
        yield SliceEndpoint(
            check_address(address),
            conditions,
            hostname=hostname,
            pod=target.get("name") or "",
            uid=target.get("uid") or "",
            node=given.get("nodeName") or topology.get(_HOSTNAME) or "",
            zone=given.get("zone") or topology.get(_ZONE) or "",
        )


def _ports(given: Manifest) -> tuple[Port, ...]:
    return tuple(
        Port(port.get("name") or "", port.get("port"), port.get("protocol") or "tcp")
        for port in given.get("ports") or ()
    )


_Read = Callable[[Document, str, str, _Tell], _Apply | None]
_KINDS: Mapping[str, tuple[tuple[str, ...], _Read]] = {
    "Namespace": (("",), _namespace),
    "Node": (("",), _node),
    "Service": (("",), _service),
    "Pod": (("",), _pod),
    "EndpointSlice": (("discovery.k8s.io",), _slice),
    "Endpoints": (("",), _endpoints),
    "StatefulSet": (("apps",), _workload),
    "Deployment": (("apps", "extensions"), _workload),
    "ReplicaSet": (("apps", "extensions"), _workload),
    "DaemonSet": (("apps", "extensions"), _workload),
    "ReplicationController": (("",), _workload),
    "Job": (("batch",), _workload),
}
"""API groups in which they are these, and who reads them."""
