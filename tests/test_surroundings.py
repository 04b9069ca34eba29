"""What a pod is told about itself, read from files and variables."""

from pathlib import Path

import pytest

from headless_discovery import _surroundings
from headless_discovery._surroundings import ResolvConf, Surroundings, read_text

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


def test_what_follows_a_name_servers_address_is_left_out() -> None:
    assert ResolvConf.parse("nameserver 10.0.0.1 # the cluster's").nameservers == ("10.0.0.1",)


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
    monkeypatch.setattr(_surroundings, "RESOLV_CONF", resolv_conf)
    monkeypatch.setattr(_surroundings, "NAMESPACE_FILE", namespace_file)
    monkeypatch.delenv("POD_NAMESPACE", raising=False)

    read = Surroundings.read()
    assert read.namespace == "from-file"
    assert read.resolv_conf == ResolvConf.parse(IN_A_POD)

    monkeypatch.setenv("POD_NAMESPACE", "from-environment")
    assert Surroundings.read().namespace == "from-environment"


def test_files_that_are_not_there_say_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_surroundings, "RESOLV_CONF", tmp_path / "none")
    monkeypatch.setattr(_surroundings, "NAMESPACE_FILE", tmp_path)  # a folder
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    read = Surroundings.read()
    assert read.namespace is None
    assert read.resolv_conf == ResolvConf()


def test_bytes_that_are_not_text_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_bytes(b"nameserver 10.0.0.1\n\xff\xfe\n")
    assert ResolvConf.parse(read_text(path) or "").nameservers == ("10.0.0.1",)
