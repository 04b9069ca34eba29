"""EndpointSlices of the Kubernetes API as the source of `headless_discovery.peers`.

It needs the extra ``api``: ``pip install 'headless_discovery[api]'``.
"""

from ._api.server import EndpointSlices

__all__ = ["EndpointSlices"]
