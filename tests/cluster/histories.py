"""Random histories of a namespace, told to the real API server and to a fake cluster alike.

A history is drawn from its seed alone: pods come, go, flip and move, Services change ports, kind,
families and whether they publish pods that are not ready, EndpointSlices are written by hand.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import dns.message
import dns.reversename

from headless_discovery.testing import FakeCluster
from tests.cluster import api as kubernetes
from tests.cluster.api import API, APIError, Manifest
from tests.cluster.conftest import free_address

SERVICES = ("web", "db")
_AT_MOST = 5
"""Pods, so that every answer fits: the server shuffles before it cuts."""
_PORTS: Sequence[Sequence[Manifest]] = (
    (),
    (kubernetes.port(80),),
    (kubernetes.port(80, "http", target=8080),),
    (kubernetes.port(80, "http", target="http"),),
    (
        kubernetes.port(80, "http", target="http"),
        kubernetes.port(7946, "gossip", protocol="UDP"),
    ),
    (kubernetes.port(53, "http"), kubernetes.port(53, "gossip", protocol="UDP")),
)
_FAMILIES = (["IPv4"], ["IPv4"], ["IPv6"], ["IPv4", "IPv6"])


@attrs.define
class History:
    """One namespace's."""

    seed: int
    namespace: str
    api: API
    fake: FakeCluster
    told: list[str] = attrs.field(factory=list)
    """What was done, for whoever looks at a difference."""
    gone: set[str] = attrs.field(factory=set)
    """Services whose EndpointSlices nobody collects."""
    _rng: random.Random = attrs.field(init=False)
    _services: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    _pods: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    _slices: dict[str, Manifest] = attrs.field(factory=dict)
    _addresses: dict[str, None] = attrs.field(factory=dict)
    """All that any pod ever had."""
    _labels: dict[str, None] = attrs.field(factory=dict)
    _made: int = 0

    def __attrs_post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def begin(self) -> None:
        """Makes the namespace, two Services and some pods."""
        self._both("create", kubernetes.namespace(self.namespace))
        for name in SERVICES:
            self._make_service(name)
        for _ in range(self._rng.randint(1, 4)):
            self._add_pod()

    def step(self) -> None:
        """One to three changes."""
        for _ in range(self._rng.randint(1, 3)):
            changes = [self._add_pod, self._change_service, self._change_service, self._remake]
            changes += [self._write_slice] * (1 + bool(self._slices))
            if self._pods:
                changes += [
                    self._flip, self._flip, self._move, self._end, self._terminate, self._delete
                ]  # fmt: skip
            self._rng.choice(changes)()

    # Services.

    def _make_service(self, name: str) -> None:
        rng = self._rng
        kind = rng.choice(["headless", "headless", "headless", "virtual", "alias"])
        if kind == "alias":
            to = rng.choice([f"web.{self.namespace}.svc.cluster.local", "db.example.com"])
            manifest = kubernetes.service(name, self.namespace, external_name=to)
        else:
            ports = rng.choice(_PORTS if kind == "headless" else _PORTS[1:])
            manifest = kubernetes.service(
                name,
                self.namespace,
                ports=ports,
                cluster_ip="None" if kind == "headless" else None,
                publish_not_ready=rng.random() < 0.25,
                families=rng.choice(_FAMILIES),
                selector={} if rng.random() < 0.15 else None,
            )
        made = self.api.create(kubernetes.collection("Service", self.namespace), manifest)
        # The virtual IPs are the API server's to choose.
        given = {k: made["spec"][k] for k in ("clusterIP", "clusterIPs") if k in made["spec"]}
        self._services[name] = {**manifest, "spec": {**manifest["spec"], **given}}
        if "selector" in manifest["spec"]:
            self.gone.discard(name)
        else:
            self.gone.add(name)
        self.fake.apply(self._services[name])
        self.told.append(f"made {name}, {kind}: {manifest['spec']}")

    def _change_service(self) -> None:
        rng = self._rng
        name = rng.choice(SERVICES)
        service = self._services[name]
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            change: dict[str, Any] = {"externalName": rng.choice(["a.example.com", "192.0.2.1"])}
        elif rng.random() < 0.5:
            change = {"publishNotReadyAddresses": not spec.get("publishNotReadyAddresses")}
        else:
            headless = spec["clusterIP"] == "None"
            change = {"ports": list(rng.choice(_PORTS if headless else _PORTS[1:]))}
        spec |= change
        # A whole list takes the place of the old one; one without ports is none.
        self._patch("Service", name, {"spec": {k: v or None for k, v in change.items()}})
        self.fake.apply(service)
        self.told.append(f"{name}: {change}")

    def _remake(self) -> None:
        """Another kind of Service under the same name."""
        name = self._rng.choice(SERVICES)
        self._both("delete", self._services.pop(name))
        self.gone.add(name)
        self.collect()
        self.told.append(f"deleted {name}")
        if self._rng.random() < 0.7:
            self._make_service(name)
        else:
            self._services[name] = dict(kubernetes.service(name, self.namespace, selector={}))
            self._both("create", self._services[name])
            self.told.append(f"made {name} without selector")

    def collect(self) -> None:
        """Deletes the EndpointSlices that were derived for Services which are gone."""
        if not self.gone:
            return
        path = kubernetes.collection("EndpointSlice", self.namespace)
        for item in self.api.request("GET", path)["items"]:
            labels = item["metadata"]["labels"]
            if (
                labels["kubernetes.io/service-name"] in self.gone
                and "endpointslice.kubernetes.io/managed-by" in labels
            ):
                try:
                    self.api.delete(f"{path}/{item['metadata']['name']}")
                except APIError as error:
                    if error.status != 404:
                        raise

    # Pods.

    def _add_pod(self) -> None:
        rng = self._rng
        if len(self._pods) >= _AT_MOST:
            return
        self._made += 1
        app = rng.choice(SERVICES)
        name = f"{app}-{self._made}"
        # Now and then a name that another pod had, or has: several may share a host name.
        hostname = rng.choice([None, None, f"{app}-{rng.randint(0, 3)}"])
        pod = kubernetes.pod(
            name,
            self.namespace,
            self._new_addresses(),
            app=app,
            ready=rng.random() < 0.7,
            hostname=hostname,
            subdomain=None if hostname is None else rng.choice([app, app, "web"]),
            ports=rng.choice([None, {"http": 8080}, {"http": 8081}]),
        )
        self._pods[name] = dict(pod)
        if hostname is not None:
            self._labels[hostname] = None
        self._both("create", pod)
        self.told.append(f"added pod {name}: {pod['spec']} {pod['status']}")

    def _flip(self) -> None:
        pod = self._any_pod()
        if pod["status"]["phase"] != "Running":
            return
        ready = pod["status"]["conditions"][0]["status"] != "True"
        self._set_status(pod, self._addresses_of(pod), ready=ready)

    def _move(self) -> None:
        pod = self._any_pod()
        if pod["status"]["phase"] != "Running":
            return
        ready = pod["status"]["conditions"][0]["status"] == "True"
        self._set_status(pod, self._new_addresses(), ready=ready)

    def _end(self) -> None:
        """Its containers end: no kubelet says of such a pod that it is ready.

        Only of one that is: the controller does not look at a pod again for its phase alone.
        """
        pod = self._any_pod()
        if pod["status"]["conditions"][0]["status"] == "True":
            phase = self._rng.choice(["Failed", "Succeeded"])
            self._set_status(pod, self._addresses_of(pod), ready=False, phase=phase)

    def _terminate(self) -> None:
        pod = self._any_pod()
        if "deletionTimestamp" in pod["metadata"] or pod["status"]["phase"] != "Running":
            return
        pod["metadata"] = {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
        name = pod["metadata"]["name"]
        self.api.delete(f"{kubernetes.collection('Pod', self.namespace)}/{name}", now=False)
        self.fake.apply(pod)
        self.told.append(f"{name} is terminating")

    def _delete(self) -> None:
        pod = self._pods.pop(self._any_pod()["metadata"]["name"])
        self._both("delete", pod)
        self.told.append(f"deleted pod {pod['metadata']['name']}")

    def _any_pod(self) -> dict[str, Any]:
        return self._pods[self._rng.choice(list(self._pods))]

    def _new_addresses(self) -> list[str]:
        four = free_address()
        _, high, middle, low = four.split(".")
        six = f"fd00:{int(high):x}:{int(middle):x}::{int(low):x}"
        found = self._rng.choice([[four], [four, six], [four, six], [six]])
        self._addresses |= dict.fromkeys(found)
        return found

    @staticmethod
    def _addresses_of(pod: Mapping[str, Any]) -> list[str]:
        return [ip["ip"] for ip in pod["status"]["podIPs"]]

    def _set_status(
        self, pod: dict[str, Any], addresses: Sequence[str], *, ready: bool, phase: str = "Running"
    ) -> None:
        pod["status"] = kubernetes.status(addresses, ready=ready, phase=phase)
        name = pod["metadata"]["name"]
        self._patch("Pod", f"{name}/status", {"status": pod["status"]})
        self.fake.apply(pod)
        self.told.append(f"{name}: {pod['status']}")

    # EndpointSlices by hand.

    def _write_slice(self) -> None:
        rng = self._rng
        name = f"by-hand-{rng.randint(1, 2)}"
        if old := self._slices.pop(name, None):
            self._both("delete", old)
            self.told.append(f"deleted slice {name}")
            return
        four = free_address()
        self._addresses[four] = None
        endpoint: dict[str, Any] = {"addresses": [four]}
        if rng.random() < 0.5:
            endpoint["hostname"] = "by-hand"
            self._labels["by-hand"] = None
        if (ready := rng.choice([True, None, False])) is not None:
            endpoint["conditions"] = {"ready": ready}
        ports: list[list[Manifest]] = [[], [{"name": "http", "port": 8080}], [{"name": "http"}]]
        self._slices[name] = kubernetes.endpoint_slice(
            name,
            self.namespace,
            of=rng.choice(SERVICES),
            endpoints=[endpoint],
            ports=rng.choice(ports),
        )
        self._both("create", self._slices[name])
        self.told.append(f"wrote slice {name}: {self._slices[name]}")

    # Both sides.

    def _both(self, what: str, manifest: Manifest) -> None:
        if what == "create":
            self.api.apply(manifest)
            self.fake.apply(manifest)
        else:
            path = kubernetes.collection(manifest["kind"], self.namespace)
            self.api.delete(f"{path}/{manifest['metadata']['name']}")
            self.fake.delete(manifest)

    def _patch(self, kind: str, name: str, patch: Manifest) -> None:
        self.api.merge(f"{kubernetes.collection(kind, self.namespace)}/{name}", patch)

    # Questions.

    def questions(self) -> Iterator[tuple[bytes, bool]]:
        """What a client may ask of it, in bytes, and whether over TCP."""
        rng = random.Random(self.seed + len(self.told))
        labels = [*self._labels, *(_dashed(address) for address in self._addresses)]
        for service in (*SERVICES, "nobody"):
            base = f"{service}.{self.namespace}.svc.cluster.local."
            for kind in ("A", "AAAA", "SRV", "TXT"):
                yield _query(base, kind, rng)
            for below in ("_http._tcp", "_gossip._udp", "_gossip._tcp", "_._tcp"):
                yield _query(f"{below}.{base}", rng.choice(["SRV", "SRV", "A", "AAAA"]), rng)
            for label in rng.sample(labels, min(6, len(labels))):
                yield _query(f"{label}.{base}", rng.choice(["A", "AAAA", "SRV"]), rng)
        yield _query(f"{self.namespace}.svc.cluster.local.", "A", rng)
        for address in self._addresses:
            yield _query(str(dns.reversename.from_address(address)), "PTR", rng)


def _query(name: str, kind: str, rng: random.Random) -> tuple[bytes, bool]:
    tcp = rng.random() < 0.2
    edns = None if tcp else 4096
    message = dns.message.make_query(
        name, kind, use_edns=-1 if edns is None else 0, payload=edns or 0, id=rng.getrandbits(16)
    )
    return message.to_wire(), tcp


def _dashed(address: str) -> str:
    label = address.replace(".", "-").replace(":", "-")
    return label + "0" if label.endswith("-") else label
