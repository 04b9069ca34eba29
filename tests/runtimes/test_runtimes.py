"""100 requests under each runtime, while pods change and a worker is killed.

Every request is answered, each by a pod that is there or was until just now; what changed is seen
by all workers, the one that took the killed one's place too; nothing is written about an error.
"""

import contextlib
import http.client
import importlib.util
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headless_discovery.testing import FakeCluster, FakeService
from tests.runtimes import programs

pytestmark = pytest.mark.slow

REQUESTS, CHANGE_AT, KILL_AT = 100, 30, 60
IN_TIME = 20  # seconds, on a loaded machine
Told = dict[str, Any]


class World:
    """A cluster behind a socket, whose pods change once, and a process that discovers them."""

    def __init__(self, service: FakeService, environment: dict[str, str], folder: Path) -> None:
        self._service = service
        self.environment = environment
        self.folder = folder
        self.changed = False

    @property
    def pods(self) -> set[str]:
        return {f"{pod.addresses[0]}:8080" for pod in self._service.pods}

    def change(self) -> None:
        self._service.pods[0].delete()
        self._service.add_pod("10.0.0.8")
        self._service.add_pod("10.0.0.9")
        self.changed = True

    @contextlib.contextmanager
    def run(self, *command: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
        """It ends by SIGTERM; what it wrote must not tell of the library."""
        log = self.folder / "log"
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                **more,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(2)
                process.kill()
                print(log.read_text())
        assert "headless_discovery" not in log.read_text()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    cluster = FakeCluster(ttl=1)
    service = cluster.add_service("web", ports={"http": 8080})
    for last in range(1, 4):
        service.add_pod(f"10.0.0.{last}")
    with cluster.serve() as server:
        environment = os.environ | {
            "HEADLESS_DISCOVERY_NAMESERVER": server.nameserver,
            "PYTHONWARNINGS": "default",
            "PYTHONUNBUFFERED": "1",
            "EVENTLET_NO_GREENDNS": "yes",  # it patches dnspython, which then imports trio
        }
        yield World(service, environment, tmp_path)


def hold(
    world: World, ask: Callable[[], Told], kill: Callable[[int], object] | None = None
) -> None:
    """Asks 100 times and more, until every worker that answers knows the pods as they are."""
    before = world.pods
    seen: dict[int, Told] = {}
    deadline = time.monotonic() + IN_TIME
    number = fresh = 0
    while number < REQUESTS or fresh < 20:
        assert time.monotonic() < deadline, (world.pods, seen)
        told = ask()
        number += 1
        if number == CHANGE_AT:
            world.change()
        if number == KILL_AT and kill is not None:
            kill(told["pid"])
        assert told["picked"] in world.pods | before, number
        seen[told["pid"]] = told
        knows = world.changed and set(told["peers"]) >= world.pods and told["picked"] in world.pods
        fresh = fresh + 1 if knows else 0
    assert kill is None or len(seen) > 1


def needed(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


# Programs on their own.


def hold_alone(world: World, *command: str) -> None:
    with world.run(*command) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        hold(world, lambda: json.loads(next(lines)))


@pytest.mark.parametrize("library", ["eventlet", "gevent"])
def test_green_threads_of_which_some_are_killed_in_a_lookup(world: World, library: str) -> None:
    needed(library)
    hold_alone(world, "tests.runtimes.green", library)


def test_uvloop_with_a_task_that_is_cancelled_in_a_lookup(world: World) -> None:
    needed("uvloop")
    hold_alone(world, "tests.runtimes.programs", "uvloop")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_with_a_scope_that_ends_in_a_lookup(world: World, backend: str) -> None:
    needed("anyio", backend)
    hold_alone(world, "tests.runtimes.programs", "anyio", backend)


# Servers.


def get(port: int) -> Told:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        reply = connection.getresponse()
        assert reply.status == 200
        told: Told = json.loads(reply.read())
        return told


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)  # what it had taken from the queue of connections is lost, by any server


def hold_server(world: World, *command: str) -> None:
    """The socket is made here, so that no connection is refused while the server starts."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        number = listening.fileno()
        words = [word.replace("FD", str(number)) for word in command]
        with world.run(*words, pass_fds=[number]):
            hold(world, lambda: get(listening.getsockname()[1]), kill)


GUNICORN = ("gunicorn", "--bind", "fd://FD", "--workers", "2", "--graceful-timeout", "2")


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_gunicorn_whose_worker_is_killed(world: World, kind: str, preload: bool) -> None:
    needed("gunicorn", *["gevent"] * (kind == "gevent"))
    if preload:
        world.environment["PRELOAD"] = "1"
    more = ["--preload"] * preload
    hold_server(world, *GUNICORN, *more, "--worker-class", kind, "tests.runtimes.programs:wsgi")


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_gunicorn_with_uvicorns_workers(world: World, preload: bool) -> None:
    needed("gunicorn", "uvicorn")
    kind = "uvicorn_worker" if importlib.util.find_spec("uvicorn_worker") else "uvicorn.workers"
    more = ["--preload"] * preload
    hold_server(
        world,
        *GUNICORN,
        *more,
        "--worker-class",
        f"{kind}.UvicornWorker",
        "tests.runtimes.programs:asgi",
    )


def test_uvicorn_with_workers_of_its_own(world: World) -> None:
    needed("uvicorn")
    hold_server(world, "uvicorn", "--fd", "FD", "--workers", "2", "tests.runtimes.programs:asgi")


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_celery_whose_worker_is_killed(world: World, preload: bool) -> None:
    needed("celery")
    queue, sent, replies = (world.folder / name for name in ("queue", "sent", "replies"))
    for folder in (queue, sent, replies):
        folder.mkdir()
    world.environment["BROKER"] = str(queue)
    if preload:
        world.environment["PRELOAD"] = "1"
    numbers = itertools.count()

    def send(task: str, *arguments: str) -> None:
        app.send_task(task, arguments)
        for message in sent.iterdir():
            message.rename(queue / message.name)

    def ask() -> Told:
        reply = replies / str(next(numbers))
        send("ask", str(reply))
        deadline = time.monotonic() + IN_TIME
        while not reply.exists():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        told: Told = json.loads(reply.read_text())
        return told

    command = "celery --app tests.runtimes.programs worker --pool prefork --concurrency 2"
    alone = "--without-gossip --without-mingle --without-heartbeat --loglevel WARNING"
    with (
        programs.worker(str(queue), str(sent)) as app,
        world.run(*command.split(), *alone.split()),
    ):
        # In a task: one that waits for a task holds the lock of all, and Celery would hang.
        hold(world, ask, lambda _: send("die"))
