"""What the API server of a fake cluster says of EndpointSlices: bytes, on the cluster's clock.

The bytes are as those recorded from kube-apiserver (tests/recorded/endpoint-slices.txt). There is
no socket and no thread: a watch gets its bytes when the clock advances.
"""

import json
import math
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, urlsplit

from .._api.protocol import Pauses, Watch
from .._api.server import EndpointSlices
from .._time.clock import Clock
from ._clock import FakeClock
from ._model import Model, Pod, Service, Slice, SliceEndpoint, family_of
from ._resolver import FakeResolver

ApiFailure = Literal["api-down", "api-gone", "api-forbidden"]
API_FAILURES: tuple[ApiFailure, ...] = get_args(ApiFailure)
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
        self._uids: dict[int, tuple[object, str]] = {}
        # Of each Service: its slices as last said, and since which version.
        self._versions: dict[tuple[str, str], dict[str, tuple[str, int]]] = {}

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

    def slices(self, namespace: str, name: str) -> dict[str, bytes]:
        """The slices of a Service by their names, as JSON."""
        service = self.model.services.get((namespace, name))
        found = self._written(namespace, name, service)
        before = self._versions.get((namespace, name), {})
        if service is not None and service.external_name:  # the controller leaves what there was
            found |= {key: json.loads(text) for key, (text, _) in before.items()}
        elif service is not None:
            found |= self._derived(service)
        after = self._versions[namespace, name] = {}
        said: dict[str, bytes] = {}
        for key, each in found.items():
            text = _json(each)
            was, version = before.get(key, ("", 0))
            after[key] = text, version if was == text else self.model.version
            each["metadata"]["resourceVersion"] = str(after[key][1])
            said[key] = _json(each).encode()
        return said

    def _written(self, namespace: str, name: str, service: Service | None) -> dict[str, _Object]:
        held = None if service is None else set(map(id, self.model.slices(service)))
        return {
            own: self._slice(namespace, own, one, {"kubernetes.io/service-name": name})
            for (where, own), one in self.model.written.items()
            if (where, one.service) == (namespace, name) and (held is None or id(one) in held)
        }

    def _derived(self, service: Service) -> dict[str, _Object]:
        by_hand = {id(one) for one in self.model.written.values()}
        derived = [one for one in self.model.slices(service) if id(one) not in by_hand]
        if not derived and service.selector:
            derived = [Slice(service.name, (), ())]
        mirrored = "" if service.selector else "mirroring"
        labels = {
            "endpointslice.kubernetes.io/managed-by": f"endpointslice{mirrored}-controller.k8s.io",
            "kubernetes.io/service-name": service.name,
        }
        if not service.cluster_ips:
            labels["service.kubernetes.io/headless"] = ""
        found: dict[str, _Object] = {}
        for one in derived:
            # A name that stays: of what its endpoints have in common, and its number among those.
            shape = f"{_kind(one, service)}{one.ports}"
            number = sum(name.startswith(f"{service.name}-{_suffix(shape)}") for name in found)
            name = f"{service.name}-{_suffix(shape)}{number or ''}"
            made = self._slice(service.namespace, name, one, labels)
            made["addressType"] = _kind(one, service)
            metadata = made["metadata"]
            del metadata["managedFields"]
            if not one.endpoints:
                metadata["annotations"] = {
                    "endpoints.kubernetes.io/last-change-trigger-time": _CREATED
                }
            made["metadata"] = {
                "name": name,
                "generateName": f"{service.name}-",
                **metadata,
                "ownerReferences": [
                    {
                        "apiVersion": "v1",
                        "kind": "Service",
                        "name": service.name,
                        "uid": self._uid(service),
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
                "managedFields": _managed("endpointslice", _fields(metadata, self._uid(service))),
            }
            found[name] = made
        return found

    def _slice(self, namespace: str, name: str, one: Slice, labels: Mapping[str, str]) -> _Object:
        kind = f"IPv{family_of(one.endpoints[0].address)}" if one.endpoints else "IPv4"
        ports = [
            {"name": port.name, "protocol": port.protocol.upper()}
            | ({} if port.number is None else {"port": port.number})
            for port in one.ports
        ]
        return {
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{name}")),
                "resourceVersion": "0",
                "generation": 1,
                "creationTimestamp": _CREATED,
                "labels": dict(labels),
                "managedFields": _managed("unknown", {"f:addressType": {}}),
            },
            "addressType": kind,
            "endpoints": [self._endpoint(namespace, each) for each in one.endpoints] or None,
            "ports": ports or None,
        }

    def _endpoint(self, namespace: str, one: SliceEndpoint) -> _Object:
        pod = self.model.pods.get((namespace, one.pod))
        conditions = {"ready": one.ready}
        if pod is not None:
            conditions |= {"serving": one.ready or pod.ready, "terminating": pod.terminating}
        found: _Object = {"addresses": [one.address], "conditions": conditions}
        if one.hostname:
            found["hostname"] = one.hostname
        if pod is not None:
            found["targetRef"] = {
                "kind": "Pod",
                "namespace": namespace,
                "name": pod.name,
                "uid": self._uid(pod),
            }
        if one.node:
            found["nodeName"] = one.node
        if one.zone:
            found["zone"] = one.zone
        return found

    def _uid(self, found: Pod | Service) -> str:
        """An object's own: another one under its name has another."""
        kept = self._uids.get(id(found))
        if kept is None:
            text = f"{type(found).__name__}/{found.namespace}/{found.name}/{len(self._uids)}"
            kept = self._uids[id(found)] = found, str(uuid.uuid5(uuid.NAMESPACE_URL, text))
        return kept[1]


class FakeSlices(EndpointSlices):
    """``cluster.slices``: for code that makes its own ``peers(..., source=cluster.slices)``."""

    def __init__(
        self, api: FakeApi, resolver: FakeResolver, *, endpoint_pod_names: bool, tentative: bool
    ) -> None:
        super().__init__(server=_SERVER, endpoint_pod_names=endpoint_pod_names)
        self.tentative = tentative
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

    background_async = background


class _FakeWatcher:
    """Work for the clock: one watch, and the bytes for it."""

    def __init__(self, api: FakeApi, watch: Watch, clock: Clock) -> None:
        if not isinstance(clock, FakeClock):
            raise ValueError(  # noqa: TRY004 - one kind of error for all misuse
                "a fake cluster's slices go by its clock: give clock=cluster.clock"
            )
        self._api = api
        self._watch = watch
        self._clock = clock
        self._stopped = False
        self._service: tuple[str, str] | None = None  # while a response is open
        self._said: dict[str, bytes] = {}
        self._version = self._broken = -1
        self._ends_at = math.inf

    # As the background of a `Peers`.

    def runs(self) -> bool:
        """Whether it is open."""
        return not self._stopped

    def start(self) -> None:
        """Begins."""
        self._clock.background(self).start()

    def hurry(self) -> None:
        """Requests them now, even during backoff."""
        self._watch.hurry(self._clock.now())

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
        if self._service is not None and (
            self._version != self._api.model.version or self._broken != self._api.broken
        ):
            return self._clock.now()
        return min(self._watch.wake_at, self._ends_at)

    def paced(self) -> Iterator[float]:
        """Does it; that takes no time."""
        now = self._clock.now()
        if self._service is None:
            path = self._watch.next(now)
            if path is not None:
                _all_of(self._asked(path, now))
        elif self._broken != self._api.broken:
            self._over("connection reset", now)
        elif now >= self._ends_at:
            self._over(None, now)
        else:
            _all_of(self._changes(*self._service, now))
        _all_of(self._watch.tick(now))
        if self._watch.finished:
            self._service, self._ends_at = None, math.inf
        yield from ()

    def _over(self, error: str | None, now: float) -> None:
        self._service, self._ends_at = None, math.inf
        _all_of(self._watch.ended(error, now))

    def _asked(self, path: str, now: float) -> Pauses:
        watch, api = self._watch, self._api
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        namespace = parts.path.removeprefix(_GROUP).partition("/")[0]
        service = query["labelSelector"].partition("=")[2]
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
        self._service = namespace, service
        self._ends_at = now + float(query["timeoutSeconds"])
        self._version, self._broken = api.model.version, api.broken
        watch.answered(200, {}, now)
        if since is not None:
            self._version = int(since)
            yield from self._changes(namespace, service, now)
            return
        self._said = api.slices(namespace, service)
        for found in self._said.values():
            yield from watch.received(_event("ADDED", found), now)
        end = ',"annotations":{"k8s.io/initial-events-end":"true"}'
        yield from watch.received(_bookmark(self._version, end), now)

    def _refused(self, code: int, reason: str, message: str, now: float) -> Pauses:
        self._watch.answered(code, {"content-type": "application/json"}, now)
        yield from self._watch.received(_status(code, reason, message), now)
        yield from self._watch.ended(None, now)

    def _changes(self, namespace: str, service: str, now: float) -> Pauses:
        """What changed since the last message of the watch."""
        before, version = self._said, self._api.model.version
        self._said = after = self._api.slices(namespace, service)
        self._version = version
        events: list[tuple[int, bytes]] = []
        for name, found in after.items():
            if before.get(name) != found:
                at = int(json.loads(found)["metadata"]["resourceVersion"])
                events.append((at, _event("MODIFIED" if name in before else "ADDED", found)))
        for name in before.keys() - after.keys():
            gone = json.loads(before[name])
            gone["metadata"]["resourceVersion"] = str(version)
            events.append((version, _event("DELETED", _json(gone).encode())))
        for _, data in sorted(events):
            yield from self._watch.received(data, now)


def _all_of(pauses: Pauses) -> None:
    for _ in pauses:
        pass


def _json(found: object) -> str:
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _event(kind: str, found: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), found)


def _bookmark(version: int, more: str) -> bytes:
    return _event(
        "BOOKMARK",
        (
            '{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":'
            f'{{"resourceVersion":"{version}"{more}}},"addressType":"","endpoints":null,"ports":null}}'
        ).encode(),
    )


def _kind(one: Slice, service: Service) -> str:
    family = family_of(one.endpoints[0].address) if one.endpoints else service.families[0]
    return f"IPv{family}"


def _suffix(shape: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, shape).hex[:5]


def _fields(metadata: _Object, owner: str) -> _Object:
    """What the controller says that it wrote: of a slice with endpoints, or a placeholder."""
    empty = "annotations" in metadata
    named: _Object = {f"f:{key}": {} for key in metadata["labels"]}
    written: _Object = {
        "f:generateName": {},
        "f:labels": {".": {}, **named},
        "f:ownerReferences": {".": {}, f'k:{{"uid":"{owner}"}}': {}},
    }
    if empty:
        told: _Object = {f"f:{key}": {} for key in metadata["annotations"]}
        return {"f:addressType": {}, "f:metadata": {"f:annotations": {".": {}, **told}, **written}}
    return {"f:addressType": {}, "f:endpoints": {}, "f:metadata": written, "f:ports": {}}


def _managed(by: str, fields: _Object) -> list[_Object]:
    return [
        {
            "manager": by,
            "operation": "Update",
            "apiVersion": "discovery.k8s.io/v1",
            "time": _CREATED,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
    ]


def _status(code: int, reason: str, message: str) -> bytes:
    found: _Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
    }
    if code == 403:
        found["details"] = {"group": "discovery.k8s.io", "kind": "endpointslices"}
    return _json(found | {"code": code}).encode()


def _forbidden(namespace: str) -> str:
    return (
        'endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:'
        f'{namespace}:default" cannot watch resource "endpointslices" in API group '
        f'"discovery.k8s.io" in the namespace "{namespace}"'
    )
