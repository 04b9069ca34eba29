"""Prose in plain words: `python -m tests.prose`, or scripts/check.

Pages, docstrings, comments and messages are read without their code. Two lists apply: `OURS`, and
for the pages that of proselint, without the rules of typography that are made for print.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = sorted((ROOT / "headless_discovery").rglob("*.py"))
OURS = re.compile(
    r"\b(nobody|somebody|everybody|anybody|whoever|whom|aside|anew|foretells?|told|let be|in vain"
    r"|handed|stays silent|hears of|(?:the|a) store is|lets? others|given up|gave up|past back-?off"
    r"|goes? on|going on|for ever|takes? a look|looked at)\b|\ba \"?no\"?(?= \w+s\b|[.,;:])",
    re.IGNORECASE,
)
"""Words that readers do not search for, where the field has truncated, ejected, backoff, retry."""
TEXT = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}  # from 3.12 on
PRINT = ("typography.", "lexical_illusions")
"""Rules of proselint about quotes, dots and spaces, and about words on both sides of a block."""


def blank(found: re.Match[str]) -> str:
    """Keeps the lines, so that what follows has its number."""
    return "\n" * found[0].count("\n")


def of_page(path: Path) -> str:
    """A page without blocks, inline code, links and comments."""
    text = re.sub(
        r"^(```|:::).*?^\1$|<!--.*?-->", blank, path.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    return re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", text)


def of_source(path: Path) -> str:
    """The comments and the strings with spaces in them, each on its line."""
    lines = [""] * (path.read_text().count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in TEXT and " " in token.string:
            for number, line in enumerate(token.string.split("\n"), token.start[0] - 1):
                lines[number] += " " + re.sub(r"`[^`]*`|\{[^}]*\}|>>> .*", "", line)
    return "\n".join(lines)


def ours() -> Iterator[str]:
    """What `OURS` has something against."""
    for path in [*PAGES, *SOURCES]:
        text = of_page(path) if path.suffix == ".md" else of_source(path)
        for number, line in enumerate(text.split("\n"), 1):
            yield from (f"{path.relative_to(ROOT)}:{number}: {m[0]}" for m in OURS.finditer(line))


def of_proselint() -> Iterator[str]:
    """What proselint has something against."""
    from proselint.checks import __register__
    from proselint.registry import CheckRegistry
    from proselint.tools import LintFile

    CheckRegistry().register_many(__register__)
    for path in PAGES:
        for found in LintFile(path, of_page(path)).lint():
            if not found.check_result.check_path.startswith(PRINT):
                yield f"{path.relative_to(ROOT)}:{found.pos[0]}: {found.check_result.message}"


if __name__ == "__main__":
    found = [*ours(), *of_proselint()]
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.exit(bool(found))
