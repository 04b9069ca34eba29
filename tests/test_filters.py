"""Name servers that filter, and what they say in an answer's place: it is no word of the cluster.

What they said is recorded; ids and record types are those of the question.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.lookups import Found, Memory, Outcome, Type, Unknown, look, playing_of, pods
from tests.messages import nodata
from tests.test_exchange import World

_HEADER = 12
WEB = "037765620473686f700373766307636c7573746572056c6f63616c00"
"""web.shop.svc.cluster.local"""
DOMAIN = "07636c7573746572056c6f63616c00"
"""cluster.local"""
_BLOCKY = (
    "000006000100005460003b06626c6f636b79056c6f63616c000a686f73746d617374657206626c6f636b79056c6f"
    "63616c00000000010001518000001c2000093a8000005460"
)
_ADGUARD = "1966616b652d666f722d6e656761746976652d63616368696e67076164677561726403636f6d00"
_KNOT = (
    "c00c0006000100002a300026c00c066e6f626f647907696e76616c6964000000000100000e10000004b000093a80"
    "00002a30"
)
SOA_OF_THE_NAME = {
    "Knot Resolver, policy.DENY": {
        WEB: f"000085830001000000010000{WEB}00210001{_KNOT}",
        DOMAIN: f"000085830001000000010000{DOMAIN}00010001{_KNOT}",
    },
    "blocky, blockType nxDomain": {
        WEB: f"000081830001000000010000{WEB}00210001{WEB[:-2]}{_BLOCKY}",
        DOMAIN: f"000081830001000000010000{DOMAIN}00010001{DOMAIN[:-2]}{_BLOCKY}",
    },
    "AdGuard's proxy, --ipv6-disabled": {
        WEB: f"000081800001000000010000{WEB}001c0001{WEB}000600010000000a0062{_ADGUARD}"
        f"0a686f73746d6173746572{WEB}0000018894000007080000003c00093a8000015180",
        DOMAIN: f"000081800001000000010000{DOMAIN}001c0001{DOMAIN}000600010000000a0055{_ADGUARD}"
        f"0a686f73746d6173746572{DOMAIN}0000018894000007080000003c00093a8000015180",
    },
}
"""A "no" with an SOA that was made for the name that was asked."""
SAYS_SO = {
    "dnsmasq, --stop-dns-rebind": (
        "blocked",
        f"000085800001000000000001{WEB}0001000100002904d0000000000006000f0002000f",
    ),
    "dnsmasq, --filter-A": (
        "filtered",
        f"000085800001000000000001{WEB}0001000100002904d0000000000006000f00020011",
    ),
    "Knot Resolver, policy.DENY": (
        "blocked",
        f"000085830001000000010001{WEB}00010001{_KNOT}00002904d000000000000a000f0006000f43523336",
    ),
    "Knot Resolver, rebinding": (
        "prohibited",
        f"000081850001000000000002{WEB}000100010b6578706c616e6174696f6e07696e76616c69640000100001"
        "00002a30002423626c6f636b656420627920444e5320726562696e64696e672070726f74656374696f6e0000"
        "2904d000000000000a000f0006001245494d34",
    ),
    "blocky, blockType nxDomain": (
        "blocked",
        f"000081830001000000010001{WEB}00010001{WEB[:-2]}{_BLOCKY}00002900000000000000220"
        "00f001e000f424c4f434b45442028613a202f636c75737465722e6c6f63616c2f29",
    ),
}
"""An answer with an extended error (RFC 8914) that says why it is none."""
BARE = {
    "unbound, private-address": f"000081800001000000000001{WEB}0001000100002904d0000000000000",
    "BIND, a response policy zone for addresses": (
        f"000081830001000000000002{WEB}000100010372707a047465737400000600010000003c0026096c6f63616c"
        "686f73740004726f6f74c0400000000100000e1000000258000151800000003c00002904d0000000000000"
    ),
    "blocky, filtering queryTypes": f"000081800001000000000000{WEB}001c0001",
}
"""A "no" without an SOA, to one record type, from servers that pass on the cluster's to others."""


def at(asked: bytes, recorded: Mapping[str, str]) -> bytes:
    """The recorded reply at that name."""
    end = asked.index(0, _HEADER) + 1
    came = bytes.fromhex(recorded[asked[_HEADER:end].hex()])
    return asked[:2] + came[2:end] + asked[end : end + 4] + came[end + 4 :]


def lookup_at(recorded: Mapping[str, str], *, known: bool, **wanted: Any) -> Outcome:
    """A lookup of a server that says the same to every question of a name."""
    return lookup_by(lambda asked: at(asked, recorded), known=known, **wanted)


def lookup_by(server: Callable[[bytes], bytes], *, known: bool, **wanted: Any) -> Outcome:
    memory = Memory()
    if known:
        assert isinstance(look({"web SRV": pods(web_0="10.0.0.1")}, memory).outcome, Found)

    return World(servers=1).play(playing_of(memory, **wanted), lambda _send: server)


@pytest.mark.parametrize("records", ["auto", "address"])
@pytest.mark.parametrize("recorded", SOA_OF_THE_NAME.values(), ids=SOA_OF_THE_NAME)
def test_a_no_with_an_soa_of_the_name_itself_does_not_empty_a_known_set(
    recorded: Mapping[str, str], records: str
) -> None:
    assert isinstance(lookup_at(recorded, known=True, records=records), Unknown)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", ["Knot Resolver, policy.DENY", "blocky, blockType nxDomain"])
def test_nor_any_set_where_the_cluster_domain_is_denied_too(name: str, *, known: bool) -> None:
    outcome = lookup_at(SOA_OF_THE_NAME[name], known=known)
    assert isinstance(outcome, Unknown)
    assert "this server does not serve cluster.local" in str(outcome.error)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("records", ["auto", "address"])
@pytest.mark.parametrize(("word", "recorded"), SAYS_SO.values(), ids=SAYS_SO)
def test_an_answer_that_calls_itself_withheld_is_none_and_the_error_says_so(
    word: str, recorded: str, records: str, *, known: bool
) -> None:
    outcome = lookup_at({WEB: recorded}, known=known, records=records)
    assert isinstance(outcome, Unknown)
    assert f"({word} by policy)" in str(outcome.error)
    assert "exempt the cluster's domain" in (outcome.error.hint or "")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("records", ["auto", "address"])
@pytest.mark.parametrize("family", ["prefer-ipv4", "prefer-ipv6", "any"])
@pytest.mark.parametrize("of_type", [Type.A, Type.AAAA])
@pytest.mark.parametrize("recorded", BARE.values(), ids=BARE)
def test_a_bare_no_is_none_where_the_cluster_says_that_the_name_exists(
    recorded: str, of_type: Type, family: str, records: str, *, known: bool
) -> None:
    def some(asked: bytes) -> bytes:
        rdtype = asked[asked.index(0, _HEADER) + 2]
        return at(asked, {WEB: recorded}) if rdtype == of_type else nodata(asked)

    outcome = lookup_by(some, known=known, records=records, family=family)
    assert isinstance(outcome, Unknown)
    assert "for another record type that it exists" in str(outcome.error)
    assert "rebinding protection" in (outcome.error.hint or "")
