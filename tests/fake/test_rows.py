"""Every row of what CoreDNS does is named by a recorded state or by a test here."""

import json
import re
from pathlib import Path

import pytest

from tests.fake.rows import ELSEWHERE, ROWS

HERE = Path(__file__).parent


def in_words(text: str) -> set[int]:
    """The rows that a recorded state says it is about: "rows 1, 2, 10: …", "rows 79 to 82"."""
    found: set[int] = set()
    for first, last in re.findall(r"(?<![\w-])(\d+)(?: to (\d+))?(?=[,:]| and|$)", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def by_recordings() -> set[int]:
    named: set[int] = set()
    for path in sorted((HERE.parent / "recorded").glob("*.json")):
        about = json.loads(path.read_text())["about"]
        rows = re.search(r"rows? [\d, to]+:", about)
        named |= in_words(rows[0]) if rows else set()
    return named


def by_tests() -> set[int]:
    named: set[int] = set()
    for path in sorted(HERE.glob("test_*.py")):
        for rows in re.findall(r"^@about\(([\d, ]+)\)$", path.read_text(), re.MULTILINE):
            named |= {int(row) for row in rows.split(",")}
    return named


def test_every_row_that_can_be_produced_is_named_by_a_recording_or_a_test(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded, tested = by_recordings(), by_tests()
    with capsys.disabled():
        print(
            f"\n{len(ROWS)} rows: {len(recorded)} named by recordings, "
            f"{len(tested - recorded)} by tests alone, {len(ELSEWHERE)} cannot be produced"
        )
    assert recorded | tested | set(ELSEWHERE) == set(ROWS)
    assert not (recorded | tested) & set(ELSEWHERE)
