"""Addresses are chosen by pure functions: no root, no interfaces."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.machines.network import POOL, choose_address, choose_subnet, nameservers, taken_networks
from slipway.errors import MachineError

SEEDS = st.integers(0, 2**32 - 1).map(lambda number: f"{number:08x}")


@given(SEEDS, st.lists(st.integers(0, 2**14 - 1), max_size=20))
def test_a_subnet_is_a_free_24_of_the_pool(seed: str, numbers: list[int]) -> None:
    taken = [IPv4Network((int(POOL.network_address) + number * 256, 24)) for number in numbers]
    subnet = choose_subnet(seed, taken)
    assert subnet.prefixlen == 24
    assert subnet.subnet_of(POOL)
    assert not any(subnet.overlaps(network) for network in taken)


def test_the_same_root_gets_the_same_subnet_and_another_one_when_it_is_taken() -> None:
    first = choose_subnet("0000abcd", [])
    assert choose_subnet("0000abcd", []) == first
    assert choose_subnet("0000abcd", [first]) != first


def test_a_route_over_the_whole_pool_leaves_nothing_to_choose() -> None:
    with pytest.raises(MachineError, match="no free /24"):
        choose_subnet("00000000", [IPv4Network("10.0.0.0/8")])


def test_two_halves_of_a_small_network_are_both_avoided() -> None:
    first = choose_subnet("00000007", [])
    half = next(iter(first.subnets(new_prefix=30)))
    assert not choose_subnet("00000007", [half]).overlaps(first)


def test_addresses_are_given_lowest_first_and_run_out() -> None:
    subnet = IPv4Network("10.70.1.0/24")
    used = [choose_address(subnet, [])]
    assert str(used[0]) == "10.70.1.11"
    assert str(choose_address(subnet, used)) == "10.70.1.12"
    with pytest.raises(MachineError, match="full"):
        choose_address(subnet, subnet.hosts())


def test_addresses_routes_and_name_servers_count_as_taken() -> None:
    addresses = json.dumps([{"addr_info": [{"family": "inet", "local": "10.70.0.5", "prefixlen": 24}]}, {}])
    routes = json.dumps([{"dst": "default", "dev": "eth0"}, {"dst": "10.80.0.0/16"}, {"dst": "10.81.0.1"}])
    found = taken_networks(addresses, routes, ["10.90.0.53"])
    assert [str(network) for network in found] == ["10.70.0.0/24", "10.80.0.0/16", "10.81.0.1/32", "10.90.0.53/32"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 192.0.2.53\n", ("192.0.2.53",)),
        ("search lan\nnameserver 127.0.0.53\noptions edns0\n", ()),
        ("nameserver\t192.0.2.1\nnameserver 2001:db8::1\nnameserver 192.0.2.2\n", ("192.0.2.1", "192.0.2.2")),
        ("nameserver\n# nameserver 192.0.2.9\n", ()),
        ("", ()),
    ],
)
def test_only_name_servers_that_a_machine_can_reach_are_passed_on(text: str, expected: tuple[str, ...]) -> None:
    assert nameservers(text) == expected
