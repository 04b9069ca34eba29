"""Fakes for the unit tests of code that uses `headless_discovery`.

>>> from headless_discovery.testing import FakeCluster
>>> cluster = FakeCluster()
>>> kubia = cluster.add_service("kubia-headless", ports={"http": 8080})
>>> pods = kubia.add_pod("172.30.35.3"), kubia.add_pod("172.30.35.2", ready=False)
>>> [str(peer) for peer in cluster.peers("kubia-headless", port="http")]
['172.30.35.3:8080']
"""

from ._clock import FakeClock
from ._cluster import FakeCluster
from ._pods import FakePod, FakeService

__all__ = ["FakeClock", "FakeCluster", "FakePod", "FakeService"]
