"""Holds an SBOM to what the project says of itself: the three packages, and nothing else.

``python -m tests.sbom FILE``; `scripts/release-check` makes the file.
"""

import json
import sys
from pathlib import Path

PACKAGES = {"attrs", "dnspython", "tenacity"}


def check(text: str) -> None:
    """Raises ``SystemExit`` if the SBOM names other packages, or none for the project."""
    sbom = json.loads(text)
    own = sbom["metadata"]["component"]["name"].replace("-", "_")
    named = {part["name"].replace("-", "_") for part in sbom["components"]} - {own}
    if own != "headless_discovery" or named != PACKAGES:
        raise SystemExit(f"the SBOM of {own} names {sorted(named)}, not {sorted(PACKAGES)}")
    for part in sbom["components"]:
        if not part.get("version") or not part.get("licenses", part["name"] == own):
            raise SystemExit(f"the SBOM lacks version or licence of {part['name']}")


if __name__ == "__main__":
    check(Path(sys.argv[1]).read_text())
