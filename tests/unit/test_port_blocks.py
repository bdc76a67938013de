"""Blocks of ports: free ones, kept ones, asked ones, and never another network's."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from quorumkit.errors import PortError
from quorumkit.runtimes import ports
from quorumkit.runtimes.ports import LOOPBACK, PortBlocks, choose_ports, port_is_free
from quorumkit.spec import PortsSpec

ANY = PortsSpec()


@pytest.fixture(autouse=True)
def quiet_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from where real networks take their ports, so that one that starts meanwhile does not disturb."""
    monkeypatch.setattr(ports, "_FIRST", {"rpc": 20000, "p2p": 31000})


@contextmanager
def listening(port: int = 0, host: str = LOOPBACK) -> Iterator[int]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen()
        yield server.getsockname()[1]


def network(tmp_path: Path, name: str = "bank") -> Path:
    directory = tmp_path / name
    directory.mkdir()
    (directory / "quorumkit.yaml").write_text("name: bank\n")
    return directory


def ports_of(blocks: PortBlocks, total: int) -> set[int]:
    return {*range(blocks.rpc, blocks.rpc + total), *range(blocks.p2p, blocks.p2p + total)}


def test_a_listening_port_is_not_free() -> None:
    with listening() as port:
        assert not port_is_free(port)
    assert port_is_free(port)


def test_a_port_taken_on_all_addresses_is_not_free() -> None:
    with listening(host="0.0.0.0") as port:
        assert not port_is_free(port)


def test_the_first_ports_of_the_range_come_first_where_they_are_free(tmp_path: Path) -> None:
    blocks = choose_ports(network(tmp_path), ANY, 5)
    assert blocks.rpc >= 20000
    assert blocks.p2p >= 31000
    assert all(port_is_free(port) for port in ports_of(blocks, 5))


def test_a_busy_port_moves_the_whole_block(tmp_path: Path) -> None:
    first = choose_ports(network(tmp_path, "first"), ANY, 5)
    with listening(first.rpc + 2) as busy:
        other = choose_ports(tmp_path / "first", ANY, 5)
        assert busy not in ports_of(other, 5)
        assert other.p2p == first.p2p


def test_ports_of_before_are_kept(tmp_path: Path) -> None:
    with listening() as port:
        pass
    keep = PortBlocks(rpc=port, p2p=choose_ports(network(tmp_path), ANY, 1).p2p)
    assert choose_ports(tmp_path / "bank", ANY, 1, keep=keep) == keep


def test_ports_of_before_that_are_busy_are_left(tmp_path: Path) -> None:
    with listening() as busy:
        keep = PortBlocks(rpc=busy, p2p=31500)
        assert choose_ports(network(tmp_path), ANY, 1, keep=keep).rpc != busy


def test_ports_the_network_itself_listens_on_are_kept(tmp_path: Path) -> None:
    with listening() as rpc, listening() as p2p:
        keep = PortBlocks(rpc=rpc, p2p=p2p)
        assert choose_ports(network(tmp_path), ANY, 1, keep=keep, running=frozenset({rpc, p2p})) == keep


@pytest.mark.parametrize("kind", ["rpc", "p2p"])
def test_a_port_asked_for_that_is_taken_is_told_with_its_holder(kind: str, tmp_path: Path) -> None:
    with listening() as busy, pytest.raises(PortError, match=rf"ports\.{kind}: port {busy} is taken") as caught:
        choose_ports(network(tmp_path), PortsSpec(**{kind: busy}), 1)
    assert f"pid {os.getpid()}" in caught.value.message
    assert f"ports.{kind}" in (caught.value.hint or "")
    assert caught.value.exit_code == 1


def test_a_port_asked_for_that_is_free_is_given(tmp_path: Path) -> None:
    with listening() as port:
        pass
    assert choose_ports(network(tmp_path), PortsSpec(rpc=port), 1).rpc == port


def test_no_two_networks_share_a_port_though_neither_listens(tmp_path: Path) -> None:
    taken: set[int] = set()
    for number in range(4):
        mine = ports_of(choose_ports(network(tmp_path, f"n{number}"), ANY, 5), 5)
        assert not mine & taken
        taken |= mine


def test_networks_that_choose_at_the_same_moment_do_not_collide(tmp_path: Path) -> None:
    directories = [network(tmp_path, f"n{number}") for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        chosen = list(pool.map(lambda directory: choose_ports(directory, ANY, 4), directories))
    assert len(set().union(*(ports_of(blocks, 4) for blocks in chosen))) == 12 * 8


def test_the_same_network_is_given_the_same_ports_again(tmp_path: Path) -> None:
    directory = network(tmp_path)
    first = choose_ports(directory, ANY, 5)
    assert choose_ports(directory, ANY, 5, keep=first) == first


def test_what_a_destroyed_network_held_is_free_again(tmp_path: Path) -> None:
    directory = network(tmp_path, "gone")
    first = choose_ports(directory, ANY, 5)
    (directory / "quorumkit.yaml").unlink()
    assert choose_ports(network(tmp_path, "new"), ANY, 5) == first


@pytest.mark.parametrize("content", ["", "{", "[]", "5", '{"x": 5}', '{"x": {"rpc": []}}'])
def test_a_broken_register_is_begun_anew(content: str, tmp_path: Path, cache: Path) -> None:
    one = choose_ports(network(tmp_path, "one"), ANY, 2)
    (register,) = cache.glob("*.json")
    register.write_text(content)
    assert choose_ports(network(tmp_path, "other"), ANY, 2) == one


def test_when_there_is_no_free_block_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="no 15000 free ports in a row"):
        choose_ports(network(tmp_path), ANY, 15000)
