"""ServiceName: how a Service may be written, and where its missing parts come from."""

import re

import pytest

from headless_discovery import ConfigurationError, ServiceName
from tests.lookups import ResolvConf, Surroundings, check_port, check_protocol

NOWHERE = Surroundings()
POD = Surroundings(
    resolv_conf=ResolvConf.parse(
        "nameserver 10.96.0.10\n"
        "search lab.svc.k8s.example.org svc.k8s.example.org k8s.example.org corp.example.com\n"
    ),
    namespace_file="from-file\n",
    environ={"POD_NAMESPACE": "from-environment"},
)


def parse(
    text: str,
    *,
    namespace: str | None = None,
    cluster_domain: str | None = None,
    inside: Surroundings = NOWHERE,
) -> str:
    return str(
        ServiceName.parse(
            text, namespace=namespace, cluster_domain=cluster_domain, surroundings=inside
        )
    )


# Spellings.


@pytest.mark.parametrize(
    "text",
    [
        "web.shop",
        "web.shop.svc",
        "web.shop.svc.cluster.local",
        "web.shop.",
        "web.shop.svc.",
        "web.shop.svc.cluster.local.",
        "Web.SHOP.Svc.Cluster.LOCAL.",
    ],
)
def test_every_spelling_of_a_service_means_the_same_name(text: str) -> None:
    assert parse(text) == "web.shop.svc.cluster.local"


@pytest.mark.parametrize("text", ["web", "web.", "WEB"])
def test_a_service_alone_takes_the_namespace_that_is_given(text: str) -> None:
    assert parse(text, namespace="shop") == "web.shop.svc.cluster.local"


def test_a_service_may_be_called_svc_and_so_may_its_namespace() -> None:
    assert parse("svc.svc.svc") == "svc.svc.svc.cluster.local"
    assert parse("svc.svc") == "svc.svc.svc.cluster.local"


def test_names_may_begin_with_a_digit_and_domains_may_have_underscores() -> None:
    assert parse("1st.2nd.svc.my_cluster.example") == "1st.2nd.svc.my_cluster.example"


def test_a_name_has_its_parts() -> None:
    name = ServiceName.parse("web.shop.svc.k8s.example.org", surroundings=NOWHERE)
    assert (name.service, name.namespace, name.domain) == ("web", "shop", "k8s.example.org")
    assert name == ServiceName("web", "shop", "k8s.example.org")


def test_by_default_the_surroundings_are_those_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POD_NAMESPACE", "here")
    name = ServiceName.parse("web", cluster_domain="cluster.local")
    assert str(name) == "web.here.svc.cluster.local"


# Where the namespace and the domain come from, first to last.


def test_the_namespace_argument_passes_over_all_that_is_found() -> None:
    assert parse("web", namespace="Given.", inside=POD) == "web.given.svc.k8s.example.org"


def test_the_namespace_in_the_name_passes_over_all_that_is_found() -> None:
    assert parse("web.named", inside=POD) == "web.named.svc.k8s.example.org"


def test_the_namespace_is_found_in_the_environment_then_the_file_then_the_search_list() -> None:
    environment = POD
    file = Surroundings(resolv_conf=POD.resolv_conf, namespace_file=POD.namespace_file)
    search = Surroundings(resolv_conf=POD.resolv_conf)
    found = [parse("web", inside=inside) for inside in (environment, file, search)]
    assert found == [
        "web.from-environment.svc.k8s.example.org",
        "web.from-file.svc.k8s.example.org",
        "web.lab.svc.k8s.example.org",
    ]


def test_without_a_namespace_the_error_says_where_it_was_looked_for_and_what_to_do() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse("web")
    for part in ("$POD_NAMESPACE", "serviceaccount", "search"):
        assert part in str(caught.value)
    for part in ("namespace=", "'web.<namespace>'", "$POD_NAMESPACE"):
        assert part in str(caught.value.hint)


def test_the_domain_is_given_or_named_or_found_or_cluster_local() -> None:
    assert parse("web.shop", cluster_domain="Given.Example.", inside=POD).endswith("given.example")
    assert parse("web.shop.svc.named.example", inside=POD).endswith("svc.named.example")
    assert parse("web.shop", inside=POD).endswith("svc.k8s.example.org")
    assert parse("web.shop").endswith("svc.cluster.local")


# Saying it twice.


def test_the_same_thing_may_be_said_twice() -> None:
    assert (
        parse("web.shop.svc.cluster.local", namespace="Shop", cluster_domain="CLUSTER.local.")
        == "web.shop.svc.cluster.local"
    )


@pytest.mark.parametrize(
    ("argument", "value"), [("namespace", "lab"), ("cluster_domain", "k8s.example.org")]
)
def test_saying_two_different_things_is_an_error_that_shows_both(argument: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=argument) as caught:
        parse("web.shop.svc.cluster.local", **{argument: value})  # type: ignore[arg-type]  # text
    assert value in str(caught.value)
    assert "web.shop.svc.cluster.local" in str(caught.value)


# Wrong arguments.


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-web.shop",
        "web-.shop",
        "we b.shop",
        "we_b.shop",
        "wéb.shop",
        f"{'w' * 64}.shop",
        "_http._tcp.web.shop.svc",
        "web.shop.pod",
        "web.shop.cluster.local",
        "web.shop.svc..cluster.local",
        "web.shop.svc..",
        "web..",
        "web..svc",
        "https://web.shop",
        "web.shop:80",
    ],
)
def test_what_is_not_a_services_name_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"service=|namespace=|cluster_domain="):
        parse(text)


@pytest.mark.parametrize("text", [None, 5, b"web", ["web"]])
def test_a_service_that_is_not_text_is_an_error_that_names_it(text: object) -> None:
    with pytest.raises(ConfigurationError, match="service"):
        ServiceName.parse(text)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("value", ["", "a.b", "-a", "a_b", "n" * 64, "ä"])
def test_a_namespace_that_is_not_a_label_is_an_error_that_names_it(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"namespace={re.escape(repr(value))}"):
        parse("web", namespace=value, inside=POD)


@pytest.mark.parametrize("value", ["", ".", "a..b", "-a.b", "a.b-", "d" * 64, "a b"])
def test_a_domain_that_is_not_a_name_is_an_error_that_names_it(value: str) -> None:
    with pytest.raises(ConfigurationError, match="cluster_domain="):
        parse("web.shop", cluster_domain=value, inside=POD)


@pytest.mark.parametrize("argument", ["namespace", "cluster_domain"])
def test_an_argument_that_is_not_text_is_an_error_that_names_it(argument: str) -> None:
    with pytest.raises(ConfigurationError, match=argument):
        parse("web", **{argument: 7})  # type: ignore[arg-type]  # wrong on purpose


def test_a_namespace_that_was_found_is_checked_too() -> None:
    with pytest.raises(ConfigurationError, match="namespace='not a label'"):
        parse("web", inside=Surroundings(environ={"POD_NAMESPACE": "not a label"}))


def test_the_longest_names_leave_room_for_a_port_and_a_pod_below_them() -> None:
    service, domain = f"{'s' * 63}.{'n' * 63}", "d" * 51
    longest = parse(service, cluster_domain=domain)
    assert len(f"_{'p' * 62}._sctp.{longest}") == 253
    with pytest.raises(ConfigurationError, match=r"cluster_domain=.*too long"):
        parse(service, cluster_domain=domain + "d")


# Ports and protocols.


@pytest.mark.parametrize(
    ("port", "normal"),
    [
        (None, None),
        (1, 1),
        (65535, 65535),
        ("http", "http"),
        ("HTTP-2", "http-2"),
        ("8080x", "8080x"),
        ("8081", "8081"),
        ("1", "1"),
        ("99999", "99999"),
        ("p" * 62, "p" * 62),
    ],
)
def test_a_port_is_a_name_a_number_or_nothing(
    port: str | int | None, normal: str | int | None
) -> None:
    assert check_port(port) == normal


@pytest.mark.parametrize(
    "port", [0, -1, 65536, True, 80.0, b"http", "", "-http", "_http", "ht tp", "é", "p" * 63]
)
def test_any_other_port_is_an_error_that_names_it(port: object) -> None:
    with pytest.raises(ConfigurationError, match="port must be"):
        check_port(port)


@pytest.mark.parametrize("protocol", ["tcp", "UDP", "Sctp"])
def test_the_protocols_are_those_of_kubernetes_in_any_case(protocol: str) -> None:
    assert check_protocol(protocol) == protocol.lower()


@pytest.mark.parametrize("protocol", ["http", "", None, 6])
def test_any_other_protocol_is_an_error_that_names_it(protocol: object) -> None:
    with pytest.raises(ConfigurationError, match="protocol must be"):
        check_protocol(protocol)


# Whose name is it?

WEB = ServiceName("web", "shop")


@pytest.mark.parametrize("label", ["web-0", "10-0-0-1", "fd00--0", "--1", "pod_a", "test.hostname"])
def test_a_service_owns_the_host_names_below_it(label: str) -> None:
    assert WEB.owns(f"{label}.web.shop.svc.cluster.local")


@pytest.mark.parametrize(
    "name",
    [
        "web.shop.svc.cluster.local",
        ".web.shop.svc.cluster.local",
        "otherweb.shop.svc.cluster.local",
        "web-0.other.shop.svc.cluster.local",
        "web-0.web.shop.svc.cluster.local.example.com",
        r"a\032b.web.shop.svc.cluster.local",
        r"a\.b.web.shop.svc.cluster.local",
        f"{'a' * 64}.web.shop.svc.cluster.local",
        "",
    ],
)
def test_a_service_owns_no_other_name_and_none_that_is_not_a_host_name(name: str) -> None:
    assert not WEB.owns(name)


@pytest.mark.parametrize(
    ("owner", "serves"),
    [
        ("cluster.local", True),
        ("svc.cluster.local", True),
        ("shop.svc.cluster.local", True),
        ("web.shop.svc.cluster.local", False),
        ("_http._tcp.web.shop.svc.cluster.local", False),
        ("web-0.web.shop.svc.cluster.local", False),
        ("local", False),
        (".", False),
        ("mycluster.local", False),
        ("example.com", False),
        (None, False),
    ],
)
def test_a_server_serves_the_cluster_if_its_zone_is_the_domain_or_between_it_and_the_service(
    owner: str | None, serves: bool
) -> None:
    assert WEB.serves(owner) is serves
