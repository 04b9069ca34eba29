"""Which endpoint is this pod: by its addresses, else by its host name among those. Pure."""

from collections.abc import Collection, Sequence

from ._endpoint import Endpoint


def find_self(
    endpoints: Sequence[Endpoint], addresses: Collection[str], hostname: str
) -> tuple[Endpoint, ...]:
    """The endpoints that are this pod: one, or one for each port number.

    Pods on the host's network share its address: then it is the one with our host name too. A host
    name alone proves nothing: another namespace may have a ``web-0`` as well.
    """
    wanted = set(addresses)
    ours = [endpoint for endpoint in endpoints if not wanted.isdisjoint(endpoint.addresses)]
    if len({endpoint.name for endpoint in ours}) > 1:
        ours = [endpoint for endpoint in ours if endpoint.hostname == hostname]
    return tuple(ours)
