"""The fake cluster and the real one, side by side through the same random histories.

``FAKE_HISTORIES`` and ``FAKE_SEED`` ask for more of them, or for others.
"""

import os
import secrets
import socket
import time

import dns.message
import pytest

from headless_discovery.testing import FakeCluster
from tests.cluster.api import API
from tests.cluster.conftest import Namespace, eventually, free_address
from tests.cluster.histories import History
from tests.replies import difference

HISTORIES = int(os.environ.get("FAKE_HISTORIES", "200"))
SEED = int(os.environ.get("FAKE_SEED", "1"))
STEPS = 3
AT_A_TIME = 40
SETTLE = 30.0


class Real:
    """The real name server, asked in bytes."""

    def __init__(self, nameserver: str) -> None:
        host, _, port = nameserver.rpartition(":")
        self._server = (host, int(port))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.settimeout(5)
        self._udp.connect(self._server)

    def close(self) -> None:
        self._udp.close()

    def answer(self, wire: bytes, *, tcp: bool) -> bytes:
        if not tcp:
            self._udp.send(wire)
            while (reply := self._udp.recv(65535))[:2] != wire[:2]:
                pass  # a late one
            return reply
        with socket.create_connection(self._server, timeout=5) as opened:
            opened.sendall(len(wire).to_bytes(2, "big") + wire)
            with opened.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2), "big"))


def mark(namespace: Namespace, real: Real) -> None:
    """Moves a pod and waits until DNS shows it: what was done before has then been seen, too."""
    address = free_address()
    namespace.set_status("marker", address)
    name = f"{address.replace('.', '-')}.marker.{namespace.name}.svc.cluster.local."
    query = dns.message.make_query(name, "A").to_wire()

    def shown() -> None:
        assert dns.message.from_wire(real.answer(query, tcp=False)).answer

    eventually(shown)


def test_both_answer_alike_after_each_step_of_random_histories(
    api: API,
    environment: dict[str, str],
    namespace: Namespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = Real(environment["CLUSTER_NAMESERVER"])
    run = secrets.token_hex(3)
    began, compared, steps = time.monotonic(), 0, 0
    namespace.service("marker")
    namespace.pod("marker", app="marker")
    try:
        for first in range(0, HISTORIES, AT_A_TIME):
            fake = FakeCluster()
            histories = [
                History(SEED + number, f"h-{run}-{number}", api, fake)
                for number in range(first, min(first + AT_A_TIME, HISTORIES))
            ]
            for change in (History.begin, *[History.step] * STEPS):
                for history in histories:
                    change(history)
                steps += len(histories)
                mark(namespace, real)
                for history in histories:
                    compared += settle_and_compare(history, real)
    finally:
        real.close()
        with capsys.disabled():
            print(
                f"\n{HISTORIES} histories from seed {SEED}: {steps} steps, {compared} replies "
                f"compared, {time.monotonic() - began:.0f} s"
            )


ODD = {
    "no question": bytes.fromhex("0007 0100 0000 0000 0000 0000"),
    "two questions": bytes.fromhex("0007 0100 0002 0000 0000 0000"),
    "too many records": bytes.fromhex("0007 0000 0001 0000 0000 0003"),
    "an update": bytes.fromhex("0007 2800 0001 0000 0000 0000"),
    "half a name": bytes.fromhex("0007 0000 0001 0000 0000 0000 03 7765"),
    "no type": bytes.fromhex("0007 0000 0001 0000 0000 0000 03 776562 00 00"),
    "a notify": bytes.fromhex("0007 2100 0001 0000 0000 0000 03 737663 00 0001 0001"),
    "half an OPT": bytes.fromhex("0007 0000 0001 0000 0000 0001 03 776562 00 0001 0001 00 0029 04"),
    "a cookie, and an unknown option": bytes.fromhex(
        "0007 0100 0001 0000 0000 0001 07 636c7573746572 05 6c6f63616c 00 0001 0001"
        "00 0029 04d0 0000 0000 0011 000a 0008 3132333435363738 fde9 0001 78"
    ),
    "all flags": bytes.fromhex(
        "0007 07f0 0001 0000 0000 0000 07 636c7573746572 05 6c6f63616c 00 00010001"
    ),
}


@pytest.mark.parametrize("wire", ODD.values(), ids=list(ODD))
def test_both_say_the_same_to_odd_messages(environment: dict[str, str], wire: bytes) -> None:
    real = Real(environment["CLUSTER_NAMESERVER"])
    try:
        wanted = real.answer(wire, tcp=False)
    finally:
        real.close()
    found = FakeCluster().answer(wire)
    assert found is not None
    assert without_serial(found).hex(" ") == without_serial(wanted).hex(" ")


def without_serial(wire: bytes) -> bytes:
    """A negative reply without its SOA's serial, which is the time of the last change."""
    if wire[6:12] not in (bytes((0, 0, 0, 1, 0, 0)), bytes((0, 0, 0, 1, 0, 1))):
        return wire
    end = len(wire) - 11 * wire[11]  # in front of the OPT record
    return wire[: end - 20] + wire[end - 16 :]


def settle_and_compare(history: History, real: Real) -> int:
    """Asks everything until both say the same; fails if they still do not when time is up."""
    questions = list(history.questions())
    until = time.monotonic() + SETTLE
    while True:
        history.collect()
        said = []
        for wire, tcp in questions:
            wanted, found = real.answer(wire, tcp=tcp), history.fake.answer(wire, tcp=tcp)
            if found is not None and without_serial(wanted) == without_serial(found):
                continue
            words = difference(wanted, found)
            if words is not None:
                said.append(f"{dns.message.from_wire(wire).question[0]}: {words}")
        if not said:
            return len(questions)
        if time.monotonic() > until:
            replay = f"FAKE_SEED={history.seed} FAKE_HISTORIES=1"
            pytest.fail("\n".join([f"{replay} does it again:", *history.told, *said]))
        time.sleep(0.05)
