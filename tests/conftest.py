"""For every test: the fakes that most begin with, and errors in few words."""

from collections.abc import Iterator
from typing import Any

import pytest

from headless_discovery import DiscoveryError
from headless_discovery.testing import FakeCluster, FakeService

MOST_WORDS = 25


@pytest.fixture(autouse=True)
def errors_say_in_few_words_what_happened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What to do about it stands in ``hint``; every error that a test comes to see is counted."""
    wordy: list[str] = []
    init = DiscoveryError.__init__

    def counted(self: DiscoveryError, message: str = "", **hint: Any) -> None:
        if len(message.split()) > MOST_WORDS:
            wordy.append(message)
        init(self, message, **hint)

    monkeypatch.setattr(DiscoveryError, "__init__", counted)
    yield
    assert not wordy, "\n".join(wordy)


@pytest.fixture(autouse=True)
def tests_are_no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a pod of a cluster runs them, whose environment names it."""
    for name in ("POD_IP", "POD_IPS", "POD_NAME", "POD_ZONE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def web(cluster: FakeCluster) -> FakeService:
    """A StatefulSet of three pods."""
    service = cluster.add_service("web", ports={"http": 8080})
    service.scale(3)
    return service


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes go by the argument's name: some are random, and workers must collect the same tests."""
    return argname if isinstance(val, bytes) else None
