"""``wait``: until enough peers are there. For an init container, or a script."""

import json
import sys
from typing import TextIO

from .._clock import Clock
from .._endpoint import Snapshot
from .._errors import ConfigurationError, DiscoveryError, NotHeadless
from ._exit import FOUND, NONE, exit_code
from ._options import Asked, store_of
from ._show import counted, endpoint_json, error_json, error_text


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
        ready = peers.wait_ready(
            asked.at_least,
            stable_for=asked.stable_for,
            timeout=asked.timeout,
            see_self=asked.see_self,
        )
    except DiscoveryError as error:
        return peers.snapshot, error
    return ready, None
