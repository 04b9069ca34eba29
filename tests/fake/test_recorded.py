"""The fake answers every recorded question as the real CoreDNS did, down to the length."""

import json
from pathlib import Path
from typing import Any

import pytest

from headless_discovery.testing import FakeCluster
from tests.replies import difference

RECORDED = sorted((Path(__file__).parent.parent / "recorded").glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(path.read_text())
    return recorded


def the_same_state(recorded: dict[str, Any]) -> FakeCluster:
    options = dict(recorded["corefile"])
    synced = options.pop("synced")
    cluster = FakeCluster(**options)
    cluster.synced = synced
    cluster.apply(recorded["objects"] if synced else [])
    return cluster


@pytest.mark.slow
@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
def test_the_fake_answers_as_the_real_server_did(path: Path) -> None:
    recorded = load(path)
    cluster = the_same_state(recorded)
    differences = []
    for exchange in recorded["exchanges"]:
        wire = cluster.answer(bytes.fromhex(exchange["query"]), tcp=exchange["transport"] == "tcp")
        wanted = exchange["reply"] and bytes.fromhex(exchange["reply"])
        said = difference(wanted, wire)
        if said is not None:
            question = exchange["question"]
            how = f"{exchange['transport']} {exchange['edns']}"
            differences.append(f"{question['name']} {question['type']} {how}: {said}")
    assert not differences, "\n".join(differences)


def test_all_that_was_recorded_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    count = sum(len(load(path)["exchanges"]) for path in RECORDED)
    with capsys.disabled():
        print(f"\n{len(RECORDED)} recorded states, {count} replies compared with the fake's")
    assert count >= 490
