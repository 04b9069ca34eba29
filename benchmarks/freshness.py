"""How soon a change is seen, from the patch of a pod's readiness to `on_change`; and its price.

On the real control plane (tests/cluster), which it starts: of 120 pods 100 turn unready and ready
again, one after the other, and all contenders see the same changes side by side. Then some pods
are replaced, and what the API server sends to one watch is counted.
"""

import contextlib
import http.client
import os
import random
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
from kubernetes import client, watch
from urllib3.exceptions import HTTPError

from headless_discovery import Change, Resolver, peers
from headless_discovery.kubernetes import EndpointSlices
from tests.cluster import api as kubernetes
from tests.cluster.api import API
from tests.cluster.control_plane import ControlPlane, Corefile, build

from ._measure import Table

_PODS = 120
_CHANGING = 100
_BETWEEN = 0.25
"""Seconds from one change to the next, more or less."""
_SETTLE = 130.0
"""Seconds at most until the last one has seen the last change: a cache's 30, twice confirmed."""
_REPLACED = 20
_STEP = 0.05
"""Seconds between what happens to a pod, so that each is an event."""
_NAMESPACE = "freshness"


@attrs.define
class _Seen:
    """When somebody first knew of each change."""

    ready: frozenset[str] = frozenset()
    when: dict[tuple[str, bool], float] = attrs.field(factory=dict)

    def take(self, ready: Iterable[str]) -> None:
        """What is listed by now."""
        now, after = time.monotonic(), frozenset(ready)
        for address in self.ready ^ after:
            self.when.setdefault((address, address in after), now)
        self.ready = after

    def told(self, change: Change) -> None:
        """As a listener."""
        self.take(each.address for each in change.snapshot.endpoints)

    def forget(self) -> None:
        """What was seen at the start is no change."""
        self.when.clear()


class _Freshness(Table):
    """Milliseconds by contender."""

    def __init__(self, rows: dict[str, dict[str, list[float]]], behind: list[float]) -> None:
        super().__init__("A pod's readiness changes", "source='api'")
        self._rows = rows
        self._behind = behind

    def markdown(self) -> str:
        """Median and worst, of additions and of removals."""
        lines = [
            f"**From the patch of a pod's readiness to `on_change`** ({_CHANGING} of each)",
            "",
            "| | a pod comes: median | worst | a pod leaves: median | worst |",
            "|---|---|---|---|---|",
        ]
        for row, kinds in self._rows.items():
            cells = [
                f"{figure(kinds[kind]) * 1000:,.0f} ms"
                for kind in ("comes", "leaves")
                for figure in (statistics.median, max)
            ]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        lines += [
            "",
            'Of the same change, `source="api"` tells its listeners '
            f"{statistics.median(self._behind) * 1000:.1f} ms after the official client in the "
            "median: 20 ms of that is the time that it waits for further changes.",
        ]
        return "\n".join(lines)


class _Cost(Table):
    """What the API server sends, by how many watch."""

    def __init__(self, events: float, size: float, small: float) -> None:
        super().__init__("A pod is replaced", "source='api'")
        self._events, self._size, self._small = events, size, small

    def markdown(self) -> str:
        """For one pod, and for all, where each pod of the Service watches it."""
        lines = [
            f"**What a replaced pod costs** (one of {_PODS}): {self._events:.1f} events, "
            f"{self._size / 1e3:.0f} kB of JSON for each watch; in protobuf, as kube-proxy reads "
            f"them, {self._small / 1e3:.0f} kB.",
            "",
            "| pods, each of which watches them all | connections | sent when one pod is replaced "
            "| sent when all are replaced |",
            "|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {pods:,} | {pods:,} | {pods * self._size / 1e6:,.0f} MB "
            f"| {pods * pods * self._size / 1e9:,.0f} GB |"
            for pods in (100, 1_000, 10_000)
        ]
        return "\n".join(lines)


def run() -> list[Table]:
    """All contenders beside one another."""
    build()
    with ControlPlane() as plane, tempfile.TemporaryDirectory() as folder:
        environment = plane.environment()
        if plane.name_servers is None:
            raise RuntimeError("the control plane has no name servers")
        long = plane.name_servers.coredns(Corefile(ttl=30))
        cached = plane.name_servers.coredns(Corefile(ttl=30, cache=30))
        token = Path(folder) / "token"
        token.write_text(environment["CLUSTER_TOKEN"])
        certificate = Path(environment["CLUSTER_CERTIFICATE"])
        slices = EndpointSlices(
            server=environment["CLUSTER_API"], token_file=token, ca_file=certificate
        )
        with API(environment["CLUSTER_API"], environment["CLUSTER_TOKEN"], certificate) as api:
            pods = _make(api)
            seen = {name: _Seen() for name in ("api", "kubernetes", "dns", "long", "kubeadm")}
            with (
                _following(seen["api"], source=slices),
                _official(environment, seen["kubernetes"]),
                _following(seen["dns"], resolver=Resolver([environment["CLUSTER_NAMESERVER"]])),
                _following(seen["long"], resolver=Resolver([long])),
                _following(seen["kubeadm"], resolver=Resolver([cached])),
            ):
                _wait(seen.values(), lambda one: len(one.ready) == _PODS)
                for one in seen.values():
                    one.forget()
                patched = _change(api, pods, ready=False)
                _wait(seen.values(), lambda one: one.when.keys() >= patched.keys())
                patched |= _change(api, pods, ready=True)
                _wait(seen.values(), lambda one: one.when.keys() >= patched.keys())
            cost = _replace(environment, api)
    names = {
        "api": '`source="api"`',
        "kubernetes": "kubernetes (PyPI), `watch.Watch`",
        "dns": "DNS, `ttl 5`, no cache",
        "long": "DNS, `ttl 30`, no cache",
        "kubeadm": "DNS as kubeadm sets it up (`ttl 30`, `cache 30`)",
    }
    behind = [
        at - seen["kubernetes"].when[change]
        for change, at in seen["api"].when.items()
        if change in patched
    ]
    took = {names[name]: _took(patched, one) for name, one in seen.items()}
    return [_Freshness(took, behind), cost]


def _took(patched: dict[tuple[str, bool], float], seen: _Seen) -> dict[str, list[float]]:
    return {
        kind: [seen.when[key] - at for key, at in patched.items() if key[1] is ready]
        for kind, ready in (("comes", True), ("leaves", False))
    }


def _make(api: API) -> dict[str, str]:
    api.apply(kubernetes.namespace(_NAMESPACE))
    ports = [kubernetes.port(80, "http", target=8080)]
    api.apply(kubernetes.service("web", _NAMESPACE, ports=ports))
    pods = {f"web-{at}": f"10.244.{at // 250}.{at % 250 + 1}" for at in range(_PODS)}
    for name, address in pods.items():
        api.apply(kubernetes.pod(name, _NAMESPACE, [address], app="web"))
    return pods


def _change(api: API, pods: dict[str, str], *, ready: bool) -> dict[tuple[str, bool], float]:
    """Some pods turn unready, or ready again, one after the other; when that was asked for."""
    rng = random.Random(0)
    patched: dict[tuple[str, bool], float] = {}
    for name, address in rng.sample(list(pods.items()), _CHANGING):
        patched[address, ready] = time.monotonic()
        api.merge(
            f"/api/v1/namespaces/{_NAMESPACE}/pods/{name}/status",
            {"status": kubernetes.status([address], ready=ready)},
        )
        time.sleep(rng.uniform(0, 2 * _BETWEEN))
    return patched


def _replace(environment: dict[str, str], api: API) -> _Cost:
    """Pods come, unready at first, and old ones terminate, then go, as in a rolling update."""
    with contextlib.ExitStack() as stack:
        json, protobuf = (
            stack.enter_context(_counting(environment, kind))
            for kind in ("application/json", "application/vnd.kubernetes.protobuf;stream=watch")
        )
        time.sleep(1)
        before = list(json), list(protobuf)
        path = kubernetes.collection("Pod", _NAMESPACE)
        for at in range(_REPLACED):
            address = [f"10.244.9.{at + 1}"]
            api.apply(kubernetes.pod(f"new-{at}", _NAMESPACE, address, app="web", ready=False))
            time.sleep(_STEP)
            status = {"status": kubernetes.status(address, ready=True)}
            api.merge(f"{path}/new-{at}/status", status)
            time.sleep(_STEP)
            api.delete(f"{path}/web-{at}", now=False)
            time.sleep(_STEP)
            api.delete(f"{path}/web-{at}")
            time.sleep(_STEP)
        events = sum(data.count(b'{"type":') for data in json[len(before[0]) :])
        sizes = [
            sum(map(len, all_[len(old) :])) / _REPLACED
            for all_, old in zip((json, protobuf), before, strict=True)
        ]
    return _Cost(events / _REPLACED, *sizes)


@contextlib.contextmanager
def _counting(environment: dict[str, str], kind: str) -> Iterator[list[bytes]]:
    """All that a watch is sent."""
    server = urlsplit(environment["CLUSTER_API"])
    context = ssl.create_default_context(cafile=environment["CLUSTER_CERTIFICATE"])
    connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=context)
    path = kubernetes.collection("EndpointSlice", _NAMESPACE)
    headers = {"Authorization": f"Bearer {environment['CLUSTER_TOKEN']}", "Accept": kind}
    connection.request("GET", f"{path}?watch=true&timeoutSeconds=60", headers=headers)
    response, received = connection.getresponse(), []

    def read() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            while data := response.read1():
                received.append(data)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    try:
        yield received
    finally:
        connection.sock.shutdown(socket.SHUT_RDWR)
        reading.join(5)
        connection.close()


@contextlib.contextmanager
def _following(seen: _Seen, **arguments: object) -> Iterator[None]:
    with peers("web", namespace=_NAMESPACE, port="http", **arguments) as found:  # type: ignore[arg-type] # a source or a resolver
        found.on_change(seen.told)
        seen.take(each.address for each in found.wait_ready(_PODS, timeout=60).endpoints)
        yield


@contextlib.contextmanager
def _official(environment: dict[str, str], seen: _Seen) -> Iterator[None]:
    """The official client's own watch, as its examples have it."""
    configuration = client.Configuration()
    configuration.host = environment["CLUSTER_API"]
    configuration.ssl_ca_cert = environment["CLUSTER_CERTIFICATE"]
    configuration.api_key = {"authorization": f"Bearer {environment['CLUSTER_TOKEN']}"}
    discovery = client.DiscoveryV1Api(client.ApiClient(configuration))
    official: Any = watch  # which has no types
    watching = official.Watch()

    def follow() -> None:
        slices: dict[str, list[str]] = {}
        for event in watching.stream(
            discovery.list_namespaced_endpoint_slice,
            _NAMESPACE,
            label_selector="kubernetes.io/service-name=web",
        ):
            found = event["object"]
            slices[found.metadata.name] = [
                endpoint.addresses[0]
                for endpoint in found.endpoints or ()
                if event["type"] != "DELETED" and endpoint.conditions.ready
            ]
            seen.take(address for each in slices.values() for address in each)

    def until_the_end() -> None:
        with contextlib.suppress(HTTPError):  # its server has gone away
            follow()

    threading.Thread(target=until_the_end, daemon=True).start()
    try:
        yield
    finally:
        watching.stop()


def _wait(seen: Iterable[_Seen], what: Callable[[_Seen], bool]) -> None:
    until = time.monotonic() + _SETTLE
    while not all(map(what, seen)):
        if time.monotonic() > until:
            raise TimeoutError(f"waited {_SETTLE:g} s on {os.uname().nodename}")
        time.sleep(0.05)
