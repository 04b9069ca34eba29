"""The simulation itself: a few seeds, and that it notices a library that is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headless_discovery import DiscoveryError
from headless_discovery._membership import Membership

from . import picture
from .world import Bounds, Result, World

pytestmark = pytest.mark.slow


def run(seed: int, nodes: int = 3) -> Result:
    told: list[str] = []
    result = World(seed, nodes, told.append).run()
    if result.problems:
        told.append(f"replay it: World({seed}, {nodes}, print).run()")
        pytest.fail("\n".join(told))
    return result


@pytest.mark.parametrize("seed", range(1, 7))
def test_nobody_loses_a_peer_whatever_happens(seed: int) -> None:
    assert len(run(seed).full) == 3


def test_the_same_seed_gives_the_same_run() -> None:
    assert run(5, 4) == run(5, 4)


def forgets_when_dns_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Membership._failed

    def forget(self: Membership, error: DiscoveryError, now: float) -> None:
        failed(self, error, now)
        self.snapshot = type(self.snapshot)()

    monkeypatch.setattr(Membership, "_failed", forget)


def believes_every_empty_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Membership, "_believes_copies", lambda self, asked: True)


def hardly_ever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Membership, "_jittered", lambda self, pause: pause * 12)


@pytest.mark.parametrize(
    "spoil", [forgets_when_dns_fails, believes_every_empty_answer, hardly_ever_asks]
)
def test_it_notices_a_library_that(
    spoil: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    assert any(World(seed, 3).run().problems for seed in range(1, 25))


def test_bounds_are_those_that_the_documents_promise() -> None:
    assert Bounds(30).appear <= 75
    assert Bounds(5).appear <= 45


def test_the_documents_tell_of_the_picture_as_it_is() -> None:
    story = picture.tell()
    page = (Path(__file__).parent.parent.parent / "docs" / "simulation.md").read_text()
    for who, believed in (("the naive client", story.naive), ("this library", story.library)):
        missing, extra = story.wrong(believed)
        assert f"| {who} | {missing} s | {extra} s |" in page
