"""What the command line refuses, and that it speaks of options and not of Python."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import headless_discovery
from headless_discovery import ConfigurationError, DiscoveryError
from headless_discovery._cli import main, make_parser
from headless_discovery._cli._messages import Progress, by_options, complain
from headless_discovery._cli._options import Arguments, peers_of
from headless_discovery._cli._show import counted, listed

PYTHON = re.compile(r"\bNone\b|\b[a-z_]+=|[A-Z][a-z]+\(|\[['\"]|\b[a-z]+_[a-z_]+\b")


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a laptop: no service account, a home router's resolv.conf, and no variables."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\n")
    monkeypatch.setattr("headless_discovery._dns.surroundings.RESOLV_CONF", conf)
    monkeypatch.setattr("headless_discovery._dns.surroundings.NAMESPACE_FILE", tmp_path / "none")
    for name in ("POD_NAMESPACE", "KUBERNETES_SERVICE_HOST", "HEADLESS_DISCOVERY_NAMESERVER"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What goes to stderr for a wrong command line."""
    code: object
    try:
        code = main(arguments, out=io.StringIO())
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("watch web --json --plain", "--json and --plain exclude each other"),
        ("resolve web --protocol udp", "--protocol belongs to the name of a port"),
        ("resolve web --protocol udp --port 53", "--protocol belongs to the name of a port"),
        ("resolve web --records address --port http", "--records address cannot look up the name"),
        ("wait web --stable-for 2m --timeout 60s", "--stable-for is longer than --timeout"),
        ("wait web --at-least 0 --see-self", "--at-least 0 waits for no pod"),
        ("wait web --at-least 0 --stable-for 1s", "--at-least 0 waits for no pod"),
        ("resolve web --source api --nameserver 127.0.0.1", "are about DNS: leave them out"),
        ("watch web --source api --records address", "are about DNS: leave them out"),
        ("wait web --zone a", "--zone needs --source api or auto"),
        ("serve x.yaml --ttl 4000", "'4000' is not a number of seconds from 0 to 3600"),
        ("serve x.yaml --ttl x", "'x' is not a number of seconds from 0 to 3600"),
        ("serve x.yaml --ttl \u0665", "'\u0665' is not a number of seconds from 0 to 3600"),
        ("wait web --at-least -1", "'-1' is not a whole number from 0 on"),
        ("resolve web.shop -n default", "-n 'default' contradicts SERVICE 'web.shop'"),
    ],
)
def test_options_that_contradict_one_another_are_refused(
    arguments: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error.replace("'", "") in said(capsys, *arguments.split()).replace("'", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["resolve", "not a name"],
        ["resolve", "a.b.c"],
        ["resolve", "web", "-n", "bad-"],
        ["resolve", "web.shop", "-n", "default"],
        ["resolve", "web.shop.svc.a.b", "--cluster-domain", "cluster.local"],
        ["resolve", "web", "-n", "x", "--cluster-domain", "!"],
        ["resolve", "web", "-n", "x", "--port", "b@d"],
        ["resolve", "web", "-n", "x", "--port", "70000"],
        ["resolve", "web", "-n", "x", "--lifetime", "0"],
        ["resolve", "web", "-n", "x", "--nameserver", "dns.example"],
        ["resolve", "web", "-n", "x", "--source", "api"],
        ["resolve", "web", "-n", "x", "--source", "auto", "--zone", ""],
        ["wait", "web", "-n", "x", "--port", ""],
        ["watch", "web", "-n", "x", "--port", "-1"],
        ["doctor", "web", "-n", "x", "--port", "0"],
    ],
)
def test_errors_speak_of_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, *arguments)
    assert "ConfigurationError: " in text
    assert not PYTHON.search(text), text


def test_errors_in_json_speak_of_options_too() -> None:
    out = io.StringIO()
    assert main(["resolve", "web", "-n", "x", "--port", "0", "--json"], out=out) == 2
    error = json.loads(out.getvalue())["error"]
    assert error["message"].startswith("--port must be")
    assert not PYTHON.search(error["message"])


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("give namespace=..., or write it", "give -n NAMESPACE, or write it"),
        ("service='a b' is no name", "SERVICE a b is no name"),
        ("Resolver(['10.96.0.10']) asks", "--nameserver 10.96.0.10 asks"),
        ('use records="address"', "use --records address"),
        ("see_self=True needs it", "--see-self needs it"),
        ("include_self=False, but", "--exclude-self, but"),
        ("at_least must be above 0", "--at-least must be above 0"),
        ("nameservers: 'x' is not one", "--nameserver: 'x' is not one"),
        ("a zone=None", "a --zone None"),
        ("cluster_domain='' is not", "--cluster-domain '' is not"),
        ("port must be a name, a number, or None, not 0", "--port must be a name, a number, not 0"),
        ('zone must be a name, "auto" or None, not 5', "--zone must be a name, or auto, not 5"),
        ("a; for a number give port= as an int; b", "a; b"),
        ("Give port= as a number, or split it", "Give --port NUMBER, or split it"),
        ("check self_address or $POD_IP", "check $POD_IP"),
        (
            "Set $POD_IP, or give self_address (with the port, if pods share it) or self_name",
            "Set $POD_IP",
        ),
        ("is cluster_domain right?", "is --cluster-domain right?"),
        ("the namespace of a pod", "the namespace of a pod"),
    ],
)
def test_python_is_put_in_terms_of_the_command_line(python: str, shell: str) -> None:
    assert by_options(python) == shell


@pytest.mark.usefixtures("outside")
def test_outside_of_a_pod_it_says_so_and_what_works_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = said(capsys, "resolve", "web")
    assert "web has no namespace, and outside of a pod there is no default" in text
    assert "hint: write -n NAMESPACE, or web.NAMESPACE" in text
    assert "this is not a pod" in text
    for command in ("demo", "serve", "doctor"):
        assert f"headless-discovery {command}" in text


@pytest.mark.usefixtures("outside")
def test_the_name_is_checked_before_the_namespace(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "resolve", "not a name")
    assert "SERVICE not a name is not a DNS label" in text
    assert "namespace" not in text
    assert "not a pod" not in text


@pytest.mark.usefixtures("outside")
def test_who_names_a_name_server_is_not_told_of_pods(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not a pod" not in said(capsys, "resolve", "a.b.c", "--nameserver", "127.0.0.1:5353")


@pytest.mark.parametrize(
    "environment",
    [{"POD_NAMESPACE": "shop"}, {"HEADLESS_DISCOVERY_NAMESERVER": "127.0.0.1:1"}],
)
@pytest.mark.usefixtures("outside")
def test_a_namespace_may_come_from_the_environment(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asked = make_parser().parse_args(["resolve", "web"], Arguments())
    if "POD_NAMESPACE" in environment:
        assert "web.shop.svc" in str(peers_of(asked))
    else:
        with pytest.raises(ConfigurationError, match="has no namespace"):
            peers_of(asked)


def test_a_hint_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    asked = make_parser().parse_args(["resolve", "web", "--nameserver", "127.0.0.1"], Arguments())
    complain(asked, DiscoveryError("it failed", hint="give namespace=..."))
    assert capsys.readouterr().err == (
        "headless-discovery: DiscoveryError: it failed\n  hint: give -n NAMESPACE\n"
    )


def test_lists_count_as_people_do() -> None:
    names = [f"web-{number}" for number in (10, 2, 1, 11, 3, 4)]
    assert listed(names) == "web-1, web-2, web-3, web-4, web-10 and 1 more"
    assert listed(()) == "none"
    assert [counted(n, "address") for n in (0, 1, 2)] == ["0 addresses", "1 address", "2 addresses"]


# Progress.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> str:
    """What a wait of three seconds shows."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(lambda: "waiting for 3 pods of web", stream)
    seconds = iter([False, False, True])
    monkeypatch.setattr(progress._over, "wait", lambda timeout: next(seconds))
    with progress:
        if progress._thread.ident is not None:
            progress._thread.join()
    return stream.getvalue()


def test_a_terminal_shows_what_it_waits_for_and_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(Terminal(), monkeypatch) == (
        "\r\x1b[K0 s: waiting for 3 pods of web" * 2 + "\r\x1b[K"
    )


def test_a_narrow_terminal_shows_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[K0 s: waiting f...\r" in shown(Terminal(), monkeypatch, 18)


def test_a_dumb_terminal_gets_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress(lambda: "waiting", stream) as progress:
        assert progress._thread.ident is None
    assert stream.getvalue() == ""


def test_a_message_takes_the_place_of_progress_and_is_broken_between_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream)
    asked = Arguments(service="web", nameserver=None)
    error = DiscoveryError(
        "it was asked and it said no, " * 2, hint="look at it:\n  kubectl get pods"
    )
    complain(asked, error)
    assert stream.getvalue().startswith("\r\x1b[Kheadless-discovery: DiscoveryError: it")
    assert "\n  hint: look at it:\n    kubectl get pods\n" in stream.getvalue()
    lines = stream.getvalue().removeprefix("\r\x1b[K").splitlines()
    told = [line for line in lines if "headless-discovery serve" not in line]
    assert max(map(len, told)) <= 40 + len("headless-discovery demo ")


def test_what_is_over_at_once_shows_nothing() -> None:
    stream = Terminal()
    with Progress(lambda: "waiting", stream):
        pass
    assert stream.getvalue() == ""


def test_a_pipe_gets_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(io.StringIO(), monkeypatch) == ""


# The whole command.


def test_its_version_is_that_of_the_library() -> None:
    command = [sys.executable, "-m", "headless_discovery", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"headless-discovery {headless_discovery.__version__}\n"
