"""An error says in at most 25 words what was asked and what came back; what to do is its hint.

Here as the source has it; `conftest.py` looks at each message that any test comes to see.
"""

import ast
import re
from collections.abc import Iterator

import pytest

import headless_discovery
from headless_discovery import DiscoveryError
from tests.conftest import MOST_WORDS
from tests.house import modules

ERRORS = {
    name
    for name, value in vars(headless_discovery).items()
    if isinstance(value, type) and issubclass(value, DiscoveryError)
}


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each message that the module makes an error of, its inserted values as one word each."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in ERRORS:
            yield node.lineno, "".join(parts(node.args[0]))


def hints(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each hint that the module writes down where it makes an error."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            yield node.value.lineno, "".join(parts(node.value))


def parts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            for value in values:
                yield from parts(value)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from parts(left)
            yield from parts(right)
        case _:
            yield "<value>"


ALL = {name.partition(".")[2]: list(messages(module.tree)) for name, module in modules().items()}


@pytest.mark.parametrize("module", [name for name, found in ALL.items() if found])
def test_what_happened_is_said_in_few_words(module: str) -> None:
    wordy = [
        f"line {line}: {len(text.split())} words: {text}"
        for line, text in ALL[module]
        if len(text.split()) > MOST_WORDS
    ]
    assert not wordy, "\n".join(wordy)


@pytest.mark.parametrize("module", [name for name in modules() if "._cli" not in name])
def test_a_hint_is_a_sentence_or_ends_with_a_command(module: str) -> None:
    whole = re.compile(r"<value>|([A-Z]|\w+=|<value>).*([.?]|<value>[^.]*)", re.DOTALL)
    found = [hint for hint in hints(modules()[module].tree) if not whole.fullmatch(hint[1])]
    assert not found
