"""The fixtures for users' own tests: there where they are asked for, and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = 'pytest_plugins = ["headless_discovery.testing.pytest"]\n'
TESTS = """
import pytest
from headless_discovery.testing import FakeCluster

def test_a_cluster_is_empty_and_its_clock_is_the_fixture(fake_cluster, fake_clock):
    assert fake_clock is fake_cluster.clock
    fake_cluster.add_service("web").scale(2)
    with fake_cluster.peers("web") as web:
        assert len(web.endpoints()) == 2
        fake_cluster.service("web").scale(3)
        fake_clock.advance(30)
        assert len(web.snapshot.endpoints) == 3

def test_each_test_has_its_own(fake_cluster):
    fake_cluster.add_service("web")

class TestWithOptions:
    @pytest.fixture
    def fake_cluster(self):
        return FakeCluster(ttl=30, cache=30)

    def test_the_clock_is_that_of_the_test_s_own_cluster(self, fake_clock, fake_cluster):
        assert fake_clock is fake_cluster.clock
"""


def run(folder: Path, conftest: str) -> str:
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    return done.stdout


@pytest.mark.slow
def test_who_asks_for_the_plugin_has_a_cluster_and_its_clock(tmp_path: Path) -> None:
    assert "3 passed" in run(tmp_path, CONFTEST)


@pytest.mark.slow
def test_who_does_not_ask_has_neither(tmp_path: Path) -> None:
    said = run(tmp_path, "")
    assert "fixture 'fake_cluster' not found" in said
    assert "3 errors" in said
