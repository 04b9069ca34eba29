"""What the processes do: pick a pod for each request, and tell what they know.

``python -m tests.runtimes.programs NAME`` prints a line for each request until it is ended; `wsgi`
and `asgi` are apps for servers, `worker` for Celery.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from headless_discovery import Peers, Policy, aio, peers

PAUSE = 0.005  # seconds between two requests
_ARGUMENTS: dict[str, Any] = {
    "port": "http",
    "namespace": "default",
    "cluster_domain": "cluster.local",
    "policy": Policy(min_refresh=0.1, max_refresh=0.2, jitter=0, refresh_floor=0.1),
}
_known: list[Peers] = []


def known() -> Peers:
    """Those of this process, ready and refreshed in the background."""
    if not _known:
        web = peers("web", **_ARGUMENTS)
        web.start()
        _known.append(web)
    _known[0].wait_ready(timeout=10)
    return _known[0]


def told(picked: object, endpoints: Iterable[object]) -> str:
    """A line about one request."""
    return json.dumps(
        {"pid": os.getpid(), "picked": str(picked), "peers": [str(each) for each in endpoints]}
    )


# In a server.


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """Any request is answered with what this worker knows."""
    web = known()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [told(web.pick(), web.endpoints()).encode()]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """The same, and what it knows lives as long as the app."""
    if scope["type"] == "lifespan":
        await receive()
        async with aio.peers("web", **_ARGUMENTS) as web:
            await web.wait_ready(timeout=10)
            scope["state"]["web"] = web
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    web = scope["state"]["web"]
    body = told(await web.pick(), await web.endpoints()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def worker(folder: str, sent: str) -> Any:
    """A Celery app whose broker is a folder; its workers are processes that were forked.

    Kombu may read a message that is half written: ``sent`` is where it is written whole.
    """
    app = importlib.import_module("celery").Celery("runtimes", broker="filesystem://")
    app.conf.update(
        broker_transport_options={
            "data_folder_in": folder,
            "data_folder_out": sent,
            "control_folder": str(Path(folder).with_name("control")),
            "polling_interval": 0.01,
        },
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
    )

    def ask(path: str) -> None:
        web = known()
        Path(f"{path}.new").write_text(told(web.pick(), web.endpoints()))
        Path(f"{path}.new").rename(path)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    app.task(name="ask")(ask)
    app.task(name="die")(die)
    return app


if os.environ.get("PRELOAD"):  # by a server that forks afterwards
    known()
if broker := os.environ.get("BROKER"):
    app = worker(broker, broker)


# On its own.


async def _requests(sleep: Callable[[float], Awaitable[None]]) -> None:
    async with aio.peers("web", **_ARGUMENTS) as web:
        await web.wait_ready(timeout=10)
        while True:
            print(told(await web.pick(), await web.endpoints()), flush=True)
            await sleep(PAUSE)


def uvloop() -> None:
    """asyncio on another loop; a task is cancelled in its first lookup."""

    async def main() -> None:
        first = asyncio.create_task(_requests(asyncio.sleep))
        await asyncio.sleep(0.002)
        first.cancel()
        await _requests(asyncio.sleep)

    importlib.import_module("uvloop").run(main())


def anyio(backend: str) -> None:
    """Task groups of either library; a scope ends in its first lookup."""
    library = importlib.import_module("anyio")

    async def main() -> None:
        with library.move_on_after(0.002):
            await _requests(library.sleep)
        async with library.create_task_group() as group:
            group.start_soon(_requests, library.sleep)

    library.run(main, backend=backend)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
