"""What one lookup can come to: Found, Empty, Unknown or Wrong.

*Unknown is not empty*: only `Empty` says that there are no pods, and only with authority.
"""

import attrs

from ._endpoint import Endpoint
from ._errors import DiscoveryError, NoEndpoints


@attrs.frozen
class Found:
    """The whole set of published pods."""

    endpoints: tuple[Endpoint, ...]
    """Sorted by identity; never empty."""
    ttl: float
    """How long the answer may be kept, in seconds: the smallest TTL of the records used."""


@attrs.frozen
class Empty:
    """DNS says with authority that no pod is published, or that there is no such Service."""

    ttl: float
    """How long a cache may go on saying so, in seconds: the TTL of the negative answer's SOA."""
    error: NoEndpoints
    """What to tell somebody who wants a pod."""


@attrs.frozen
class Unknown:
    """The lookup failed, or was incomplete: it says nothing about the pods."""

    error: DiscoveryError


@attrs.frozen
class Wrong:
    """DNS works, and says that this is not a headless Service, or has no such port."""

    error: DiscoveryError


Outcome = Found | Empty | Unknown | Wrong
