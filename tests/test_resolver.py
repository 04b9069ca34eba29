"""Resolver: which name servers it means, and its arguments."""

import errno
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headless_discovery import ConfigurationError, LookupFailed, Resolver

# Which name servers.


@pytest.fixture
def resolv_conf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("HEADLESS_DISCOVERY_NAMESERVER", raising=False)
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr("headless_discovery._dns.resolver.RESOLV_CONF", path)
    return path


def servers(resolver: Resolver) -> list[str]:
    return [str(server) for server in resolver.servers()]


def test_name_servers_that_are_given_are_used_in_order() -> None:
    given = [
        "10.96.0.10",
        "127.0.0.1:5353",
        "[fd00::a]:54",
        "fd00:0::b",
        "[fd00::c]",
        "fe80::1%eth0",
        "[fe80::1%lo]:5300",
    ]
    assert servers(Resolver(given)) == [
        "10.96.0.10:53",
        "127.0.0.1:5353",
        "[fd00::a]:54",
        "[fd00::b]:53",
        "[fd00::c]:53",
        "[fe80::1%eth0]:53",
        "[fe80::1%lo]:5300",
    ]


def test_else_those_of_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch, resolv_conf: Path
) -> None:
    resolv_conf.write_text("nameserver 10.0.0.9\n")
    monkeypatch.setenv("HEADLESS_DISCOVERY_NAMESERVER", "10.0.0.1, [fd00::a]:5353")
    assert servers(Resolver()) == ["10.0.0.1:53", "[fd00::a]:5353"]
    assert servers(Resolver(["10.0.0.2"])) == ["10.0.0.2:53"]


def test_else_those_of_resolv_conf(resolv_conf: Path) -> None:
    resolv_conf.write_text("nameserver 10.0.0.1\nnameserver fe80::1%eth0\n")
    assert servers(Resolver()) == ["10.0.0.1:53", "[fe80::1%eth0]:53"]


def test_resolv_conf_is_read_again_when_it_has_changed(
    resolv_conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    read_text = Path.read_text

    def counted(path: Path, **how: Any) -> str:
        reads.append(path)
        return read_text(path, **how)

    monkeypatch.setattr(Path, "read_text", counted)
    resolv_conf.write_text("nameserver 10.0.0.1\n")
    resolver = Resolver()
    assert [servers(resolver), servers(resolver)] == [["10.0.0.1:53"]] * 2
    assert len(reads) == 1
    resolv_conf.write_text("nameserver 10.0.0.22\n")
    assert servers(resolver) == ["10.0.0.22:53"]
    resolv_conf.unlink()
    with pytest.raises(ConfigurationError):
        resolver.servers()
    resolv_conf.write_text("nameserver 10.0.0.3\n")
    assert servers(resolver) == ["10.0.0.3:53"]


@pytest.mark.skipif(sys.platform != "linux", reason="a file that root cannot read either")
def test_a_resolv_conf_that_cannot_be_read_has_no_name_server(resolv_conf: Path) -> None:
    resolv_conf.symlink_to("/proc/self/mem")
    with pytest.raises(ConfigurationError, match="no name server"):
        Resolver().servers()


def test_a_resolver_that_is_made_reads_nothing(resolv_conf: Path) -> None:
    resolver = Resolver()
    resolv_conf.write_text("nameserver 10.0.0.1\n")
    assert servers(resolver) == ["10.0.0.1:53"]


@pytest.mark.parametrize("text", [None, "", "search svc.cluster.local\n"])
def test_no_name_server_at_all_is_an_error_that_says_what_to_do(
    resolv_conf: Path, text: str | None
) -> None:
    if text is not None:
        resolv_conf.write_text(text)
    with pytest.raises(ConfigurationError, match="no name server") as caught:
        Resolver().plan()
    assert str(resolv_conf) in str(caught.value)
    for part in ("Resolver([", "$HEADLESS_DISCOVERY_NAMESERVER"):
        assert part in (caught.value.hint or "")


# Wrong arguments.


@pytest.mark.parametrize(
    "text",
    ["", "dns.example.com", "10.0.0", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:x", "[fd00::a", 5],
)
def test_what_is_not_a_name_servers_address_is_an_error_that_names_it(text: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"nameservers: .*is not an IP address"):
        Resolver([text])


@pytest.mark.parametrize("nameservers", ["10.0.0.1", b"10.0.0.1", [], {"10.0.0.1"}, 5])
def test_name_servers_that_are_no_list_are_an_error(nameservers: Any) -> None:
    with pytest.raises(ConfigurationError, match="nameservers"):
        Resolver(nameservers)


def test_a_wrong_environment_variable_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADLESS_DISCOVERY_NAMESERVER", "10.0.0.1,")
    with pytest.raises(ConfigurationError, match=r"\$HEADLESS_DISCOVERY_NAMESERVER: ''"):
        Resolver().servers()


def test_a_line_of_resolv_conf_that_is_no_address_hides_no_other(resolv_conf: Path) -> None:
    resolv_conf.write_text("nameserver dns.example.com\nnameserver 10.0.0.1\n")
    assert servers(Resolver()) == ["10.0.0.1:53"]


def test_use_vc_in_resolv_conf_means_tcp_first_for_the_servers_that_it_names(
    resolv_conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolv_conf.write_text("nameserver 10.0.0.1\noptions ndots:5 use-vc\n")
    assert Resolver().plan().tcp_first
    assert not Resolver(["10.0.0.1"]).plan().tcp_first
    monkeypatch.setenv("HEADLESS_DISCOVERY_NAMESERVER", "10.0.0.1")
    assert not Resolver().plan().tcp_first


@pytest.mark.parametrize(
    ("options", "tcp_first"),
    [("use-vc", True), ("ndots:5 use-vc", True), ("", False), ("no-use-vc ndots:5", False)],
)
def test_so_does_res_options(
    resolv_conf: Path, monkeypatch: pytest.MonkeyPatch, options: str, *, tcp_first: bool
) -> None:
    monkeypatch.setenv("RES_OPTIONS", options)
    resolv_conf.write_text("nameserver 10.0.0.1\n")
    assert Resolver().plan().tcp_first is tcp_first
    assert not Resolver(["10.0.0.1"]).plan().tcp_first


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [make_pipe, make_folder, make_loop, make_device])
def test_what_is_no_file_names_no_server_and_is_not_waited_for(
    resolv_conf: Path, make: Callable[[Path], None]
) -> None:
    resolv_conf.write_text("nameserver 10.0.0.1\n")
    resolver = Resolver()
    assert servers(resolver) == ["10.0.0.1:53"]
    resolv_conf.unlink()
    make(resolv_conf)
    with pytest.raises(ConfigurationError, match="no name server"):
        resolver.plan()


def test_a_file_that_was_replaced_with_the_same_size_and_time_is_read_again(
    resolv_conf: Path, tmp_path: Path
) -> None:
    resolv_conf.write_text("nameserver 10.0.0.1\n")
    old = resolv_conf.stat()
    resolver = Resolver()
    assert servers(resolver) == ["10.0.0.1:53"]
    other = tmp_path / "other"
    other.write_text("nameserver 10.0.0.2\n")
    os.utime(other, ns=(old.st_atime_ns, old.st_mtime_ns))
    other.replace(resolv_conf)
    assert servers(resolver) == ["10.0.0.2:53"]
    # In place, too: as a bind mount is written.
    time.sleep(0.02)  # of a clock that ticks in 4 to 10 ms: the time of change is the kernel's
    resolv_conf.write_text("nameserver 10.0.0.3\n")
    os.utime(resolv_conf, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert servers(resolver) == ["10.0.0.3:53"]


# Own addresses.


def test_the_own_address_is_the_one_that_routes_to_the_name_servers() -> None:
    assert Resolver(["127.0.0.1", "127.0.0.2:5353"]).own_addresses() == ("127.0.0.1",)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENETUNREACH])
def test_no_socket_and_no_route_are_trouble_and_no_wrong_argument(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_just_now(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(socket, "socket", none_just_now)
    with pytest.raises(LookupFailed, match=os.strerror(code)) as caught:
        Resolver(["10.96.0.10"]).own_addresses()
    assert caught.value.nameserver == "10.96.0.10:53"


@pytest.mark.parametrize("argument", ["timeout", "lifetime"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "2", None, True])
def test_a_time_that_makes_no_sense_is_an_error_that_names_it(argument: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=argument):
        Resolver(**{argument: value})


@pytest.mark.parametrize("value", [511, 65536, 1232.0, "1232", True])
def test_an_edns_size_that_makes_no_sense_is_an_error_that_names_it(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="edns"):
        Resolver(edns=value)


def test_a_resolver_shows_its_settings() -> None:
    assert repr(Resolver(edns=None)) == "Resolver(None, timeout=2, lifetime=5, edns=None)"
    assert repr(Resolver()) == "Resolver(None, timeout=2, lifetime=5, edns=1232)"
    given = Resolver(["10.0.0.1"], timeout=0.5, lifetime=1, edns=512)
    assert repr(given) == "Resolver(['10.0.0.1:53'], timeout=0.5, lifetime=1, edns=512)"


def test_an_address_in_brackets_may_be_of_either_family() -> None:
    assert servers(Resolver([" [10.0.0.1]:54 "])) == ["10.0.0.1:54"]
