"""The manifests of some applications on the real control plane, and the same ones on the fake.

Kubernetes' own controllers make the Pods; the test puts them on the node and says that they run.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from headless_discovery.testing import FakeCluster
from tests.cluster.api import APIError, collection
from tests.cluster.conftest import Namespace, eventually
from tests.fake.applications import FOLDER, NAMES, served
from tests.fake.test_given import REFUSED


@pytest.mark.parametrize("application", NAMES)
def test_the_fake_serves_the_names_and_ports_that_the_real_one_serves(
    namespace: Namespace, application: str
) -> None:
    text = (FOLDER / f"{application}.yaml").read_text()
    fake = FakeCluster()
    assert fake.apply(text) == ()
    services = []
    for manifest in yaml.safe_load_all(text):
        hook = "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})
        if not hook:  # Helm would not install it
            namespace.create(manifest)
        if manifest["kind"] == "Service":
            services.append(manifest)
    namespace.run_pods(len(fake._model.pods))
    compared = 0
    for service in services:
        name = service["metadata"]["name"]
        for port in (None, *(port.get("name") for port in service["spec"].get("ports") or ())):
            expected = served(fake.peers(name, port=port))
            real = namespace.peers(name, port=port)

            def check(web=real, expected=expected) -> None:  # type: ignore[no-untyped-def] # bound here
                assert served(web) == expected

            eventually(check)
            compared += isinstance(expected, list) and len(expected)
    assert compared >= 3, "some of it was there to be found"
    dumped = FakeCluster()
    assert dumped.apply(dump(namespace)) == ()
    for service in services:
        name = service["metadata"]["name"]
        of_dump = dumped.peers(name, namespace=namespace.name)
        assert served(of_dump) == served(namespace.peers(name)), "as kubectl prints it"


def dump(namespace: Namespace) -> str:
    """What ``kubectl get services,endpoints,endpointslices,pods,... -o json`` prints."""
    items = []
    for kind in (
        "Service", "Endpoints", "EndpointSlice", "Pod", "StatefulSet", "Deployment", "ReplicaSet",
        "Job",
    ):  # fmt: skip
        found = namespace.api.request("GET", collection(kind, namespace.name))
        version = found["apiVersion"]
        items += [{"apiVersion": version, "kind": kind, **item} for item in found["items"]]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


KINDS = ("Service", "Pod", "StatefulSet", "Deployment", "DaemonSet", "Job", "NetworkPolicy")
PAGES = Path(__file__).parents[2] / "docs"


def test_the_manifests_of_the_pages_are_taken_by_the_api_server(namespace: Namespace) -> None:
    """As `kubectl apply` would send them: the name of each field is checked."""
    taken = 0
    for page in ("on-your-laptop.md", "command-line.md"):  # others show parts of manifests, too
        text = (PAGES / page).read_text()
        for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            for manifest in yaml.safe_load_all(block):
                if not isinstance(manifest, dict) or manifest.get("kind") not in KINDS:
                    continue
                if "apiVersion" in manifest:  # others are for `serve` alone
                    manifest["metadata"]["namespace"] = namespace.name
                    where = collection(manifest["kind"], namespace.name)
                    namespace.api.create(f"{where}?fieldValidation=Strict&dryRun=All", manifest)
                    taken += 1
    assert taken >= 6


SUBSETS = [
    {
        "addresses": [{"ip": "10.9.8.1"}, {"ip": "10.9.8.2", "hostname": "named"}],
        "notReadyAddresses": [{"ip": "10.9.8.3"}],
        "ports": [{"name": "http", "port": 8080}],
    },
    {"addresses": [{"ip": "fd00:9::1"}], "ports": [{"name": "http", "port": 8081}]},
]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"selector": {"app": "nobody"}},
        {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}},
    ],
    ids=["as it is", "with a selector", "not to be mirrored", "a leader's"],
)
def test_endpoints_are_mirrored_by_both_alike(namespace: Namespace, more: dict[str, Any]) -> None:
    selector = {"selector": more["selector"]} if "selector" in more else {}
    metadata: dict[str, Any] = {} if selector else more
    manifests: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
            "clusterIP": "None", **selected, "ports": [{"name": "http", "port": 80}]}}
        for name, selected in (("web", selector), ("plain", {}))
    ]  # fmt: skip
    for name, said in {"web": metadata, "plain": {}}.items():
        about = {"name": name, **said}
        kind = {"apiVersion": "v1", "kind": "Endpoints"}
        manifests.append({**kind, "metadata": about, "subsets": SUBSETS})
    fake = FakeCluster()
    assert fake.apply(manifests) == ()
    for manifest in manifests:
        namespace.create(manifest)

    def check() -> None:  # the second one shows that the controller has come by
        for name in ("plain", "web"):
            for family in ("ipv4", "ipv6"):
                options: dict[str, Any] = {"port": "http", "family": family}
                expected = served(fake.peers(name, **options))
                assert served(namespace.peers(name, **options)) == expected

    eventually(check)


@pytest.mark.parametrize("policy", [None, "SingleStack", "PreferDualStack", "RequireDualStack"])
@pytest.mark.parametrize("families", [None, ["IPv4"], ["IPv6"]])
def test_a_service_has_the_same_families_on_both(
    namespace: Namespace, policy: str | None, families: list[str] | None
) -> None:
    spec: dict[str, Any] = {"clusterIP": "None", "selector": {"app": "web"}}
    if policy is not None:
        spec["ipFamilyPolicy"] = policy
    if families is not None:
        spec["ipFamilies"] = families
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    fake = FakeCluster()
    fake.apply(service)
    fake.service("web").add_pod("10.9.7.1", "fd00:9::7")
    namespace.create(service)
    namespace.pod("web-0", "10.9.7.1", "fd00:9::7", app="web")

    def check() -> None:
        for family in ("ipv4", "ipv6"):
            expected = served(fake.peers("web", family=family))
            assert served(namespace.peers("web", family=family)) == expected

    eventually(check)


@pytest.mark.parametrize("manifest", [manifest for manifest, _ in REFUSED])
def test_what_the_fake_refuses_the_api_server_refuses(
    namespace: Namespace, manifest: dict[str, Any]
) -> None:
    version = "apps/v1" if manifest["kind"] == "Deployment" else "v1"
    with pytest.raises(APIError, match=r": 4\d\d: "):
        namespace.create({"apiVersion": version, **manifest})


@pytest.mark.parametrize("policy", ["SingleStack", "PreferDualStack", "RequireDualStack"])
@pytest.mark.parametrize("network", [None, "10.254.77.", "fd00:10:254::77"])
def test_virtual_ips_are_of_the_same_families_on_both(
    namespace: Namespace, policy: str, network: str | None
) -> None:
    address = network and f"{network}{len(policy)}"  # another one for each: they are taken
    spec: dict[str, Any] = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    spec |= {"ipFamilyPolicy": policy} | ({"clusterIP": address} if address else {})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    fake = FakeCluster()
    fake.apply(service)
    made = namespace.create(service)["spec"]
    virtual = fake._model.services["default", "web"].cluster_ips
    assert made["ipFamilies"] == ["IPv6" if ":" in ip else "IPv4" for ip in virtual]
