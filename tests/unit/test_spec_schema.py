"""The schema of `quorumkit.yaml`: what is right by the spec is right by it, and what one field makes wrong is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from test_spec import WRONG_FIELDS, with_field

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import SpecError
from quorumkit.notation import load_yaml
from quorumkit.spec import SCHEMA_NAME, parse_spec, spec_to_yaml
from support.earlier import FACTS, unpack

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/reference" / SCHEMA_NAME).read_bytes())
VALIDATOR = Draft7Validator(SCHEMA)

ACCOUNT = "0x00000000000000000000000000000000000000aa"
RIGHT: list[dict[str, Any]] = [
    {"chain_id": "0x539", "nodes": {"validators": "1e2"}, "genesis": {"gas_limit": "3e7"}},
    {
        "genesis": {
            "node_balance": "1000 ether",
            "alloc": {ACCOUNT: "20 GWei", ACCOUNT[2:-1] + "b": "1_000", "a" * 40: 5},
        }
    },
    {"genesis": {"node_balance": "0x3635c9adc5dea00000", "free_gas": True}},
    {"engine": {"kind": "goquorum"}},
    {
        "engine": {"kind": "goquorum", "image": "some/image:1"},
        "consensus": {"kind": "raft"},
        "transaction_manager": None,
    },
    {"engine": {"kind": "goquorum"}, "transaction_manager": {"kind": "tessera", "binary": "bin/tessera"}},
    {"engine": {"kind": "geth", "verbosity": 5, "client_arguments": ["--txpool.globalslots=20000"], "image": None}},
    {"runtime": "kubernetes", "kubernetes": {"namespace": "quorum", "values": {"spread": "hard"}}},
    {"runtime": "compose", "compose": {"subnet": "172.28.0.0/24", "memory": "512m"}},
    {"rpc": {"http": {"modules": ["eth", "debug"], "origins": ["*"]}, "dangerous_modules": ["debug"]}},
    {"identities": "exchanged", "ports": {"exchange": 7000, "health": 9000}},
]

WRONG_TOGETHER: list[dict[str, Any]] = [
    {"consensus": {"kind": "qbft"}},
    {"engine": {"kind": "geth"}, "consensus": {"kind": "raft"}},
    {"engine": {"image": "some/image"}},
    {"transaction_manager": {}},
    {"engine": {"kind": "goquorum"}, "genesis": {"free_gas": False}},
    {"engine": {"kind": "goquorum"}, "transaction_manager": {"kind": "builtin", "version": "24.4.2"}},
    {"runtime": "kubernetes", "identities": "generated"},
    {"runtime": "kubernetes", "name": "7bank"},
    {"rpc": {"http": {"origins": ["https://app.example/path"]}}},
    {"engine": {"client_arguments": ["txpool.globalslots=20000"]}},
]


def examples_in_pages() -> dict[str, str]:
    """Whole specs that stand in the documentation, by page and place."""
    found = {}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for number, block in enumerate(
            re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        ):
            if re.search(r"^name: ", block, re.M):
                found[f"{page.name}-{number}"] = block
    return found


def problems(value: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(value)]


def test_it_is_a_schema_and_explains_every_field() -> None:
    Draft7Validator.check_schema(SCHEMA)

    def explained(schema: dict[str, Any]) -> None:
        assert schema.get("description")
        for part in schema.get("properties", {}).values():
            explained(part)

    explained(SCHEMA)


@pytest.mark.parametrize("name", examples_in_pages())
def test_examples_in_the_documentation_are_right(name: str) -> None:
    value = load_yaml(examples_in_pages()[name])
    parse_spec(value)
    assert problems(value) == []


@pytest.mark.parametrize("fields", RIGHT, ids=str)
def test_what_the_spec_takes_is_right_as_typed_and_as_written(fields: dict[str, Any]) -> None:
    spec = parse_spec({"name": "bank", **fields})
    assert problems({"name": "bank", **fields}) == []
    assert problems(load_yaml(spec_to_yaml(spec).decode())) == []


@pytest.mark.parametrize("name", FACTS)
def test_specs_that_earlier_commits_wrote_are_right(name: str, tmp_path: Path) -> None:
    spec = NetworkDirectory(unpack(name, tmp_path, chain=False)).spec
    assert problems(load_yaml(spec.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(("path", "wrong"), [each for each in WRONG_FIELDS if each != ("name", "bank\n")])
def test_a_wrong_field_is_wrong(path: str, wrong: Any) -> None:
    assert problems(with_field(path, wrong))


@pytest.mark.parametrize("fields", WRONG_TOGETHER, ids=str)
def test_what_does_not_go_together_is_wrong(fields: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        parse_spec({"name": "bank", **fields})
    assert problems({"name": "bank", **fields})


def test_a_spec_without_a_name_is_wrong() -> None:
    assert problems({"format": 1})


_SCALARS = st.one_of(
    st.integers(-2, 2**65),
    st.booleans(),
    st.none(),
    st.sampled_from(["geth", "raft", "1e3", "0x10", "5 ether", "2g", ""]),
)


@given(
    path=st.sampled_from(sorted({path for path, _ in WRONG_FIELDS if not path.startswith("genesis.alloc")} - {"name"})),
    value=_SCALARS,
)
def test_whatever_one_field_the_spec_takes_is_right(path: str, value: Any) -> None:
    whole = with_field(path, value)
    try:
        parse_spec(whole)
    except SpecError:
        return
    assert problems(whole) == []


def test_a_network_directory_has_the_schema_that_its_spec_names(generated: NetworkDirectory) -> None:
    first = generated.spec.read_text(encoding="utf-8").splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named
    assert json.loads((generated.path / named[1]).read_bytes()) == SCHEMA
