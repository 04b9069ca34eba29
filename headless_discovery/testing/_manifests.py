"""Kubernetes manifests to changes of the model. What does not affect answers is ignored.

A manifest can be refused, as the API server would, with a `ValueError`. Or it can be one that a
cluster holds and DNS does not show, or that an operator would act on: that is left out, and said.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from . import _workloads
from ._documents import Document, Manifest, Manifests, documents
from ._model import (
    Model,
    Node,
    Pod,
    Port,
    Service,
    ServicePort,
    Slice,
    SliceEndpoint,
    check_address,
    check_label,
    family_of,
)

_SERVICE_NAME = "kubernetes.io/service-name"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_MIRRORED = 1000
"""Addresses of one subset of Endpoints (kube-controller-manager's default)."""
_FAMILIES = {"IPv4": 4, "IPv6": 6}
_DUAL = ("PreferDualStack", "RequireDualStack")
_HOOK = "helm.sh/hook"
_DEEP_ENOUGH = 8
_Apply = Callable[[Model], object]
_Tell = Callable[[str], None]


class _LeftOutError(ValueError):
    """Nothing is wrong with it, but it cannot be used here."""


@attrs.frozen
class Effect:
    """What one manifest does to the model; ``pods`` are those that it makes at most."""

    document: Document
    pods: int
    _apply: _Apply

    @property
    def rank(self) -> int:
        """Lower ones come first, since controllers see all objects, in whatever order they came."""
        return _ORDER[self.document.kind]

    def __call__(self, model: Model) -> None:
        """Does it; raises `ValueError` where the model has no place for it."""
        try:
            self._apply(model)
        except ValueError as error:
            raise ValueError(f"{self.document}: {error}") from None


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
    room = _workloads.MOST_PODS
    for document in documents(manifests, reading.left_out.append if lenient else None):
        try:
            effect = _read(document, reading.left_out, room)
        except ValueError as error:
            if not lenient and not isinstance(error, _LeftOutError):
                raise
            reading.left_out.append(str(error))
        else:
            if effect is not None:
                room -= effect.pods
                reading.effects.append(effect)
    reading.effects.sort(key=lambda effect: effect.rank)
    return reading


def to_delete(manifests: Manifests) -> list[Effect]:
    """What takes away what the manifests name."""
    return [
        Effect(document, 0, _careful(document, _delete))
        for document in documents(manifests)
        if _is_known(document)
    ]


def _is_known(document: Document) -> bool:
    groups = _workloads.GROUPS.get(document.kind) or _GROUPS.get(document.kind)
    return groups is not None and document.group in (None, *groups)


def _read(document: Document, left_out: list[str], room: int) -> Effect | None:
    if not _is_known(document):
        # Other kinds change no answer, unless they stand for Pods. A CronJob's come and go, and a
        # policy only says how Pods may be.
        stands = not document.kind.endswith(("CronJob", "Policy"))
        if stands and _has_containers(document.manifest.get("spec")):
            raise _LeftOutError(
                f"{document}: no operator makes its Pods here: give them as manifests"
            )
        return None
    pods = 0

    def read(document: Document) -> _Apply | None:
        nonlocal pods
        kind, manifest = document.kind, document.manifest
        namespace, name = _key(document)
        runs = kind == "Pod" or kind in _workloads.GROUPS
        if runs and _HOOK in (manifest["metadata"].get("annotations") or {}):
            return None  # Helm runs it while it installs or tests, and no longer
        if kind not in _workloads.GROUPS:
            return _READERS[kind](namespace, name, manifest, tell)
        workload = _workloads.read(kind, namespace, manifest, _pod_of)
        pods = workload.count or 0
        if pods > room:
            raise ValueError(f"{pods} Pods are too many: {_workloads.MOST_PODS:,} can be made here")
        for number in {0, pods - 1} if pods else ():
            workload.pod(number, "")  # raises now for what cannot be
        return workload.put

    def tell(why: str) -> None:
        left_out.append(f"{document}: {why}")

    apply = _careful(document, read)
    return None if apply is None else Effect(document, pods, apply)


def _careful(document: Document, read: Callable[[Document], Any]) -> Any:
    try:
        return read(document)
    except _LeftOutError as why:
        raise _LeftOutError(f"{document}: {why}") from None
    except ValueError as error:
        raise ValueError(f"{document}: {error}") from None
    except KeyError as error:
        raise ValueError(f"{document}: it has no {error.args[0]}") from error
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{document} is not as Kubernetes has them: {error}") from error


def _has_containers(value: object, depth: int = 0) -> bool:
    if isinstance(value, Mapping):
        if isinstance(value.get("containers"), list):
            return True
        value = list(value.values())
    if not isinstance(value, list) or depth > _DEEP_ENOUGH:
        return False
    return any(_has_containers(one, depth + 1) for one in value)


def _key(document: Document) -> tuple[str, str]:
    metadata = document.manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str) or not name or not isinstance(metadata, Mapping):
        raise ValueError("it has no metadata.name")
    return check_label("namespace", metadata.get("namespace") or "default"), name


def _delete(document: Document) -> Callable[[Model], object]:
    namespace, name = _key(document)
    kind = document.kind

    def delete(model: Model) -> None:
        if kind in _workloads.GROUPS:
            for key, pod in list(model.pods.items()):
                if pod.owner == (kind, namespace, name):
                    model.delete("Pod", *key)
            return
        try:
            model.delete(kind, namespace, name)
        except KeyError:
            raise ValueError(f"there is none in namespace {namespace!r}") from None

    return delete


def _namespace(_namespace: str, name: str, _manifest: Manifest, _tell: _Tell) -> _Apply:
    check_label("namespace", name)

    def put(model: Model) -> None:
        model.namespaces.add(name)
        model.changed()

    return put


def _node(_namespace: str, name: str, manifest: Manifest, _tell: _Tell) -> _Apply:
    labels = manifest["metadata"].get("labels") or {}
    addresses = (manifest.get("status") or {}).get("addresses") or ()
    node = Node(
        name,
        labels.get("topology.kubernetes.io/zone") or "",
        tuple(one["address"] for one in addresses if one["type"] == "InternalIP"),
    )
    return lambda model: model.nodes.__setitem__(name, node)


def _service(namespace: str, name: str, manifest: Manifest, _tell: _Tell) -> _Apply:
    spec = manifest.get("spec") or {}
    external = spec["externalName"] if spec.get("type") == "ExternalName" else None
    given = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip]
    headless = external is not None or given == ["None"]
    # As an API server of both families fills it in: it writes clusterIPs, too.
    families = list(spec.get("ipFamilies") or ["IPv4"])
    if spec.get("ipFamilyPolicy") in _DUAL and not spec.get("clusterIPs"):
        families += [family for family in _FAMILIES if family not in families]
    if unknown := [family for family in families if family not in _FAMILIES]:
        raise ValueError(f"ipFamilies {unknown[0]!r} is neither 'IPv4' nor 'IPv6'")
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
        cluster_ips=() if headless else tuple(check_address(ip) for ip in given),
        external_name=None if external is None else external.removesuffix("."),
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
        families=tuple(_FAMILIES[family] for family in families),
        selector=dict(spec.get("selector") or {}) or None,
    )

    def put(model: Model) -> None:
        if not headless and not service.cluster_ips:
            # The API server hands out virtual IPs, and never changes them.
            old = model.services.get((namespace, name))
            kept = () if old is None else old.cluster_ips
            service.cluster_ips = kept or model.virtual_ips(service.families)
        model.put_service(service)

    return put


def _pod(_namespace: str, _name: str, manifest: Manifest, _tell: _Tell) -> _Apply:
    pod = _pod_of(manifest)
    if manifest.get("status"):
        return lambda model: model.put_pod(pod)
    pod.phase = "Running"
    return lambda model: _workloads.run(model, pod)


def _pod_of(manifest: Manifest) -> Pod:
    metadata = manifest["metadata"]
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    addresses = [ip["ip"] for ip in status.get("podIPs") or ()]
    if not addresses and status.get("podIP"):
        addresses = [status["podIP"]]
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    return Pod(
        metadata["name"],
        check_label("namespace", metadata.get("namespace") or "default"),
        tuple(addresses),
        ready=any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in status.get("conditions") or ()
        ),
        hostname=spec.get("hostname") or "",
        subdomain=spec.get("subdomain") or "",
        labels=dict(metadata.get("labels") or {}),
        ports=tuple(
            Port(port["name"], port["containerPort"], port.get("protocol") or "tcp")
            for container in (*(spec.get("containers") or ()), *sidecars)
            for port in container.get("ports") or ()
            if port.get("name")
        ),
        phase=status.get("phase") or "Pending",
        terminating=bool(metadata.get("deletionTimestamp")),
        node=spec.get("nodeName") or "",
        host_network=spec.get("hostNetwork") is True,
    )


def _slice(namespace: str, name: str, manifest: Manifest, tell: _Tell) -> _Apply:
    labels = manifest["metadata"].get("labels") or {}
    service = labels.get(_SERVICE_NAME)
    if not service:
        raise _LeftOutError(f"no label {_SERVICE_NAME} says which Service's it is")
    if manifest.get("addressType") == "FQDN":
        raise _LeftOutError("its endpoints are names, and DNS has addresses alone")
    endpoints: list[SliceEndpoint] = []
    for endpoint in manifest.get("endpoints") or ():
        # Without the condition it counts as ready (Kubernetes API, EndpointConditions).
        ready = (endpoint.get("conditions") or {}).get("ready") is not False
        endpoints += _endpoints_of(endpoint, endpoint["addresses"], ready, tell)
    managed = labels.get(_MANAGED_BY) in _CONTROLLERS
    found = Slice(check_label("Service", service), tuple(endpoints), _ports(manifest), managed)
    return lambda model: model.put_slice(namespace, name, found)


def _endpoints(namespace: str, name: str, manifest: Manifest, tell: _Tell) -> _Apply:
    """As the controller that mirrors them: a slice for each family and subset."""
    metadata = manifest["metadata"]
    skipped = (metadata.get("labels") or {}).get(_SKIP) == "true" or (
        _LEADER in (metadata.get("annotations") or {})
    )
    mirrored = []
    for subset in () if skipped else manifest.get("subsets") or ():
        found = [
            one
            for key, ready in (("addresses", True), ("notReadyAddresses", False))
            for address in subset.get(key) or ()
            for one in _endpoints_of(address, [address["ip"]], ready, tell)
        ][:_MIRRORED]
        mirrored += [
            Slice(check_label("Service", name), of_family, _ports(subset))
            for family in _FAMILIES.values()
            if (of_family := tuple(one for one in found if family_of(one.address) == family))
        ]

    def put(model: Model) -> None:
        model.namespaces.add(namespace)
        model.endpoints[namespace, name] = tuple(mirrored)
        model.changed()

    return put


def _endpoints_of(
    given: Manifest, addresses: list[str], ready: bool, tell: _Tell
) -> Iterator[SliceEndpoint]:
    hostname = given.get("hostname") or ""
    try:
        check_label("hostname", hostname or "none")
    except ValueError as error:
        tell(f"an endpoint's {error}")
        return
    for address in addresses:
        yield SliceEndpoint(
            check_address(address),
            ready=ready,
            hostname=hostname,
            pod=(given.get("targetRef") or {}).get("name") or "",
            node=given.get("nodeName") or "",
            zone=given.get("zone") or "",
        )


def _ports(given: Manifest) -> tuple[Port, ...]:
    return tuple(
        Port(port.get("name") or "", port.get("port"), port.get("protocol") or "tcp")
        for port in given.get("ports") or ()
    )


_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Namespace": ("",),
    "Node": ("",),
    "Service": ("",),
    "Pod": ("",),
    "EndpointSlice": ("discovery.k8s.io",),
    "Endpoints": ("",),
}
_READERS: Mapping[str, Callable[[str, str, Manifest, _Tell], _Apply]] = {
    "Namespace": _namespace,
    "Node": _node,
    "Service": _service,
    "Pod": _pod,
    "EndpointSlice": _slice,
    "Endpoints": _endpoints,
}
_ORDER = {kind: number for number, kind in enumerate([*_READERS, *_workloads.GROUPS])}
