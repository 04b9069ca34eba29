"""What stands between pods and the cluster's DNS, for real: random lives held against the API.

Other servers in front of CoreDNS, and CoreDNS with the plugins that users have in their Corefiles.
"""

import functools
from typing import Any

import pytest

from headless_discovery import LookupFailed, Peers, Resolver, State
from tests.cluster.api import port
from tests.cluster.conftest import Namespace, eventually
from tests.cluster.control_plane import Corefile, NameServers
from tests.servers import between
from tests.servers.lives import IMPATIENT, live

SEED = 2
LIVES, STEPS = 6, 3
SETS = 2 * LIVES * (STEPS + 1)


class Real:
    """The real cluster, as lives see one."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def service(self, name: str, *, ports: dict[str, int]) -> None:
        self._namespace.service(name, ports=[port(each, key) for key, each in ports.items()])

    def pod(self, name: str, service: str, *, hostname: str | None) -> str:
        named = {"hostname": hostname, "subdomain": service} if hostname else {}
        return self._namespace.pod(name, app=service, **named)

    def set_ready(self, name: str, address: str, *, ready: bool) -> None:
        self._namespace.set_status(name, address, ready=ready)

    def delete(self, name: str) -> None:
        self._namespace.delete("Pod", name)


def peers_by(namespace: Namespace, nameserver: str, service: str, **arguments: Any) -> Peers:
    return namespace.peers(service, resolver=Resolver([nameserver]), policy=IMPATIENT, **arguments)


def hold(namespace: Namespace, nameserver: str, **arguments: Any) -> None:
    asking = functools.partial(peers_by, namespace, nameserver, **arguments)
    assert live(Real(namespace), asking, seed=SEED, lives=LIVES, steps=STEPS, name="web") == SETS


@pytest.mark.parametrize(("name", "caching"), between.SERVERS)
def test_random_lives_are_seen_through_another_server(
    namespace: Namespace, name_servers: NameServers, name: str, caching: bool
) -> None:
    behind = name_servers.coredns(Corefile(ttl=1))
    hold(namespace, between.start(name_servers, name, behind, caching=caching))


# CoreDNS as users have it.

_KUBERNETES = """\
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig KUBECONFIG
        ttl 1
        pods PODS
        FALLTHROUGH
    }
"""


def corefile(*plugins: str, pods: str = "insecure", fallthrough: str = "", after: str = "") -> str:
    """As kubeadm, k3s and others write it, with these plugins more."""
    kubernetes = _KUBERNETES.replace("PODS", pods).replace("FALLTHROUGH", fallthrough)
    lines = ["bind 127.0.0.1", "errors", "ready 127.0.0.1:READY", "loadbalance", *plugins]
    return ".:PORT {\n" + "".join(f"    {line}\n" for line in lines) + kubernetes + after + "}\n"


NO_SUCH_NAME = """\
    template ANY ANY . {
        rcode NXDOMAIN
        authority ". 86400 IN SOA a.root-servers.net. nstld.example. 1 1800 900 604800 86400"
    }
"""
VARIANTS = {
    "cache": corefile("cache 1"),
    "as on EKS and AKS": corefile("cache 30", fallthrough="fallthrough in-addr.arpa ip6.arpa"),
    "as on k3s": corefile(
        "cache 30",
        fallthrough="fallthrough in-addr.arpa ip6.arpa",
        after="    hosts /dev/null {\n        ttl 60\n        fallthrough\n    }\n",
    ),
    "as on OpenShift": corefile(
        "bufsize 512",
        "cache 900 {\n denial 9984 30\n }",
        "template ANY AAAA {\n rcode NOERROR\n }",
        fallthrough="fallthrough in-addr.arpa ip6.arpa",
    ),
    "cache and serve_stale": corefile("cache 1 {\n serve_stale 10s immediate\n }"),
    "fallthrough for the reverse zones": corefile(fallthrough="fallthrough in-addr.arpa ip6.arpa"),
    "AAAA is no such name": corefile("template IN AAAA . {\n rcode NXDOMAIN\n }"),
    "AAAA is empty": corefile("template IN AAAA . {\n rcode NOERROR\n }"),
    "dns64": corefile("dns64 {\n prefix 64:ff9b::/96\n allow_ipv4\n }"),
    "dns64 for all": corefile("dns64 {\n prefix 64:ff9b::/96\n allow_ipv4\n translate_all\n }"),
    "minimal": corefile("minimal"),
    "rewrite with answers": corefile(
        r"rewrite name regex (.*)cluster\.test {1}cluster.local answer auto"
    ),
}


@pytest.mark.parametrize("text", VARIANTS.values(), ids=VARIANTS)
def test_random_lives_are_seen_by_coredns_with_other_plugins(
    namespace: Namespace, name_servers: NameServers, text: str
) -> None:
    domain = "cluster.test" if "cluster.test" in text else "cluster.local"
    hold(namespace, name_servers.with_corefile(text), cluster_domain=domain)


NODE_LOCAL = """\
cluster.local:PORT in-addr.arpa:PORT ip6.arpa:PORT {
    bind 127.0.0.1
    errors
    ready 127.0.0.1:READY
    cache 3600 {
        CACHE
    }
    forward . UPSTREAM {
        force_tcp
    }
}
"""


@pytest.mark.parametrize(
    "cache",
    ["success 9984 30\n denial 9984 5", "serve_stale 3600s verify"],
    ids=["as NodeLocal DNSCache", "as LocalDNS on AKS"],
)
def test_random_lives_are_seen_through_a_cache_on_the_node(
    namespace: Namespace, name_servers: NameServers, cache: str
) -> None:
    text = NODE_LOCAL.replace("UPSTREAM", name_servers.coredns(Corefile(ttl=1)))
    hold(namespace, name_servers.with_corefile(text.replace("CACHE", cache)))


def test_random_lives_are_seen_with_fallthrough_to_an_upstream_that_knows_no_such_name(
    namespace: Namespace, name_servers: NameServers
) -> None:
    """Its "no" for a Service without pods is the root's; that it serves the domain is asked for."""
    upstream = name_servers.stranger()
    text = corefile(fallthrough="fallthrough", after=f"    forward . {upstream}\n")
    hold(namespace, name_servers.with_corefile(text))


def test_random_lives_are_seen_with_autopath(
    namespace: Namespace, name_servers: NameServers
) -> None:
    """With nobody ready, a name of the first search domain turns into an alias of another."""
    conf = name_servers.folder / f"resolv-{namespace.name}.conf"
    search = f"{namespace.name}.svc.cluster.local svc.cluster.local cluster.local example.org"
    conf.write_text(f"search {search}\n")
    text = corefile(f"autopath . {conf}", after=f"    forward . {name_servers.stranger()}\n")
    hold(namespace, name_servers.with_corefile(text))


def test_rewrite_without_answers_is_told_and_empties_nothing(
    namespace: Namespace, name_servers: NameServers
) -> None:
    """The answers are about another name than was asked: libc does not take them either."""
    namespace.service("web", ports=[port(80, "http")])
    namespace.pod("web-0", app="web")
    eventually(lambda: namespace.peers("web", port="http").pick())
    text = corefile("rewrite name suffix .cluster.test .cluster.local")
    found = peers_by(
        namespace,
        name_servers.with_corefile(text),
        "web",
        port="http",
        cluster_domain="cluster.test",
    )
    with pytest.raises(LookupFailed, match="not queried"):
        found.refresh()
    assert found.snapshot.state is State.PENDING
