"""Each replica has a part of the items in memory; every replica answers for all of them."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from headless_discovery import Endpoint, aio
from headless_discovery.integrations.httpx2 import AsyncPeersTransport
from headless_discovery.integrations.prometheus import PeersCollector

SERVICE = "web"


def create(
    peers: Callable[[], aio.Peers] = lambda: aio.peers(SERVICE, port="http"),
    make: Callable[[], httpx2.AsyncBaseTransport] | None = None,
) -> FastAPI:
    """Makes the app.

    Args:
        peers: Makes the `Peers`, in the event loop of the app; tests give one of a fake cluster.
        make: Makes the transport of one pod; tests give one that needs no network.
    """
    web: aio.Peers
    http: httpx2.AsyncClient
    metrics = CollectorRegistry()
    items: dict[str, str] = {}

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        nonlocal web, http
        async with peers() as web:  # refreshed in the background from here on
            transport = AsyncPeersTransport(
                web, key=lambda request: request.headers.get("X-Key"), make=make
            )
            async with httpx2.AsyncClient(transport=transport, timeout=2) as http:
                metrics.register(PeersCollector(web))
                yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/own")
    async def own() -> dict[str, Any]:
        """What this replica says of itself."""
        return {"pod": os.environ.get("POD_NAME", ""), "items": len(items)}

    @app.get("/own/{key}")
    async def own_item(key: str) -> str:
        """An item of this replica."""
        if key not in items:
            raise HTTPException(404)
        return items[key]

    @app.put("/own/{key}")
    async def put_own_item(key: str, value: str) -> None:
        """Writes it; the same when it arrives twice."""
        items[key] = value

    @app.get("/all")
    async def of_all() -> dict[str, Any]:
        """Asks all replicas at once; says which did not answer."""

        async def ask(peer: Endpoint) -> Any:
            try:  # a URL with a pod's name goes to that pod
                reply = await http.get(f"http://{peer.name}:{peer.port}/own")
                return reply.raise_for_status().json()
            except httpx2.HTTPError as error:
                return {"error": type(error).__name__}

        found = await web.endpoints()
        answers = await asyncio.gather(*map(ask, found))
        return {peer.hostname or str(peer): said for peer, said in zip(found, answers, strict=True)}

    @app.get("/items/{key}")
    async def item(key: str) -> Any:
        """From the key's replica; from the key's next one if that one cannot be reached."""
        try:
            reply = await http.get(f"http://{SERVICE}/own/{key}", headers={"X-Key": key})
        except httpx2.TransportError as error:
            raise HTTPException(503, "no replica answered") from error
        if reply.status_code == 404:
            raise HTTPException(404)
        return reply.raise_for_status().json()

    @app.get("/metrics")
    async def exposition() -> Response:
        """For Prometheus."""
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return app
