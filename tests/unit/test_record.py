"""`node.json`: what is written is read again as it was, of the first format too, and nothing that is not a record."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import endpoints_number, identity_number, spec_of

from quorumkit.addresses import Endpoint
from quorumkit.errors import CorruptFileError, NewerFormatError
from quorumkit.files import to_json
from quorumkit.plan import NodeEndpoints, plan
from quorumkit.record import NodeRecord, read_record
from quorumkit.render.node_files import record_of

ENODE = f"enode://{1:0128x}@127.0.0.1:20001?discport=0&raftport=27001"


def record() -> NodeRecord:
    """Of a node that has all that a node can have."""
    spec = spec_of(
        observers=1,
        engine={"kind": "goquorum", "client_arguments": ["--metrics"]},
        consensus={"kind": "raft"},
        transaction_manager={"kind": "builtin"},
    )

    def endpoints(number: int) -> NodeEndpoints:
        manager = Endpoint("127.0.0.1", 24000 + number)
        ports = {"raft": 27000 + number}
        return replace(endpoints_number(number), ports=ports, tm=manager, tm_bind=manager)

    numbers = range(1, 5)
    identities = [replace(identity_number(number), tm_key=f"key {number}") for number in numbers]
    network = plan(spec, identities, [endpoints(number) for number in numbers])
    return record_of(network, network.node(1))


FIRST_FORMAT: dict[str, Any] = {
    "format": 1,
    "network": "bank",
    "name": "node1",
    "ordinal": 1,
    "role": "validator",
    "engine": {
        "kind": "goquorum", "version": "24.4.1", "image": None, "state": "archive", "cache": 128, "verbosity": None,
        "client_arguments": ["--metrics"],
    },
    "consensus": {
        "kind": "raft", "period": 1, "quorum": 2, "blocks_on_demand": True, "raft_block_time": 50,
    },
    "chain_id": 1337,
    "gas_limit": 30000000,
    "free_gas": True,
    "enode_key": f"{1:0128x}",
    "enode": ENODE,
    "account": f"0x{1:040x}",
    "p2p": {"host": "127.0.0.1", "port": 20001},
    "p2p_bind": {"host": "127.0.0.1", "port": 20001},
    "rpc_bind": {"host": "127.0.0.1", "port": 10001},
    "rpc_url": "http://127.0.0.1:10001",
    "rpc_names": ["localhost"],
    "raft_port": 27001,
    "tm_bind": {"host": "127.0.0.1", "port": 24001},
    "tm": {"kind": "builtin", "public_key": "key 1", "url": "http://127.0.0.1:24001/", "apart": False},
    "peers": [
        {"name": f"node{n}", "enode": f"enode://{n:0128x}@127.0.0.1:{20000 + n}?discport=0&raftport={27000 + n}"}
        for n in (2, 3, 4)
    ],
}  # fmt: skip
"""What `record()` was written as before there was a second format."""


def changed(value: dict[str, Any], path: str, to: object) -> dict[str, Any]:
    """The same with another value there; without it, where that is `...`."""
    value = part = copy.deepcopy(value)
    *parents, last = path.split(".")
    for parent in parents:
        part = part[parent]
    part[last] = to
    if to is ...:
        del part[last]
    return value


def read(folder: Path, value: object) -> NodeRecord:
    (folder / "node.json").write_bytes(to_json(value))
    return read_record(folder)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    one = record()
    value = one.model_dump()
    assert value["format"] == 2
    assert read(tmp_path, value) == one
    assert str(one.node.enode) == ENODE


def test_a_node_without_what_only_some_have_is_read_again(tmp_path: Path) -> None:
    network = plan(spec_of(1), [identity_number(1)], [endpoints_number(1)])
    one = record_of(network, network.node(1))
    assert read(tmp_path, one.model_dump()) == one


def test_the_first_format_means_the_same(tmp_path: Path) -> None:
    assert read(tmp_path, FIRST_FORMAT) == record()


@pytest.mark.parametrize(
    ("left_out", "changes"),
    [
        ("gas_limit", {"gas_limit": None}),
        ("engine.client_arguments", {"engine": record().engine.model_copy(update={"client_arguments": ()})}),
    ],
)
def test_the_first_format_from_before_a_field_was_kept_is_read(
    left_out: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    assert read(tmp_path, changed(FIRST_FORMAT, left_out, ...)) == record().model_copy(update=changes)


def test_the_first_format_without_raft_and_transaction_manager_is_read(tmp_path: Path) -> None:
    value = {**FIRST_FORMAT, "raft_port": None, "tm": None, "tm_bind": None}
    one = read(tmp_path, value)
    assert (one.tm, one.identity.tm_key, one.endpoints.tm, one.endpoints.ports) == (None, None, None, {})
    for name in ("raft_port", "tm", "tm_bind", "rpc_names", "free_gas"):
        value.pop(name)
    assert read(tmp_path, value) == one.model_copy(update={"free_gas": False})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("account", "0x12"), ("enode_key", "ab"), ("p2p.port", 0), ("p2p.port", "20001"), ("rpc_bind.host", ...),
        ("rpc_names", "localhost"), ("raft_port", 65536), ("tm.url", "http://a:b/"), ("tm.url", 5), ("tm.kind", ...),
        ("tm.public_key", 5), ("ordinal", 0), ("role", "king"), ("rpc_url", ...), ("other", 1), ("p2p.other", 1),
        ("tm.other", 1), ("tm", 5), ("consensus.quorum", 0), ("peers", ...), ("engine", None), ("network", 3),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_first_format_is_named_as_it_is_called_there(
    path: str, value: object, tmp_path: Path
) -> None:
    with pytest.raises(CorruptFileError) as caught:
        read(tmp_path, changed(FIRST_FORMAT, path, value))
    assert f"node.json: {path}" in caught.value.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("node.identity.account", "0x12"), ("node.identity.enode_key", "ab"), ("node.endpoints.p2p.port", 0),
        ("node.endpoints.p2p.port", "20001"), ("node.endpoints.ports.raft", 65536), ("node.endpoints.ports", [1]),
        ("node.endpoints.rpc_names", "localhost"), ("node.ordinal", 0), ("node.role", "king"), ("other", 1),
        ("node.endpoints.p2p.other", 1), ("node.other", 1), ("node", 5), ("format", "2"), ("peers", ...),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(path: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError) as caught:
        read(tmp_path, changed(json.loads(json.dumps(record().model_dump())), path, value))
    assert f"node.json: {path}" in caught.value.message


@pytest.mark.parametrize("value", [[], None, 5, "record", {}, {"format": 0}, {"format": None}, {"format": 1}])
def test_what_is_no_record_is_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(CorruptFileError):
        read(tmp_path, value)


def test_a_newer_format_asks_for_a_newer_quorumkit(tmp_path: Path) -> None:
    with pytest.raises(NewerFormatError, match="newer Quorumkit"):
        read(tmp_path, {**record().model_dump(), "format": 3})
