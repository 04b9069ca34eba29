"""EndpointSlices as the API server writes them, for tests."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]
HTTP: Sequence[Mapping[str, Any]] = ({"name": "http", "port": 8080, "protocol": "TCP"},)


def endpoint(
    *addresses: str,
    ready: bool | None = True,
    serving: bool | None = None,
    terminating: bool | None = None,
    hostname: str | None = None,
    pod: str | None = None,
    uid: str | None = None,
    zone: str | None = None,
    node: str | None = None,
) -> Object:
    found: Object = {"addresses": list(addresses)}
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    found["conditions"] = {k: v for k, v in conditions.items() if v is not None}
    found |= {k: v for k, v in (("hostname", hostname), ("zone", zone), ("nodeName", node)) if v}
    if pod is not None:
        found["targetRef"] = {"kind": "Pod", "name": pod, "uid": uid or f"uid-of-{pod}"}
    return found


def slice_of(
    name: str,
    *endpoints: Object,
    ports: Sequence[Mapping[str, Any]] | None = HTTP,
    kind: str = "IPv4",
    version: int = 1,
    labels: Mapping[str, str] | None = None,
    service: str = "web",
) -> Object:
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "resourceVersion": str(version),
            "labels": {"kubernetes.io/service-name": service, **(labels or {})},
        },
        "addressType": kind,
        "endpoints": list(endpoints) or None,
        "ports": None if ports is None else list(ports),
    }


def many(count: int, *, start: int = 0, ready: bool = True) -> Object:
    """A slice of so many endpoints, as large as those of a real cluster."""
    return slice_of(
        f"s{start}",
        *(
            endpoint(
                f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}",
                ready=ready,
                pod=f"web-7d4b9c6f5-{at:05}",
                uid=f"3609c983-6c18-414b-aa16-{at:012}",
                zone="eu-central-1a",
                node=f"ip-10-0-0-{at % 100}.eu-central-1.compute.internal",
            )
            for at in range(start, start + count)
        ),
        ports=HTTP,
    )


def event(kind: str, found: Object) -> bytes:
    return json.dumps({"type": kind, "object": found}, separators=(",", ":")).encode() + b"\n"


def bookmark(version: int, *, end: bool = False) -> bytes:
    metadata: Object = {"resourceVersion": str(version)}
    if end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return event("BOOKMARK", {"kind": "EndpointSlice", "metadata": metadata, "endpoints": None})


def status(code: int, reason: str, message: str) -> Object:
    return {"kind": "Status", "code": code, "reason": reason, "message": message}
