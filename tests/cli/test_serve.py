"""``serve``: manifests in, a name server out."""

import errno
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from headless_discovery import Clock, Resolver, peers
from tests.cli.command import Done, Terminal
from tests.cli.command import run as run_command

pytestmark = pytest.mark.slow

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


STATEFUL_SET = """\
---
kind: StatefulSet
metadata: {name: db}
spec: {replicas: 3, serviceName: web, template: {metadata: {labels: {app: web}}}}
"""
PROGRAM = """
from headless_discovery import peers
print([str(peer) for peer in peers("web", port="http", include_self=False)])
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(SERVICE + pod(1))
    return path


class Script(Clock):
    """What happens between two looks at the files; then Ctrl-C."""

    def __init__(self, *acts: Callable[[str], object]) -> None:
        self.out = io.StringIO()
        self._acts = iter(acts)

    def sleep(self, seconds: float) -> None:
        """Does the next thing instead."""
        assert seconds == 0.5
        act = next(self._acts, None)
        if act is None:
            raise KeyboardInterrupt
        act(self.out.getvalue().splitlines()[0].rpartition("=")[2])


def run(script: Script, *words: str, err: io.StringIO | None = None) -> Done:
    command = ["serve", "--listen", "127.0.0.1:0", *words]
    return run_command(*command, clock=script, out=script.out, err=err)


def found(nameserver: str, service: str = "web.default") -> list[str]:
    return [peer.hostname for peer in peers(service, resolver=Resolver([nameserver]))]


def test_it_prints_what_to_paste_and_answers(manifest: Path) -> None:
    seen: list[list[str]] = []
    script = Script(lambda nameserver: seen.append(found(nameserver)))
    done = run(script, str(manifest))
    assert done.code == 0
    first, *others = done.out.splitlines()
    assert re.fullmatch(r"export HEADLESS_DISCOVERY_NAMESERVER=127\.0\.0\.1:\d+", first)
    assert others == ["export POD_NAMESPACE=default", "export POD_IP=10.1.1.1"]
    assert seen == [["web-1"]]
    assert done.err == (
        "headless-discovery: serving until Ctrl-C:\n"
        "  web.default  1 endpoint\n"
        "    web-1  10.1.1.1\n"
    )


def test_with_what_it_prints_a_process_on_this_machine_has_the_part_of_a_pod(
    manifest: Path,
) -> None:
    seen: list[str] = []
    manifest.write_text(SERVICE.replace("port: 80", "port: 80, targetPort: 8080") + STATEFUL_SET)

    def ask(_: str) -> None:
        exported = dict(line[7:].split("=") for line in script.out.getvalue().splitlines())
        seen.append(
            subprocess.run(
                [sys.executable, "-c", PROGRAM],
                env=os.environ | exported,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )

    script = Script(ask)
    assert run(script, str(manifest), "--pod-network", "127.0.1.0/24").code == 0
    assert seen == ["['127.0.1.3:8080', '127.0.1.4:8080']\n"]


def test_files_that_change_are_read_again(manifest: Path) -> None:
    seen: list[list[str]] = []
    look: list[Callable[[str], object]] = [lambda nameserver: seen.append(found(nameserver))]
    script = Script(
        lambda _: manifest.write_text(SERVICE + pod(2) + pod(3)), *look,
        lambda _: manifest.write_text("kind: ["), *look, *look,
        lambda _: manifest.unlink(), *look, *look,
        lambda _: manifest.write_text(SERVICE + pod(4) + "---\nkind: Deployment\n"), *look,
    )  # fmt: skip
    done = run(script, str(manifest))
    assert done.code == 0
    assert seen == [["web-2", "web-3"]] * 5 + [["web-4"]]
    for once in ("cluster.yaml: not YAML", "cluster.yaml cannot be read: No such file"):
        assert done.err.count(once) == 1
    assert done.err.count("the previous content is still served") == 2
    assert "left out: " in done.err
    assert "cluster.yaml, document 3: Deployment '': it has no metadata.name\n" in done.err


@pytest.mark.parametrize("meanwhile", ["", "kind: [", "---\nkind: Service\nmetadata: {"])
def test_a_file_that_is_being_written_changes_nothing_yet(manifest: Path, meanwhile: str) -> None:
    """As of a shell's ``helm template . > cluster.yaml``, which empties it first."""
    seen: list[list[str]] = []
    look: list[Callable[[str], object]] = [lambda nameserver: seen.append(found(nameserver))]
    script = Script(
        lambda _: manifest.write_text(meanwhile), *look * 2,
        lambda _: manifest.write_text(SERVICE + pod(2)), *look,
        lambda _: manifest.write_text(meanwhile), *look,
        lambda _: manifest.write_text(SERVICE + pod(2)), *look,
        lambda _: manifest.write_text(meanwhile), *look * 2,
    )  # fmt: skip
    done = run(script, str(manifest))
    assert (done.code, seen) == (0, [["web-1"], ["web-1"], *[["web-2"]] * 5])
    assert done.err.count("the previous content is still served") == 3


def changed(manifest: Path, *texts: str) -> list[str]:
    """What it says of each change."""
    first, *others = texts
    manifest.write_text(first)

    def writes(text: str) -> Callable[[str], object]:
        return lambda _: manifest.write_text(text)

    done = run(Script(*map(writes, others)), str(manifest))
    return done.err.split("headless-discovery: a manifest changed:\n")[1:]


def test_of_a_change_only_what_changed_is_printed(manifest: Path) -> None:
    other = "---\n" + SERVICE.replace("web", "db")
    three, four = (SERVICE + "".join(map(pod, range(1, n))) + other for n in (4, 5))
    assert changed(manifest, three, four, three) == [
        "  web.default  4 endpoints\n    + web-4  10.1.1.4\n",
        "  web.default  3 endpoints\n    - web-4  10.1.1.4\n",
    ]


def test_a_service_that_comes_or_goes_or_has_none_left_is_said(manifest: Path) -> None:
    web = SERVICE + pod(1)
    bare = "---\n" + BARE
    assert changed(manifest, web, web + bare, web, SERVICE, bare) == [
        "  bare.default  no endpoint: it has no selector, and there is no EndpointSlice of it\n",
        "  bare.default  is gone\n",
        "  web.default  no endpoint: its selector app=web matches no pod of default\n"
        "    - web-1  10.1.1.1\n",
        "  bare.default  no endpoint: it has no selector, and there is no EndpointSlice of it\n"
        "  web.default  is gone\n",
    ]


def test_a_change_that_changes_nothing_is_said_to_be_such(manifest: Path) -> None:
    web = SERVICE + pod(1)
    left_out = web + "---\nkind: Job\n"
    told = "  left out: " + str(manifest) + ", document 3: Job '': it has no metadata.name\n"
    assert changed(manifest, web, f"# comment\n{web}", left_out, f"# comment\n{left_out}") == [
        "  the endpoints are the same\n",
        told,
        "  the endpoints are the same\n",
    ]


def test_many_endpoints_that_change_are_counted(manifest: Path) -> None:
    pods = "".join(map(pod, range(1, 21)))
    [told] = changed(manifest, SERVICE, SERVICE + pods)
    assert told.startswith("  web.default  20 endpoints\n    + web-1  10.1.1.1\n")
    assert told.endswith("    + web-8  10.1.1.8\n    and 12 more\n")


def test_a_pod_keeps_its_address_when_the_manifests_change(manifest: Path) -> None:
    seen: list[str] = []

    def look(nameserver: str) -> None:
        kubia = peers("web.default", resolver=Resolver([nameserver]))
        seen.append(" ".join(f"{one.hostname}={one.address}" for one in kubia))

    another = STATEFUL_SET.replace("db", "aa")
    manifest.write_text(SERVICE + STATEFUL_SET)
    script = Script(look, lambda _: manifest.write_text(SERVICE + another + STATEFUL_SET), look)
    assert run(script, str(manifest), "--pod-network", "127.0.1.0/24").code == 0
    assert seen[0] == "db-0=127.0.1.2 db-1=127.0.1.3 db-2=127.0.1.4"
    assert seen[1].endswith(seen[0])
    assert len(set(re.findall(r"127\S+", seen[1]))) == 6


def test_several_files_json_and_stdin_are_one_cluster(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"kind": "Namespace", "metadata": {"name": "shop"}}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(pod(7).encode())))
    seen: list[list[str]] = []
    script = Script(lambda nameserver: seen.append(found(nameserver)))
    assert run(script, str(manifest), str(other), "-").code == 0
    assert seen == [["web-1", "web-7"]]


def test_a_closed_stdin_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    done = run(Script(), "-")
    assert (done.code, len(done.out.splitlines())) == (0, 1)
    assert "no Service: nothing can be found here yet" in done.err


def test_what_can_be_read_only_once_is_kept(tmp_path: Path) -> None:
    """As of the shell's ``serve <(helm template .)``."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=[SERVICE + pod(1)])
    writer.start()
    seen: list[list[str]] = []
    look = [lambda nameserver: seen.append(found(nameserver))]
    done = run(Script(*look * 2), str(pipe))
    writer.join()
    assert (done.code, seen) == (0, [["web-1"]] * 2)
    assert "changed" not in done.err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_as_it_was_written(manifest: Path, encoding: str) -> None:
    manifest.write_text("# Größe\r\n" + SERVICE + pod(1), encoding=encoding)
    seen: list[list[str]] = []
    assert run(Script(lambda nameserver: seen.append(found(nameserver))), str(manifest)).code == 0
    assert seen == [["web-1"]]


def test_the_ttl_is_as_asked(manifest: Path) -> None:
    seen: list[float | None] = []
    script = Script(
        lambda ns: seen.append(peers("web.default", resolver=Resolver([ns])).refresh().ttl)
    )
    assert run(script, str(manifest), "--ttl", "7").code == 0
    assert seen == [7]


def test_the_domain_is_as_asked(manifest: Path) -> None:
    seen: list[list[str]] = []
    script = Script(lambda ns: seen.append(found(ns, "web.default.svc.example.org")))
    assert run(script, str(manifest), "--cluster-domain", "example.org").code == 0
    assert seen == [["web-1"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["not-there.yaml"], "not-there.yaml cannot be read"),
        (["--listen", "10.0.0.1:5353"], "other hosts could reach it there; give --allow-remote"),
        (["--listen", "my-host:5353"], "--listen my-host:5353: give an address and a port"),
        (
            ["{folder}/odd.yaml", "--cluster-domain=a..b"],
            "--cluster-domain a..b: domain '' is not a DNS label",
        ),
        (
            ["{folder}/odd.yaml", "--cluster-domain=a b"],
            "--cluster-domain a b: domain 'a b' is not a DNS label",
        ),
        (
            ["{folder}/odd.yaml", "--cluster-domain=-"],
            "--cluster-domain -: domain '-' is not a DNS label",
        ),
        (["--listen", "localhost"], "give an address and a port, such as 127.0.0.1:10053"),
        (["--listen", "127.0.0.1:70000"], "--listen 127.0.0.1:70000: give an address and a port"),
        (["--listen", "127.0.0.1:{taken}"], "is taken by another program: --listen 127.0.0.1:0"),
        (["--listen", "localhost:{taken}"], "is taken by another program"),
        (["--listen", "{taken}"], "is taken by another program"),
        (["--listen", "198.51.100.1:0", "--allow-remote"], "has no address 198.51.100.1"),
        (["--strict", "{folder}/odd.yaml"], "left out: {folder}/odd.yaml, document 2: Job ''"),
        (["--strict", "{folder}/odd.yaml"], "and --strict was given"),
        (["{folder}/broken.yaml"], "broken.yaml: not YAML"),
        (["{folder}/bytes.yaml"], "bytes.yaml cannot be read: it is not text"),
    ],
)
def test_what_cannot_be_served_is_a_usage_error(
    arguments: list[str], said: str, manifest: Path
) -> None:
    ends: list[Done] = []
    folder = manifest.parent
    (folder / "odd.yaml").write_text(SERVICE + "---\nkind: Job\n")
    (folder / "broken.yaml").write_text("kind: [")
    (folder / "bytes.yaml").write_bytes(b"\xff")

    def another(nameserver: str) -> None:
        taken = nameserver.rpartition(":")[2]
        given = [text.format(taken=taken, folder=folder) for text in arguments]
        ends.append(run(Script(), *given, *([] if given[0] != "--listen" else [str(manifest)])))

    assert run(Script(another), str(manifest)).code == 0
    assert [done.code for done in ends] == [2]
    assert said.format(folder=folder) in ends[0].err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EACCES, "takes rights that you do not have: give --listen a port above 1023"),
        (errno.EMFILE, "53: [Errno 24]"),
    ],
)
def test_why_nothing_can_listen_is_said(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, "on purpose")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    done = run(Script(), str(manifest), "--listen", "127.0.0.1:53")
    assert done.code == 2
    assert said in done.err


# What is there, and why there is nothing.


def serving(*manifests: str) -> Done:
    """What it says of these."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "all.yaml"
        path.write_text("\n---\n".join(manifests))
        done = run(Script(), str(path))
    assert done.code == 0
    return done


def said_of(*manifests: str) -> str:
    """The same without what it says first."""
    return serving(*manifests).err.partition("\n")[2]


ALIAS = "{kind: Service, metadata: {name: x}, spec: {type: ExternalName, externalName: a.org}}"
VIRTUAL = "{kind: Service, metadata: {name: v}, spec: {selector: {app: web}, clusterIP: 10.96.0.9}}"
BARE = "{kind: Service, metadata: {name: bare}, spec: {clusterIP: None}}"
ELSEWHERE = SERVICE.replace("name: web", "name: web, namespace: shop")


@pytest.mark.parametrize(
    ("manifests", "line"),
    [
        ([ALIAS], "x.default  not headless: an alias of a.org"),
        ([VIRTUAL], "v.default  not headless: its cluster IP is 10.96.0.9 (0 endpoints)"),
        ([VIRTUAL, pod(1)], "not headless: its cluster IP is 10.96.0.9 (1 endpoint)"),
        ([BARE], "no endpoint: it has no selector, and there is no EndpointSlice of it"),
        ([SERVICE], "no endpoint: its selector app=web matches no pod of default"),
        ([ELSEWHERE, pod(1)], "its selector app=web matches no pod of shop; it does in default"),
        ([SERVICE, pod(1).replace("True", "False")], "none of 1 address is ready"),
        ([SERVICE, *(pod(n).replace("True", "False") for n in (1, 2))], "none of 2 addresses is"),
        (
            [SERVICE, pod(1).replace("Running", "Succeeded")],
            "no endpoint: 1 pod, finished or without an address",
        ),
        (
            [SERVICE.replace("clusterIP", "ipFamilies: [IPv6], clusterIP"), pod(1)],
            "no endpoint: 1 pod without an IPv6 address",
        ),
        (["{kind: ConfigMap}"], "no Service: nothing can be found here yet"),
        (
            [SERVICE.replace("port: 80", "port: 80, targetPort: web"), pod(1)],
            "web.default  1 endpoint\n    web-1  10.1.1.1\n"
            "    port http: no container of web-1 calls one 'web'",
        ),
        ([SERVICE, *map(pod, range(1, 11))], "    web-8  10.1.1.8\n    and 2 more\n"),
    ],
)
def test_it_says_how_many_endpoints_there_are_or_why_there_is_none(
    manifests: list[str], line: str
) -> None:
    assert line in said_of(*manifests)


@pytest.mark.parametrize(
    ("families", "network", "said"),
    [
        ("IPv6", "127.0.1.0/24", "no endpoint: --pod-network has no IPv6 address for its pods"),
        ("IPv4", "fd00::/120", "no endpoint: --pod-network has no IPv4 address for its pods"),
        ("IPv6", "fd00::/120", "1 endpoint"),
    ],
)
def test_a_network_of_another_family_is_told(
    tmp_path: Path, families: str, network: str, said: str
) -> None:
    path = tmp_path / "all.yaml"
    one = SERVICE.replace("clusterIP", f"ipFamilies: [{families}], clusterIP")
    path.write_text(one + pod(1).partition("status")[0])
    done = run(Script(), str(path), "--pod-network", network)
    assert f"web.default  {said}" in done.err


def test_a_narrow_terminal_gets_whole_words(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    manifest.write_text(SERVICE)
    assert run(Script(), str(manifest), err=Terminal()).err.splitlines()[-2:] == [
        "  web.default  no endpoint: its selector",
        "    app=web matches no pod of default",
    ]


@pytest.mark.parametrize(
    "manifest",
    [
        'kind: "\\x1b[2J"\nmetadata: {name: x}\nspec: {containers: []}',
        'kind: Service\nmetadata: {name: x}\nspec: {selector: {app: "\\x1b[2J"}, clusterIP: None}',
        'kind: Service\nmetadata: {name: x}\nspec: {type: ExternalName, externalName: "\\x1b[2J"}',
        'kind: Pod\nmetadata: {name: "\\x1b[2J"}',
        '"\\x1b[2J": [',
    ],
)
def test_nothing_that_a_manifest_says_reaches_the_terminal_as_more_than_text(
    tmp_path: Path, manifest: str
) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(SERVICE + "---\n" + manifest)
    said = run(Script(), str(path)).err
    assert "x1b[2J" in said or "not YAML" in said
    assert "\x1b" not in said


def test_addresses_at_which_nothing_can_listen_are_said_to_be_such(manifest: Path) -> None:
    assert "nothing here can listen" not in said_of(SERVICE, pod(1))
    assert "--pod-network 127.0.1.0/24 gives them others" in said_of(SERVICE, STATEFUL_SET)
    manifest.write_text(SERVICE + STATEFUL_SET)
    done = run(Script(), str(manifest), "--pod-network", "127.0.1.0/30")
    assert done.code == 0
    assert (
        f"left out: {manifest}, document 2: StatefulSet 'db': no address is left in 127.0.1.0/30"
    ) in done.err


def test_a_folder_stands_for_the_manifests_in_it(manifest: Path) -> None:
    manifest.with_name("notes.txt").write_text("kind: [")
    manifest.with_name("more.json").write_text('{"kind": "Namespace", "metadata": {"name": "x"}}')
    seen: list[list[str]] = []
    script = Script(lambda nameserver: seen.append(found(nameserver)))
    assert run(script, str(manifest.parent)).code == 0
    assert seen == [["web-1"]]


def test_a_folder_that_cannot_be_read_is_said_to_be_such(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    folder = str(manifest.parent)
    seen: list[list[str]] = []
    script = Script(
        lambda _: monkeypatch.setattr(Path, "iterdir", refuse),
        lambda nameserver: seen.append(found(nameserver)),
    )
    done = run(script, folder)
    assert (done.code, seen) == (0, [["web-1"]])
    assert f"{folder} cannot be read: Permission denied; the previous content is" in done.err
    done = run(Script(), folder)
    assert (done.code, done.err) == (
        2, f"headless-discovery: {folder} cannot be read: Permission denied\n"
    )  # fmt: skip


def test_what_a_folder_has_beside_manifests_is_left_out_and_told(manifest: Path) -> None:
    manifest.with_name("kustomization.yaml").write_text("resources: [cluster.yaml]")
    template = manifest.with_name("template.yaml")
    template.write_text("kind: Service\nmetadata: {{ .Values.name }}")
    manifest.with_name(".cluster.yaml").write_bytes(b"\xff")
    seen: list[list[str]] = []
    look: list[Callable[[str], object]] = [lambda nameserver: seen.append(found(nameserver))]
    script = Script(
        *look, lambda _: template.write_text(SERVICE.replace("web", "db", 1)), *look,
        lambda _: template.write_text("kind: ["), lambda _: manifest.write_text(SERVICE + pod(2)),
        *look, lambda _: template.unlink(), *look,
    )  # fmt: skip
    done = run(script, str(manifest.parent))
    said = done.err
    assert done.code == 0
    assert seen == [["web-1"]] * 3 + [["web-2"]]
    assert "kustomization.yaml, a manifest is a mapping with a kind, not {'resources'" in said
    assert "template.yaml, not YAML: " in said
    assert "a template is to be rendered first" in said
    assert "db.default   1 endpoint" in said
    assert "template.yaml: not YAML: " in said
    assert run(Script(), "--strict", str(manifest.parent)).code == 2


def test_without_a_headless_service_no_pod_is_to_be_played() -> None:
    assert exported(VIRTUAL) == []
    assert exported(SERVICE) == ["export POD_NAMESPACE=default"]
    assert exported(ELSEWHERE) == ["export POD_NAMESPACE=shop"]


def exported(manifest: str) -> list[str]:
    return serving(manifest).out.splitlines()[1:]


def test_it_ends_if_what_is_to_be_pasted_is_not_read(manifest: Path) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    script = Script()
    script.out = Gone()
    assert run(script, str(manifest)).code == 0


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
