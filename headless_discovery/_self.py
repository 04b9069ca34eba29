"""Which endpoint is this pod: by its addresses, else by its host name among those. Pure."""

from collections.abc import Sequence

import attrs

from ._endpoint import Endpoint


@attrs.frozen
class ThisPod:
    """What is known of this pod itself."""

    addresses: tuple[str, ...] = ()
    hostname: str = ""

    def among(self, endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
        """The endpoints that are this pod: one, or one for each port number.

        Pods on the host's network share its address: then it is the one with our host name too. A
        host name alone proves nothing: another namespace may have a ``web-0`` as well.
        """
        ours = frozenset(self.addresses)
        found = [endpoint for endpoint in endpoints if not ours.isdisjoint(endpoint.addresses)]
        if len({endpoint.name for endpoint in found}) > 1:
            found = [endpoint for endpoint in found if endpoint.hostname == self.hostname]
        return tuple(found)
