"""The HTTP API of a node: for clients, for other nodes, for Kubernetes, for people."""

from pathlib import Path
from typing import Any

import attrs
from aiohttp import web

from . import metrics
from .entries import Entry, check
from .messages import MAX_MESSAGE, Compare, Look, Swap, decode, encode
from .node import Node, NotAcknowledgedError

PAGE = Path(__file__).with_name("page.html").read_text()


class API:
    """One handler for each route."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=MAX_MESSAGE)
        app.add_routes(
            [
                web.get("/kv/{key:.+}", self.get),
                web.put("/kv/{key:.+}", self.put),
                web.delete("/kv/{key:.+}", self.delete),
                web.post("/gossip", self.gossip),
                web.get("/healthz", self.healthz),
                web.get("/readyz", self.readyz),
                web.get("/peers", self.peers),
                web.get("/views", self.views),
                web.get("/metrics", self.metrics),
                web.get("/", self.page),
            ]
        )
        return app

    async def get(self, request: web.Request) -> web.Response:
        """The value, as text."""
        entry = await self._node.get(_key(request))
        if entry is None or entry.value is None:
            raise web.HTTPNotFound(text="no such key\n")
        return web.Response(text=entry.value, headers={"ETag": f'"{entry.version}-{entry.writer}"'})

    async def put(self, request: web.Request) -> web.Response:
        """Acknowledged with 200: two nodes hold it; 503: perhaps this one alone."""
        key = _key(request)
        try:
            value = (await request.read()).decode()
            check(key, value)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        try:
            return _acknowledged(await self._node.put(key, value))
        except NotAcknowledgedError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error

    async def delete(self, request: web.Request) -> web.Response:
        """The same."""
        try:
            return _acknowledged(await self._node.delete(_key(request)))
        except NotAcknowledgedError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error

    async def gossip(self, request: web.Request) -> web.Response:
        """For other nodes alone: keep this port inside the cluster by a NetworkPolicy."""
        try:
            asked = decode(await request.read())
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        if not isinstance(asked, Compare | Swap | Look):
            raise web.HTTPBadRequest(text="not a request\n")
        try:
            reply = await self._node.answer(asked)
        except OSError as error:
            raise web.HTTPInsufficientStorage(text=f"{error}\n") from error
        return web.Response(body=encode(reply), content_type="application/json")

    async def healthz(self, _request: web.Request) -> web.Response:
        """It serves. That others cannot be reached is no reason to be restarted."""
        return web.Response(text="ok\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """Whether clients should be sent here."""
        if self._node.ready:
            return web.Response(text="ok\n")
        raise web.HTTPServiceUnavailable(text="no other node was reached of late\n")

    async def peers(self, request: web.Request) -> web.Response:
        """The peers as DNS has them; with ``?key=``, that key's first two nodes in order."""
        snapshot = self._node.peers.snapshot
        body: dict[str, Any] = {
            "state": snapshot.state,
            "reason": snapshot.reason,
            "peers": [
                {
                    "name": peer.name,
                    "address": peer.address,
                    "port": peer.port,
                    "departing": peer in snapshot.departing,
                    "ejected": peer in self._node.peers.ejected,
                }
                for peer in snapshot.endpoints
            ],
        }
        if "key" in request.query:
            owners = await self._node.peers.ranked(request.query["key"], 2)
            body["owners"] = [owner.hostname for owner in owners]
        return web.json_response(body)

    async def views(self, _request: web.Request) -> web.Response:
        """How each node sees the cluster."""
        return web.json_response([attrs.asdict(view) for view in await self._node.views()])

    async def metrics(self, _request: web.Request) -> web.Response:
        """For Prometheus."""
        return web.Response(text=metrics.text(self._node))

    async def page(self, _request: web.Request) -> web.Response:
        """For people."""
        return web.Response(text=PAGE, content_type="text/html")


def _key(request: web.Request) -> str:
    key = request.match_info["key"]
    try:
        check(key, None)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error
    return key


def _acknowledged(entry: Entry) -> web.Response:
    return web.json_response({"key": entry.key, "version": entry.version, "writer": entry.writer})
