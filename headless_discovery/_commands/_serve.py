"""``serve``: the fake cluster as a name server, for developing an app without a cluster."""

import ipaddress
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from .._clock import Clock
from .._errors import ConfigurationError
from .._transport import NAMESERVER_VARIABLE, Watched, parse_address
from ..testing import FakeCluster
from ..testing._server import Server
from ._exit import FOUND, USAGE
from ._options import Asked

STDIN = "-"
_LOOK_AGAIN = 0.5
"""Seconds: how soon a changed file is noticed."""


def run(asked: Asked, out: TextIO) -> int:
    """Serves until it is interrupted."""
    return serve(asked, out, lambda: Clock().sleep(_LOOK_AGAIN))


def serve(asked: Asked, out: TextIO, pause: Callable[[], object]) -> int:
    """``pause`` comes back when the files are to be looked at again."""
    try:
        host, port = listening_at(asked.listen)
        served = Served(asked.manifests, asked.cluster_domain, asked.ttl)
        with Server(served, host, port, allow_remote=asked.allow_remote) as server:
            print(f"export {NAMESERVER_VARIABLE}={server.nameserver}", file=out, flush=True)
            _note(f"serving {served.told()}; Ctrl-C ends it")
            while True:
                pause()
                served.look_again()
    except KeyboardInterrupt:
        return FOUND
    except (ConfigurationError, ValueError, OSError) as error:
        _note(str(error))
        return USAGE


def listening_at(text: str) -> tuple[str, int]:
    """A host and a port; port 0 is one that is free. Raises `ConfigurationError`."""
    free = text.endswith(":0")
    address, port = parse_address(
        text.removesuffix(":0"), argument="--listen", example="127.0.0.1:5353 or [::1]:5353"
    )
    return str(ipaddress.ip_address(address)), 0 if free else port or 53


class Served:
    """What the manifests make, made anew when one of their files changes.

    A file that cannot be used is told of, and the last that could goes on being served.
    """

    def __init__(self, paths: Sequence[str], domain: str | None, ttl: int) -> None:
        self._stdin = sys.stdin.read() if STDIN in paths else None
        self._paths = paths
        self._files = {path: Watched(Path(path)) for path in paths if path != STDIN}
        self._domain = domain or "cluster.local"
        self._ttl = ttl
        self._texts = self._read()
        self._cluster = self._made()

    def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """As the cluster that holds now."""
        return self._cluster.answer(wire, tcp=tcp)

    def look_again(self) -> None:
        """Reads what has changed."""
        before, self._texts = self._texts, self._read()
        if self._texts == before:
            return
        try:
            self._cluster = self._made()
        except ValueError as error:
            _note(f"{error}; what was there before goes on being served")
        else:
            _note(f"a manifest changed; serving {self.told()}")

    def told(self) -> str:
        """For people: what there is."""
        model = self._cluster._model
        names = ", ".join(f"{name}.{namespace}" for namespace, name in sorted(model.services))
        return f"{len(model.services)} Services, {len(model.pods)} Pods: {names or 'none'}"

    def _read(self) -> dict[str, str | None]:
        return {
            path: self._stdin if path == STDIN else self._files[path].text() for path in self._paths
        }

    def _made(self) -> FakeCluster:
        cluster = FakeCluster(self._domain, ttl=self._ttl)
        for path, text in self._texts.items():
            if text is None:
                raise ValueError(f"{path} cannot be read")
            try:
                # JSON needs no extra, and is what kubectl -o json prints.
                as_json = text.lstrip().startswith(("{", "["))
                cluster.apply(json.loads(text) if as_json else text)
            except ValueError as error:
                raise ValueError(f"{'stdin' if path == STDIN else path}: {error}") from error
        return cluster


def _note(text: str) -> None:
    print(f"headless-discovery: {text}", file=sys.stderr, flush=True)
