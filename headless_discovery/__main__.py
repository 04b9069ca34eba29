"""``python -m headless_discovery`` is the command ``headless-discovery``."""

import sys

from ._cli import main, make_parser

__all__ = ["main", "make_parser"]

if __name__ == "__main__":
    sys.exit(main())
