"""``serve``: manifests in, a name server out."""

import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headless_discovery import Resolver, peers
from headless_discovery._cli import main, make_parser
from headless_discovery._commands._options import Asked
from headless_discovery._commands._serve import serve

SERVICE = """\
kind: Service
metadata: {name: web}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80}]}
"""


def pod(number: int) -> str:
    return f"""\
---
kind: Pod
metadata: {{name: web-{number}, labels: {{app: web}}}}
spec: {{hostname: web-{number}, subdomain: web}}
status: {{phase: Running, podIP: 10.1.1.{number}, conditions: [{{type: Ready, status: "True"}}]}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(SERVICE + pod(1))
    return path


class Script:
    """What happens between two looks at the files; then Ctrl-C."""

    def __init__(self, *acts: Callable[[str], object]) -> None:
        self.out = io.StringIO()
        self._acts = iter(acts)

    def __call__(self) -> None:
        act = next(self._acts, None)
        if act is None:
            raise KeyboardInterrupt
        act(self.out.getvalue().strip().rpartition("=")[2])


def run(script: Script, *arguments: str) -> int:
    asked = make_parser().parse_args(["serve", "--listen", "127.0.0.1:0", *arguments], Asked())
    return serve(asked, script.out, script)


def found(nameserver: str, service: str = "web.default") -> list[str]:
    return [peer.hostname for peer in peers(service, resolver=Resolver([nameserver]))]


def test_it_prints_what_to_export_and_answers(manifest: Path) -> None:
    seen: list[list[str]] = []
    script = Script(lambda nameserver: seen.append(found(nameserver)))
    assert run(script, str(manifest)) == 0
    assert script.out.getvalue().startswith("export HEADLESS_DISCOVERY_NAMESERVER=127.0.0.1:")
    assert seen == [["web-1"]]


def test_files_that_change_are_read_again(
    manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []
    script = Script(
        lambda _: manifest.write_text(SERVICE + pod(2) + pod(3)),
        lambda nameserver: seen.append(found(nameserver)),
        lambda _: manifest.write_text("kind: Deployment"),
        lambda nameserver: seen.append(found(nameserver)),
        lambda _: manifest.unlink(),
        lambda nameserver: seen.append(found(nameserver)),
    )
    assert run(script, str(manifest)) == 0
    assert seen == [["web-2", "web-3"]] * 3
    said = capsys.readouterr().err
    assert "a manifest changed; serving 1 Services, 2 Pods: web.default" in said
    assert "kind 'Deployment': nobody here makes its Pods" in said
    assert "cluster.yaml cannot be read; what was there before goes on being served" in said


def test_several_files_json_and_stdin_are_one_cluster(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"kind": "Namespace", "metadata": {"name": "shop"}}')
    monkeypatch.setattr("sys.stdin", io.StringIO(pod(7)))
    seen: list[list[str]] = []
    script = Script(lambda nameserver: seen.append(found(nameserver)))
    assert run(script, str(manifest), str(other), "-") == 0
    assert seen == [["web-1", "web-7"]]


def test_the_domain_is_as_asked(manifest: Path) -> None:
    seen: list[list[str]] = []
    script = Script(lambda ns: seen.append(found(ns, "web.default.svc.example.org")))
    assert run(script, str(manifest), "--cluster-domain", "example.org") == 0
    assert seen == [["web-1"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["not-there.yaml"], "not-there.yaml cannot be read"),
        (["--listen", "10.0.0.1:5353"], "allow_remote"),
        (["--listen", "localhost:5353"], "--listen: 'localhost:5353' is not an IP address"),
        (["--listen", "127.0.0.1:{taken}"], "in use"),
    ],
)
def test_what_cannot_be_served_is_a_usage_error(
    arguments: list[str], said: str, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []

    def another(nameserver: str) -> None:
        given = [text.format(taken=nameserver.rpartition(":")[2]) for text in arguments]
        codes.append(run(Script(), *given, *([] if given[0] != "--listen" else [str(manifest)])))

    assert run(Script(another), str(manifest)) == 0
    assert codes == [2]
    assert said in capsys.readouterr().err


def test_a_signal_ends_it(manifest: Path) -> None:
    command = [sys.executable, "-m", "headless_discovery", "serve", str(manifest)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        nameserver = process.stdout.readline().strip().rpartition("=")[2]
        assert found(nameserver) == ["web-1"]
        process.terminate()
        assert process.wait(20) == 0


def test_a_manifest_that_is_not_there_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("sys.argv", ["headless-discovery", "serve", "not-there.yaml"])
    try:
        assert main() == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "not-there.yaml cannot be read" in capsys.readouterr().err
