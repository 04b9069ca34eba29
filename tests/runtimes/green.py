"""Patches the standard library before anything else is imported, as programs of green threads do.

``python -m tests.runtimes.green eventlet`` and ``gevent``: as `tests.runtimes.programs`.
"""

import importlib
import sys
from typing import Any

NAME = sys.argv[1]
library: Any = importlib.import_module(NAME)
if NAME == "gevent":
    importlib.import_module("gevent.monkey").patch_all()
else:
    library.monkey_patch()
programs: Any = importlib.import_module("tests.runtimes.programs")

first = library.spawn(programs.known)
library.sleep(0.001)
first.kill()  # in its first lookup; the next who asks is not to wait for it
with programs.known() as web:
    while True:
        print(programs.told(web.pick(), web.endpoints()), flush=True)
        library.spawn(web.refresh).kill()
        library.sleep(programs.PAUSE)
