"""``scripts/cluster``: starts the control plane, for one command or until it is told to stop."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.control_plane import (
    COREDNS_VERSION,
    HERE,
    KUBERNETES_VERSION,
    ControlPlane,
    NoGoError,
    build,
)

USAGE = "usage: scripts/cluster build | up | down | run CMD..."
RUN = HERE / ".run"
STATE = RUN / "state.json"
NO_GO = 3


def main(arguments: list[str]) -> int:
    """Runs one of the four commands."""
    match arguments:
        case ["build"]:  # the others build too, if that was not done
            return _build()
        case ["up"]:
            return _up()
        case ["down"]:
            return _down()
        case ["run", *command] if command:
            return _run(command)
        case ["serve"]:  # what `up` leaves behind
            return _serve()
    print(USAGE, file=sys.stderr)
    return 2


def _build() -> int:
    seconds = build()
    if seconds:
        versions = f"Kubernetes {KUBERNETES_VERSION} and CoreDNS {COREDNS_VERSION}"
        print(f"built {versions} in {seconds:.0f} s")
    return 0


def _describe(environment: dict[str, str]) -> None:
    print(f"name server: {environment['CLUSTER_NAMESERVER']}")
    print(f"kubeconfig:  {environment['KUBECONFIG']}")


def _run(command: list[str]) -> int:
    # SIGTERM must leave nothing behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _build()
    began = time.monotonic()
    with ControlPlane() as control_plane:
        print(f"started in {time.monotonic() - began:.1f} s")
        environment = control_plane.environment()
        _describe(environment)
        sys.stdout.flush()
        with subprocess.Popen(command, env={**os.environ, **environment}) as process:
            try:
                return process.wait()
            except BaseException:
                process.send_signal(signal.SIGINT)
                raise


def _up() -> int:
    if STATE.exists():
        print("it is up already; scripts/cluster down stops it", file=sys.stderr)
        return 1
    _build()
    RUN.mkdir(exist_ok=True)
    with (RUN / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while not STATE.exists():
        if process.poll() is not None:
            print((RUN / "log").read_text(), file=sys.stderr)
            return 1
        time.sleep(0.05)
    _describe(json.loads(STATE.read_text())["environment"])
    print("scripts/cluster down stops it")
    return 0


def _serve() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ControlPlane() as control_plane:
        state = {"pid": os.getpid(), "environment": control_plane.environment()}
        half = Path(f"{STATE}.half")
        half.write_text(json.dumps(state))
        half.rename(STATE)
        try:
            while True:
                signal.pause()
        finally:
            STATE.unlink()


def _down() -> int:
    if not STATE.exists():
        print("it is not up")
        return 0
    pid = json.loads(STATE.read_text())["pid"]
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        STATE.unlink()  # it was killed; its servers went with it
    while STATE.exists():
        time.sleep(0.05)
    print("stopped")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NoGoError as error:
        print(f"scripts/cluster: {error}", file=sys.stderr)
        sys.exit(NO_GO)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
