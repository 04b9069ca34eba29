"""What the API server of a fake cluster says of EndpointSlices: bytes, on the cluster's clock.

The bytes are as those recorded from kube-apiserver (tests/recorded/endpoint-slices.txt). There is
no socket and no thread: a watch gets its bytes when the clock advances.
"""

import itertools
import json
import math
import uuid
from collections.abc import Container, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from .._api.protocol import Pauses, Watch
from .._api.server import EndpointSlices
from .._time.clock import Clock
from ._addresses import family_of
from ._clock import FakeClock
from ._model import Key, Model, Service, Slice, SliceEndpoint
from ._resolver import FakeResolver

ApiFailure = Literal["api-down", "api-gone", "api-forbidden"]
_Object = dict[str, Any]
_SERVER = "https://api.fake"
_CREATED = "2026-01-01T00:00:00Z"
_GROUP = "/apis/discovery.k8s.io/v1/namespaces/"


class FakeApi:
    """EndpointSlices of a model, and who watches them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.failure: ApiFailure | None = None
        self.failures_left: float = math.inf
        self.broken: int = 0
        """How often all watches were disconnected."""
        self._said: dict[Key, dict[str, _Object]] = {}
        """The slices of each Service as last said."""

    def fail(self, kind: ApiFailure, times: int | None) -> None:
        """Disconnects all watches, and fails so many requests, or all until `heal`."""
        self.failure, self.failures_left = kind, math.inf if times is None else times
        self.broken += 1

    def heal(self) -> None:
        """Fails no more."""
        self.failure = None

    def fails(self, *, resumed: bool) -> ApiFailure | None:
        """How the next request fails, if it does: a version is gone only if there is one."""
        if self.failure is None or (self.failure == "api-gone" and not resumed):
            return None
        if not self.failures_left:
            self.failure = None
        self.failures_left -= 1
        return self.failure

    def slices(self, key: Key) -> dict[str, _Object]:
        """The slices of a Service by their names; one that did not change has its old version."""
        model, before = self.model, self._said.get(key, {})
        service, slices = model.services.get(key), model.slices(key)
        found = {one.name: _written(key, one) for one in slices if one.name}
        if service is not None and service.external_name:  # the controller leaves what there was
            found |= before
        elif service is not None:
            derived = [one for one in slices if not one.name]
            for one in derived or ([Slice((), ())] if service.selector else ()):
                made = _derived(service, one, found)
                found[made["metadata"]["name"]] = made
        for name, each in found.items():
            if name in before:
                each["metadata"]["resourceVersion"] = before[name]["metadata"]["resourceVersion"]
            if each != before.get(name):
                each["metadata"]["resourceVersion"] = str(model.version)
        self._said[key] = found
        return found


def _written(key: Key, one: Slice) -> _Object:
    labels = {"kubernetes.io/service-name": key[1]}
    metadata = {"labels": labels, "managedFields": _managed("unknown", {"f:addressType": {}})}
    return _slice({"name": one.name}, key[0], metadata, _kind(one), one)


def _derived(service: Service, one: Slice, others: Container[str]) -> _Object:
    """As its controller writes it; it differs for one without endpoints, a placeholder."""
    mirrored = "" if service.selector else "mirroring"
    labels = {
        "endpointslice.kubernetes.io/managed-by": f"endpointslice{mirrored}-controller.k8s.io",
        "kubernetes.io/service-name": service.name,
    }
    if not service.cluster_ips:
        labels["service.kubernetes.io/headless"] = ""
    annotations = {"endpoints.kubernetes.io/last-change-trigger-time": _CREATED}
    owner = {
        "apiVersion": "v1", "kind": "Service", "name": service.name, "uid": service.uid,
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    fields: _Object = {
        "f:generateName": {},
        "f:labels": _names_of(labels),
        "f:ownerReferences": {".": {}, f'k:{{"uid":"{service.uid}"}}': {}},
    }
    if one.endpoints:
        wrote = {"f:addressType": {}, "f:endpoints": {}, "f:metadata": fields, "f:ports": {}}
    else:
        fields = {"f:annotations": _names_of(annotations), **fields}
        wrote = {"f:addressType": {}, "f:metadata": fields}
    kind = _kind(one, service.families[0])
    # A name that stays: of what its endpoints have in common, and its number among those.
    shape = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}{one.ports}").hex[:5]
    names = (f"{service.name}-{shape}{number or ''}" for number in itertools.count())
    name = next(name for name in names if name not in others)
    metadata = {
        "labels": labels,
        **({} if one.endpoints else {"annotations": annotations}),
        "ownerReferences": [owner],
        "managedFields": _managed("endpointslice", wrote),
    }
    named = {"name": name, "generateName": f"{service.name}-"}
    return _slice(named, service.namespace, metadata, kind, one)


def _slice(named: _Object, namespace: str, metadata: _Object, kind: str, one: Slice) -> _Object:
    ports = [
        {"name": port.name, "protocol": port.protocol.upper()}
        | ({} if port.number is None else {"port": port.number})
        for port in one.ports
    ]
    text = f"{namespace}/{named['name']}"
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            **named,
            "namespace": namespace,
            "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, text)),
            "resourceVersion": "0",
            "generation": 1,
            "creationTimestamp": _CREATED,
            **metadata,
        },
        "addressType": kind,
        "endpoints": [_endpoint(namespace, each) for each in one.endpoints] or None,
        "ports": ports or None,
    }


def _endpoint(namespace: str, one: SliceEndpoint) -> _Object:
    target = {"kind": "Pod", "namespace": namespace, "name": one.pod, "uid": one.uid}
    optional = {
        "hostname": one.hostname,
        "targetRef": one.pod and target,
        "nodeName": one.node,
        "zone": one.zone,
    }
    told = {key: value for key, value in optional.items() if value}
    return {"addresses": [one.address], "conditions": one.conditions, **told}


def _kind(one: Slice, otherwise: int = 4) -> str:
    return f"IPv{family_of(one.endpoints[0].address) if one.endpoints else otherwise}"


def _names_of(given: Mapping[str, str]) -> _Object:
    return {".": {}, **{f"f:{key}": {} for key in given}}


def _managed(by: str, fields: _Object) -> list[_Object]:
    return [
        {
            "manager": by, "operation": "Update", "apiVersion": "discovery.k8s.io/v1",
            "time": _CREATED, "fieldsType": "FieldsV1", "fieldsV1": fields,
        }
    ]  # fmt: skip


class FakeSlices(EndpointSlices):
    """``cluster.slices``: for code that makes its own ``peers(..., source=cluster.slices)``."""

    def __init__(self, api: FakeApi, resolver: FakeResolver, *, endpoint_pod_names: bool) -> None:
        super().__init__(server=_SERVER, endpoint_pod_names=endpoint_pod_names)
        self._api = api
        self._resolver = resolver

    def check(self) -> None:
        """It needs no library."""

    def resolver(self) -> FakeResolver:
        """Where this process runs, as the fake cluster has it."""
        return self._resolver

    def own_addresses(self) -> tuple[str, ...]:
        """Those of the pod that sends the query, if it is one."""
        return self._resolver.own_addresses()

    @property
    def no_streams(self) -> set[str]:
        """It streams."""
        return set()

    def background(self, watch: Watch, clock: Clock) -> "_FakeWatcher":
        """Follows them as the clock comes by, once it is started."""
        return _FakeWatcher(self._api, watch, clock)

    def background_async(self, watch: Watch, clock: Clock) -> "_FakeWatcher":
        """The same, as a task's."""
        return self.background(watch, clock)


class _FakeWatcher:
    """Work for the clock: one watch, and the bytes for it."""

    def __init__(self, api: FakeApi, watch: Watch, clock: Clock) -> None:
        if not isinstance(clock, FakeClock):
            raise ValueError(  # noqa: TRY004 - one kind of error for all misuse
                "a fake cluster's slices go by its clock: give clock=cluster.clock"
            )
        self._api = api
        self.watch = watch
        self._clock = clock
        self._stopped = False
        self._service: Key | None = None  # while a response is open
        self._said: dict[str, _Object] = {}
        self._version = self._broken = -1
        self._ends_at = math.inf

    # As the background of a `Peers`, and as its task.

    def runs(self) -> bool:
        """Whether it is open."""
        return not self._stopped

    def start(self) -> None:
        """Begins."""
        self._clock.background(self).start()

    def hurry(self) -> None:
        """Requests them now, even during backoff."""
        self.watch.hurry(self._clock.now())

    def stop(self) -> None:
        """Ends."""
        self._stopped = True

    def join(self) -> None:
        """Nothing happens while the clock is not advanced."""

    async def ended(self) -> None:
        """The same, of a task."""

    # As work of the clock.

    def due(self) -> float | None:
        """When there is something to do."""
        if self._stopped:
            return None
        if self._service is None:
            return self.watch.wake_at
        if self._version != self._api.model.version or self._broken != self._api.broken:
            return self._clock.now()
        return min(self.watch.wake_at, self._ends_at)

    def paced(self) -> Iterator[float]:
        """Does it; that takes no time."""
        for _ in self._turn(self._clock.now()):
            pass
        yield from ()

    def _turn(self, now: float) -> Pauses:
        if self._service is None:
            path = self.watch.next(now)
            if path is not None:
                yield from self._asked(path, now)
        elif self._broken != self._api.broken:
            self._service = None
            yield from self.watch.ended("connection reset", now)
        elif now >= self._ends_at:
            self._service = None
            yield from self.watch.ended(None, now)
        else:
            yield from self._changes(self._service, now)
        yield from self.watch.tick(now)
        if self.watch.finished:
            self._service = None

    def _asked(self, path: str, now: float) -> Pauses:
        watch, api = self.watch, self._api
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        namespace = parts.path.removeprefix(_GROUP).partition("/")[0]
        key = namespace, query["labelSelector"].partition("=")[2]
        since = query.get("resourceVersion")
        match api.fails(resumed=since is not None):
            case "api-down":
                yield from watch.ended("[Errno 111] Connection refused", now)
                return
            case "api-forbidden":
                yield from self._refused(403, "Forbidden", _forbidden(namespace), now)
                return
            case "api-gone":
                said = f"too old resource version: {since} ({api.model.version})"
                yield from self._refused(410, "Expired", said, now)
                return
        self._service = key
        self._ends_at = now + float(query["timeoutSeconds"])
        self._version, self._broken = api.model.version, api.broken
        watch.answered(200, {}, now)
        if since is not None:
            yield from self._changes(key, now)
            return
        self._said = api.slices(key)
        for found in self._said.values():
            yield from watch.received(_event("ADDED", found), now)
        yield from watch.received(_event("BOOKMARK", _first_bookmark(self._version)), now)

    def _refused(self, code: int, reason: str, message: str, now: float) -> Pauses:
        self.watch.answered(code, {"content-type": "application/json"}, now)
        yield from self.watch.received(_json(_status(code, reason, message)), now)
        yield from self.watch.ended(None, now)

    def _changes(self, service: Key, now: float) -> Pauses:
        """What changed since the last message of the watch."""
        before, version = self._said, self._api.model.version
        self._said = after = self._api.slices(service)
        self._version = version
        events: list[tuple[int, bytes]] = []
        for name, found in after.items():
            if before.get(name) != found:
                kind = "MODIFIED" if name in before else "ADDED"
                since = int(found["metadata"]["resourceVersion"])
                events.append((since, _event(kind, found)))
        for name in before.keys() - after.keys():
            metadata = {**before[name]["metadata"], "resourceVersion": str(version)}
            gone = {**before[name], "metadata": metadata}
            events.append((version, _event("DELETED", gone)))
        for _, data in sorted(events):
            yield from self.watch.received(data, now)


def _json(found: object) -> bytes:
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()


def _event(kind: str, found: _Object) -> bytes:
    return _json({"type": kind, "object": found}) + b"\n"


def _first_bookmark(version: int) -> _Object:
    """What ends the slices that a watch begins with."""
    annotations = {"k8s.io/initial-events-end": "true"}
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"resourceVersion": str(version), "annotations": annotations},
        "addressType": "",
        "endpoints": None,
        "ports": None,
    }


def _status(code: int, reason: str, message: str) -> _Object:
    details = {"details": {"group": "discovery.k8s.io", "kind": "endpointslices"}}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        **(details if code == 403 else {}),
        "code": code,
    }


def _forbidden(namespace: str) -> str:
    return (
        'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:'
        f'{namespace}:default" cannot watch resource "endpointslices" in API group '
        f'"discovery.k8s.io" in the namespace "{namespace}"'
    )
