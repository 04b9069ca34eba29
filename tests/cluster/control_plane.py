"""A real control plane on loopback: etcd, kube-apiserver, some controllers, CoreDNS.

It builds the programs (once), starts them with throw-away certificates and data, waits until they
answer, and stops them. There is no kubelet: whoever tests creates Pods and patches their status.
"""

import contextlib
import hashlib
import itertools
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import attrs
import dns.exception
import dns.message
import dns.query

from tests.cluster.api import API

HERE = Path(__file__).parent
BUILD = HERE / ".build"
PROGRAMS = ("etcd", "kube-apiserver", "endpointslice", "workloads", "coredns")
KUBERNETES_VERSION = "v1.37.2"
COREDNS_VERSION = "v1.15.0"
NODE = "node"
_START = 90.0
_STOP = 10.0

# Sets the signal that a process gets when its parent ends (prctl, PR_SET_PDEATHSIG), then becomes
# the program: no server outlives a test run that was killed.
_LAUNCHER = (
    "import ctypes, os, signal, sys;"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


class NoGoError(Exception):
    """The programs must be built, and there is no Go."""


def build() -> float:
    """Builds the programs unless they are there already; returns the seconds it took."""
    sources = [HERE / "go.mod", HERE / "go.sum", *sorted(HERE.glob("programs/*/*.go"))]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    stamp = BUILD / "stamp"
    if stamp.exists() and stamp.read_text() == digest:
        return 0.0
    if shutil.which("go") is None:
        raise NoGoError("Go is not installed: the control plane is built with it (1.26 or newer)")
    began = time.monotonic()
    BUILD.mkdir(exist_ok=True)
    subprocess.run(
        [
            "go", "build", "-trimpath", "-o", str(BUILD) + "/",
            # Without the version it calls itself v0.0.0.
            "-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
            "./programs/...",
        ],
        cwd=HERE,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )  # fmt: skip
    stamp.write_text(digest)
    return time.monotonic() - began


@attrs.frozen
class Corefile:
    """The options of a CoreDNS, named as there."""

    ttl: int = 5
    cache: int | None = None
    endpoint_pod_names: bool = False
    ignore_empty_service: bool = False
    bufsize: int | None = None
    pods: str = "disabled"
    template: str | None = None
    """What CoreDNS's template plugin is given; the cluster answers what that does not match."""
    synced: bool = True
    """``False``: it is pointed at an API server that is not there."""

    def text(self, port: int, ready: int, kubeconfig: Path) -> str:
        """The file."""
        options = [
            f"kubeconfig {kubeconfig}",
            f"ttl {self.ttl}",
            f"pods {self.pods}",
            *(["endpoint_pod_names"] if self.endpoint_pod_names else []),
            *(["ignore empty_service"] if self.ignore_empty_service else []),
        ]
        plugins = [
            "bind 127.0.0.1",
            "errors",
            f"ready 127.0.0.1:{ready}",
            "loadbalance",
            *([f"bufsize {self.bufsize}"] if self.bufsize is not None else []),
            *([f"cache {self.cache}"] if self.cache is not None else []),
            *([f"template {self.template}"] if self.template is not None else []),
            "kubernetes cluster.local in-addr.arpa ip6.arpa {",
            *(f"    {option}" for option in options),
            "}",
        ]
        return f".:{port} {{\n" + "".join(f"    {line}\n" for line in plugins) + "}\n"


STRANGER = """\
.:{port} {{
    bind 127.0.0.1
    template ANY ANY {{
        rcode NXDOMAIN
        authority ". 86400 IN SOA a.root-servers.net. nstld.example. 1 1800 900 604800 86400"
    }}
}}
"""
"""A name server that knows nothing of the cluster: an upstream's "no" to everything."""


class Programs:
    """Programs that run in a folder of their own until they are stopped; a context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headless-discovery-"))
        self._running: list[subprocess.Popen[bytes]] = []
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def launch(
        self, program: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a program, of ours or by its path; what it prints goes to a file."""
        name = f"{Path(program).name}-{next(self._numbers)}.log"
        with (self.folder / name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCHER, str(BUILD / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C is for us, who then stop them in order
            )
        self._running.append(process)
        return process

    def wait(self, what: str, ready: Callable[[], bool]) -> None:
        """Waits until it is ready; raises, with the logs, if a program ends or it takes long."""
        until = time.monotonic() + _START
        while not ready():
            for process in self._running:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args!r} ended before {what}; {self._logs()}")
            if time.monotonic() > until:
                raise TimeoutError(f"waited {_START:g} s, but not: {what}; {self._logs()}")
            time.sleep(0.05)

    def _logs(self) -> str:
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}"
            for log in sorted(self.folder.glob("*.log"))
        )

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Stops one of them."""
        self._running.remove(process)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Stops everything, the first last, and removes the data."""
        for process in reversed(tuple(self._running)):
            self.end(process)
        shutil.rmtree(self.folder, ignore_errors=True)


class NameServers(Programs):
    """CoreDNS instances in front of a control plane; a context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__()
        self._kubeconfig = kubeconfig
        self._servers: dict[object, str] = {}
        self._started: dict[str, tuple[subprocess.Popen[bytes], Callable[[], str]]] = {}

    def coredns(self, options: Corefile) -> str:
        """The name server, ``host:port``, of a CoreDNS with these options; started once."""
        if options not in self._servers:
            kubeconfig = self._kubeconfig
            if not options.synced:
                kubeconfig = self.folder / "kubeconfig-of-nobody"
                config = json.loads(self._kubeconfig.read_text())
                config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
                kubeconfig.write_text(json.dumps(config))
            ready = free_port()
            self._servers[options] = self._start(
                lambda port: options.text(port, ready, kubeconfig), "dns-version.cluster.local"
            )
        return self._servers[options]

    def stranger(self) -> str:
        """A name server that says NXDOMAIN to everything, in the name of the root."""
        if STRANGER not in self._servers:
            self._servers[STRANGER] = self._start(
                lambda port: STRANGER.format(port=port), "example.org"
            )
        return self._servers[STRANGER]

    def with_corefile(self, text: str) -> str:
        """A name server with this Corefile: ``PORT``, ``READY``, ``KUBECONFIG`` are filled in."""
        filled = text.replace("READY", str(free_port())).replace(
            "KUBECONFIG", str(self._kubeconfig)
        )
        return self._start(
            lambda port: filled.replace("PORT", str(port)), "dns-version.cluster.local"
        )

    def _start(self, corefile: Callable[[int], str], probe: str) -> str:
        port = free_port()
        file = self.folder / f"Corefile-{port}"
        file.write_text(corefile(port))
        address = f"127.0.0.1:{port}"

        def start() -> str:
            process = self.launch("coredns", "-conf", str(file))
            # Its /ready answers before its DNS sockets are bound: only an answer tells.
            self.wait(f"CoreDNS answers ({file.name})", lambda: answers(port, probe))
            self._started[address] = process, start
            return address

        return start()

    @contextlib.contextmanager
    def down(self, nameserver: str) -> Iterator[None]:
        """Stops it for a while; then it is started again, at the same address."""
        process, start = self._started[nameserver]
        self.end(process)
        yield
        start()


class ControlPlane(Programs):
    """The running programs; a context manager.

    ``limited``: the controller asks as seldom as kube-controller-manager does by default.
    """

    def __init__(self, *, limited: bool = False) -> None:
        super().__init__()
        self._limits = ("--qps=20", "--burst=30") if limited else ()
        self.kubeconfig = self.folder / "kubeconfig"
        self._token = secrets.token_hex(16)
        self._certificate = self.folder / "certificates" / "apiserver.crt"
        self._url = self._etcd = ""
        self._arguments: tuple[str, ...] = ()
        self.name_servers: NameServers | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def environment(self) -> dict[str, str]:
        """How a process started by us finds it."""
        assert self.name_servers is not None
        return {
            "CLUSTER_NAMESERVER": self.name_servers.coredns(Corefile()),
            "CLUSTER_API": self._url,
            "CLUSTER_TOKEN": self._token,
            "CLUSTER_CERTIFICATE": str(self._certificate),
            "KUBECONFIG": str(self.kubeconfig),
        }

    def stop(self) -> None:
        """Stops everything, etcd last, and removes the data."""
        if self.name_servers is not None:
            self.name_servers.stop()
        super().stop()

    def _start(self) -> None:
        etcd, peer, secure = free_port(), free_port(), free_port()
        self._url = f"https://127.0.0.1:{secure}"
        self.launch(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f"{self._token},admin,admin,system:masters\n")
        key = self.folder / "service-account.key"
        self._etcd = f"http://127.0.0.1:{etcd}"
        self._arguments = (
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={secure}",
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self._certificate.parent}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--anonymous-auth=false",
            "--service-cluster-ip-range=10.254.0.0/16,fd00:10:254::/112",
            f"--service-account-issuer={self._url}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",
            "--enable-priority-and-fairness=false",
            "--etcd-compaction-interval=0",
        )
        self.start_api()
        self.kubeconfig.write_text(
            json.dumps(_kubeconfig(self._url, self._token, self._certificate), indent=2)
        )
        with API(self._url, self._token, self._certificate) as api:
            # The controller passes over pods whose node does not exist.
            api.create("/api/v1/nodes", {"metadata": {"name": NODE}})
        self.launch("endpointslice", f"--kubeconfig={self.kubeconfig}", *self._limits)
        self.launch("workloads", f"--kubeconfig={self.kubeconfig}")
        self.name_servers = NameServers(self.kubeconfig)
        self.name_servers.coredns(Corefile())

    def start_api(self) -> None:
        """Starts kube-apiserver, at the same port as before."""
        key = self.folder / "service-account.key"
        # Made once: or no token of a ServiceAccount would be worth anything after a restart.
        environment = {} if key.exists() else {"SERVICE_ACCOUNT_KEY": str(key)}
        self._api = self.launch("kube-apiserver", *self._arguments, environment=environment)
        # After etcd: whoever watches it must have ended before it can.
        self._running.insert(1, self._running.pop())
        self.wait("kube-apiserver is ready", self._ready)

    def kill_api(self) -> None:
        """Kills it, as a machine does that loses its power."""
        self._running.remove(self._api)
        self._api.kill()
        self._api.wait()

    def compact(self) -> None:
        """Lets etcd forget all but the present state (its gRPC gateway)."""
        revision = self._ask_etcd("kv/range", {"key": "AA=="})["header"]["revision"]
        self._ask_etcd("kv/compaction", {"revision": revision, "physical": True})

    def _ask_etcd(self, path: str, body: object) -> Any:
        request = urllib.request.Request(f"{self._etcd}/v3/{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as reply:
            return json.load(reply)

    def _ready(self) -> bool:
        if not self._certificate.exists():
            return False
        with (
            contextlib.suppress(OSError),
            API(self._url, self._token, self._certificate) as api,
        ):
            return api.is_ready()
        return False


def answers(port: int, name: str) -> bool:
    """Whether a name server answers there."""
    query = dns.message.make_query(name, "TXT")
    try:
        dns.query.udp(query, "127.0.0.1", port=port, timeout=0.5)
    except (OSError, dns.exception.DNSException):
        return False
    return True


def _kubeconfig(url: str, token: str, certificate: Path) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": url, "certificate-authority": str(certificate)},
            }
        ],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }


def free_port() -> int:
    """A port free for UDP and TCP, below those that the kernel gives to clients."""
    while True:
        port = random.randint(15000, 29999)
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
