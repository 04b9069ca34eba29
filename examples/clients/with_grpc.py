"""grpcio: ``UNAVAILABLE`` says that the peer was not reached; any other code is an answer."""

from collections.abc import Iterable

import grpc

from headless_discovery import Endpoint, Peers


def unavailable(error: Exception) -> bool:
    """What a failure is: for ``on=``."""
    return (
        isinstance(error, grpc.RpcError)
        and isinstance(error, grpc.Call)
        and error.code() is grpc.StatusCode.UNAVAILABLE
    )


def target(endpoints: Iterable[Endpoint]) -> str:
    """All peers in one channel, among which grpc balances: ``ipv4:10.0.0.1:80,10.0.0.2:80``.

    For a channel with ``{"loadBalancingConfig": [{"round_robin": {}}]}``; make a new one when
    `Peers.watch` tells of a change.
    """
    listed = list(endpoints)
    family = "ipv6" if ":" in listed[0].address else "ipv4"
    return f"{family}:{','.join(map(str, listed))}"


def fetch(store: Peers, method: str, key: str | None = None) -> str:
    def ask(peer: Endpoint) -> str:
        # With TLS, ("grpc.ssl_target_name_override", peer.name) as well.
        options = (("grpc.default_authority", peer.name), ("grpc.enable_http_proxy", 0))
        with grpc.insecure_channel(str(peer), options=options) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            return call(b"", timeout=5).decode()

    return store.call(ask, key=key, on=unavailable)
