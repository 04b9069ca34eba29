"""A small client of the Kubernetes API: JSON over HTTPS, and the objects that the tests need."""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

Manifest = Mapping[str, Any]


class APIError(Exception):
    """The API server refused: what was asked, and what it said."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status}: {body[:2000]}")
        self.status = status


class API:
    """One connection; a context manager."""

    def __init__(self, url: str, token: str, certificate: Path) -> None:
        parts = urllib.parse.urlsplit(url)
        context = ssl.create_default_context(cafile=str(certificate))
        self._connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, context=context, timeout=30
        )
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
    ) -> Any:
        """The parsed answer; raises `APIError` for any status but success."""
        self._connection.request(
            method,
            path,
            None if body is None else json.dumps(body),
            {"Authorization": f"Bearer {self._token}", "Content-Type": content_type},
        )
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status >= 300:
            raise APIError(method, path, response.status, text)
        return json.loads(text) if text.startswith("{") else text

    def is_ready(self) -> bool:
        """Whether the API server says that it is."""
        try:
            self.request("GET", "/readyz")
        except APIError:
            return False
        return True

    def create(self, path: str, manifest: Manifest) -> Any:
        """POST."""
        return self.request("POST", path, manifest)

    def bind(self, namespace: str, pod: str, node: str) -> None:
        """Puts a Pod on a node, as the scheduler does."""
        path = f"{collection('Pod', namespace)}/{pod}/binding"
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}}
        self.create(path, {**binding, "target": target})

    def merge(self, path: str, patch: Manifest) -> Any:
        """PATCH, as a JSON merge."""
        return self.request("PATCH", path, patch, "application/merge-patch+json")

    def delete(self, path: str, *, now: bool = True) -> None:
        """Deletes; ``now=False`` leaves a Pod terminating, since no kubelet ends it."""
        self.request("DELETE", path, {"gracePeriodSeconds": 0} if now else None)

    def apply(self, manifest: Manifest) -> None:
        """Creates an object as a user would write it; a Pod's status is set as a kubelet does.

        A Pod with a ``deletionTimestamp`` is created, then deleted gracefully: it is terminating.
        """
        kind, metadata = manifest["kind"], manifest["metadata"]
        if kind == "Namespace":
            self.create("/api/v1/namespaces", manifest)
            return
        path = collection(kind, metadata["namespace"])
        wanted = dict(manifest)
        status = wanted.pop("status", None)
        terminating = "deletionTimestamp" in metadata
        wanted["metadata"] = {k: v for k, v in metadata.items() if k != "deletionTimestamp"}
        self.create(path, wanted)
        if status is not None:
            self.merge(f"{path}/{metadata['name']}/status", {"status": status})
        if terminating:
            self.delete(f"{path}/{metadata['name']}", now=False)


def collection(kind: str, namespace: str) -> str:
    """The path of all objects of a kind."""
    group, plural = {
        "Service": ("/api/v1", "services"),
        "Pod": ("/api/v1", "pods"),
        "Endpoints": ("/api/v1", "endpoints"),
        "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
        "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
        "StatefulSet": ("/apis/apps/v1", "statefulsets"),
        "Deployment": ("/apis/apps/v1", "deployments"),
        "ReplicaSet": ("/apis/apps/v1", "replicasets"),
        "DaemonSet": ("/apis/apps/v1", "daemonsets"),
        "Job": ("/apis/batch/v1", "jobs"),
        "CronJob": ("/apis/batch/v1", "cronjobs"),
        "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
        "ServiceAccount": ("/api/v1", "serviceaccounts"),
        "ConfigMap": ("/api/v1", "configmaps"),
        "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
        "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    }[kind]
    return f"{group}/namespaces/{namespace}/{plural}"


def namespace(name: str) -> Manifest:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(
    name: str,
    in_namespace: str,
    *,
    ports: Sequence[Manifest] = (),
    cluster_ip: str | None = "None",
    publish_not_ready: bool = False,
    families: Sequence[str] = ("IPv4",),
    selector: Mapping[str, str] | None = None,
    external_name: str | None = None,
    **more: Any,
) -> Manifest:
    """A Service, headless unless told otherwise; ``cluster_ip=None`` lets the server choose.

    Its selector is ``app: <name>``; an empty one makes a Service without selector.
    """
    spec: dict[str, Any] = {"ports": list(ports)} if ports else {}
    if external_name is not None:
        spec |= {"type": "ExternalName", "externalName": external_name}
    else:
        if cluster_ip is not None:
            spec["clusterIP"] = cluster_ip
        spec |= {
            "ipFamilies": list(families),
            "ipFamilyPolicy": "RequireDualStack" if len(families) > 1 else "SingleStack",
        }
        chosen = {"app": name} if selector is None else dict(selector)
        if chosen:
            spec["selector"] = chosen
    if publish_not_ready:
        spec["publishNotReadyAddresses"] = True
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": in_namespace},
        "spec": spec | more,
    }


def port(
    number: int, name: str | None = None, *, target: int | str | None = None, protocol: str = "TCP"
) -> Manifest:
    """One port of a Service."""
    found: dict[str, Any] = {"port": number, "protocol": protocol}
    if name is not None:
        found["name"] = name
    if target is not None:
        found["targetPort"] = target
    return found


def pod(
    name: str,
    in_namespace: str,
    addresses: Sequence[str],
    *,
    app: str,
    ready: bool = True,
    hostname: str | None = None,
    subdomain: str | None = None,
    ports: Mapping[str, int] | None = None,
    host_network: bool = False,
    phase: str = "Running",
    terminating: bool = False,
    node: str = "node",
) -> Manifest:
    """A Pod with its status, as a kubelet would report it."""
    container: dict[str, Any] = {"name": "app", "image": "app"}
    if ports or host_network:
        container["ports"] = [
            {"name": named, "containerPort": number} for named, number in (ports or {}).items()
        ]
    spec: dict[str, Any] = {"containers": [container], "nodeName": node}
    if hostname is not None:
        spec["hostname"] = hostname
    if subdomain is not None:
        spec["subdomain"] = subdomain
    if host_network:
        spec["hostNetwork"] = True
    metadata: dict[str, Any] = {"name": name, "namespace": in_namespace, "labels": {"app": app}}
    if terminating:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": status(addresses, ready=ready, phase=phase),
    }


def status(addresses: Sequence[str], *, ready: bool, phase: str = "Running") -> Manifest:
    """A Pod's status."""
    found: dict[str, Any] = {
        "phase": phase,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    if addresses:
        found["podIP"] = addresses[0]
        found["podIPs"] = [{"ip": address} for address in addresses]
    return found


def endpoint_slice(
    name: str,
    in_namespace: str,
    *,
    of: str,
    endpoints: Sequence[Manifest],
    ports: Sequence[Manifest] = (),
    family: str = "IPv4",
) -> Manifest:
    """A hand-made EndpointSlice of the Service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": in_namespace,
            "labels": {"kubernetes.io/service-name": of},
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": list(ports),
    }
