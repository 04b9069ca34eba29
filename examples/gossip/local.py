"""Five nodes as real processes on 127.0.0.11 to 15, found by real DNS from a fake name server.

A client writes all the time. Meanwhile one node is killed with its disk, another is added, and DNS
is cut. In the end every node is asked what it holds: they must agree, and no acknowledged write may
be missing. It takes half a minute, and ends with 1 if anything is wrong. With ``--stay`` nothing is
broken, and it goes on until Ctrl-C, for the web page.
"""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp

from headless_discovery import Endpoint, Peers
from headless_discovery.testing import FakeCluster

from .messages import Look, Swap, Swapped, View
from .node import PeerError
from .transport import HTTPTransport

LIMIT = 100.0
"""Seconds: a third of it does, but for a machine that is busy with other things."""
CUT = 10.0
"""Seconds without DNS."""


class Local:
    """The processes, the name server's model, and what a client was told."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path) -> None:
        self.port = free_port()
        self.cluster = FakeCluster()
        self.service = self.cluster.add_service(
            "gossip", ports={"http": self.port}, publish_not_ready=True
        )
        self.nameserver = ""
        self.acknowledged: dict[str, str] = {}
        self.refused = 0
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self._session = session
        self._folder = folder
        self._transport = HTTPTransport(session, timeout=10)
        self._began = time.monotonic()

    def tell(self, text: str) -> None:
        """With the seconds so far."""
        print(f"{time.monotonic() - self._began:5.1f} s  {text}", flush=True)

    # Nodes.

    def address(self, name: str) -> str:
        """gossip-0 is at 127.0.0.11."""
        return f"127.0.0.{11 + int(name.removeprefix('gossip-'))}"

    def endpoint(self, name: str) -> Endpoint:
        """Where the node is, by its name alone: the client does not trust DNS here."""
        return Peers.static([f"{self.address(name)}:{self.port}"]).pick()

    async def start(self, name: str) -> None:
        """As a kubelet would: the pod is published before it is ready."""
        data = self._folder / name
        data.mkdir()
        endpoint = self.endpoint(name)
        self.service.add_pod(endpoint.address, hostname=name, ready=False)
        with (data / "log").open("wb") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "examples.gossip",
                stdout=log,
                stderr=log,
                env=os.environ
                | {
                    "HEADLESS_DISCOVERY_NAMESERVER": self.nameserver,
                    "POD_NAME": name,
                    "POD_IP": endpoint.address,
                    "POD_NAMESPACE": "default",
                    "GOSSIP_HOST": endpoint.address,
                    "GOSSIP_PORT": str(endpoint.port),
                    "GOSSIP_DATA": str(data),
                },
            )

    async def kill(self, name: str) -> None:
        """Power off: no good-bye, and its disk is never seen again."""
        process = self.processes.pop(name)
        process.kill()
        await process.wait()
        next(pod for pod in self.service.pods if pod.hostname == name).delete()

    async def end(self) -> None:
        """All at once; whoever takes long over it is killed."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                process.terminate()
        try:
            async with asyncio.timeout(10):
                await asyncio.gather(*(process.wait() for process in self.processes.values()))
        except TimeoutError:
            for process in self.processes.values():
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def view(self, name: str) -> View | None:
        """How a node sees the cluster."""
        try:
            reply = await self._transport.ask(self.endpoint(name), Look("client"))
        except PeerError:
            return None
        return reply if isinstance(reply, View) else None

    async def views(self) -> list[View]:
        """Those of the nodes that answer."""
        found = await asyncio.gather(*(self.view(name) for name in self.processes))
        return [view for view in found if view is not None]

    async def until(self, what: str, holds: Callable[[list[View]], bool]) -> list[View]:
        """Asks all nodes until it holds of what they say."""
        while True:
            views = await self.views()
            if len(views) == len(self.processes) and holds(views):
                self.tell(what)
                return views
            await asyncio.sleep(0.2)

    def complete(self, views: list[View]) -> bool:
        """Each is ready and knows exactly the others."""
        nodes = {view.node for view in views}
        return all(view.ready and {*view.knows} == nodes - {view.node} for view in views)

    # A client.

    async def write(self, pause: float) -> None:
        """Writes one key after the other, each to a node taken at random."""
        for number in itertools.count():
            key, value = f"key-{number}", f"value {number}"
            to = self.endpoint(random.choice(list(self.processes)))
            try:
                url = f"http://{to}/kv/{key}"
                async with self._session.put(url, data=value, raise_for_status=True):
                    self.acknowledged[key] = value
            except (aiohttp.ClientError, TimeoutError):
                self.refused += 1
            await asyncio.sleep(pause)

    async def missing(self, name: str) -> list[str]:
        """Acknowledged writes that the node itself does not hold."""
        asked = Swap("client", wanted=tuple(self.acknowledged))
        reply = await self._transport.ask(self.endpoint(name), asked)
        assert isinstance(reply, Swapped)  # noqa: S101 - it is what a node answers to this
        held = {entry.key: entry.value for entry in reply.entries}
        return [key for key, value in self.acknowledged.items() if held.get(key) != value]


def free_port() -> int:
    """One that is free on all the addresses."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            port = 0
            for last in range(11, 17):
                opened = stack.enter_context(socket.socket())
                opened.bind((f"127.0.0.{last}", port))
                port = opened.getsockname()[1]
            return port


def matrix(views: list[View]) -> str:
    """Who knows whom."""
    names = sorted({name for view in views for name in (view.node, *view.knows)})
    lines = [" " * 12 + " ".join(name[-1] for name in names)]
    for view in sorted(views, key=lambda view: view.node):
        knows = ("x" if name in view.knows else "." for name in names)
        lines.append(f"    {view.node} {' '.join(knows)}   {view.keys} keys, {view.fingerprint}")
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def five_nodes() -> AsyncIterator[Local]:
    """Started, with a client that writes; whatever happens, no process is left."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        with tempfile.TemporaryDirectory() as folder:
            local = Local(session, Path(folder))
            with local.cluster.serve() as server:
                local.nameserver = server.nameserver
                try:
                    for number in range(5):
                        await local.start(f"gossip-{number}")
                    yield local
                finally:
                    await local.end()


@contextlib.asynccontextmanager
async def writing(local: Local) -> AsyncIterator[None]:
    """A client writes all the time; it has stopped at the end, also if we are interrupted."""
    client = asyncio.create_task(local.write(pause=0.05))
    try:
        yield
    finally:
        client.cancel()
        await asyncio.wait([client])


async def faults(local: Local) -> bool:
    """The story; tells whether all went well."""
    print(matrix(await local.until("five nodes are ready, and all know all", local.complete)))
    async with writing(local):
        await asyncio.sleep(2)
        local.tell(f"a client writes: {len(local.acknowledged)} writes are acknowledged so far")

        await local.kill("gossip-2")
        local.tell("gossip-2 was killed, and its disk is lost")
        await local.start("gossip-5")
        local.tell("gossip-5 was added")
        await local.until("the other nodes list gossip-5, and not gossip-2", local.complete)

        local.cluster.fail("timeout")
        before, since = len(local.acknowledged), time.monotonic()
        local.tell("DNS fails")
        await local.until(
            "all notice: their answers are stale",
            lambda views: all(view.state == "stale" for view in views),
        )
        await asyncio.sleep(max(0, CUT - (time.monotonic() - since)))
        held_on = local.complete(await local.views())
        during = len(local.acknowledged) - before
        local.tell(f"without DNS {during} writes were acknowledged; all know all: {held_on}")
        local.cluster.heal()
        local.tell("DNS is back")

    views = await local.until(
        "the client has stopped, and all agree",
        lambda views: len({view.fingerprint for view in views}) == 1,
    )
    print(matrix(views))
    lost = {name: await local.missing(name) for name in local.processes}
    for name, keys in lost.items():
        if keys:
            print(f"    {name} has lost {', '.join(keys)}")
    local.tell(
        f"{len(local.acknowledged)} writes were acknowledged, {local.refused} were not; each of "
        f"{len(lost)} nodes was asked: {sum(map(len, lost.values()))} are lost"
    )
    return held_on and during > 0 and not any(lost.values())


async def stay(local: Local) -> bool:
    await local.until("five nodes are ready, and all know all", local.complete)
    local.tell(f"open http://{local.endpoint('gossip-0')}/ and end with Ctrl-C")
    await local.write(pause=5)
    return True


async def run(story: Callable[[Local], Awaitable[bool]], limit: float | None) -> int:
    async with five_nodes() as local:
        try:
            async with asyncio.timeout(limit):
                return 0 if await story(local) else 1
        except TimeoutError:
            print(f"not done after {limit} s; who knows whom:\n{matrix(await local.views())}")
            return 1


def main() -> int:
    with asyncio.Runner() as runner:
        staying = sys.argv[1:] == ["--stay"]
        task = runner.get_loop().create_task(run(stay, None) if staying else run(faults, LIMIT))
        for number in (signal.SIGTERM, signal.SIGINT):
            runner.get_loop().add_signal_handler(number, task.cancel)
        try:
            return runner.get_loop().run_until_complete(task)
        except asyncio.CancelledError:
            return 0 if staying else 1


if __name__ == "__main__":
    sys.exit(main())
