"""The examples for redis, its sentinels and memcached, on real servers where they are installed.

On Debian: ``apt-get install memcached redis-server redis-sentinel``.
"""

import functools
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from examples.clients import with_memcached, with_redis
from headless_discovery import Peers
from headless_discovery.testing import FakeCluster

pytestmark = pytest.mark.slow

PODS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
_WAITS = 30.0
"""Seconds for a server to answer."""


def needs(program: str) -> pytest.MarkDecorator:
    """Skips where it is not installed, and says so."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def free_ports(count: int) -> list[int]:
    """So many different ones, each of them free on all addresses."""
    ports: list[int] = []
    with ExitStack() as stack:  # all are held until the last is found
        for _ in range(20 * count):
            try:
                first = stack.enter_context(socket.create_server((PODS[0], 0)))
                port: int = first.getsockname()[1]
                for address in PODS[1:]:
                    stack.enter_context(socket.create_server((address, port)))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    raise AssertionError("no ports are free on all addresses")


def eventually(succeeds: Callable[[], object]) -> None:
    """Once it returns something true, and raises nothing."""
    until = time.monotonic() + _WAITS
    while True:
        try:
            if succeeds():
                return
            error: Exception = AssertionError("it stayed false")
        except (OSError, redis.RedisError) as raised:
            error = raised
        if time.monotonic() > until:
            raise error
        threading.Event().wait(0.02)


def listens(address: str, port: int) -> bool:
    with socket.create_connection((address, port)):
        return True


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a program, and ends it at the end."""
    with ExitStack() as stack:

        def start(*command: object) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [*map(str, command)], stdout=subprocess.DEVNULL, cwd=tmp_path
            )

            def end() -> None:
                process.kill()
                process.wait()

            stack.callback(end)
            return process

        yield start


def run_redis(run: Callable[..., object], address: str, port: int, *options: object) -> None:
    run("redis-server", "--bind", address, "--port", port, "--save", "", *options)
    eventually(lambda: redis.Redis(address, port).ping())


def cluster_on(port: int) -> FakeCluster:
    cluster = FakeCluster()
    web = cluster.add_service("web", ports={"it": port})
    for number, address in enumerate(PODS):
        web.add_pod(address, hostname=f"web-{number}")
    return cluster


def key_of(web: Peers, hostname: str) -> str:
    """A key that belongs to that pod."""
    return next(key for key in map(str, range(1000)) if web.pick(key).hostname == hostname)


@needs("memcached")
def test_a_ring_of_memcached_has_a_copy_when_a_pod_is_gone(
    run: Callable[..., subprocess.Popen[bytes]],
) -> None:
    [port] = free_ports(1)
    servers = {
        address: run("memcached", "-l", address, "-p", port, "-U", 0, "-m", 8, "-u", "nobody")
        for address in PODS
    }
    for address in PODS:
        eventually(functools.partial(listens, address, port))
    ring = cluster_on(port).peers("web", port="it")
    with with_memcached.clients(ring) as kept:
        keys = [f"user:{number}" for number in range(60)]
        assert [with_memcached.put(ring, kept, key, key.encode()) for key in keys] == [2] * 60
        assert with_memcached.get(ring, kept, "user:unknown") is None
        servers[PODS[0]].kill()
        servers[PODS[0]].wait()
        assert [with_memcached.get(ring, kept, key) for key in keys] == [*map(str.encode, keys)]
        assert {with_memcached.put(ring, kept, key, b"new") for key in keys} == {1, 2}
    assert ring.stats.failures


class LosesReplies(socketserver.BaseRequestHandler):
    """Between a client and a Redis: INCR arrives, its reply does not."""

    upstream: tuple[str, int]

    def handle(self) -> None:
        with socket.create_connection(self.upstream) as upstream:
            replies = threading.Thread(target=self.pass_on, args=(upstream,))
            replies.start()
            while data := self.request.recv(65536):
                self.lost = b"INCR" in data
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_RDWR)
            replies.join()

    lost = False

    def pass_on(self, upstream: socket.socket) -> None:
        while data := upstream.recv(65536):
            if self.lost:
                self.request.shutdown(socket.SHUT_RDWR)
                return
            self.request.sendall(data)


@needs("redis-server")
def test_redis_reads_go_on_and_a_count_arrives_once_though_its_reply_is_lost(
    run: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    [port] = free_ports(1)
    run_redis(run, PODS[1], port)
    monkeypatch.setattr(LosesReplies, "upstream", (PODS[1], port), raising=False)
    web = cluster_on(port).peers("web", port="it")
    with (
        socketserver.ThreadingTCPServer((PODS[2], port), LosesReplies) as server,
        with_redis.clients(web) as kept,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            key = key_of(web, "web-0")  # which is not there
            redis.Redis(PODS[1], port).set(key, "here")
            assert with_redis.read(web, kept, key) == "here"
            counted = key_of(web, "web-2")
            with pytest.raises(redis.ConnectionError):
                with_redis.count(kept, counted)
            assert redis.Redis(PODS[1], port).get(counted) == b"1"
        finally:
            server.shutdown()
            thread.join()


@needs("redis-server")
@needs("redis-sentinel")
def test_the_primary_is_found_by_the_sentinels_that_are_there_and_after_a_failover(
    run: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    at_redis, at_sentinel = free_ports(2)
    primary, replica, _ = PODS
    run_redis(run, primary, at_redis)
    follow = ("--replicaof", f"{primary} {at_redis}", "--replica-announce-ip", replica)
    run_redis(run, replica, at_redis, *follow)
    old = redis.Redis(primary, at_redis)
    eventually(lambda: old.wait(1, 500))  # sentinels look for replicas every 10 s only
    for address in PODS[1:]:  # the first sentinel is not there
        config = tmp_path / f"{address}.conf"
        config.write_text(
            f"bind {address}\nport {at_sentinel}\n"
            f"sentinel announce-ip {address}\n"
            f"sentinel monitor mymaster {primary} {at_redis} 2\n"
            "sentinel down-after-milliseconds mymaster 500\n"
        )
        run("redis-sentinel", config)
    sentinels = cluster_on(at_sentinel).peers("web", port="it")
    client = with_redis.primary(sentinels)
    eventually(client.ping)
    assert client.incr("visits") == 1
    eventually(lambda: client.wait(1, 500))  # the replica has it
    one: Any = redis.Redis(PODS[1], at_sentinel, decode_responses=True)
    eventually(lambda: one.sentinel_slaves("mymaster"))
    eventually(lambda: one.execute_command("SENTINEL", "FAILOVER", "mymaster"))
    eventually(lambda: one.sentinel_get_master_addr_by_name("mymaster")[0] == replica)
    # The old primary takes writes until it has heard of it.
    eventually(lambda: old.info("replication")["role"] == "slave")
    eventually(lambda: client.incr("visits"))
    assert client.get("visits") == "2"
    assert redis.Redis(replica, at_redis).info("replication")["role"] == "master"
