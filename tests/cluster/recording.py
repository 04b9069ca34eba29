"""Records what the real CoreDNS answers in many states, or checks that it still answers so.

Run by ``tests/cluster/record`` on a running control plane. Each state becomes one file in
``tests/recorded``; what is in it says ``tests/recorded/README.md``.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import dns.exception
import dns.message
import dns.query
import dns.rcode

from tests.cluster import api as kubernetes
from tests.cluster.api import API, APIError
from tests.cluster.control_plane import (
    COREDNS_VERSION,
    KUBERNETES_VERSION,
    NameServers,
)
from tests.cluster.states import Asked, State, all_states
from tests.replies import difference

RECORDED = Path(__file__).parent.parent / "recorded"
_SETTLE = 60.0
_SILENCE = 1.5


def main(arguments: Sequence[str]) -> int:
    """Records, or compares with ``--check``; ``--only ID`` takes one state."""
    check = "--check" in arguments
    only = arguments[arguments.index("--only") + 1] if "--only" in arguments else None
    if "CLUSTER_API" not in os.environ:
        print("no control plane: scripts/cluster run tests/cluster/record", file=sys.stderr)
        return 2
    began = time.monotonic()
    states = [state for state in all_states() if only in (None, state.id)]
    replies = differences = 0
    with (
        API(
            os.environ["CLUSTER_API"],
            os.environ["CLUSTER_TOKEN"],
            Path(os.environ["CLUSTER_CERTIFICATE"]),
        ) as api,
        NameServers(Path(os.environ["KUBECONFIG"])) as name_servers,
    ):
        _make(api, states, name_servers, os.environ["CLUSTER_NAMESERVER"])
        for state in states:
            found = _record(state, name_servers)
            replies += len(found["exchanges"])
            file = RECORDED / f"{state.id}.json"
            if check:
                differences += _compare(json.loads(file.read_text()), found)
            else:
                file.write_text(_as_text(found))
    seconds = time.monotonic() - began
    print(f"{len(states)} states, {replies} replies, {differences} differences, {seconds:.0f} s")
    return 1 if differences else 0


def _make(api: API, states: Sequence[State], name_servers: NameServers, nameserver: str) -> None:
    """Puts all states into the API server, and waits until every CoreDNS shows them."""
    for state in states:
        api.apply(kubernetes.namespace(state.id))
        for manifest in state.objects:
            api.apply(manifest)
    until = time.monotonic() + _SETTLE
    for state in states:
        while not _sliced(api, state):
            if time.monotonic() > until:
                raise TimeoutError(f"the EndpointSlices of {state.id} do not show its pods")
            time.sleep(0.05)
    # Changes reach a CoreDNS in their order: once it shows this one, it knows the ones before.
    api.apply(kubernetes.namespace("last"))
    api.apply(kubernetes.service("web", "last", selector={}))
    api.apply(
        kubernetes.endpoint_slice(
            "web-1", "last", of="web", endpoints=[{"addresses": ["10.255.1.1"]}]
        )
    )
    servers = {nameserver} | {
        name_servers.coredns(state.corefile) for state in states if state.corefile.synced
    }
    for server in servers:
        # Each time another name, since a cache would keep the first no.
        count = 0
        while not _shows(server, "10-255-1-1.web.last.svc.cluster.local.", count):
            if time.monotonic() > until:
                raise TimeoutError(f"CoreDNS at {server} does not show the last Service")
            count += 1
            time.sleep(0.1)


def _shows(server: str, name: str, count: int) -> bool:
    mixed = "".join(c.upper() if count >> i & 1 else c for i, c in enumerate(name))
    query = dns.message.make_query(mixed, "A")
    host, _, port = server.rpartition(":")
    reply = dns.query.udp(query, host, port=int(port), timeout=2)
    return bool(reply.answer)


def _sliced(api: API, state: State) -> bool:
    """Whether the controller has seen every pod that belongs into a slice."""
    pods = [o for o in state.objects if o["kind"] == "Pod"]
    for service in state.objects:
        selector = service.get("spec", {}).get("selector")
        if service["kind"] != "Service" or not selector:
            continue
        families = service["spec"]["ipFamilies"]
        wanted = sum(
            ("IPv6" if ":" in ip["ip"] else "IPv4") in families
            for pod in pods
            if pod["metadata"]["labels"].items() >= selector.items()
            and pod["status"]["phase"] not in ("Failed", "Succeeded")
            for ip in pod["status"].get("podIPs", ())
        )
        path = kubernetes.collection("EndpointSlice", state.id)
        label = f"kubernetes.io/service-name%3D{service['metadata']['name']}"
        try:
            slices = api.request("GET", f"{path}?labelSelector={label}")["items"]
        except APIError:
            return False
        ready = sum(len(item["endpoints"] or ()) for item in slices)
        if not slices or ready != wanted or not _readiness_is_right(pods, slices, service):
            return False
    return True


def _readiness_is_right(
    pods: Sequence[kubernetes.Manifest],
    slices: Sequence[dict[str, Any]],
    service: kubernetes.Manifest,
) -> bool:
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    ready = {
        ip["ip"]
        for pod in pods
        for ip in pod["status"].get("podIPs", ())
        if publish
        or (
            pod["status"]["conditions"][0]["status"] == "True"
            and "deletionTimestamp" not in pod["metadata"]
        )
    }
    return all(
        endpoint["conditions"].get("ready") is (endpoint["addresses"][0] in ready)
        for item in slices
        for endpoint in item["endpoints"] or ()
    )


def _record(state: State, name_servers: NameServers) -> dict[str, Any]:
    server = name_servers.coredns(state.corefile)
    return {
        "state": state.id,
        "about": state.about,
        # No recorded state has a template, which came later than the recordings.
        "corefile": attrs.asdict(
            state.corefile, filter=lambda option, value: option.name != "template" or value
        ),
        "versions": {"coredns": COREDNS_VERSION, "kubernetes": KUBERNETES_VERSION},
        "objects": [kubernetes.namespace(state.id), *state.objects],
        "exchanges": [_exchange(asked, server) for asked in state.questions],
    }


def _exchange(asked: Asked, server: str) -> dict[str, Any]:
    query = dns.message.make_query(
        asked.name,
        asked.type,
        asked.klass,
        use_edns=asked.version if asked.edns is not None else -1,
        payload=asked.edns or 0,
        id=0x6B38,  # the same each time, so that recordings can be compared as text
    ).to_wire()
    reply = _send(query, server, tcp=asked.transport == "tcp")
    return {
        "question": {"name": asked.name, "type": asked.type, "class": asked.klass},
        "transport": asked.transport,
        "edns": asked.edns,
        "query": query.hex(),
        "reply": None if reply is None else reply.hex(),
    }


def _send(query: bytes, server: str, *, tcp: bool) -> bytes | None:
    host, _, port = server.rpartition(":")
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as opened:
        opened.settimeout(_SILENCE)
        opened.connect((host, int(port)))
        try:
            if not tcp:
                opened.send(query)
                return opened.recv(65535)
            opened.sendall(len(query).to_bytes(2, "big") + query)
            with opened.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2), "big"))
        except TimeoutError:
            return None


def _compare(recorded: dict[str, Any], found: dict[str, Any]) -> int:
    """Prints and counts where the server no longer answers as recorded."""
    count = 0
    for key in ("objects", "corefile"):
        if recorded[key] != found[key]:
            print(f"{recorded['state']}: its {key} are not those recorded: record again")
            count += 1
    for one, other in zip(recorded["exchanges"], found["exchanges"], strict=True):
        said = difference(*(e["reply"] and bytes.fromhex(e["reply"]) for e in (one, other)))
        if said is not None:
            count += 1
            question = one["question"]
            print(f"{recorded['state']}: {question['name']} {question['type']}: {said}")
    return count


def _as_text(found: dict[str, Any]) -> str:
    """JSON with one object, or one exchange, to a line."""
    parts = []
    for key, value in found.items():
        if isinstance(value, list):
            lines = ",\n".join(f"  {json.dumps(item)}" for item in value)
            parts.append(f' "{key}": [\n{lines}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
