"""Records what the real API server says of EndpointSlices: ``scripts/cluster run python -m ...``.

The bytes as they came, but for what differs each time: uids, times, versions and names. The fake
cluster's are held against them (tests/fake/test_api.py).
"""

import http.client
import os
import re
import secrets
import ssl
import urllib.parse
from pathlib import Path

from tests.cluster import api as kubernetes
from tests.cluster.api import API
from tests.cluster.conftest import eventually

FILE = Path(__file__).parents[1] / "recorded" / "endpoint-slices.txt"
_SELECTED = "labelSelector=kubernetes.io%2Fservice-name%3Dweb"
_FIRST = (
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
)
_DIFFERS = (
    (r'"uid":"[^"]+"', '"uid":"0b5e1f2a-0000-4000-8000-000000000000"'),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z"),
    (r'"resourceVersion":"\d+"', '"resourceVersion":"1"'),
    (r'\\"uid\\":\\"[^"]+\\"', r"\"uid\":\"0b5e1f2a-0000-4000-8000-000000000000\""),
    (r'"generation":\d+', '"generation":1'),
    (r"web-[a-z0-9]{5}\b", "web-abcde"),
    (r"t-[0-9a-f]{8}", "default"),
)


def record() -> list[str]:
    """A line for each thing that was said."""
    environ = os.environ
    certificate = Path(environ["CLUSTER_CERTIFICATE"])
    namespace = f"t-{secrets.token_hex(4)}"
    path = f"{kubernetes.collection('EndpointSlice', namespace)}?{_SELECTED}&"

    def get(query: str, token: str = environ["CLUSTER_TOKEN"]) -> list[str]:
        parts = urllib.parse.urlsplit(environ["CLUSTER_API"])
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, context=context, timeout=10
        )
        connection.request("GET", path + query, headers={"Authorization": f"Bearer {token}"})
        lines = connection.getresponse().read().decode().strip("\n").split("\n")
        connection.close()
        return lines

    with API(environ["CLUSTER_API"], environ["CLUSTER_TOKEN"], certificate) as api:
        api.apply(kubernetes.namespace(namespace))
        ports = [kubernetes.port(80, "http", target=8080)]
        api.merge(
            "/api/v1/nodes/node", {"metadata": {"labels": {"topology.kubernetes.io/zone": "z1"}}}
        )
        api.apply(kubernetes.service("web", namespace, ports=ports))
        first = f"{_FIRST}&timeoutSeconds=1"
        eventually(lambda: _has(get(first), '"endpoints":null,"ports":null'))
        # Another bookmark may come at any time.
        said = [line for line in get(first) if "ADDED" in line or "initial-events-end" in line]
        for name in ("web-0", "web-1"):
            api.apply(
                kubernetes.pod(
                    name, namespace, [f"10.201.0.{name[-1]}"], app="web", hostname=name,
                    subdomain="web",
                )
            )  # fmt: skip
        eventually(lambda: _has(get(first), '"hostname":"web-1"', '"zone":"z1"'))
        said += [line for line in get(first) if '"ADDED"' in line]
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        api.create(accounts, {"metadata": {"name": "app"}})
        token = api.create(f"{accounts}/app/token", {"spec": {"expirationSeconds": 600}})
        said += get(first, token["status"]["token"])
        said += get(first, "wrong")
    return [steady(line) for line in said]


def _has(lines: list[str], *texts: str) -> None:
    assert all(any(text in line for line in lines) for text in texts)


def steady(line: str) -> str:
    """Without what differs each time."""
    for pattern, instead in _DIFFERS:
        line = re.sub(pattern, instead, line)
    return line


if __name__ == "__main__":
    FILE.write_text("\n".join(record()) + "\n")
