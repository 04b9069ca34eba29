"""What the command line refuses, and that it speaks of options and not of Python."""

import re
import subprocess
import sys
from typing import Any

import pytest

import headless_discovery
from headless_discovery import Resolver
from headless_discovery.testing import FakeCluster
from tests.cli.command import Terminal, place, run

PYTHON = re.compile(r"\bNone\b|\b[a-z_]+=|[A-Z][a-z]+\(|\[['\"]|\b[a-z]+_[a-z_]+\b")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def outside(cluster: FakeCluster, **environ: str) -> Resolver:
    """On a laptop: no service account, and a home router's resolv.conf."""
    return place(cluster, "nameserver 127.0.0.1\n", namespace=None, **environ)


def said(*words: str, **given: Any) -> str:
    """What goes to stderr for a wrong command line."""
    done = run(*words, **given)
    assert (done.code, done.out) == (2, "")
    return done.err


@pytest.mark.parametrize(
    ("words", "error"),
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
        ("wait web --source api --lifetime 1s", "are about DNS: leave them out"),
        ("wait web --zone a", "--zone needs --source api or auto"),
        ("serve x.yaml --ttl 4000", "'4000' is not a number of seconds from 0 to 3600"),
        ("serve x.yaml --ttl x", "'x' is not a number of seconds from 0 to 3600"),
        ("serve x.yaml --ttl \u0665", "'\u0665' is not a number of seconds from 0 to 3600"),
        ("serve x.yaml --pod-network 127", "'127' is not such as 127.0.1.0/24"),
        ("wait web --at-least -1", "'-1' is not a whole number from 0 on"),
        ("resolve web.shop -n default", "-n 'default' contradicts SERVICE 'web.shop'"),
    ],
)
def test_options_that_contradict_one_another_are_refused(words: str, error: str) -> None:
    assert error.replace("'", "") in said(*words.split()).replace("'", "")


@pytest.mark.parametrize(
    "words",
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
def test_errors_speak_of_options(words: list[str]) -> None:
    text = said(*words)
    assert "ConfigurationError: " in text
    assert not PYTHON.search(text), text


def test_errors_in_json_speak_of_options_too() -> None:
    done = run("resolve", "web", "-n", "x", "--port", "0", "--json")
    assert done.code == 2
    assert done.json["error"]["message"] == (
        "--port must be a port's name such as 'http' or a number from 1 to 65535, not 0"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("web --exclude-self", "--exclude-self, but this pod's own address could not be"),
        ("web --exclude-self", "hint: Set $POD_IP and $POD_NAME by the downward API.\n"),
        ("web.x.svc.a.b -n y", "-n y contradicts SERVICE web.x.svc.a.b"),
        ("web --zone auto --source auto", "--zone auto reads $POD_ZONE, which is not set"),
        ("w!b", "SERVICE w!b is not a DNS label"),
    ],
)
def test_python_is_put_in_terms_of_the_command_line(
    cluster: FakeCluster, words: str, told: str
) -> None:
    cluster.add_service("web").scale(1)
    assert told in said("resolve", *words.split(), on=cluster)


def test_a_number_of_seconds_and_who_waits_are_put_so_too(cluster: FakeCluster) -> None:
    cluster.add_service("web").scale(1)
    told = run("wait", "web", "--see-self", on=cluster)
    assert "ConfigurationError: --see-self, but this pod's own address" in told.err
    told = run("wait", "web", "--see-self", "--timeout=1s", resolver=place(cluster, POD_IP="::1"),
               clock=cluster.clock)  # fmt: skip
    assert "selects this pod, and $POD_IP" in told.err


def test_outside_of_a_pod_it_says_so_and_what_works_there(cluster: FakeCluster) -> None:
    text = said("resolve", "web", resolver=outside(cluster))
    assert "web has no namespace, and outside of a pod there is no default" in text
    assert "hint: Write -n NAMESPACE, or web.NAMESPACE." in text
    assert "This is not a pod" in text
    for command in ("demo", "serve", "doctor"):
        assert f"headless-discovery {command}" in text


def test_the_name_is_checked_before_the_namespace(cluster: FakeCluster) -> None:
    text = said("resolve", "not a name", resolver=outside(cluster))
    assert "SERVICE not a name is not a DNS label" in text
    assert "namespace" not in text
    assert "not a pod" not in text


def test_who_names_a_name_server_is_not_told_of_pods(cluster: FakeCluster) -> None:
    cluster.fail("servfail")
    for words, environ in (
        (["--nameserver", "127.0.0.1:5353"], {}),
        ([], {"HEADLESS_DISCOVERY_NAMESERVER": "127.0.0.1:5353"}),
    ):
        there = outside(cluster, **environ)
        done = run("resolve", "web.shop", *words, resolver=there, clock=cluster.clock)
        assert "SERVFAIL" in done.err
        assert "not a pod" not in done.err


@pytest.mark.parametrize("command", ["resolve", "wait", "watch", "doctor"])
def test_a_namespace_may_come_from_the_environment(cluster: FakeCluster, command: str) -> None:
    there = outside(cluster, POD_NAMESPACE="shop")
    cluster.add_service("web", "shop", cluster_ip="10.96.0.1")
    words = ["--timeout=1s"] if command == "wait" else ["--json"]
    done = run(command, "web", *words, resolver=there, clock=cluster.clock, out=Once())
    assert "web.shop.svc.cluster.local" in done.out + done.err


class Once(Terminal):
    """Ctrl-C comes after the first line."""

    def flush(self) -> None:
        if self.getvalue():
            raise KeyboardInterrupt


def test_a_hint_is_a_line_of_its_own(cluster: FakeCluster) -> None:
    cluster.fail("refused")
    first, second = run("resolve", "web", on=cluster).err.splitlines()
    assert first.startswith("headless-discovery: LookupFailed: asked for web.default.svc.cluster")
    assert second.startswith("  hint: Check that these name servers are the cluster's, and that")


def test_a_message_is_broken_between_words(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    told = run("resolve", "web", resolver=outside(cluster), err=Terminal()).err
    assert told.startswith("\r\x1b[Kheadless-discovery: ConfigurationError:\n  web")
    assert "\n  hint: Write -n NAMESPACE, or" in told
    lines = told.removeprefix("\r\x1b[K").split("\n")
    assert "    headless-discovery serve MANIFEST    answers as the cluster's DNS would" in lines
    told_to_read = [line for line in lines if "headless-discovery serve" not in line]
    assert max(map(len, told_to_read)) <= 40 + len("headless-discovery demo ")


def test_what_is_larger_than_a_thousand_has_its_commas(cluster: FakeCluster) -> None:
    many = cluster.add_service("many", ports={"http": 80})
    for number in range(1200):
        many.add_pod(f"10.1.{number // 250}.{number % 250 + 1}")
    words = ["many", "--records", "address", "--port", "80"]
    assert "\n1,200 endpoints, TTL 5 s" in run("resolve", *words, on=cluster).out


# The whole command.


def test_its_version_is_that_of_the_library() -> None:
    command = [sys.executable, "-m", "headless_discovery", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"headless-discovery {headless_discovery.__version__}\n"
    assert run("--version").out == done.stdout
