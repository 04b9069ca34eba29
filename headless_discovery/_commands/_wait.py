"""``wait``: until enough peers are there. For an init container, or a script."""

import json
import sys
from typing import TextIO

from .._calls import ready
from .._clock import Clock
from .._endpoint import Snapshot
from .._errors import ConfigurationError, DiscoveryError, NotHeadless
from .._peers import Peers
from ._exit import FOUND, NONE, exit_code
from ._options import Asked, store_of
from ._show import counted, endpoint_json, error_json, error_text
from ._watch import state_text, told


def run(asked: Asked, out: TextIO) -> int:
    """Waits, and says what is there then."""
    clock = Clock()
    began = clock.now()
    snapshot, failed = _wait(asked)
    seconds = clock.now() - began
    if asked.json:
        found = {
            "service": asked.service,
            "ready": failed is None,
            "endpoints": [endpoint_json(endpoint) for endpoint in snapshot.endpoints],
            "seconds": round(seconds, 6),
            "error": error_json(failed),
        }
        print(json.dumps(found, indent=2), file=out)
    elif failed is None:
        names = ", ".join(f"{e.hostname} {e}" for e in snapshot.endpoints)
        there = counted(len(snapshot.endpoints), "endpoint")
        print(f"ready after {seconds:.1f} s: {there}: {names}", file=out)
    else:
        print(error_text(failed), file=sys.stderr)
    if isinstance(failed, ConfigurationError | NotHeadless):
        return exit_code(snapshot, failed)
    return FOUND if failed is None else NONE


def _wait(asked: Asked) -> tuple[Snapshot, DiscoveryError | None]:
    try:
        peers = store_of(asked)
    except ConfigurationError as error:
        return Snapshot(), error
    try:
        return _ready(asked, peers), None
    except DiscoveryError as error:
        return peers.snapshot, error


def _ready(asked: Asked, peers: Peers) -> Snapshot:
    """As `Peers.wait_ready`; whoever reads the log is told meanwhile what there is."""
    store, seen = peers._store, Snapshot()
    wanted = store.wanted(asked.at_least, asked.stable_for, asked.timeout, see_self=asked.see_self)
    call = ready(store, wanted)
    try:
        while True:
            peers._flights.do(next(call))
            if told(store.snapshot) != told(seen):
                seen = store.snapshot
                print(f"headless-discovery: {store}: {state_text(seen)}", file=sys.stderr)
    except StopIteration as done:
        found: Snapshot = done.value
        return found
