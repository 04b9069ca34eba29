"""``python -m headless_discovery`` is the command ``headless-discovery``."""

import sys

from ._cli import main

sys.exit(main())
