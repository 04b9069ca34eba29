"""A network and a resolv.conf of the benchmarks' own, where the system lets them have one.

``socket.getaddrinfo`` asks port 53 of the servers in /etc/resolv.conf and nobody else, so beside
the others it can only be measured where both are ours: as root on Linux, by ``unshare``.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

_MARK = "HEADLESS_DISCOVERY_BENCHMARK_NETWORK"
OWN_NETWORK = _MARK in os.environ


def enter() -> None:
    """Goes there, if it can: this process becomes another that begins anew."""
    if OWN_NETWORK:
        _set_up()
        return
    command = ["unshare", "--net", "--mount", "--"]
    if (
        shutil.which("unshare")
        and shutil.which("mount")
        and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603 - fixed
    ):
        os.environ[_MARK] = "1"
        os.execvp(command[0], [*command, sys.executable, "-m", "benchmarks", *sys.argv[1:]])  # noqa: S606 - ourselves


def _set_up() -> None:
    """The loopback interface up, and a resolv.conf that names it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sH14x", b"lo", 0x49)  # IFF_UP, IFF_LOOPBACK, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS
    with tempfile.NamedTemporaryFile("w", suffix="resolv.conf") as conf:
        conf.write("nameserver 127.0.0.1\n")
        conf.flush()
        subprocess.run(  # noqa: S603 - fixed
            ["mount", "--bind", conf.name, str(Path("/etc/resolv.conf").resolve())],  # noqa: S607 - of the system
            check=True,
        )
