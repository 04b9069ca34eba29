"""What a pod is told about itself, read from files and variables."""

from pathlib import Path

import pytest

from tests.lookups import ResolvConf, Surroundings, read_text

IN_A_POD = """\
search shop.svc.cluster.local svc.cluster.local cluster.local corp.example.com
nameserver 10.96.0.10
options ndots:5
"""


def test_resolv_conf_names_servers_and_search_domains_in_order() -> None:
    conf = ResolvConf.parse(
        "nameserver 10.96.0.10\nnameserver\tfd00::a\nsearch a.example B.Example.\n"
    )
    assert conf == ResolvConf(("10.96.0.10", "fd00::a"), ("a.example", "b.example"))


def test_comments_and_unknown_and_unfinished_lines_say_nothing() -> None:
    text = "# nameserver 1.1.1.1\n;nameserver 2.2.2.2\n\nnameserver\noptions rotate\nsortlist x\n"
    assert ResolvConf.parse(text) == ResolvConf()


def test_ndots_is_1_unless_an_option_says_another_number() -> None:
    assert ResolvConf.parse("nameserver 10.0.0.1\n").ndots == 1
    assert ResolvConf.parse("options edns0 ndots:5 rotate\n").ndots == 5
    assert ResolvConf.parse("options ndots:5\noptions ndots:many\n").ndots == 5


@pytest.mark.parametrize("rest", [" # the cluster's", "#the cluster's", ";x", " 10.0.0.2", "\r"])
def test_what_follows_a_name_servers_address_is_left_out(rest: str) -> None:
    assert ResolvConf.parse(f"nameserver 10.0.0.1{rest}\n").nameservers == ("10.0.0.1",)


@pytest.mark.parametrize(
    ("line", "addresses"),
    [
        ("nameserver dns.example.com", ()),
        ("nameserver 10.0.0", ("10.0.0.0",)),  # as inet_aton(3) has it
        ("nameserver 127.1", ("127.0.0.1",)),
        ("nameserver 127.0.0.1:5353", ("[127.0.0.1]:5353",)),
        ("nameserver 127.0.0.1:99999", ()),
        ("nameserver 10.0.0.300", ()),
        ("nameserver fe80::1%eth0", ("fe80::1%eth0",)),
        ("nameserver FD00:0::A", ("fd00::a",)),
        ("nameserver \u0661\u0660.0.0.1", ()),
        ("nameserver a\0b", ()),
        (" nameserver 10.0.0.1", ()),
        ("nameservers 10.0.0.1", ()),
        ("#nameserver 10.0.0.1", ()),
    ],
)
def test_lines_that_libc_leaves_out_hide_no_other(line: str, addresses: tuple[str, ...]) -> None:
    conf = ResolvConf.parse(f"{line}\nnameserver 10.9.9.9\n")
    assert conf.nameservers == (*addresses, "10.9.9.9")


def test_windows_line_ends_do_no_harm() -> None:
    text = IN_A_POD.replace("\n", "\r\n") + "options use-vc\r\n"
    conf = ResolvConf.parse(text)
    assert (conf.nameservers, conf.cluster_domain, conf.ndots, conf.use_vc) == (
        ("10.96.0.10",),
        "cluster.local",
        5,
        True,
    )


def test_all_options_are_read_the_last_one_holds_and_others_say_nothing() -> None:
    text = "options rotate timeout:1 attempts:3 ndots:2 ndots:7 edns0 trust-ad\noptions use-vc\n"
    conf = ResolvConf.parse(f"{text}options single-request-reopen\n")
    assert (conf.ndots, conf.use_vc) == (7, True)
    assert ResolvConf.parse("options ndots:99").ndots == 15
    assert ResolvConf.parse("options ndots:" + "9" * 5000).ndots == 15
    assert not ResolvConf.parse(text.replace("use-vc", "use-vc:1")).use_vc


def test_search_lists_have_no_end() -> None:
    domains = [f"d{n}.example" for n in range(40)]
    assert ResolvConf.parse(f"search {' '.join(domains)}\n").search == tuple(domains)
    assert ResolvConf.parse("search a.example\nsearch\nsearch \n").search == ("a.example",)
    assert ResolvConf.parse("domain a.example b.example\n").search == ("a.example",)


def test_the_last_search_or_domain_line_holds() -> None:
    text = "search a.example\nsearch b.example c.example\n"
    assert ResolvConf.parse(text).search == ("b.example", "c.example")
    assert ResolvConf.parse(text + "domain d.example\n").search == ("d.example",)


def test_a_pods_search_list_tells_its_namespace_and_the_cluster_domain() -> None:
    conf = ResolvConf.parse(IN_A_POD)
    assert (conf.namespace, conf.cluster_domain) == ("shop", "cluster.local")


def test_a_namespace_called_svc_does_not_change_the_cluster_domain() -> None:
    conf = ResolvConf.parse("search svc.svc.cluster.local svc.cluster.local cluster.local")
    assert (conf.namespace, conf.cluster_domain) == ("svc", "cluster.local")


@pytest.mark.parametrize("namespace", ["shop", "svc", "svc-1"])
@pytest.mark.parametrize(
    "domain", ["cluster.local", "svc.example.com", "svc", "svc.svc.k8s", "k8s"]
)
def test_a_domain_and_a_namespace_may_begin_with_svc(namespace: str, domain: str) -> None:
    pods = f"{namespace}.svc.{domain} svc.{domain} {domain}"
    for more in ("", " corp.example.com eu-west-1.compute.internal"):
        conf = ResolvConf.parse(f"search {pods}{more}\n")
        assert (conf.namespace, conf.cluster_domain) == (namespace, domain)


def test_a_search_list_of_ones_own_may_have_but_a_part() -> None:
    assert ResolvConf.parse("search svc.cluster.local").cluster_domain == "cluster.local"
    conf = ResolvConf.parse("search shop.svc.cluster.local")
    assert (conf.namespace, conf.cluster_domain) == ("shop", None)
    assert ResolvConf.parse("search svc.svc.cluster.local").cluster_domain is None


@pytest.mark.parametrize("search", ["", "search corp.example.com", "search .", "search svc"])
def test_a_nodes_search_list_tells_neither(search: str) -> None:
    conf = ResolvConf.parse(search)
    assert (conf.namespace, conf.cluster_domain) == (None, None)


def test_the_namespace_is_the_variables_then_the_files_then_the_search_lists() -> None:
    conf = ResolvConf.parse(IN_A_POD)
    variable = {"POD_NAMESPACE": "one"}
    assert Surroundings(variable, conf, "two\n").namespace == "one"
    assert Surroundings({"POD_NAMESPACE": ""}, conf, "two\n").namespace == "two"
    assert Surroundings({}, conf, " \n").namespace == "shop"
    assert Surroundings().namespace is None


def test_it_is_read_from_this_processes_files_and_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(IN_A_POD)
    namespace_file = tmp_path / "namespace"
    namespace_file.write_text("from-file")
    monkeypatch.setattr("headless_discovery._dns.surroundings.RESOLV_CONF", resolv_conf)
    monkeypatch.setattr("headless_discovery._dns.surroundings.NAMESPACE_FILE", namespace_file)
    monkeypatch.delenv("POD_NAMESPACE", raising=False)

    read = Surroundings.read()
    assert read.namespace == "from-file"
    assert read.resolv_conf == ResolvConf.parse(IN_A_POD)

    monkeypatch.setenv("POD_NAMESPACE", "from-environment")
    assert Surroundings.read().namespace == "from-environment"


def test_files_that_are_not_there_say_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("headless_discovery._dns.surroundings.RESOLV_CONF", tmp_path / "none")
    monkeypatch.setattr("headless_discovery._dns.surroundings.NAMESPACE_FILE", tmp_path)  # a folder
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    read = Surroundings.read()
    assert read.namespace is None
    assert read.resolv_conf == ResolvConf()


def test_bytes_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_bytes(b"nameserver 10.0.0.1\n\xff\xfe\n")
    assert ResolvConf.parse(read_text(path) or "").nameservers == ("10.0.0.1",)
