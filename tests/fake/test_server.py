"""The fake cluster as a real name server: clients of all kinds, kind and unkind."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import dns.message
import dns.query
import dns.resolver
import pytest

from headless_discovery import Resolver, peers
from headless_discovery.testing import FakeClock, FakeCluster
from tests.fake.asking import WEB, query

NAME = f"_http._tcp.{WEB}"


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_service("web", ports={"http": 8080}).scale(3)
    return cluster


@pytest.fixture
def port(cluster: FakeCluster) -> Iterator[int]:
    with cluster.serve() as server:
        yield int(server.nameserver.rpartition(":")[2])


def connected(port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    opened.settimeout(30)
    opened.connect(("127.0.0.1", port))
    return opened


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2, "big") + wire


def read_framed(opened: socket.socket) -> bytes:
    with opened.makefile("rb") as stream:
        return stream.read(int.from_bytes(stream.read(2), "big"))


def still_answers(port: int) -> bool:
    reply = dns.query.udp(dns.message.make_query(WEB, "A"), "127.0.0.1", port=port, timeout=10)
    return len(reply.answer[0]) == 3


def test_dnspython_is_served_over_udp_and_tcp(port: int) -> None:
    asked = dns.message.make_query(NAME, "SRV", use_edns=0)
    for ask in (dns.query.udp, dns.query.tcp):
        assert len(ask(asked, "127.0.0.1", port=port, timeout=10).answer[0]) == 3


def test_dnspythons_resolver_is_served(port: int) -> None:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = port
    assert len(resolver.resolve(NAME, "SRV")) == 3


def test_the_library_is_served_and_sees_changes(cluster: FakeCluster, port: int) -> None:
    def found() -> int:
        resolver = Resolver([f"127.0.0.1:{port}"], timeout=10, lifetime=20)
        return len(peers("web", namespace="default", resolver=resolver).endpoints())

    assert found() == 3
    cluster.service("web").scale(50)
    assert found() == 50, "over TCP"


def test_it_listens_on_ipv6_too(cluster: FakeCluster) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with cluster.serve("::1") as server:
        assert server.nameserver.startswith("[::1]:")
        assert len(peers("web.default", resolver=Resolver([server.nameserver])).endpoints()) == 3


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_it_does_not_listen_for_others(cluster: FakeCluster, host: str) -> None:
    with pytest.raises(ValueError, match=r"for tests on one host.*allow_remote=True"):
        cluster.serve(host)


def test_it_does_if_told_so(cluster: FakeCluster) -> None:
    with cluster.serve("0.0.0.0", allow_remote=True) as server:
        assert still_answers(int(server.nameserver.rpartition(":")[2]))


@pytest.mark.parametrize(
    ("host", "port", "told"),
    [
        ("localhost", 0, r"serve\('localhost'\): give an address"),
        ("127.0.0.1", -1, r"serve\(port=-1\)"),
        ("127.0.0.1", True, r"serve\(port=True\)"),
        ("127.0.0.1", "53", r"serve\(port='53'\)"),
    ],
)
def test_where_it_cannot_listen_is_told(
    cluster: FakeCluster, host: str, port: int, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        cluster.serve(host, port)


def test_its_name_server_is_known_while_it_serves(cluster: FakeCluster) -> None:
    server = cluster.serve()
    with pytest.raises(RuntimeError, match="use it in a 'with' statement"):
        _ = server.nameserver
    with server:
        first = server.nameserver
        with pytest.raises(RuntimeError, match=f"it serves at {first} already"):
            server.__enter__()
    with server:
        assert server.nameserver == first, "again at the same port"


def test_a_port_that_is_taken_is_told(cluster: FakeCluster, port: int) -> None:
    with pytest.raises(OSError, match="in use"), cluster.serve(port=port):
        pass


def test_a_port_that_is_free_for_one_kind_only_is_passed_over(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    binds: list[socket.SocketKind] = []

    class Busy(socket.socket):
        def bind(self, address: object) -> None:
            binds.append(self.type)
            if len(binds) == 2:
                raise OSError("address in use, for UDP")
            super().bind(address)  # type: ignore[arg-type] # whatever it is that was given

    monkeypatch.setattr("headless_discovery.testing._server.socket.socket", Busy)
    with cluster.serve():
        assert len(binds) == 4


def test_when_it_ends_nobody_is_left(cluster: FakeCluster) -> None:
    with cluster.serve() as server:
        open_connection = connected(int(server.nameserver.rpartition(":")[2]))
        assert "fake-cluster" in {thread.name for thread in threading.enumerate()}
    assert "fake-cluster" not in {thread.name for thread in threading.enumerate()}
    with open_connection:
        assert open_connection.recv(1) == b""


def test_a_question_that_comes_byte_by_byte_is_answered(port: int) -> None:
    with connected(port) as opened:
        for byte in framed(query()):
            opened.sendall(bytes((byte,)))
        assert len(dns.message.from_wire(read_framed(opened)).answer[0]) == 3


def test_questions_in_a_row_are_answered_in_their_order(port: int) -> None:
    asked = [query(id=number) for number in range(500)]
    with connected(port) as opened:
        opened.sendall(b"".join(framed(wire) for wire in asked))
        with opened.makefile("rb") as stream:
            for wire in asked:
                reply = stream.read(int.from_bytes(stream.read(2), "big"))
                assert reply[:2] == wire[:2]


@pytest.mark.slow
def test_a_client_that_takes_no_replies_is_not_read_from(cluster: FakeCluster, port: int) -> None:
    cluster.service("web").scale(150)
    asked = [framed(query(NAME, "SRV", id=number)) for number in range(600)]
    with connected(port) as opened, connected(port) as other:
        sender = threading.Thread(target=opened.sendall, args=(b"".join(asked),))
        sender.start()
        other.sendall(framed(query()))
        assert read_framed(other), "the others are served"
        before = len(cluster.queries)
        assert before < 600
        with opened.makefile("rb") as stream:
            for number in range(600):
                reply = stream.read(int.from_bytes(stream.read(2), "big"))
                assert int.from_bytes(reply[:2], "big") == number
        sender.join()


def test_one_connection_too_many_takes_the_place_of_the_idlest(port: int) -> None:
    with contextlib.ExitStack() as stack:
        first, *_, idlest = opened = [stack.enter_context(connected(port)) for _ in range(64)]
        for one in reversed(opened):
            one.sendall(framed(query()))
            assert read_framed(one)
        idlest.sendall(b"\0")  # not a whole question, and so no sign of life
        with connected(port) as another:
            another.sendall(framed(query()))
            assert read_framed(another)
            assert idlest.recv(1) == b""
            first.sendall(framed(query()))
            assert read_framed(first)


def test_who_asks_nothing_is_hung_up_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(port) as opened:
        opened.sendall(framed(query()))
        assert read_framed(opened)
        now = time.monotonic() + 11
        monkeypatch.setattr(time, "monotonic", lambda: now)
        assert opened.recv(1) == b""
    assert still_answers(port)


def test_who_hangs_up_first_hurts_nobody(port: int) -> None:
    for _ in range(20):
        with connected(port) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            opened.sendall(framed(query()) * 50)  # closed with a reset, replies under way
    with connected(port):
        pass
    assert still_answers(port)


def test_nonsense_gets_no_answer_and_hurts_nobody(cluster: FakeCluster, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.connect(("127.0.0.1", port))
        for length in (0, 1, 11, 12, 600):
            opened.send(b"\xff" * length)
    with connected(port) as stream:
        stream.sendall(b"\0\0" * 100 + framed(b"\xff" * 20) + framed(query()))
        assert read_framed(stream)[2] & 0x80
    assert still_answers(port)


def test_a_flood_of_datagrams_holds_up_no_connection(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened, connected(port) as stream:
        opened.connect(("127.0.0.1", port))
        for _ in range(500):
            opened.send(query())
        stream.sendall(framed(query()))
        assert read_framed(stream)


def test_the_cache_goes_by_real_time_unless_a_clock_was_given() -> None:
    free, given = FakeCluster(cache=30), FakeCluster(cache=30, clock=FakeClock())
    for cluster, moves in ((free, True), (given, False)):
        with cluster.serve():
            cluster.answer(query())
            cluster.answer(query())
        first, second = (one.at for one in cluster.queries)
        assert (second > first) is moves


@pytest.mark.parametrize(
    "command",
    [
        ["dig", "+short", "+tries=1", "-p", "{port}", "@127.0.0.1", NAME, "SRV"],
        ["dig", "+short", "+tcp", "-p", "{port}", "@127.0.0.1", NAME, "SRV"],
        ["nslookup", "-port={port}", "-type=SRV", NAME, "127.0.0.1"],
    ],
    ids=["dig", "dig-tcp", "nslookup"],
)
def test_the_usual_tools_are_served(port: int, command: list[str]) -> None:
    try:
        done = subprocess.run(
            [part.format(port=port) for part in command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"8080 web-{0}.{WEB}") == 1
