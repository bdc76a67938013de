"""Blocks of ports: free ones, kept ones, asked ones, and never another network's."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from samples import endpoints_number

from quorumkit.errors import PortError
from quorumkit.providers import ports
from quorumkit.providers.ports import LOOPBACK, choose_each, held_ports, port_is_free
from quorumkit.providers.register import open_register
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


@dataclass(frozen=True)
class PortBlocks:
    """The first port of each block; node n has the n-th."""

    rpc: int
    p2p: int


def choose_ports(
    directory: Path,
    asked: PortsSpec,
    total: int,
    *,
    keep: PortBlocks | None = None,
    running: frozenset[int] = frozenset(),
) -> PortBlocks:
    """Both blocks of a network; `keep` are those that it has."""
    chosen = {}
    with open_register(directory) as register:
        for kind in ("rpc", "p2p"):
            first = getattr(keep, kind) if keep else None
            held = range(first, first + total) if first else ()
            ports_ = choose_each(register, kind, getattr(asked, kind), total, held=held, running=running)
            assert ports_ == [*range(ports_[0], ports_[0] + total)]
            chosen[kind] = ports_[0]
    return PortBlocks(**chosen)


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


def grown(directory: Path, held: list[int], total: int, **options: Any) -> list[int]:
    with open_register(directory) as register:
        return choose_each(register, "rpc", options.pop("asked", None), total, held=held, **options)


def test_nodes_that_are_added_come_right_after_those_that_are_there(tmp_path: Path) -> None:
    directory = network(tmp_path)
    held = grown(directory, [], 3)
    assert grown(directory, held, 5) == [*range(held[0], held[0] + 5)]
    assert grown(directory, held, 2) == held[:2]


def test_where_there_is_no_room_they_come_together_elsewhere_and_nobody_moves(tmp_path: Path) -> None:
    directory = network(tmp_path)
    held = grown(directory, [], 3)
    with listening(held[-1] + 2):
        ports_ = grown(directory, held, 5, running=frozenset(held), fixed=True)
    assert ports_[:3] == held
    assert ports_[4] == ports_[3] + 1
    assert not set(ports_[3:]) & set(range(held[0], held[-1] + 3))
    assert grown(directory, ports_, 5) == ports_  # also when there is room again
    # Another network leaves both blocks to it, running or not.
    for number in range(3):
        assert not set(grown(network(tmp_path, f"n{number}"), [], 5)) & set(ports_)


def test_another_networks_block_is_no_room(tmp_path: Path) -> None:
    first, second = network(tmp_path, "first"), network(tmp_path, "second")
    held = grown(first, [], 3)
    other = grown(second, [], 3)
    assert other[0] == held[-1] + 1
    assert not set(grown(first, held, 4)) & set(other)


def test_a_fixed_node_never_moves(tmp_path: Path) -> None:
    directory = network(tmp_path)
    held = grown(directory, [], 3)
    with listening(held[1]) as busy:
        with pytest.raises(PortError, match=rf"ports\.rpc: port {busy} is taken.* no node can move"):
            grown(directory, held, 3, fixed=True)
        assert busy not in grown(directory, held, 3)
    with pytest.raises(PortError, match=rf"node1 listens on {held[0]}"):
        grown(directory, held, 3, asked=held[0] + 100, fixed=True)
    assert grown(directory, held, 3, asked=held[0], fixed=True) == held


def test_a_port_of_a_record_that_is_gone_is_its_neighbours_next() -> None:
    def held(*numbers: int | None) -> list[int]:
        present = [endpoints_number(number) if number else None for number in numbers]
        return held_ports(present, lambda node: node.rpc_bind.port)

    assert held() == held(None, None) == []
    assert held(1, 2, None) == [10001, 10002]
    assert held(1, None, 3, 7) == [10001, 10002, 10003, 10007]
    assert held(None, 2) == [10001, 10002]
