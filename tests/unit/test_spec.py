"""The spec: what is accepted, what is told of what is not, and that it survives being written and read."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.errors import NewerFormatError, SpecError
from quorumkit.identity.keystore import checksum_address
from quorumkit.notation import is_literal_address
from quorumkit.spec import MAX_CHAIN_ID, NetworkSpec, parse_spec, read_spec, spec_to_yaml


def with_field(path: str, value: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {"name": "bank"}
    part = whole
    *parents, last = path.split(".")
    for parent in parents:
        part = part.setdefault(parent, {})
    part[last] = value
    return whole


WRONG_FIELDS: list[tuple[str, Any]] = [
    ("name", ""),
    ("name", "Bank"),
    ("name", "-bank"),
    ("name", "bank-"),
    ("name", "b" * 41),
    ("name", "bank\n"),
    ("name", 7),
    ("name", None),
    ("runtime", "cloud"),
    ("chain_id", 0),
    ("chain_id", -1),
    ("chain_id", MAX_CHAIN_ID + 1),
    ("chain_id", "1337"),
    ("chain_id", 13.37),
    ("chain_id", True),
    ("nodes", 5),
    ("nodes.validators", 0),
    ("nodes.validators", -5),
    ("nodes.validators", 1001),
    ("nodes.validators", "five"),
    ("nodes.validators", 2.5),
    ("nodes.validators", None),
    ("nodes.observers", -1),
    ("nodes.observers", 1001),
    ("nodes.watchers", 1),
    ("consensus.kind", "pow"),
    ("consensus.period", 0),
    ("consensus.period", 3601),
    ("consensus.period", "1s"),
    ("consensus.epoch", 0),
    ("engine.kind", "parity"),
    ("engine.version", "latest"),
    ("engine.version", "1.13"),
    ("engine.version", 1.13),
    ("engine.binary", 5),
    ("engine.state", "light"),
    ("engine.cache", 0),
    ("engine.cache", 65537),
    ("genesis.gas_limit", 4_999_999),
    ("genesis.gas_limit", 2**63),
    ("genesis.node_balance", -1),
    ("genesis.node_balance", 2**256),
    ("genesis.alloc", []),
    ("genesis.alloc.0x12", 1),
    ("genesis.alloc.0x00000000000000000000000000000000000000aa", -1),
    ("genesis.alloc.0x00000000000000000000000000000000000000aa", "lots"),
    ("ports.rpc", 0),
    ("ports.rpc", 65536),
    ("ports.rpc", "8545"),
    ("ports.p2p", 70000),
    ("ports.health", -1),
    ("ports.http", 8545),
    ("colour", "red"),
]


@pytest.mark.parametrize(("path", "wrong"), WRONG_FIELDS)
def test_a_wrong_field_is_named_by_its_path(path: str, wrong: Any) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(with_field(path, wrong), source="quorumkit.yaml")
    assert path in caught.value.message
    assert caught.value.message.startswith("quorumkit.yaml: ")
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_each_of_several_wrong_fields_is_named() -> None:
    value = {"name": "bank", "chain_id": 0, "nodes": {"validators": 0}, "consensus": {"period": 0}}
    with pytest.raises(SpecError) as caught:
        parse_spec(value)
    for path in ("chain_id", "nodes.validators", "consensus.period"):
        assert path in caught.value.message


def test_an_unknown_field_is_told_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"nodes\.validator: unknown field \(known here: validators, observers\)"):
        parse_spec({"name": "bank", "nodes": {"validator": 5}})


def test_a_missing_name_is_told() -> None:
    with pytest.raises(SpecError, match="name"):
        parse_spec({})


@pytest.mark.parametrize("value", [None, [], "name", 5])
def test_what_is_no_mapping_is_refused(value: Any) -> None:
    with pytest.raises(SpecError, match="a mapping of fields"):
        parse_spec(value)


@pytest.mark.parametrize("field", ["rpc", "p2p"])
def test_a_block_of_ports_must_end_below_65536(field: str) -> None:
    parse_spec({"name": "bank", "ports": {field: 65531}})
    with pytest.raises(SpecError, match=rf"ports\.{field}: 5 ports from 65532"):
        parse_spec({"name": "bank", "ports": {field: 65532}})


@pytest.mark.parametrize("p2p", [8541, 8545, 8549])
def test_blocks_of_ports_may_not_overlap(p2p: int) -> None:
    with pytest.raises(SpecError, match=r"ports\.p2p: the block .* overlaps the block 8545-8549 of ports\.rpc"):
        parse_spec({"name": "bank", "ports": {"rpc": 8545, "p2p": p2p}})


@pytest.mark.parametrize("field", ["rpc", "p2p", "exchange", "raft", "tm"])
def test_the_health_port_may_lie_in_no_block(field: str) -> None:
    for health in (20000, 20004):
        with pytest.raises(SpecError, match=rf"ports\.health: port {health} overlaps the block .* of ports\.{field}"):
            parse_spec({"name": "bank", "ports": {field: 20000, "health": health}})
    assert parse_spec({"name": "bank", "ports": {field: 20000, "health": 20005}}).ports.health == 20005


def test_no_two_blocks_overlap_whichever_they_are() -> None:
    for one, other in itertools.permutations(("rpc", "p2p", "exchange", "raft", "tm"), 2):
        with pytest.raises(SpecError, match=r"ports\.\w+: the block .* overlaps"):
            parse_spec({"name": "bank", "ports": {one: 20000, other: 20004}})


def test_an_image_to_take_the_client_out_of_is_goquorums_alone() -> None:
    with pytest.raises(SpecError, match=r"engine\.image: "):
        parse_spec({"name": "bank", "engine": {"image": "registry.example/quorum:1"}})
    spec = parse_spec({"name": "bank", "engine": {"kind": "goquorum", "image": "registry.example/quorum:1"}})
    assert spec.engine.image == "registry.example/quorum:1"


def test_blocks_of_ports_may_touch() -> None:
    for p2p in (8540, 8550):
        assert parse_spec({"name": "bank", "ports": {"rpc": 8545, "p2p": p2p}}).ports.p2p == p2p


def test_a_newer_format_says_what_to_do() -> None:
    # Whatever else is in it: a newer version knows fields that this one does not.
    with pytest.raises(NewerFormatError, match="format 2") as caught:
        parse_spec({"format": 2, "name": "bank", "sharding": True})
    assert "newer" in (caught.value.hint or "")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("written", [0, -1, "1", True, None, 1.5])
def test_a_format_that_never_was_is_refused(written: Any) -> None:
    with pytest.raises(SpecError, match="format"):
        parse_spec({"format": written, "name": "bank"})


def test_defaults_are_those_of_the_documentation() -> None:
    spec = parse_spec({"name": "bank"})
    assert (spec.nodes.validators, spec.nodes.observers, spec.nodes.total) == (5, 0, 5)
    assert (spec.chain_id, spec.consensus.kind, spec.consensus.period) == (1337, "bft", 1)
    assert (spec.engine.kind, spec.engine.version, spec.engine.binary) == ("geth", "1.17.10", None)
    assert (spec.engine.state, spec.genesis.gas_limit, spec.gas_is_free) == ("pruned", 1_000_000_000, True)
    light = parse_spec({"name": "bank", "consensus": {"kind": "clique"}})
    assert (light.engine.version, light.engine.state, light.gas_is_free) == ("1.13.15", "archive", False)


def read(text: str | bytes, tmp_path: Path) -> NetworkSpec:
    path = tmp_path / "quorumkit.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_spec(path)


def test_a_repeated_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"line 3.*duplicate key"):
        read("name: bank\nchain_id: 7\nchain_id: 8\n", tmp_path)


def test_broken_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"quorumkit\.yaml: line 3, column 1: not valid YAML"):
        read("name: bank\nnodes: [1,\n", tmp_path)


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not UTF-8"):
        read(b"name: b\xe4nk\n", tmp_path)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "bank\n"])
def test_yaml_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a mapping of fields"):
        read(text, tmp_path)


@pytest.mark.parametrize("text", ["name: !!python/object/apply:os.getcwd []\n", "name: bank\n--- \nname: other\n"])
def test_yaml_beyond_plain_values_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        read(text, tmp_path)


def test_yaml_is_version_1_2(tmp_path: Path) -> None:
    """In YAML 1.1, `no` was a boolean."""
    assert read("name: no\n", tmp_path).name == "no"


names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
addresses = st.from_regex(r"0x([0-9a-f]{40}|[0-9A-F]{40})", fullmatch=True) | st.binary(min_size=20, max_size=20).map(
    lambda raw: checksum_address(raw.hex())
)
text_in_yaml = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFFFF, exclude_categories=("Cs", "Cc")))


@st.composite
def specs(draw: st.DrawFn) -> NetworkSpec:
    validators, observers = draw(st.integers(1, 1000)), draw(st.integers(0, 1000))
    total = validators + observers
    # Either one block of ports below 30000 and one above, or fewer blocks.
    ports = {
        "rpc": draw(st.none() | st.integers(1, 30000 - total)),
        "p2p": draw(st.none() | st.integers(30000, 65536 - total)),
        "health": draw(st.none() | st.integers(1, 65535)),
    }
    if any(
        base and ports["health"] and base <= ports["health"] < base + total for base in (ports["rpc"], ports["p2p"])
    ):
        ports["health"] = None
    value = {
        "name": draw(names),
        "chain_id": draw(st.integers(1, MAX_CHAIN_ID)),
        "nodes": {"validators": validators, "observers": observers},
        "consensus": {
            "kind": "clique",
            "period": draw(st.integers(1, 3600)),
            "epoch": draw(st.integers(1, 10**9)),
        },
        "engine": {
            "version": draw(st.from_regex(r"1\.([0-9]|1[0-2])\.[0-9]{1,3}", fullmatch=True)),
            "binary": draw(st.none() | text_in_yaml),
            "state": draw(st.sampled_from(["archive", "pruned"])),
            "cache": draw(st.integers(32, 65536)),
        },
        "genesis": {
            "gas_limit": draw(st.integers(5_000_000, 2**63 - 1)),
            "node_balance": draw(st.integers(0, 2**256 - 1)),
            "alloc": draw(st.dictionaries(addresses, st.integers(0, 2**256 - 1), max_size=1)),
        },
        "ports": ports,
    }
    return parse_spec(value)


@given(specs())
def test_any_spec_is_the_same_after_writing_and_reading(spec: NetworkSpec) -> None:
    text = spec_to_yaml(spec)
    with tempfile.TemporaryDirectory() as folder:
        assert read(text, Path(folder)) == spec
    assert spec_to_yaml(spec) == text


def test_what_decides_the_chain_is_written_even_where_it_is_the_default() -> None:
    text = spec_to_yaml(parse_spec({"name": "bank", "consensus": {"kind": "clique"}})).decode()
    for field in ("chain_id: 1337", "validators: 5", "observers: 0", "period: 1", "epoch: 30000", "version: 1.13.15"):
        assert field in text
    assert "ports" not in text


@pytest.mark.parametrize(
    ("host", "literal"), [("127.0.0.1", True), ("::1", True), ("localhost", False), ("10.0.0", False), ("", False)]
)
def test_addresses_are_told_from_names(host: str, literal: bool) -> None:
    assert is_literal_address(host) is literal


def test_a_rounds_bound_must_leave_room_for_the_first() -> None:
    consensus = {"kind": "qbft", "request_timeout": 10, "max_request_timeout": 9}
    with pytest.raises(SpecError, match=r"consensus\.max_request_timeout: 9 is less than request_timeout, 10"):
        parse_spec({"name": "bank", "engine": {"kind": "goquorum"}, "consensus": consensus})
