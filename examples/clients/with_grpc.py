"""grpcio: a channel for each pod, closed after the pod left and its last call ended.

gRPC raises UNAVAILABLE both when the pod was not reached and when a handler returns it, so nothing
is repeated unless the call says ``idempotent=True``. gRPC's own retries are off.
"""

import grpc

from headless_discovery import Clients, Endpoint, Peers, aio

OPTIONS = (("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))
SERVER_NAME = "web.default.svc.cluster.local"
"""The name in the certificate, since the target is an address."""


def channels(web: Peers) -> Clients[grpc.Channel]:
    """For a ``with`` statement that lasts as long as the program."""
    return web.clients(lambda peer: grpc.insecure_channel(str(peer), options=OPTIONS))


def secure_channels(web: Peers, credentials: grpc.ChannelCredentials) -> Clients[grpc.Channel]:
    """The same with TLS."""
    options = (
        *OPTIONS,
        ("grpc.ssl_target_name_override", SERVER_NAME),
        ("grpc.default_authority", SERVER_NAME),
    )
    return web.clients(lambda peer: grpc.secure_channel(str(peer), credentials, options=options))


def async_channels(web: aio.Peers) -> aio.Clients[grpc.aio.Channel]:
    """For an ``async with`` statement that lasts as long as the program."""
    return web.clients(lambda peer: grpc.aio.insecure_channel(str(peer), options=OPTIONS))


def read(web: Peers, kept: Clients[grpc.Channel], method: str, key: str | None = None) -> str:
    """A call that may arrive twice; with generated code: ``StateStub(channel).Get(request)``."""

    def ask(peer: Endpoint) -> str:
        with kept.use_of(peer) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            return call(b"", timeout=2).decode()

    return web.call(ask, key=key, idempotent=True)


def write(kept: Clients[grpc.Channel], method: str, request: bytes) -> str:
    """A call that must not arrive twice: one pod, and no other."""
    with kept.use() as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return call(request, timeout=2).decode()


async def read_async(
    web: aio.Peers, kept: aio.Clients[grpc.aio.Channel], method: str, key: str | None = None
) -> str:
    """As `read`."""

    async def ask(peer: Endpoint) -> str:
        async with kept.use_of(peer) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            return (await call(b"", timeout=2)).decode()

    return await web.call(ask, key=key, idempotent=True)
