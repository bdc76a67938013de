"""JSON-RPC URLs that changed are told, with the reason."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from samples import fixed_addresses, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.identities.generated import generate
from quorumkit.node.status import NodeStatus
from quorumkit.progress import silent
from quorumkit.stages.moved import describe_moves, moved_urls, recorded_urls


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def at(*ports: int) -> list[NodeStatus]:
    return [
        NodeStatus(f"node{number}", number, "validator", rpc_url=f"http://127.0.0.1:{port}")
        for number, port in enumerate(ports, start=1)
    ]


def test_what_stays_is_no_news(generated: NetworkDirectory) -> None:
    before = recorded_urls(generated)
    assert list(before) == ["node1", "node2", "node3", "node4"]
    assert moved_urls(before, at(10001, 10002, 10003, 10004, 10005), spec_of(3, 2)) == []
    assert describe_moves([]) == []


def test_a_network_that_is_new_has_moved_nowhere(generated: NetworkDirectory) -> None:
    assert recorded_urls(NetworkDirectory(generated.path / "none")) == {}
    assert moved_urls({}, at(1, 2), spec_of(2)) == []


def test_who_took_the_port_is_told(taken: int) -> None:
    before = {"node1": "http://127.0.0.1:1", "node2": f"http://127.0.0.1:{taken}"}
    found = moved_urls(before, at(9001, 9002), spec_of(2))
    assert [(move.node, move.after) for move in found] == [
        ("node1", "http://127.0.0.1:9001"), ("node2", "http://127.0.0.1:9002"),
    ]  # fmt: skip
    [line] = describe_moves(found)
    assert line.startswith(
        "RPC URLs changed: node1 had http://127.0.0.1:1 and has http://127.0.0.1:9001 (and 1 more): "
    )
    assert f"port {taken} is taken by " in line


def test_ports_that_a_person_asked_for_need_no_culprit(taken: int) -> None:
    before = {"node1": f"http://127.0.0.1:{taken}"}
    [line] = describe_moves(moved_urls(before, at(9001), spec_of(1, ports={"rpc": 9001})))
    assert line.endswith("ports.rpc in quorumkit.yaml asks for it")


def test_urls_are_known_of_a_network_that_was_made(generated: NetworkDirectory) -> None:
    generate(generated, spec_of(3, 1), fixed_addresses, silent)
    assert recorded_urls(generated)["node1"] == "http://127.0.0.1:10001"
