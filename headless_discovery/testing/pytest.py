"""Fixtures for pytest, enabled by the test suite.

In ``conftest.py``: ``pytest_plugins = ["headless_discovery.testing.pytest"]``. There is no entry
point: no test run has them that did not ask.
"""

import pytest

from . import FakeClock, FakeCluster


@pytest.fixture
def fake_cluster() -> FakeCluster:
    """A `FakeCluster` of the test's own, with nothing in it.

    For one with other options define a fixture of this name: `fake_clock` goes with it.
    """
    return FakeCluster()


@pytest.fixture
def fake_clock(fake_cluster: FakeCluster) -> FakeClock:
    """The clock of ``fake_cluster``, and of all that is made on it."""
    return fake_cluster.clock
