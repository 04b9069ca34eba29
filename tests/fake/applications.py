"""The manifests of some applications, in the shape in which charts and operators render them."""

import re
from pathlib import Path

from headless_discovery import DiscoveryError, Peers

FOLDER = Path(__file__).parent / "manifests"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def served(web: Peers) -> list[tuple[str, int | None]] | str:
    """The host names and ports that it finds, or what it says of a Service that is not headless.

    Dashed addresses are all written alike: they differ from one cluster to another.
    """
    try:
        found = web.refresh().endpoints
    except DiscoveryError as error:
        return type(error).__name__
    return sorted(
        (re.sub(r"^[\da-f]+(-[\da-f]*){3,}$", "dashed", peer.hostname), peer.port) for peer in found
    )
