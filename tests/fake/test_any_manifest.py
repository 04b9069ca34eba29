"""Manifests that are wrong somewhere: refused, or taken and then answered for, and nothing else.

``MANIFESTS`` and ``MANIFEST_SEED`` ask for more of them, or for others.
"""

import contextlib
import copy
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headless_discovery import Clock
from headless_discovery.testing import FakeCluster
from tests.cli.command import run
from tests.fake.asking import WEB, ask
from tests.fake.test_manifests import endpoint_slice, pod, service
from tests.fake.test_workloads import stateful_set, workload

pytestmark = pytest.mark.slow

MANIFESTS = int(os.environ.get("MANIFESTS", "200"))
SEED = int(os.environ.get("MANIFEST_SEED", "1"))
GOOD: list[Any] = [
    {"kind": "Namespace", "metadata": {"name": "shop"}},
    {
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.1"}]},
    },
    service(ports=[{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]),
    stateful_set(2, ordinals={"start": 1}),
    workload("Deployment", replicas=2),
    workload("DaemonSet", {"hostNetwork": True}),
    workload("Job", completionMode="Indexed", parallelism=2),
    pod(),
    endpoint_slice(ports=[{"name": "http", "port": 80}]),
    {"kind": "List", "items": [endpoint_slice("other")]},
]
WRONG: list[Any] = [
    None, True, False, 0, 1, -1, 2**40, 10**400, 1.5, float("nan"), "", "x", "a.b", "É", "x" * 300,
    "10.0.0.1", "::1", "None", "\ud800", "\n", b"x", (1,), [], [None], ["x"], [[]], [{}], {},
    {"a": 1}, {"a": []}, {"name": "x"}, {1: 2}, {None: None}, {"kind": "List"},
]  # fmt: skip


def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """All there are below a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inside:
        yield (*path, key)
        if isinstance(one, dict | list):
            yield from places(one, *path, key)


def with_something_wrong(rng: random.Random) -> list[Any]:
    manifests = copy.deepcopy(GOOD)
    for _ in range(rng.choice([1, 1, 2, 3])):
        *path, last = rng.choice(list(places(manifests)))
        holds: Any = manifests
        for key in path:
            holds = holds[key]
        if isinstance(holds, dict) and rng.random() < 0.2:
            del holds[last]
        else:
            holds[last] = copy.deepcopy(rng.choice(WRONG))
    return manifests


def answer_all(cluster: FakeCluster) -> None:
    for name in (WEB, f"db-1.{WEB}", f"_http._tcp.{WEB}", "1.0.0.10.in-addr.arpa."):
        for kind in ("A", "AAAA", "SRV", "PTR"):
            ask(cluster, name, kind)


class AtOnce(Clock):
    """Ctrl-C comes with the first pause."""

    def sleep(self, seconds: float) -> None:
        """Raises it."""
        raise KeyboardInterrupt


def serve(manifests: list[Any], path: Path) -> str:
    """What ``serve`` says of them, whatever they are."""
    text = yaml.safe_dump_all(manifests, allow_unicode=True)
    path.write_text(text, encoding="utf-8", errors="replace")
    done = run("serve", str(path), "--listen", "127.0.0.1:0", clock=AtOnce())
    assert done.code == (0 if done.out else 2)
    assert all(line.isprintable() for line in done.err.splitlines())
    return done.err


def test_they_are_taken_as_they_are(tmp_path: Path) -> None:
    cluster = FakeCluster()
    assert cluster.apply(GOOD) == ()
    answer_all(cluster)
    cluster.delete(GOOD)
    assert "left out" not in serve(GOOD, tmp_path / "all.yaml")


@pytest.mark.parametrize("number", range(MANIFESTS))
def test_what_is_wrong_is_refused_or_answered_for(number: int, tmp_path: Path) -> None:
    print(f"MANIFEST_SEED={SEED}, number {number}")
    manifests = with_something_wrong(random.Random(f"{SEED} {number}"))
    serve(manifests, tmp_path / "all.yaml")
    together, one_by_one = FakeCluster(), FakeCluster()
    with contextlib.suppress(ValueError):
        together.apply(manifests)
    for manifest in manifests:
        with contextlib.suppress(ValueError):
            one_by_one.apply([manifest])
    for cluster in (together, one_by_one):
        answer_all(cluster)
        for manifest in manifests:
            with contextlib.suppress(ValueError):
                cluster.delete([manifest])
        answer_all(cluster)
