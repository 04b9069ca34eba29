"""Unused addresses: of the Pods' networks, and of that of virtual IPs."""

import ipaddress
from collections.abc import Container, Iterable, Mapping

import attrs

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def family_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


OF_PODS: Mapping[int, Network] = {
    4: ipaddress.IPv4Network("10.244.0.0/16"),
    6: ipaddress.IPv6Network("fd00:10:244::/112"),
}
OF_SERVICES: Mapping[int, Network] = {
    4: ipaddress.IPv4Network("10.96.0.0/16"),
    6: ipaddress.IPv6Network("fd00:10:96::/112"),
}


@attrs.define
class Networks:
    """Networks by family, from which addresses are given."""

    by_family: Mapping[int, Network]
    used: dict[int, int] = attrs.field(factory=dict)
    """How far, in each of them."""

    def free(self, families: Iterable[int], taken: Container[str]) -> tuple[str, ...]:
        """One of each family that there is a network of; raises `ValueError` if none is left."""
        there = (family for family in families if family in self.by_family)
        return tuple(self._free(family, taken) for family in there)

    def _free(self, family: int, taken: Container[str]) -> str:
        network = self.by_family[family]
        size = network.num_addresses
        for _ in range(size):
            number = self.used[family] = self.used.get(family, 0) % size + 1
            address = network[number - 1]
            # Neither network, gateway nor broadcast of a /24, for people's sake.
            usual = int(address) & 0xFF not in (0, 1, 0xFF)
            if size < 256:
                usual = size <= 2 or 1 < number < size
            if usual and str(address) not in taken:
                return str(address)
        raise ValueError(f"no address is left in {network}")
