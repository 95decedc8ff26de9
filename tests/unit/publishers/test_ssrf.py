from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.webhook.ssrf import METADATA, SPECIAL, Address, Forbidden, Guard, objection

pytestmark = pytest.mark.unit

ADDRESSES = st.ip_addresses()
_NAT64 = ip_network("64:ff9b::/96")


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255"),
        *("172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "100.64.0.1", "100.127.255.255"),
        *("169.254.0.1", "169.254.169.254", "169.254.170.2", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
        *("198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255"),
        *("240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200"),
        *("::", "::1", "::2", "::7f00:1", "::ffff:127.0.0.1", "::ffff:93.184.215.14", "fc00::1", "fd00:ec2::254"),
        *("fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "2001::1", "2001:0:53aa:64c::1"),
        *("2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:5db8:d70e::", "3fff::1", "5f00::1"),
        *("64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1", "100::1", "4000::1"),
    ],
)
def test_nothing_is_sent_there(address: str) -> None:
    assert objection(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "93.184.215.14", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"),
        *("128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255"),
        *("192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "192.0.1.0"),
        *("2606:4700::1111", "2a01:e0a::1", "2001:4860:4860::8888", "2001:200::1", "2003::1", "64:ff9b::1.1.1.1"),
    ],
)
def test_public_addresses_are_reached(address: str) -> None:
    assert objection(ip_address(address)) is None


@given(ADDRESSES)
def test_nothing_that_python_itself_knows_as_inner_is_reached(address: Address) -> None:
    if isinstance(address, IPv6Address) and address in _NAT64:
        return  # judged by the IPv4 address inside: see below
    inner = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    if inner or address.is_reserved or address.is_private:
        assert objection(address) is not None


@given(st.sampled_from(sorted(SPECIAL, key=str)), st.data())
def test_no_address_of_a_special_network_is_reached(network: object, data: st.DataObject) -> None:
    place = ip_network(str(network))
    number = data.draw(st.integers(int(place.network_address), int(place.broadcast_address)))
    assert objection(type(place.network_address)(number)) is not None


@given(st.ip_addresses(v=4))
def test_address_inside_another_opens_nothing(inner: Address) -> None:
    number = int(inner)
    assert objection(IPv6Address(number)) is not None
    assert objection(IPv6Address(int(IPv6Address("::ffff:0:0")) | number)) is not None
    assert objection(IPv6Address(int(IPv6Address("2002::")) | number << 80)) is not None
    translated = IPv6Address(int(IPv6Address("64:ff9b::")) | number)
    assert (objection(translated) is None) is (objection(inner) is None)


@given(ADDRESSES, ADDRESSES)
def test_named_network_opens_itself_and_no_more(address: Address, other: Address) -> None:
    network = ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False)
    assert (objection(address, (network,)) is None) is (address not in METADATA)
    if other not in network and not (isinstance(other, IPv6Address) and other in _NAT64):
        assert objection(other, (network,)) == objection(other)


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_no_network_opens_a_clouds_metadata(address: str) -> None:
    assert objection(ip_address(address), (ip_network("0.0.0.0/0"), ip_network("::/0")))


def answering(*addresses: str) -> Guard:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return Guard((ip_network("10.1.0.0/16"),), resolve)


async def test_first_address_is_taken_when_all_are_good() -> None:
    assert await answering("10.1.2.3", "93.184.215.14").address("intranet.example", 443) == "10.1.2.3"


@pytest.mark.parametrize("bad", ["10.2.0.1", "127.0.0.1", "::1", "169.254.169.254"])
async def test_one_bad_address_is_enough_and_the_operator_is_told_which(bad: str) -> None:
    with pytest.raises(Forbidden, match=rf"hook\.example is {bad}: "):
        await answering("93.184.215.14", bad).address("hook.example", 443)


async def test_name_without_an_address_is_an_error_of_the_network() -> None:
    with pytest.raises(OSError, match="no address"):
        await answering().address("hook.example", 443)


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::1]", "0"])
async def test_no_spelling_of_this_machine_passes(spelling: str) -> None:
    with pytest.raises(Forbidden):
        await Guard().address(spelling, 443)


def test_table_speaks_of_both_kinds() -> None:
    kinds = {type(network.network_address) for network in SPECIAL}
    assert kinds == {IPv4Address, IPv6Address} and all(SPECIAL.values())
