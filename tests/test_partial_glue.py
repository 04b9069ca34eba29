"""Glue that a server left out because there was no room, which it need not say (RFC 2181, 9)."""

import base64
import itertools

import pytest

from tests.lookups import (
    FAMILIES,
    NODATA,
    NXDOMAIN,
    SERVFAIL,
    Family,
    Found,
    Memory,
    Reply,
    Zone,
    addresses,
    look,
    read,
    srv,
)

REPLIES = {
    "NSD: A of all five, AAAA of the first": """
        AACFAAABAAUAAQAHBV9odHRwBF90Y3ADd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAACEAAcAMACEAAQAAAAUA
        KAAAAAofkAV3ZWItMAN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADADAAhAAEAAAAFACgAAAAKH5AFd2ViLTED
        d2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAACh+QBXdlYi0yA3dlYgRzaG9wA3N2Ywdj
        bHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItMwN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADA
        DAAhAAEAAAAFACgAAAAKH5AFd2ViLTQDd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwCQAAgABAAAABQAJAm5z
        A2Ruc8AkBXdlYi0wwBcAAQABAAAABQAECgAAAQV3ZWItMcAXAAEAAQAAAAUABAoAAAIFd2ViLTLAFwABAAEAAAAF
        AAQKAAADBXdlYi0zwBcAAQABAAAABQAECgAABAV3ZWItNMAXAAEAAQAAAAUABAoAAAXBRwABAAEAAAAFAAR/AAAB
        wVAAHAABAAAABQAQ/QAAAAAAAAAAAAAAAAAAAQ==
    """,
    "NSD: A of three of seven": """
        AACFAAABAAcAAQADBV9odHRwBF90Y3ADd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAACEAAcAMACEAAQAAAAUA
        KAAAAAofkAV3ZWItMAN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADADAAhAAEAAAAFACgAAAAKH5AFd2ViLTED
        d2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAACh+QBXdlYi0yA3dlYgRzaG9wA3N2Ywdj
        bHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItMwN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADA
        DAAhAAEAAAAFACgAAAAKH5AFd2ViLTQDd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAA
        Ch+QBXdlYi01A3dlYgRzaG9wA3N2YwdjbHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItNgN3ZWIE
        c2hvcANzdmMHY2x1c3RlcgVsb2NhbADAJAACAAEAAAAFAAkCbnMDZG5zwCQFd2ViLTDAFwABAAEAAAAFAAQKAAAB
        BXdlYi0xwBcAAQABAAAABQAECgAAAgV3ZWItMsAXAAEAAQAAAAUABAoAAAM=
    """,
    "Knot: both of four, A of the fifth": """
        AACFAAABAAUAAAAJBV9odHRwBF90Y3ADd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAACEAAcAMACEAAQAAAAUA
        KAAAAAofkAV3ZWItMAN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADADAAhAAEAAAAFACgAAAAKH5AFd2ViLTED
        d2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAACh+QBXdlYi0yA3dlYgRzaG9wA3N2Ywdj
        bHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItMwN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADA
        DAAhAAEAAAAFACgAAAAKH5AFd2ViLTQDd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwEkAAQABAAAABQAECgAA
        AcBJABwAAQAAAAUAEP0AAAAAAAAAAAAAAAAAAAHAfQABAAEAAAAFAAQKAAACwH0AHAABAAAABQAQ/QAAAAAAAAAA
        AAAAAAAAAsCxAAEAAQAAAAUABAoAAAPAsQAcAAEAAAAFABD9AAAAAAAAAAAAAAAAAAADwOUAAQABAAAABQAECgAA
        BMDlABwAAQAAAAUAEP0AAAAAAAAAAAAAAAAAAATBGQABAAEAAAAFAAQKAAAF
    """,
    "Knot: A of two of eight": """
        AACFAAABAAgAAAACBV9odHRwBF90Y3ADd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAACEAAcAMACEAAQAAAAUA
        KAAAAAofkAV3ZWItMAN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADADAAhAAEAAAAFACgAAAAKH5AFd2ViLTED
        d2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAACh+QBXdlYi0yA3dlYgRzaG9wA3N2Ywdj
        bHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItMwN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADA
        DAAhAAEAAAAFACgAAAAKH5AFd2ViLTQDd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAA
        Ch+QBXdlYi01A3dlYgRzaG9wA3N2YwdjbHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItNgN3ZWIE
        c2hvcANzdmMHY2x1c3RlcgVsb2NhbADADAAhAAEAAAAFACgAAAAKH5AFd2ViLTcDd2ViBHNob3ADc3ZjB2NsdXN0
        ZXIFbG9jYWwAwEkAAQABAAAABQAECgAAAcB9AAEAAQAAAAUABAoAAAI=
    """,
    "BIND: A of all five, AAAA of the first": """
        AACFAAABAAUAAQAHBV9odHRwBF90Y3ADd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAACEAAcAMACEAAQAAAAUA
        KAAAAAofkAV3ZWItMAN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADADAAhAAEAAAAFACgAAAAKH5AFd2ViLTMD
        d2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAACh+QBXdlYi0xA3dlYgRzaG9wA3N2Ywdj
        bHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItMgN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADA
        DAAhAAEAAAAFACgAAAAKH5AFd2ViLTQDd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAB2NsdXN0ZXIFbG9jYWwA
        AAIAAQAAAAUAFgJucwNkbnMHY2x1c3RlcgVsb2NhbADASQABAAEAAAAFAAQKAAABwLEAAQABAAAABQAECgAAAsDl
        AAEAAQAAAAUABAoAAAPAfQABAAEAAAAFAAQKAAAEwRkAAQABAAAABQAECgAABcFUAAEAAQAAAAUABH8AAAHASQAc
        AAEAAAAFABD9AAAAAAAAAAAAAAAAAAAB
    """,
    "BIND: A of two of seven": """
        AACFAAABAAcAAQACBV9odHRwBF90Y3ADd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAACEAAcAMACEAAQAAAAUA
        KAAAAAofkAV3ZWItMgN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADADAAhAAEAAAAFACgAAAAKH5AFd2ViLTMD
        d2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAACh+QBXdlYi02A3dlYgRzaG9wA3N2Ywdj
        bHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItNQN3ZWIEc2hvcANzdmMHY2x1c3RlcgVsb2NhbADA
        DAAhAAEAAAAFACgAAAAKH5AFd2ViLTADd2ViBHNob3ADc3ZjB2NsdXN0ZXIFbG9jYWwAwAwAIQABAAAABQAoAAAA
        Ch+QBXdlYi0xA3dlYgRzaG9wA3N2YwdjbHVzdGVyBWxvY2FsAMAMACEAAQAAAAUAKAAAAAofkAV3ZWItNAN3ZWIE
        c2hvcANzdmMHY2x1c3RlcgVsb2NhbAAHY2x1c3RlcgVsb2NhbAAAAgABAAAABQAWAm5zA2RucwdjbHVzdGVyBWxv
        Y2FsAMEZAAEAAQAAAAUABAoAAAHBTQABAAEAAAAFAAQKAAAC
    """,
}
"""What four servers answered to _http._tcp.web SRV without EDNS, so in 512 bytes: base64."""


def world_of(reply: str) -> tuple[Zone, int]:
    """The reply, and the pods' own addresses; and how many pods there are."""
    answer = read(base64.b64decode(reply))
    pods = len(answer.services)
    zone: dict[str, Reply] = {"_http._tcp.web SRV": answer}
    for pod in range(pods):
        zone[f"web-{pod}.web A"] = addresses(f"10.0.0.{pod + 1}")
        zone[f"web-{pod}.web AAAA"] = addresses(f"fd00::{pod + 1}")
    return zone, pods


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_every_pod_is_found_with_all_addresses_that_are_wanted(reply: str, family: Family) -> None:
    zone, pods = world_of(reply)
    v4, v6 = "10.0.0.{0}", "fd00::{0}"
    wanted = {
        "prefer-ipv4": f"{v4},{v6}",
        "prefer-ipv6": f"{v6},{v4}",
        "any": f"{v4},{v6}",
        "ipv4": v4,
        "ipv6": v6,
    }[family]
    looked = look(zone, port="http", family=family)
    assert looked.found == [f"web-{n} {wanted.format(n + 1)} 8080" for n in range(pods)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_what_lacks_is_asked_for_once(reply: str, family: Family) -> None:
    memory = Memory()
    zone, _ = world_of(reply)
    asked = list(itertools.chain(*look(zone, memory, port="http", family=family).batches))
    assert len(asked) == len(set(asked))
    assert look(zone, memory, now=20, port="http", family=family).batches == [asked[:1]]


@pytest.mark.parametrize(
    "says", [NODATA, NXDOMAIN, SERVFAIL], ids=["NODATA", "NXDOMAIN", "SERVFAIL"]
)
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_pod_without_a_further_address_keeps_that_which_came(reply: str, says: Reply) -> None:
    zone, pods = world_of(reply)
    zone = {key: says if key.endswith("AAAA") else each for key, each in zone.items()}
    looked = look(zone, port="http")
    assert [each.split(",")[0].split()[:2] for each in looked.found] == [
        [f"web-{n}", f"10.0.0.{n + 1}"] for n in range(pods)
    ]
    assert isinstance(looked.outcome, Found)
    assert looked.outcome.ttl == 5


def test_what_came_with_srv_replaces_what_was_asked_for_before() -> None:
    memory = Memory()
    bare = {"web SRV": srv(("web-0.web", 80)), "web-0.web A": addresses("10.0.0.9")}
    assert look(bare, memory).found == ["web-0 10.0.0.9 80"]
    glue = {"web-0.web": ["10.0.0.1"], "web-1.web": ["10.0.0.2", "fd00::2"]}
    came = srv(("web-0.web", 80), ("web-1.web", 80), glue=glue)
    assert look({"web SRV": came, "web-0.web AAAA": NODATA}, memory, now=10).found == [
        "web-0 10.0.0.1 80",
        "web-1 10.0.0.2,fd00::2 80",
    ]
