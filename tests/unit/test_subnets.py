"""Subnets for containers: free ones, never another network's, with an address for every node."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.errors import PortError
from quorumkit.providers.subnets import Subnet, address, choose_subnet, clash, host_subnets, room


def network(tmp_path: Path, name: str) -> Path:
    directory = tmp_path / name
    directory.mkdir()
    (directory / "quorumkit.yaml").write_text("name: bank\n")
    return directory


def test_the_first_free_subnet_comes_first(tmp_path: Path) -> None:
    assert choose_subnet(network(tmp_path, "a"), 5, []) == "172.28.0.0/24"


def test_what_is_in_use_is_left_alone(tmp_path: Path) -> None:
    in_use = [Subnet("172.28.0.0/23"), Subnet("172.28.2.128/25"), Subnet("10.0.0.0/8")]
    assert choose_subnet(network(tmp_path, "a"), 5, in_use) == "172.28.3.0/24"


def test_two_networks_never_get_the_same_even_at_once(tmp_path: Path) -> None:
    directories = [network(tmp_path, f"n{number}") for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        chosen = list(pool.map(lambda directory: choose_subnet(directory, 5, []), directories))
    assert len(set(chosen)) == 12


def test_the_subnet_of_a_network_that_is_gone_is_free_again(tmp_path: Path) -> None:
    first = network(tmp_path, "a")
    chosen = choose_subnet(first, 5, [])
    (first / "quorumkit.yaml").unlink()
    assert choose_subnet(network(tmp_path, "b"), 5, []) == chosen


def test_none_free_is_told_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="no free subnet") as error:
        choose_subnet(network(tmp_path, "a"), 5, [Subnet("172.16.0.0/12")])
    assert "compose.subnet" in str(error.value.hint)


@given(st.integers(1, 2000))
def test_a_chosen_subnet_has_an_address_for_every_node(nodes: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        subnet = choose_subnet(network(Path(folder), "a"), nodes, [])
    addresses = [address(subnet, ordinal, nodes) for ordinal in range(1, nodes + 1)]
    assert addresses[0].endswith(".11")
    assert len(set(addresses)) == nodes
    hosts = set(map(str, Subnet(subnet).hosts())) - {str(Subnet(subnet)[1])}  # the gateway's
    assert set(addresses) <= hosts


@pytest.mark.parametrize("prefix", range(22, 30))
def test_a_full_subnet_has_an_address_for_every_node(prefix: int) -> None:
    subnet = f"10.9.0.0/{prefix}"
    total = room(subnet)
    last = Subnet(address(subnet, total, total))
    assert last.subnet_of(Subnet(subnet))
    assert last.network_address != Subnet(subnet).broadcast_address
    assert address(subnet, 1, total) != "10.9.0.1"


def test_a_clash_names_what_is_overlapped() -> None:
    in_use = [Subnet("10.1.0.0/16"), Subnet("172.17.0.0/16")]
    assert clash("172.17.5.0/24", in_use) == Subnet("172.17.0.0/16")
    assert clash("172.18.0.0/24", in_use) is None


def test_this_machines_own_networks_are_in_use() -> None:
    assert any(Subnet("127.0.0.1/32").subnet_of(subnet) for subnet in host_subnets())
    assert Subnet("0.0.0.0/0") not in host_subnets()
