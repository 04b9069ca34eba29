"""What the tests of the commands share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.fixture
def check_schema() -> Callable[[str, str], Any]:
    """``check_schema("watch", text)``: the JSON, which is as its published schema says."""

    def check(name: str, text: str) -> Any:
        found = json.loads(text)
        schema = json.loads((SCHEMAS / f"{name}.json").read_text())
        jsonschema.validate(found, schema, cls=jsonschema.Draft202012Validator)
        return found

    return check
