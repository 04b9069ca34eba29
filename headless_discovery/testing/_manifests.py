"""Kubernetes manifests, as dicts or YAML text, to the model. What changes no answer is let be."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ._model import Model, Pod, Port, Service, ServicePort, Slice, SliceEndpoint

Manifest = Mapping[str, Any]
Put = Callable[[Model], None]
_SERVICE_NAME = "kubernetes.io/service-name"


def read(objects: str | Manifest | Iterable[Manifest]) -> list[Put]:
    """What to do to the model; raises `ValueError` before anything is done."""
    return [_put(manifest) for manifest in _all(objects)]


def _all(objects: str | Manifest | Iterable[Manifest]) -> Iterator[Manifest]:
    if isinstance(objects, str):
        objects = _parse(objects)
    if isinstance(objects, Mapping):
        objects = [objects]
    for manifest in objects:
        if not isinstance(manifest, Mapping) or "kind" not in manifest:
            raise ValueError(f"a manifest is a mapping with a kind, not {manifest!r}")
        if manifest["kind"] == "List":
            yield from _all(manifest.get("items") or ())
        else:
            yield manifest


def _parse(text: str) -> list[Manifest]:
    try:
        import yaml  # noqa: PLC0415 - an extra, and needed for text alone
    except ImportError as error:
        raise ValueError(
            "manifests as text need PyYAML: pip install 'headless_discovery[yaml]', or give dicts"
        ) from error
    try:
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def _put(manifest: Manifest) -> Put:
    kind = manifest["kind"]
    readers: dict[str, Callable[[Manifest], Put]] = {
        "Namespace": _namespace,
        "Service": _service,
        "Pod": _pod,
        "EndpointSlice": _slice,
    }
    if kind not in readers:
        raise ValueError(
            f"kind: {kind!r} changes no answer here; known: {', '.join(readers)}, List"
        )
    if not (manifest.get("metadata") or {}).get("name"):
        raise ValueError(f"a {kind} without metadata.name")
    try:
        return readers[kind](manifest)
    except (KeyError, TypeError, AttributeError) as error:
        name = manifest["metadata"]["name"]
        raise ValueError(f"{kind} {name!r} is not as Kubernetes has them: {error!r}") from error


def _key(manifest: Manifest) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return metadata.get("namespace") or "default", metadata["name"]


def _namespace(manifest: Manifest) -> Put:
    name = manifest["metadata"]["name"]
    return lambda model: model.namespaces.add(name)


def _service(manifest: Manifest) -> Put:
    namespace, name = _key(manifest)
    spec = manifest.get("spec") or {}
    external = spec["externalName"] if spec.get("type") == "ExternalName" else None
    given = spec.get("clusterIPs") or [spec.get("clusterIP")]
    virtual = tuple(ip for ip in given if ip and ip != "None")
    if external is None and spec.get("clusterIP") != "None" and not virtual:
        raise ValueError(
            f"Service {name!r}: give its clusterIP, 'None' for a headless one: nobody here "
            f"hands out virtual IPs"
        )
    service = Service(
        name,
        namespace,
        ports=tuple(
            ServicePort(
                port.get("name") or "",
                port["port"],
                (port.get("protocol") or "TCP").lower(),
                port.get("targetPort"),
            )
            for port in spec.get("ports") or ()
        ),
        cluster_ips=virtual if external is None else (),
        external_name=external,
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
        families=tuple(
            6 if family == "IPv6" else 4 for family in spec.get("ipFamilies") or ("IPv4",)
        ),
        selector=spec.get("selector") or None,
    )

    def put(model: Model) -> None:
        model.namespaces.add(namespace)
        model.services[namespace, name] = service

    return put


def _pod(manifest: Manifest) -> Put:
    namespace, name = _key(manifest)
    metadata = manifest["metadata"]
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    addresses = [ip["ip"] for ip in status.get("podIPs") or ()]
    if not addresses and status.get("podIP"):
        addresses = [status["podIP"]]
    pod = Pod(
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
            Port(
                port.get("name") or "",
                port["containerPort"],
                (port.get("protocol") or "TCP").lower(),
            )
            for container in spec.get("containers") or ()
            for port in container.get("ports") or ()
        ),
        phase=status.get("phase") or "Pending",
        terminating=bool(metadata.get("deletionTimestamp")),
    )

    def put(model: Model) -> None:
        model.namespaces.add(namespace)
        model.pods[namespace, name] = pod

    return put


def _slice(manifest: Manifest) -> Put:
    namespace, name = _key(manifest)
    service = manifest["metadata"]["labels"][_SERVICE_NAME]
    found = Slice(
        service,
        tuple(
            SliceEndpoint(
                address,
                # What is not told counts as ready (Kubernetes API, EndpointConditions).
                ready=(endpoint.get("conditions") or {}).get("ready") is not False,
                hostname=endpoint.get("hostname") or "",
                pod=(endpoint.get("targetRef") or {}).get("name") or "",
            )
            for endpoint in manifest.get("endpoints") or ()
            for address in endpoint["addresses"]
        ),
        tuple(
            Port(port.get("name") or "", port.get("port"), (port.get("protocol") or "TCP").lower())
            for port in manifest.get("ports") or ()
        ),
    )

    def put(model: Model) -> None:
        model.namespaces.add(namespace)
        model.written[namespace, name] = found

    return put
