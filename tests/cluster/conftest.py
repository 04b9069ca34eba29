"""The running control plane, for tests marked ``cluster``; without it they are skipped, or fail."""

import contextlib
import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from headless_discovery import Peers, Resolver, peers
from headless_discovery._api import server
from tests.cluster import api as kubernetes
from tests.cluster.api import API, Manifest
from tests.cluster.control_plane import NODE, ControlPlane, NameServers

SLICES = Path(__file__).parents[2] / "examples" / "endpoint-slices.yaml"
_SETTLE = 60.0
"""Seconds after which a change is seen, on the slowest machine."""
# Processes that run tests side by side have one control plane, and no address in common.
_addresses = itertools.count(500_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) + 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    if "CLUSTER_API" in os.environ:
        return dict(os.environ)
    missing = "no control plane: run these by 'scripts/cluster run pytest -m cluster'"
    if os.environ.get("REQUIRE_CLUSTER") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def api(environment: dict[str, str]) -> Iterator[API]:
    with API(
        environment["CLUSTER_API"],
        environment["CLUSTER_TOKEN"],
        Path(environment["CLUSTER_CERTIFICATE"]),
    ) as client:
        yield client


@pytest.fixture(scope="session")
def own(environment: dict[str, str]) -> Iterator[ControlPlane]:
    """A second control plane, which a test may break, and leaves as it was."""
    assert environment
    with ControlPlane() as found:
        yield found


@pytest.fixture(scope="session")
def name_servers(environment: dict[str, str]) -> Iterator[NameServers]:
    """For tests that need a CoreDNS with other options."""
    with NameServers(Path(environment["KUBECONFIG"])) as servers:
        yield servers


@attrs.frozen
class Namespace:
    """A namespace of a test's own. It is never deleted: nobody here would finish that."""

    api: API
    name: str
    nameserver: str

    def service(self, name: str, **options: Any) -> None:
        """Makes a Service; options as those of `tests.cluster.api.service`."""
        self.apply(kubernetes.service(name, self.name, **options))

    def pod(self, name: str, *addresses: str, **options: Any) -> str:
        """Makes a Pod, at a free address if none is given; returns its (first) address."""
        found = addresses or (free_address(),)
        self.apply(kubernetes.pod(name, self.name, found, **options))
        return found[0]

    def slice(self, name: str, **options: Any) -> None:
        """Writes an EndpointSlice by hand."""
        self.apply(kubernetes.endpoint_slice(name, self.name, **options))

    def apply(self, manifest: Manifest) -> None:
        """Makes any object."""
        self.api.apply(manifest)

    def create(self, manifest: Manifest) -> Any:
        """As ``kubectl create --validate=strict`` does it."""
        path = kubernetes.collection(manifest["kind"], self.name)
        return self.api.create(f"{path}?fieldValidation=Strict", manifest)

    def set_status(self, pod: str, *addresses: str, ready: bool = True) -> None:
        """Reports a Pod's status, as its kubelet would."""
        path = kubernetes.collection("Pod", self.name)
        self.api.merge(
            f"{path}/{pod}/status", {"status": kubernetes.status(addresses, ready=ready)}
        )

    def run_pods(self, number: int, *, ready: bool = True) -> None:
        """Does what the scheduler and the kubelets do, until so many Pods run."""
        path = kubernetes.collection("Pod", self.name)

        def check() -> None:
            found = self.api.request("GET", path)["items"]
            new = [pod for pod in found if "podIP" not in pod["status"]]
            for pod in new:
                name = pod["metadata"]["name"]
                if "nodeName" not in pod["spec"]:
                    self.api.bind(self.name, name, NODE)
                self.set_status(name, free_address(), ready=ready)
            assert (len(found), len(new)) == (number, 0)

        eventually(check)

    def delete(self, kind: str, name: str, *, now: bool = True) -> None:
        """Deletes an object; ``now=False`` leaves a Pod terminating."""
        self.api.delete(f"{kubernetes.collection(kind, self.name)}/{name}", now=now)

    def token(self, account: str) -> str:
        """Makes a ServiceAccount unless it is there; returns a bounded token, as a pod has it."""
        path = kubernetes.collection("ServiceAccount", self.name)
        with contextlib.suppress(kubernetes.APIError):
            self.api.create(path, {"metadata": {"name": account}})
        made = self.api.create(f"{path}/{account}/token", {"spec": {"expirationSeconds": 600}})
        return str(made["status"]["token"])

    def allow(self, account: str) -> None:
        """Gives it the Role of the examples."""
        for manifest in yaml.safe_load_all(SLICES.read_text()):
            if manifest["kind"] == "RoleBinding":
                manifest["subjects"][0]["name"] = account
            if manifest["kind"] in ("Role", "RoleBinding"):
                self.create(manifest)

    def peers(self, service: str, **arguments: Any) -> Peers:
        """The library on this namespace, asking the real CoreDNS."""
        # No question is given up, or asked twice, because the machine is slow.
        patient = Resolver([self.nameserver], timeout=10, lifetime=30)
        arguments.setdefault("resolver", patient)
        return peers(service, namespace=self.name, **arguments)


def as_a_pod(
    environment: Mapping[str, str], token: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gives this process what a kubelet gives to a container: files and variables."""
    (folder / "token").write_text(token)
    (folder / "ca.crt").write_bytes(Path(environment["CLUSTER_CERTIFICATE"]).read_bytes())
    monkeypatch.setattr(server, "_ACCOUNT", folder)
    host, _, port = environment["CLUSTER_API"].removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)


@pytest.fixture
def namespace(api: API, environment: dict[str, str]) -> Namespace:
    found = Namespace(api, f"t-{secrets.token_hex(4)}", environment["CLUSTER_NAMESERVER"])
    found.apply(kubernetes.namespace(found.name))
    return found


def free_address() -> str:
    """A pod address that no other test uses: PTR records are found by address alone."""
    number = next(_addresses)
    return f"10.{200 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def eventually(check: Callable[[], object], seconds: float = _SETTLE) -> None:
    """Repeats the assertions until they hold: changes take some milliseconds to reach DNS."""
    until = time.monotonic() + seconds
    while True:
        try:
            check()
        except (Exception, pytest.fail.Exception):
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return
