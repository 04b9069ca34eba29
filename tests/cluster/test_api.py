"""EndpointSlices of a real API server as the source: the same as by DNS, through every fault."""

import asyncio
import contextlib
import functools
import gc
import json
import os
import re
import secrets
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import attrs
import pytest
import trio

from headless_discovery import (
    Change,
    DiscoveryError,
    LookupFailed,
    LookupTimeout,
    NotHeadless,
    Snapshot,
    State,
    aio,
    peers,
)
from headless_discovery.kubernetes import EndpointSlices
from headless_discovery.testing import FakeCluster
from tests.cluster import api as kubernetes
from tests.cluster.api import API, port
from tests.cluster.api_recording import FILE, record
from tests.cluster.conftest import Namespace, eventually
from tests.cluster.control_plane import ControlPlane
from tests.cluster.histories import SERVICES, History
from tests.cluster.proxy import Proxy
from tests.speed import allowed

SHELLS = ("threads", "asyncio", "trio")


@attrs.define
class Access:
    """How somebody reaches the API server."""

    url: str
    certificate: Path
    token: Path

    def slices(self, url: str | None = None) -> EndpointSlices:
        return EndpointSlices(
            server=url or self.url, token_file=self.token, ca_file=self.certificate
        )


@pytest.fixture
def access(environment: dict[str, str], tmp_path: Path) -> Access:
    token = tmp_path / "token"
    token.write_text(environment["CLUSTER_TOKEN"])
    return Access(environment["CLUSTER_API"], Path(environment["CLUSTER_CERTIFICATE"]), token)


class Followed:
    """A `Peers` of one of the shells, beside the test."""

    def __init__(self, shell: str, service: str, **arguments: Any) -> None:
        self.changes: list[Change] = []
        self._over = threading.Event()
        self._entered = threading.Event()
        self._service = service
        self._arguments = arguments
        self._shell = shell
        self._peers: Any = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._entered.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def snapshot(self) -> Snapshot:
        found: Snapshot = self._peers.snapshot
        return found

    @property
    def error(self) -> Exception | None:
        return self.snapshot.error

    @property
    def addresses(self) -> set[str]:
        return {address for each in self.snapshot.endpoints for address in each.addresses}

    def _told(self, change: Change) -> None:
        self.changes.append(change)

    def changes_after(self, generation: int) -> list[Change]:
        """Those that led to later snapshots, whenever the listener was called."""
        return [each for each in self.changes if each.snapshot.generation > generation]

    def _run(self) -> None:
        match self._shell:
            case "threads":
                with peers(self._service, **self._arguments) as self._peers:
                    self._peers.on_change(self._told)
                    self._entered.set()
                    self._over.wait()
            case "asyncio":
                asyncio.run(self._run_async(asyncio.sleep))
            case _:
                trio.run(self._run_async, trio.sleep)

    async def _run_async(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        async with aio.peers(self._service, **self._arguments) as self._peers:
            self._peers.on_change(self._told)
            self._entered.set()
            while not self._over.is_set():
                await sleep(0.005)

    def has(self, *addresses: str) -> None:
        """Waits until it lists just these, and all is well."""

        def check() -> None:
            assert (self.snapshot.state, self.addresses) == (State.LIVE, set(addresses))

        eventually(check)

    def is_in(self, state: State) -> LookupFailed | None:
        """Waits for a state."""
        eventually(lambda: _equal(self.snapshot.state, state))
        error = self.snapshot.error
        return error if isinstance(error, LookupFailed) else None


def _equal(one: object, other: object) -> None:
    assert one == other


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Lives.


def told(snapshot: Snapshot) -> object:
    """What there is, however several pods of one name are told apart."""
    if isinstance(snapshot.error, DiscoveryError) and snapshot.state is State.STALE:
        return type(snapshot.error)
    return sorted({(each.name, each.port) for each in snapshot.endpoints}), sorted(
        {address for each in snapshot.endpoints for address in each.addresses}
    )


@pytest.mark.parametrize("seed", range(3))
def test_in_random_lives_both_sources_find_the_same(
    seed: int, shell: str, api: API, access: Access, environment: dict[str, str]
) -> None:
    seed = seed * 3 + SHELLS.index(shell)
    namespace = Namespace(api, f"t-{secrets.token_hex(4)}", environment["CLUSTER_NAMESERVER"])
    history = History(seed, namespace.name, api, FakeCluster())
    history.begin()
    arguments: dict[str, Any] = {"port": "http", "family": "any"}
    for name in SERVICES:
        with Followed(
            shell, name, namespace=namespace.name, source=access.slices(), **arguments
        ) as followed:
            for _ in range(12):
                history.step()
                history.collect()
                service = history._services[name]["spec"]
                if service.get("type") == "ExternalName":
                    continue  # slices cannot tell
                eventually(functools.partial(_agree, namespace, name, followed, arguments, history))


def _agree(
    namespace: Namespace, name: str, followed: Followed, arguments: Any, history: History
) -> None:
    with namespace.peers(name, **arguments) as by_dns:
        by_dns.refresh() if by_dns.snapshot.state is not State.PENDING else _quietly(by_dns)
        error = by_dns.snapshot.error or getattr(by_dns, "_error", None)
        expected = told(by_dns.snapshot)
        pending = by_dns.snapshot.state is State.PENDING
    told_by_api = followed.snapshot
    context = (history.seed, name, history.told[-3:], error, told_by_api)
    if pending:  # nothing was found: another kind of Service, or no such port
        assert told_by_api.state is not State.LIVE or _by_hand(history, name), context
    elif expected == ([], []):
        assert told_by_api.state is not State.LIVE, context
    else:
        assert told_by_api.state is State.LIVE, context
        assert told(told_by_api) == expected, context
        listed = _ready(namespace, name)
        assert followed.addresses <= set().union(*listed.values()), (context, listed)
        for pod, addresses in listed.items():
            assert pod is None or addresses & followed.addresses, (context, pod)


def _ready(namespace: Namespace, service: str) -> dict[str | None, set[str]]:
    """The addresses that the API lists as ready with the port, by the uid of their pod."""
    path = kubernetes.collection("EndpointSlice", namespace.name)
    selector = f"labelSelector=kubernetes.io/service-name={service}"
    found: dict[str | None, set[str]] = {}
    for item in namespace.api.request("GET", f"{path}?{selector}")["items"]:
        ports = [(each.get("name"), each["protocol"]) for each in item["ports"] or ()]
        for endpoint in item["endpoints"] or ():
            if ("http", "TCP") in ports and endpoint["conditions"].get("ready", True):
                uid = (endpoint.get("targetRef") or {}).get("uid")
                found.setdefault(uid, set()).update(endpoint["addresses"])
    return found


def _quietly(by_dns: Any) -> None:
    try:
        by_dns.endpoints()
    except DiscoveryError as error:
        assert not isinstance(error, LookupTimeout)  # noqa: PT017 - the others are what is looked for


def _by_hand(history: History, name: str) -> bool:
    """Slices that people wrote tell nothing of the kind of the Service."""
    return any(
        each["metadata"]["labels"]["kubernetes.io/service-name"] == name
        for each in history._slices.values()
    )


# Changes.


def test_drains_leave_within_50_ms_in_the_median(
    shell: str, namespace: Namespace, access: Access
) -> None:
    namespace.service("web", ports=[port(80, "http", target=8080)])
    pods = {f"web-{at}": namespace.pod(f"web-{at}", app="web") for at in range(21)}
    with Followed(
        shell, "web", namespace=namespace.name, port="http", source=access.slices()
    ) as followed:
        followed.has(*pods.values())
        took = []
        for name in list(pods)[:20]:
            began = time.monotonic()
            namespace.delete("Pod", name, now=False)
            del pods[name]
            followed.has(*pods.values())
            took.append(time.monotonic() - began)
        print(f"{shell}: median {statistics.median(took) * 1000:.0f} ms, worst {max(took):.3f} s")
        # The pod's own deletion takes its time.
        assert statistics.median(took) < allowed(0.05 + 0.02)


@pytest.mark.parametrize("limited", [False, True])
def test_a_changed_port_loses_none_of_600_ready_pods(
    limited: bool, environment: dict[str, str], tmp_path: Path
) -> None:
    """At the controller's default limits slices are rewritten one after the other, in seconds."""
    with contextlib.ExitStack() as stack:
        if limited:
            environment = stack.enter_context(ControlPlane(limited=True)).environment()
        certificate = Path(environment["CLUSTER_CERTIFICATE"])
        token = tmp_path / "token"
        token.write_text(environment["CLUSTER_TOKEN"])
        access = Access(environment["CLUSTER_API"], certificate, token)
        api = stack.enter_context(API(access.url, environment["CLUSTER_TOKEN"], certificate))
        namespace = Namespace(api, f"t-{secrets.token_hex(4)}", environment["CLUSTER_NAMESERVER"])
        namespace.apply(kubernetes.namespace(namespace.name))
        services = ["web", *(f"other-{at}" for at in range(10 if limited else 0))]
        for name in services:
            namespace.service(name, ports=[port(80, "http", target=8080)], selector={"app": "web"})
        pods = [namespace.pod(f"web-{at}", app="web") for at in range(600)]
        with Followed(
            "threads", "web", namespace=namespace.name, port="http", source=access.slices()
        ) as followed:
            eventually(lambda: _equal(followed.addresses, set(pods)), 120)
            began = followed.snapshot.generation
            path = kubernetes.collection("Service", namespace.name)
            for name in reversed(services):
                api.merge(f"{path}/{name}", {"spec": {"ports": [port(80, "http", target=9090)]}})

            def check() -> None:
                assert {each.port for each in followed.snapshot.endpoints} == {9090}

            eventually(check, 60)
            time.sleep(3)
            changes = followed.changes_after(began)
            assert changes
            for change in changes:
                assert len(change.snapshot.endpoints) == 600
                assert not change.added
                assert not change.removed
            assert followed.addresses == set(pods)


def test_ten_thousand_endpoints_in_a_hundred_slices(
    shell: str, namespace: Namespace, access: Access
) -> None:
    namespace.service("web", ports=[port(80, "http")], selector={})

    def write(at: int, *, ready: bool = True) -> dict[str, Any]:
        return dict(
            kubernetes.endpoint_slice(
                f"web-{at}",
                namespace.name,
                of="web",
                endpoints=[
                    {"addresses": [f"10.9.{at}.{low}"], "conditions": {"ready": ready}}
                    for low in range(100)
                ],
                ports=[{"name": "http", "port": 8080, "protocol": "TCP"}],
            )
        )

    for at in range(100):
        namespace.apply(write(at))
    with Followed(
        shell, "web", namespace=namespace.name, port="http", source=access.slices()
    ) as followed:
        eventually(lambda: _equal(len(followed.snapshot.endpoints), 10_000))
        path = kubernetes.collection("EndpointSlice", namespace.name)
        namespace.api.merge(f"{path}/web-50", {"endpoints": write(50, ready=False)["endpoints"]})
        eventually(lambda: _equal(len(followed.snapshot.endpoints), 9_900))


def test_a_service_made_headless_and_back_is_followed(
    shell: str, namespace: Namespace, access: Access
) -> None:
    address = namespace.pod("web-0", app="web")
    http = [port(80, "http", target=8080)]
    namespace.service("web", ports=http, cluster_ip=None)
    with Followed(
        shell, "web", namespace=namespace.name, port="http", source=access.slices()
    ) as followed:
        eventually(lambda: _equal(type(followed.error), NotHeadless))
        remake(namespace, "web", ports=http)
        followed.has(address)
        remake(namespace, "web", ports=http, cluster_ip=None)
        followed.is_in(State.STALE)
        assert isinstance(followed.error, NotHeadless)
        assert followed.addresses == {address}


def remake(namespace: Namespace, service: str, **options: Any) -> None:
    """Deletes the Service and makes it anew, and its old slices vanish as they do by and by."""
    slices = kubernetes.collection("EndpointSlice", namespace.name)
    old = namespace.api.request("GET", slices)["items"]
    namespace.delete("Service", service)
    namespace.service(service, **options)
    for item in old:  # the controller may have deleted them, but nobody collects garbage here
        try:
            namespace.api.delete(f"{slices}/{item['metadata']['name']}")
        except kubernetes.APIError as error:
            if error.status != 404:
                raise


def test_a_service_deleted_and_made_again_loses_nobody(
    shell: str, namespace: Namespace, access: Access
) -> None:
    http = [port(80, "http", target=8080)]
    namespace.service("web", ports=http)
    pods = [namespace.pod(f"web-{at}", app="web") for at in range(3)]
    with Followed(
        shell, "web", namespace=namespace.name, port="http", source=access.slices()
    ) as followed:
        followed.has(*pods)
        began = followed.snapshot.generation
        remake(namespace, "web", ports=http)
        new = namespace.pod("web-3", app="web")
        followed.has(*pods, new)
        assert not any(change.removed for change in followed.changes_after(began))


def test_slices_do_not_tell_that_a_service_became_an_external_name(
    shell: str, namespace: Namespace, access: Access
) -> None:
    namespace.service("web", ports=[port(80, "http", target=8080)])
    one, two = (namespace.pod(f"web-{at}", app="web") for at in range(2))
    with Followed(
        shell, "web", namespace=namespace.name, port="http", source=access.slices()
    ) as followed:
        followed.has(one, two)
        alias = {"type": "ExternalName", "externalName": "elsewhere.example.org"}
        headless = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
        path = f"{kubernetes.collection('Service', namespace.name)}/web"
        namespace.api.merge(path, {"spec": {**alias, **dict.fromkeys(headless)}})
        namespace.delete("Pod", "web-0")
        with namespace.peers("web", port="http") as by_dns:
            eventually(lambda: _raises(NotHeadless, by_dns.refresh))
        followed.has(one, two)


def _raises(kind: type[Exception], call: Callable[[], object]) -> None:
    with pytest.raises(kind):
        call()


def test_pods_on_one_address_are_one_endpoint_until_the_last_goes(
    shell: str, namespace: Namespace, access: Access
) -> None:
    namespace.service("web", ports=[port(80, "http", target=8080)])
    address = namespace.pod("web-0", app="web")
    namespace.pod("web-1", address, app="web")
    with Followed(
        shell, "web", namespace=namespace.name, port="http", source=access.slices()
    ) as followed:
        followed.has(address)
        assert len(followed.snapshot.endpoints) == 1
        namespace.delete("Pod", "web-0")
        other = namespace.pod("web-2", app="web")
        followed.has(address, other)
        namespace.delete("Pod", "web-1")
        followed.has(other)


def test_what_people_wrote_is_read_whatever_it_holds(
    shell: str, namespace: Namespace, access: Access
) -> None:
    """Line breaks of Unicode, which the server sends as they are; nothing where there is none."""
    namespace.service("web", ports=[port(80, "http")], selector={})
    odd = {"note": "one\x85two\u2028three\u2029\x0b"}
    for name, endpoints, ports in (
        ("web-a", [{"addresses": ["10.9.0.1"], "conditions": {}}], [port(8080, "http")]),
        ("web-b", [], []),
        ("web-c", [{"addresses": ["10.9.0.2"]}], [{"name": "http", "port": None}]),
    ):
        manifest = kubernetes.endpoint_slice(
            name, namespace.name, of="web", endpoints=endpoints, ports=ports
        )
        namespace.create({**manifest, "metadata": {**manifest["metadata"], "annotations": odd}})
    with Followed(
        shell, "web", namespace=namespace.name, port="http", source=access.slices()
    ) as followed:
        followed.has("10.9.0.1")
        path = kubernetes.collection("EndpointSlice", namespace.name)
        assert namespace.api.request("GET", f"{path}/web-a")["metadata"]["annotations"] == odd
        namespace.api.merge(f"{path}/web-a", {"metadata": {"annotations": {"note": "\x85" * 9}}})
        namespace.api.merge(f"{path}/web-c", {"ports": [port(8080, "http")]})
        followed.has("10.9.0.1", "10.9.0.2")


# Rights.


def test_a_role_that_is_made_later_is_waited_for(
    shell: str, namespace: Namespace, access: Access
) -> None:
    namespace.service("web", ports=[port(80, "http", target=8080)])
    address = namespace.pod("web-0", app="web")
    access.token.write_text(namespace.token("app"))
    with Followed(
        shell, "web", namespace=namespace.name, port="http", source=access.slices()
    ) as followed:

        def forbidden() -> None:
            assert "403" in str(followed.error)
            assert "Role" in getattr(followed.error, "hint", "")

        eventually(forbidden)
        namespace.allow("app")
        followed.has(address)
    with namespace.peers("web", port="http") as by_dns:
        assert by_dns.wait_ready(timeout=60).endpoints[0].address == address


def test_auto_takes_dns_without_the_right(
    shell: str, namespace: Namespace, access: Access, environment: dict[str, str]
) -> None:
    from headless_discovery import Resolver

    namespace.service("web", ports=[port(80, "http", target=8080)])
    address = namespace.pod("web-0", app="web")
    access.token.write_text(namespace.token("app"))
    slices = access.slices()
    slices.tentative = True
    with Followed(
        shell,
        "web",
        namespace=namespace.name,
        port="http",
        source=slices,
        resolver=Resolver([environment["CLUSTER_NAMESERVER"]]),
    ) as followed:
        followed.has(address)
        assert followed.snapshot.source == "dns"


def test_a_rotated_token_is_read_again(shell: str, namespace: Namespace, access: Access) -> None:
    namespace.service("web", ports=[port(80, "http", target=8080)])
    address = namespace.pod("web-0", app="web")
    good = access.token.read_text()
    with (
        Proxy(int(access.url.rpartition(":")[2])) as proxy,
        Followed(
            shell, "web", namespace=namespace.name, port="http", source=access.slices(proxy.url)
        ) as followed,
    ):
        followed.has(address)
        access.token.write_text("wrong")
        time.sleep(1)
        proxy.cut()
        error = followed.is_in(State.STALE)
        assert "401" in str(error)
        access.token.write_text(good)
        followed.has(address)


def test_the_server_says_what_was_recorded(environment: dict[str, str]) -> None:
    assert record() == FILE.read_text().splitlines()


# The network.


def test_a_watch_that_is_cut_goes_on(shell: str, namespace: Namespace, access: Access) -> None:
    namespace.service("web", ports=[port(80, "http", target=8080)])
    one = namespace.pod("web-0", app="web")
    with (
        Proxy(int(access.url.rpartition(":")[2])) as proxy,
        Followed(
            shell, "web", namespace=namespace.name, port="http", source=access.slices(proxy.url)
        ) as followed,
    ):
        followed.has(one)
        time.sleep(1)
        proxy.cut()
        two = namespace.pod("web-1", app="web")
        followed.has(one, two)
        proxy.largest, proxy.delay = 10, 0.001  # a few bytes at a time, some of a TLS record
        three = namespace.pod("web-2", app="web")
        followed.has(one, two, three)


def test_a_connection_that_falls_silent_is_left(
    shell: str, namespace: Namespace, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headless_discovery._api.protocol._SILENT", 2.0)
    namespace.service("web", ports=[port(80, "http", target=8080)])
    one = namespace.pod("web-0", app="web")
    with (
        Proxy(int(access.url.rpartition(":")[2])) as proxy,
        Followed(
            shell, "web", namespace=namespace.name, port="http", source=access.slices(proxy.url)
        ) as followed,
    ):
        followed.has(one)
        proxy.silent = True
        error = followed.is_in(State.STALE)
        assert isinstance(error, LookupTimeout)
        proxy.silent = False
        two = namespace.pod("web-1", app="web")
        followed.has(one, two)


def test_429_and_500_are_asked_again(shell: str, namespace: Namespace, access: Access) -> None:
    namespace.service("web", ports=[port(80, "http", target=8080)])
    one = namespace.pod("web-0", app="web")
    with Proxy(int(access.url.rpartition(":")[2]), access.certificate) as proxy:
        head = b"HTTP/1.1 %s\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        proxy.replies += [head % b"429 Too Many Requests", head % b"500 Internal Server Error"]
        began = time.monotonic()
        with Followed(
            shell, "web", namespace=namespace.name, port="http", source=access.slices(proxy.url)
        ) as followed:
            followed.has(one)
        assert not proxy.replies
        assert time.monotonic() - began > 2


def test_a_version_of_the_future_and_a_first_state_without_an_end(
    shell: str, namespace: Namespace, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an etcd that was restored from a backup, and of servers that never end the first."""
    monkeypatch.setattr("headless_discovery._api.protocol._STREAM", (2, 2))
    monkeypatch.setattr("headless_discovery._api.protocol._END_AFTER_LAST", 0.5)
    monkeypatch.setattr("headless_discovery._api.protocol._ANSWER", 5)
    namespace.service("web", ports=[port(80, "http", target=8080)])
    one = namespace.pod("web-0", app="web")
    with Proxy(int(access.url.rpartition(":")[2]), access.certificate) as proxy:
        source = access.slices(proxy.url)
        with Followed(
            shell, "web", namespace=namespace.name, port="http", source=source
        ) as followed:
            followed.has(one)
            asked: list[bytes] = []

            def rewrite(data: bytes) -> bytes:
                asked.extend(re.findall(rb"GET .*", data))
                data = data.replace(b"k8s.io/initial-events-end", b"k8s.io/initial-events-___")
                return re.sub(rb"(&resourceVersion=)(\d+)", rb"\g<1>9\g<2>", data)

            proxy.rewrite = rewrite
            eventually(lambda: _equal(any(b"&resourceVersion=" in one for one in asked), True))
            two = namespace.pod("web-1", app="web")  # the server does not tell of it then
            followed.has(one, two)
        try:
            assert any(b"limit=10" in one for one in asked)
        finally:
            source.no_streams.discard(proxy.url)


# The control plane.


def test_an_api_server_that_is_killed_and_comes_back(own: ControlPlane, tmp_path: Path) -> None:
    environment = own.environment()
    token = tmp_path / "token"
    token.write_text(environment["CLUSTER_TOKEN"])
    certificate = Path(environment["CLUSTER_CERTIFICATE"])
    access = Access(environment["CLUSTER_API"], certificate, token)
    with (
        API(access.url, environment["CLUSTER_TOKEN"], certificate) as api,
        contextlib.ExitStack() as stack,
    ):
        namespace = Namespace(api, f"t-{secrets.token_hex(4)}", environment["CLUSTER_NAMESERVER"])
        namespace.apply(kubernetes.namespace(namespace.name))
        namespace.service("web", ports=[port(80, "http", target=8080)])
        one = namespace.pod("web-0", app="web")
        arguments: Any = {"namespace": namespace.name, "port": "http", "source": access.slices()}
        shells = [stack.enter_context(Followed(shell, "web", **arguments)) for shell in SHELLS]
        for followed in shells:
            followed.has(one)
        time.sleep(1)
        own.kill_api()
        for followed in shells:
            followed.is_in(State.STALE)
            assert followed.addresses == {one}
        # The API server keeps no old version then, and etcd none either.
        own.compact()
        own.start_api()
        api.close()
        two = namespace.pod("web-1", app="web")
        for followed in shells:
            followed.has(one, two)
            assert not any(change.removed for change in followed.changes)


def test_a_version_that_etcd_forgot_is_begun_anew(own: ControlPlane, tmp_path: Path) -> None:
    environment = own.environment()
    certificate = Path(environment["CLUSTER_CERTIFICATE"])
    with API(environment["CLUSTER_API"], environment["CLUSTER_TOKEN"], certificate) as api:
        namespace = Namespace(api, f"t-{secrets.token_hex(4)}", environment["CLUSTER_NAMESERVER"])
        namespace.apply(kubernetes.namespace(namespace.name))
        namespace.service("web", ports=[port(80, "http", target=8080)])
        own.compact()
        path = kubernetes.collection("EndpointSlice", namespace.name)
        # Versions below the compacted one: the API server says 410, in either of its two ways.
        own.kill_api()
        own.start_api()
        api.close()
        try:
            said = api.request("GET", f"{path}?watch=true&resourceVersion=1&timeoutSeconds=1")
        except kubernetes.APIError as error:
            said = json.loads(str(error)[str(error).index("{") :])
        found = said if isinstance(said, dict) else json.loads(said.splitlines()[0])
        assert found.get("code", found.get("object", {}).get("code")) == 410


def test_nothing_is_left_after_200_times(shell: str, namespace: Namespace, access: Access) -> None:
    namespace.service("web", ports=[port(80, "http", target=8080)])
    namespace.pod("web-0", app="web")
    arguments: Any = {"namespace": namespace.name, "port": "http", "source": access.slices()}

    def left() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    def check(before: tuple[int, int]) -> None:
        after = left()
        assert after[0] <= before[0], "files"
        assert after[1] <= before[1], "threads"

    async def main(tasks: Callable[[], int]) -> None:
        before = tasks()
        for at in range(201):
            async with aio.peers("web", **arguments) as one:
                if at % 10 == 0:
                    await one.wait_ready(timeout=60)
            if at == 0:
                first = left()
        assert tasks() == before
        check(first)

    match shell:
        case "threads":
            for at in range(201):
                with peers("web", **arguments) as web:
                    if at % 10 == 0:
                        web.wait_ready(timeout=60)
                if at == 0:
                    first = left()
            check(first)
        case "asyncio":
            asyncio.run(main(lambda: len(asyncio.all_tasks())))
        case _:
            trio.run(main, lambda: trio.lowlevel.current_statistics().tasks_living)
