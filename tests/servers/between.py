"""dnsmasq, unbound and PowerDNS's recursor, started in front of another name server."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.control_plane import Programs, answers, free_port

_UNBOUND = """\
server:
    interface: 127.0.0.1@{port}
    port: {port}
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    do-daemonize: no
    use-syslog: no
    module-config: "iterator"
    do-not-query-localhost: no
    local-zone: "10.in-addr.arpa." nodefault
    local-zone: "168.192.in-addr.arpa." nodefault
    local-zone: "d.f.ip6.arpa." nodefault
    domain-insecure: "cluster.local."
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{upstream}
    forward-no-cache: {no_cache}
"""


def _dnsmasq(folder: Path, port: int, upstream: int, *, caching: bool) -> list[str]:
    return [
        "--keep-in-foreground",
        f"--conf-file={folder / 'dnsmasq.conf'}",
        "--pid-file=",
        "--user=root",
        "--log-facility=-",
        "--no-resolv",
        "--no-hosts",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        f"--port={port}",
        f"--server=127.0.0.1#{upstream}",
        f"--cache-size={1000 if caching else 0}",
    ]


def _unbound(folder: Path, port: int, upstream: int, *, caching: bool) -> list[str]:
    file = folder / f"unbound-{port}.conf"
    no_cache = "no" if caching else "yes"
    file.write_text(_UNBOUND.format(port=port, folder=folder, upstream=upstream, no_cache=no_cache))
    return ["-d", "-c", str(file)]


def _recursor(folder: Path, port: int, upstream: int, *, caching: bool) -> list[str]:
    return [
        f"--config-dir={folder}",
        f"--socket-dir={folder}",
        "--daemon=no",
        "--write-pid=no",
        "--disable-syslog",
        "--threads=1",
        "--dnssec=off",
        "--security-poll-suffix=",
        "--local-address=127.0.0.1",
        f"--local-port={port}",
        f"--forward-zones-recurse=.=127.0.0.1:{upstream}",
        "--dont-query=",
        "--serve-rfc1918=no",
        f"--disable-packetcache={'no' if caching else 'yes'}",
        "--max-rrset-size=65535",  # 256 by default: more pods are SERVFAIL from its cache
    ]


_PROGRAMS: dict[str, tuple[str, Callable[..., list[str]]]] = {
    "dnsmasq": ("dnsmasq", _dnsmasq),
    "unbound": ("unbound", _unbound),
    "pdns-recursor": ("pdns_recursor", _recursor),
}
SERVERS = [(name, caching) for name in _PROGRAMS for caching in (False, True)]
"""What can stand in between, each plain and with a cache (the recursor always keeps records)."""


def start(programs: Programs, name: str, upstream: str, *, caching: bool) -> str:
    """One of `SERVERS` in front of ``host:port``; returns its own. Skips where it is missing."""
    program, arguments = _PROGRAMS[name]
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    (programs.folder / "dnsmasq.conf").touch()
    port = free_port()
    behind = int(upstream.rpartition(":")[2])
    programs.launch(found, *arguments(programs.folder, port, behind, caching=caching))
    programs.wait(f"{name} answers", lambda: answers(port, "dns-version.cluster.local"))
    return f"127.0.0.1:{port}"
