"""The grammar of the command line: help that teaches, completion, and what importing costs."""

import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headless_discovery.__main__ import main, make_parser
from tests.cli.command import run

pytestmark = pytest.mark.slow

COMMANDS = ["resolve", "watch", "wait", "doctor", "demo", "serve"]


def help_of(*words: str) -> str:
    done = run(*words, "--help")
    assert (done.code, done.err) == (0, "")
    return done.out


def completion(shell: str) -> str:
    done = run("--print-completion", shell)
    assert (done.code, done.err) == (0, "")
    return done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_examples_and_ends_with_exit_codes(command: str) -> None:
    text = help_of(command)
    assert text.index("examples:") < text.index("options:") < text.index("exit code")


def test_help_names_every_command() -> None:
    text = help_of()
    assert re.findall(r"^    (\w+)  ", text, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_every_example_is_one_that_the_parser_takes(command: str | None) -> None:
    text = help_of(*([] if command is None else [command]))
    examples = text.partition("examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    for example in examples:
        # What stands behind the prompt, a pipe, a container's "--" or a comment.
        said = re.split(r" \||  +(?=\w+ )| && ", example.strip())[0]
        words = shlex.split(said.partition(" -- ")[2] or said)
        if words[0] == "kubectl":
            continue
        make_parser().parse_args(words[1:] if words[0] == "headless-discovery" else words)


def test_the_package_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("sys.argv", ["headless_discovery", "serve", "not-there.yaml"])
    monkeypatch.delitem(sys.modules, "headless_discovery.__main__")  # it is run, not imported
    try:
        with pytest.raises(SystemExit) as exit_:
            runpy.run_module("headless_discovery", run_name="__main__", alter_sys=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert exit_.value.code == 2


def test_a_command_is_needed() -> None:
    done = run()
    assert done.code == 2
    assert "COMMAND" in done.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_a_shell(shell: str) -> None:
    assert "doctor" in completion(shell)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_commands_and_options() -> None:
    script = completion("bash") + (
        "COMP_WORDS=(headless-discovery wait web --st); COMP_CWORD=3\n"
        "_shtab_headless_discovery; echo completed: ${COMPREPLY[@]}\n"
    )
    done = subprocess.run(
        ["bash", "--norc"], input=script, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "completed: --stable-for"


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("dem", "demo"),
        ("wait web --st", "--stable-for"),
        ("resolve --protocol s", "sctp"),
        ("serve clus", "cluster.yaml"),
    ],
)
def test_fish_completes_commands_options_choices_and_files(
    line: str, completed: str, tmp_path: Path
) -> None:
    (tmp_path / "cluster.yaml").touch()
    script = completion("fish") + f"\ncomplete -C 'headless-discovery {line}'\n"
    done = subprocess.run(
        ["fish", "--no-config"], input=script, capture_output=True, text=True, check=True,
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, timeout=30,
    )  # fmt: skip
    assert [one.partition("\t")[0] for one in done.stdout.splitlines()] == [completed]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_the_files_of_serve(tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").touch()
    script = completion("bash") + (
        "COMP_WORDS=(headless-discovery serve clus); COMP_CWORD=2\n"
        "_shtab_headless_discovery; echo completed: ${COMPREPLY[@]}\n"
    )
    done = subprocess.run(
        ["bash", "--norc"], input=script, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "completed: cluster.yaml"


def test_completion_without_shtab_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    done = run("--print-completion", "bash")
    assert done.code == 2
    assert "needs shtab: pip install 'headless_discovery[cli]'" in done.err


def test_importing_the_library_imports_no_argument_parser() -> None:
    program = (
        "import sys, headless_discovery; "
        "print(sorted({'argparse', 'rich', 'shtab', 'yaml'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["demo", "--plain"], {"rich", "yaml"}),
        (["resolve", "a b"], {"rich", "yaml", "headless_discovery.testing"}),
        (["watch", "a b"], {"rich", "yaml", "headless_discovery.testing"}),
    ],
)
def test_a_command_imports_what_it_needs(words: list[str], unneeded: set[str]) -> None:
    program = (
        "import sys; from headless_discovery.__main__ import main; "
        f"main({words}); print(sorted({unneeded} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("sys.argv", ["headless-discovery", "serve", "not-there.yaml"])
    try:
        assert main() == 2
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_the_library_logs_does_not_get_between_the_lines(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run("demo", "--plain").err == ""
    assert capfd.readouterr().err == ""
