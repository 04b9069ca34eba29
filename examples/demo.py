"""The main job in three steps: a ClusterIP Service, a headless one, and pods that are not ready.

A fake cluster stands in for a real one. It speaks DNS over a real socket on loopback, so everything
that ``peers`` does here it does as in a pod.
"""

import textwrap
from typing import Any

from headless_discovery import NotHeadless, Peers, Resolver, peers
from headless_discovery.testing import FakeCluster

PODS = {"172.30.35.3": True, "172.30.14.3": True, "172.30.35.2": False}
"""By address: whether the pod is ready."""


def service(name: str, cluster_ip: str, **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": cluster_ip, "selector": {"app": "kubia"}, **spec},
    }


def pod(name: str, address: str, *, ready: bool) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "kubia"}},
        "status": {
            "phase": "Running",
            "podIP": address,
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def show(web: Peers) -> None:
    for peer in web:
        print(f"  {peer.name}  {peer.address:<11}  port {peer.port}")
    snapshot, stats = web.snapshot, web.stats
    print(
        f"  {len(snapshot.endpoints)} endpoints by {stats.queries_udp} query over UDP, "
        f"TTL {snapshot.ttl:g} s"
    )


def main() -> None:
    cluster = FakeCluster()
    print("Three pods, app: kubia")
    for number, (address, ready) in enumerate(PODS.items()):
        cluster.apply(pod(f"kubia-{number}", address, ready=ready))
        print(f"  {address:<12} {'ready' if ready else 'not ready'}")
    with cluster.serve() as server:
        resolver = Resolver([server.nameserver])
        print(f"Their name server, for now: {server.nameserver}")

        title("(a) kubia: a ClusterIP Service, 10.254.129.235, port 80")
        cluster.apply(service("kubia", "10.254.129.235", ports=[{"port": 80}]))
        try:
            peers("kubia", namespace="default", resolver=resolver).endpoints()
        except NotHeadless as error:
            print(textwrap.indent(textwrap.fill(f"NotHeadless: {error}", 96), "  "))

        title("(b) kubia-headless: clusterIP: None")
        ports = [{"name": "http", "port": 80, "targetPort": 8080}]
        cluster.apply(service("kubia-headless", "None", ports=ports))
        web = peers("kubia-headless", port="http", namespace="default", resolver=resolver)
        show(web)
        print("  round-robin:", *(web.pick().address for _ in range(4)))
        for key in ("user:1", "user:4", "user:1"):
            print(f"  key {key!r} always goes to {web.pick(key=key).address}")
        lots = peers("kubia-headless", namespace="default", resolver=resolver, strategy="random")
        print("  random:     ", *(lots.pick().address for _ in range(4)))

        title("(c) the same with publishNotReadyAddresses: true")
        cluster.apply(service("kubia-headless", "None", ports=ports, publishNotReadyAddresses=True))
        show(peers("kubia-headless", port="http", namespace="default", resolver=resolver))
    print("\nInside a cluster the same job is: headless-discovery resolve kubia-headless")


if __name__ == "__main__":
    main()
