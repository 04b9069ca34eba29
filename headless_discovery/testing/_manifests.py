"""Kubernetes manifests, as dicts or YAML text, to the model. What changes no answer is let be."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ._model import (
    Model,
    Pod,
    Port,
    Service,
    ServicePort,
    Slice,
    SliceEndpoint,
    check_address,
    check_label,
)

Manifest = Mapping[str, Any]
Manifests = str | Manifest | Iterable[Manifest]
Change = Callable[[Model], object]
_SERVICE_NAME = "kubernetes.io/service-name"
_FAMILIES = {"IPv4": 4, "IPv6": 6}
_MAKE_PODS = (
    "CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController",
)  # fmt: skip
"""Of whose Pods nobody can know the names."""


def to_apply(manifests: Manifests) -> list[Change]:
    """What to do to the model; raises `ValueError` before anything is done."""
    return [_told(manifest, _READERS[manifest["kind"]]) for manifest in _all(manifests)]


def to_delete(manifests: Manifests) -> list[Change]:
    """What takes away what the manifests name."""
    return [_told(manifest, _delete) for manifest in _all(manifests)]


def _told(manifest: Manifest, read: Callable[[Manifest], Change]) -> Change:
    kind = manifest["kind"]
    name = None
    try:
        name = manifest["metadata"]["name"]
        return read(manifest)
    except ValueError as error:
        raise ValueError(f"{kind} {name!r}: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        what = "has no metadata.name" if name is None else f"is not as Kubernetes has them: {error}"
        raise ValueError(f"{kind} {name or ''!r} {what}") from error


def _all(manifests: Manifests, kind: str = "") -> Iterator[Manifest]:
    if isinstance(manifests, str):
        manifests = _parse(manifests)
    if isinstance(manifests, Mapping):
        manifests = [manifests]
    for manifest in manifests:
        if not isinstance(manifest, Mapping) or not manifest.get("kind", kind):
            raise ValueError(f"a manifest is a mapping with a kind, not {manifest!r}")
        of = str(manifest.get("kind", kind))
        if of.endswith("List"):
            # Those of a PodList need not say what they are.
            yield from _all(manifest.get("items") or (), of.removesuffix("List"))
        elif of in _READERS:
            yield {**manifest, "kind": of}
        elif of in _MAKE_PODS:
            raise ValueError(
                f"kind {of!r}: nobody here makes its Pods: give them, or use FakeService.scale"
            )
        # Any other kind changes no answer.


def _parse(text: str) -> list[Manifest]:
    try:
        import yaml  # noqa: PLC0415 - an extra, and needed for text alone
    except ImportError as error:
        raise ValueError(
            "manifests as text need PyYAML: pip install 'headless_discovery[yaml]', or give dicts"
        ) from error
    try:
        documents = yaml.safe_load_all(textwrap.dedent(text))
        return [document for document in documents if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def _key(manifest: Manifest) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return check_label("namespace", metadata.get("namespace") or "default"), metadata["name"]


def _delete(manifest: Manifest) -> Change:
    kind = manifest["kind"]
    namespace, name = _key(manifest)

    def delete(model: Model) -> None:
        if kind == "StatefulSet":
            for _, key in _ordinals(model, namespace, name):
                model.delete("Pod", *key)
            return
        try:
            model.delete(kind, namespace, name)
        except KeyError:
            raise ValueError(f"there is no {kind} {name!r} in namespace {namespace!r}") from None

    return delete


def _namespace(manifest: Manifest) -> Change:
    name = check_label("namespace", manifest["metadata"]["name"])

    def put(model: Model) -> None:
        model.namespaces.add(name)
        model.changed()

    return put


def _service(manifest: Manifest) -> Change:
    namespace, name = _key(manifest)
    spec = manifest.get("spec") or {}
    external = spec["externalName"] if spec.get("type") == "ExternalName" else None
    given = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip]
    headless = external is not None or given == ["None"]
    families = tuple(_FAMILIES[family] for family in spec.get("ipFamilies") or ("IPv4",))
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
        families=families,
        selector=dict(spec.get("selector") or {}) or None,
    )

    def put(model: Model) -> None:
        if not headless and not service.cluster_ips:
            # The API server hands out virtual IPs, and never changes them.
            old = model.services.get((namespace, name))
            kept = () if old is None else old.cluster_ips
            service.cluster_ips = kept or model.virtual_ips(families)
        model.put_service(service)

    return put


def _pod(manifest: Manifest) -> Change:
    pod = _pod_of(manifest)
    return lambda model: model.put_pod(pod)


def _pod_of(manifest: Manifest) -> Pod:
    namespace, name = _key(manifest)
    metadata = manifest["metadata"]
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
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
        labels=dict(metadata.get("labels") or {}),
        ports=tuple(
            Port(port["name"], port["containerPort"], port.get("protocol") or "tcp")
            for container in (*(spec.get("containers") or ()), *sidecars)
            for port in container.get("ports") or ()
            if port.get("name")
        ),
        phase=status.get("phase") or "Pending",
        terminating=bool(metadata.get("deletionTimestamp")),
    )


def _stateful_set(manifest: Manifest) -> Change:
    """The Pods that its controller makes: ready, and at addresses that they keep."""
    namespace, name = _key(manifest)
    spec, template = manifest["spec"], manifest["spec"]["template"]
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    pods = [
        _pod_of(
            {
                "metadata": {**template["metadata"], "name": pod, "namespace": namespace},
                "spec": {**template["spec"], "hostname": pod, "subdomain": spec["serviceName"]},
                "status": running,
            }
        )
        for pod in (f"{name}-{number}" for number in range(spec.get("replicas", 1)))
    ]

    def put(model: Model) -> None:
        service = model.services.get((namespace, spec["serviceName"]))
        families = (4,) if service is None else service.families
        for ordinal, key in _ordinals(model, namespace, name):
            if ordinal >= len(pods):
                model.delete("Pod", *key)
        for pod in pods:
            old = model.pods.get((namespace, pod.name))
            pod.addresses = model.free_addresses(families) if old is None else old.addresses
            pod.ready = old is None or old.ready
            model.put_pod(pod)

    return put


def _ordinals(model: Model, namespace: str, name: str) -> list[tuple[int, tuple[str, str]]]:
    """The Pods of a StatefulSet, which shows in their names alone."""
    return [
        (int(ordinal), key)
        for key in model.pods
        for prefix, _, ordinal in [key[1].rpartition("-")]
        if key[0] == namespace and prefix == name and ordinal.isdecimal()
    ]


def _slice(manifest: Manifest) -> Change:
    namespace, name = _key(manifest)
    service = (manifest["metadata"].get("labels") or {}).get(_SERVICE_NAME)
    if not service:
        raise ValueError(f"no label {_SERVICE_NAME} says whose it is")
    found = Slice(
        check_label("Service", service),
        tuple(
            SliceEndpoint(
                check_address(address),
                # What is not told counts as ready (Kubernetes API, EndpointConditions).
                ready=(endpoint.get("conditions") or {}).get("ready") is not False,
                hostname=check_label("hostname", endpoint["hostname"])
                if endpoint.get("hostname")
                else "",
                pod=(endpoint.get("targetRef") or {}).get("name") or "",
            )
            for endpoint in manifest.get("endpoints") or ()
            for address in endpoint["addresses"]
        ),
        tuple(
            Port(port.get("name") or "", port.get("port"), port.get("protocol") or "tcp")
            for port in manifest.get("ports") or ()
        ),
    )
    return lambda model: model.put_slice(namespace, name, found)


_READERS: Mapping[str, Callable[[Manifest], Change]] = {
    "Namespace": _namespace,
    "Service": _service,
    "Pod": _pod,
    "EndpointSlice": _slice,
    "StatefulSet": _stateful_set,
}
