"""The command line: `_main` parses, a module runs each command.

The doctor: `_observe` queries and reads, and returns the frozen values of `_finding`; it
judges nothing. The checks in `_dns_checks`, `_pod_checks` and `_way_checks` are pure functions of
those values.
"""

from ._main import main, make_parser

__all__ = ["main", "make_parser"]
