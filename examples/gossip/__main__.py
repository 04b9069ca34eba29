"""A pod's process. Settings come from the environment, as the StatefulSet gives them."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from headless_discovery import Clock
from headless_discovery.aio import peers

from .journal import Journal
from .node import Node
from .transport import HTTPTransport
from .web import API


async def serve() -> None:
    """Serves and gossips until it is cancelled; an error of the disk ends it."""
    port = int(os.environ.get("GOSSIP_PORT", "8080"))
    folder = Path(os.environ.get("GOSSIP_DATA", "."))
    clock, rng = Clock(), random.Random()
    # No node compresses what it sends: what unpacks to more than came is no node's.
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        node = Node(
            os.environ.get("POD_NAME") or socket.gethostname(),
            # The library reads $POD_NAMESPACE and $POD_IPS: so it knows which peer is itself.
            peers(
                os.environ.get("GOSSIP_SERVICE", "gossip"),
                port="http",
                include_self=False,
                source=os.environ.get("GOSSIP_SOURCE", "dns"),  # type: ignore[arg-type] # which checks it
            ),
            HTTPTransport(session),
            Journal(folder / "entries.jsonl"),
            clock=clock,
            wall=time.time,
            rng=rng,
        )
        runner = web.AppRunner(API(node).app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, os.environ.get("GOSSIP_HOST"), port).start()
            await node.run()
        finally:
            await runner.cleanup()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with asyncio.Runner() as runner:
        task = runner.get_loop().create_task(serve())
        for number in (signal.SIGTERM, signal.SIGINT):
            runner.get_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            runner.get_loop().run_until_complete(task)


if __name__ == "__main__":
    main()
