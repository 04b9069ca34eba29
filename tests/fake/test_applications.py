"""Five applications that people run: what their manifests, as they are, come to on a fake cluster.

`tests/cluster/test_applications.py` holds the same against a real control plane.
"""

from typing import Any

import pytest

from headless_discovery.testing import FakeCluster
from tests.fake.applications import FOLDER, NAMES, served

VIRTUAL = "NotHeadless"


def numbered(name: str, count: int, port: int | None) -> list[tuple[str, int | None]]:
    return [(f"{name}-{number}", port) for number in range(count)]


@pytest.mark.parametrize(
    ("application", "service", "port", "expected"),
    [
        ("redis", "cache-redis-headless", "tcp-redis",
         numbered("cache-redis-master", 1, 6379) + numbered("cache-redis-replicas", 3, 6379)),
        ("redis", "cache-redis-headless", None,
         numbered("cache-redis-master", 1, 6379) + numbered("cache-redis-replicas", 3, 6379)),
        ("redis", "cache-redis-master", "tcp-redis", VIRTUAL),
        ("rabbitmq", "mq-rabbitmq-headless", "dist", numbered("mq-rabbitmq", 3, 25672)),
        ("rabbitmq", "mq-rabbitmq-headless", "http-stats", numbered("mq-rabbitmq", 3, 15672)),
        ("rabbitmq", "mq-rabbitmq", "amqp", VIRTUAL),
        ("etcd", "kv-etcd-headless", "peer", numbered("kv-etcd", 3, 2380)),
        ("elasticsearch", "search-es-master-hl", "tcp-transport",
         numbered("search-es-master", 2, 9300)),
        ("elasticsearch", "search-es-coordinating-hl", "tcp-rest-api", [("dashed", 9200)] * 2),
        ("elasticsearch", "search-es-agents", None, [("dashed", 5066)]),
        ("elasticsearch", "search-es-first", None, [("dashed", None)]),
        ("training", "llm", None, [("dashed", None), *numbered("llm-node-0", 4, None)]),
        ("training", "llm-workers", "master", [("dashed", 29500)] * 4),
    ],
)  # fmt: skip
def test_what_its_manifests_come_to(
    application: str, service: str, port: str | None, expected: Any
) -> None:
    cluster = FakeCluster()
    assert cluster.apply((FOLDER / f"{application}.yaml").read_text()) == ()
    assert served(cluster.peers(service, port=port)) == expected


def test_all_files_are_held_against_the_real_control_plane() -> None:
    assert NAMES == ["corners", "elasticsearch", "etcd", "rabbitmq", "redis", "training"]
