"""Feeds bytes to the readers and to dnspython until they differ, or are slow, or time is over.

Arguments are libFuzzer's: ``-max_total_time=60``, ``-runs=1000000``, files and folders of inputs.
What makes a difference is written to ``crash-...``; new inputs go to the first folder.
"""

import sys
import time
import zlib
from typing import Any

import atheris

_READERS = [f"headless_discovery._dns.{module}" for module in ("read", "records")]
with atheris.instrument_imports(include=_READERS):
    from tests.agreement import check_read, outcome
    from tests.lookups import scan

_SAMPLE = 16
_LONGEST = 0.05  # seconds of CPU time


class _Fuzz:
    def __init__(self) -> None:
        self._before: dict[bytes, Any] = {}
        outcome(bytes(12))  # imports what is imported when it is first needed

    def __call__(self, data: bytes) -> None:
        start = time.process_time()
        outcome(data)
        if time.process_time() - start > _LONGEST:
            # The garbage collector may have come by: only what takes long again does.
            start = time.process_time()
            outcome(data)
            taken = time.process_time() - start
            assert taken <= _LONGEST, f"{taken:.3f} s: {data.hex()}"
        # dnspython is slow: of what the fast reader leaves to the other one, a part is enough.
        if scan(data) is None and zlib.crc32(data) % _SAMPLE:
            return
        # An earlier answer with as many records: most inputs are made of one another, and many of
        # one's records are the other's.
        answer = check_read(data, self._before.get(data[6:8]))
        if answer is not None and answer.records is not None:
            self._before[data[6:8]] = answer


atheris.Setup(sys.argv, _Fuzz())
atheris.Fuzz()
