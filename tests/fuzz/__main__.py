"""Feeds bytes to the scan and to dnspython's parser until they differ, or time is over.

Arguments are libFuzzer's: ``-max_total_time=60``, ``-runs=1000000``, files and folders of inputs.
What makes a difference is written to ``crash-...``; new inputs go to the first folder.
"""

import sys
import zlib

import atheris

_SCAN = [f"headless_discovery._scan{part}" for part in ("", "_base", "_srv")]
with atheris.instrument_imports(include=_SCAN):
    from headless_discovery._answer import Answer
    from tests.agreement import check_read, check_scan

_SAMPLE = 16


class _Fuzz:
    def __init__(self) -> None:
        self._before: dict[bytes, Answer] = {}

    def __call__(self, data: bytes) -> None:
        # An earlier answer with as many records: most inputs are made of one another, and many of
        # one's records are the other's.
        answer = check_scan(data, self._before.get(data[6:8]))
        if answer is not None and answer.records is not None:
            self._before[data[6:8]] = answer
        # dnspython is slow: of what the scan leaves to it, a part is enough.
        if answer is None and zlib.crc32(data) % _SAMPLE == 0:
            check_read(data)


atheris.Setup(sys.argv, _Fuzz())
atheris.Fuzz()
