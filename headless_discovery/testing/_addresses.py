"""Unused addresses: of the Pods' networks, and of that of virtual IPs."""

import ipaddress
from collections.abc import Container, Iterable, Mapping

import attrs

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def family_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


@attrs.define
class Networks:
    """Networks by family, and how many addresses of each are in use."""

    by_family: Mapping[int, Network]
    _used: dict[Network, int] = attrs.field(factory=dict)

    @property
    def used(self) -> bool:
        """Whether any address is."""
        return any(network in self._used for network in self.by_family.values())

    def free(self, families: Iterable[int], taken: Container[str]) -> tuple[str, ...]:
        """One of each family that there is a network of; raises `ValueError` if none is left."""
        found = (
            self._free(self.by_family[family], taken)
            for family in families
            if family in self.by_family
        )
        return tuple(found)

    def _free(self, network: Network, taken: Container[str]) -> str:
        size = network.num_addresses
        for _ in range(size):
            number = self._used[network] = self._used.get(network, 0) % size + 1
            address = network[number - 1]
            # Neither network, gateway nor broadcast of a /24, for people's sake.
            usual = int(address) & 0xFF not in (0, 1, 0xFF)
            if size < 256:
                usual = size <= 2 or 1 < number < size
            if usual and str(address) not in taken:
                return str(address)
        raise ValueError(f"no address is left in {network}")


def of_pods() -> Networks:
    """From where Pods have their addresses."""
    return Networks(
        {4: ipaddress.IPv4Network("10.244.0.0/16"), 6: ipaddress.IPv6Network("fd00:10:244::/112")}
    )


def of_services() -> Networks:
    """From where Services have theirs."""
    return Networks(
        {4: ipaddress.IPv4Network("10.96.0.0/16"), 6: ipaddress.IPv6Network("fd00:10:96::/112")}
    )
