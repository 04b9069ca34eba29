"""The manifests and the Dockerfile, as far as a fake cluster and the files themselves tell."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import headless_discovery
from headless_discovery import NotHeadless
from headless_discovery.testing import FakeCluster

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "gossip"
PACKAGE = Path(headless_discovery.__file__).parent
TEXT = (FOLDER / "gossip.yaml").read_text()


def manifest(kind: str) -> Any:
    return next(one for one in yaml.safe_load_all(TEXT) if one["kind"] == kind)


def test_a_fake_cluster_takes_the_file_and_has_the_pods_of_its_stateful_set() -> None:
    cluster = FakeCluster()
    cluster.apply(TEXT)
    found = cluster.peers("gossip", port="http").endpoints()
    assert [(peer.hostname, peer.port) for peer in found] == [
        (f"gossip-{number}", 8080) for number in range(5)
    ]


def test_clients_have_a_service_of_their_own_which_is_not_headless() -> None:
    cluster = FakeCluster()
    cluster.apply(TEXT)
    with pytest.raises(NotHeadless):
        cluster.peers("gossip-client", port="http").endpoints()


def test_an_eviction_takes_fewer_nodes_than_hold_an_acknowledged_write() -> None:
    assert manifest("PodDisruptionBudget")["spec"]["maxUnavailable"] < 2


def test_what_the_container_is_told_is_asked_for_by_the_program_or_by_the_library() -> None:
    (container,) = manifest("StatefulSet")["spec"]["template"]["spec"]["containers"]
    sources = [FOLDER / "__main__.py", *PACKAGE.rglob("*.py")]
    text = "".join(source.read_text() for source in sources)
    for variable in container["env"]:
        assert f'"{variable["name"]}"' in text, variable


def test_what_the_dockerfile_copies_is_there() -> None:
    for line in (FOLDER / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = shlex.split(line)[1:]
            for source in sources:
                # The package may be installed elsewhere: these tests are run on the wheel too.
                assert (ROOT / source).exists() or source == PACKAGE.name, source
