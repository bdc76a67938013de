"""Numbers, amounts and accounts in the spec as people write them: taken where there is no doubt, else told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import planned, spec_of

from quorumkit.errors import SpecError
from quorumkit.exchange.terms import terms_of
from quorumkit.identity.keystore import checksum_address
from quorumkit.notation import amount_of_wei, whole_number
from quorumkit.spec import NetworkSpec, read_spec

RICH = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def read(tmp_path: Path, text: str) -> NetworkSpec:
    (tmp_path / "quorumkit.yaml").write_text("name: bank\n" + text)
    return read_spec(tmp_path / "quorumkit.yaml")


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("chain_id: 0x539", "chain_id", 1337),
        ("chain_id: '0x539'", "chain_id", 1337),
        ("chain_id: 4e3", "chain_id", 4000),
        ("chain_id: 1_337", "chain_id", 1337),
        ("chain_id: 1337.0", "chain_id", 1337),
        ("nodes: {validators: 0x3}", "nodes.validators", 3),
        ("genesis: {gas_limit: 3e7}", "genesis.gas_limit", 30_000_000),
        ("genesis: {gas_limit: 0x1C9C380}", "genesis.gas_limit", 30_000_000),
        ("genesis: {node_balance: 1e23}", "genesis.node_balance", 10**23),  # as a float it would be another
        ("genesis: {node_balance: 1e+21}", "genesis.node_balance", 10**21),  # as Helm writes it
        ("genesis: {node_balance: 1.5E3}", "genesis.node_balance", 1500),
        ("genesis: {node_balance: 0x3635c9adc5dea00000}", "genesis.node_balance", 10**21),
        ("genesis: {node_balance: '1000000000000000000001'}", "genesis.node_balance", 10**21 + 1),
        ("genesis: {node_balance: 1000 ether}", "genesis.node_balance", 10**21),
        ("genesis: {node_balance: 1_000 ETH}", "genesis.node_balance", 10**21),
        ("genesis: {node_balance: 0.1 ether}", "genesis.node_balance", 10**17),
        ("genesis: {node_balance: 20gwei}", "genesis.node_balance", 20 * 10**9),
        ("genesis: {node_balance: 7 wei}", "genesis.node_balance", 7),
        ("ports: {rpc: 0x2161}", "ports.rpc", 8545),
    ],
)
def test_a_number_in_another_spelling_is_taken(tmp_path: Path, text: str, path: str, value: int) -> None:
    found: Any = read(tmp_path, text)
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is int


@pytest.mark.parametrize(
    "text",
    [
        "chain_id: 1e400",
        "chain_id: .inf",
        "chain_id: .nan",
        "chain_id: 0x",
        "chain_id: 1000 ether",
        "chain_id: 1e-1",
        "chain_id: -0x5",
        "genesis: {node_balance: 1000 dollars}",
        "genesis: {node_balance: 0.1 wei}",
        "genesis: {node_balance: 1.2.3 ether}",
        "genesis: {node_balance: '-1'}",
        "genesis: {node_balance: '010'}",
        "genesis: {node_balance: ether}",
        "genesis: {node_balance: 1e78}",
        "genesis: {node_balance: yes}",
        "genesis: {node_balance: true}",
    ],
)
def test_what_is_no_such_number_or_not_sure_is_refused_with_its_field(tmp_path: Path, text: str) -> None:
    field = "node_balance" if "node_balance" in text else "chain_id"
    assert field in refusal(tmp_path, text)


@pytest.mark.parametrize("value", [True, None, [], {}, "five", "1337", 2.0**53, -0.5, "1" * 101])
def test_the_rest_is_left_to_the_field(value: Any) -> None:
    assert whole_number(value) is value


@given(st.integers(0, 2**256 - 1))
def test_an_amount_is_the_same_in_every_spelling(wei: int) -> None:
    for text in (wei, str(wei), hex(wei), f"{wei} wei", f"{wei // 10**18}.{wei % 10**18:018d} ether"):
        assert amount_of_wei(text) == wei


@pytest.mark.parametrize("key", [RICH, RICH.lower(), RICH[2:], RICH[2:].lower(), f'"{RICH}"', "0x" + RICH[2:].upper()])
def test_an_account_is_taken_with_and_without_quotes(tmp_path: Path, key: str) -> None:
    """YAML makes a number of one without: the digits are taken as they were typed."""
    spec = read(tmp_path, f"genesis:\n  alloc:\n    {key}: 1000 ether\n")
    assert {account.lower(): wei for account, wei in spec.genesis.alloc.items()} == {RICH.lower(): 10**21}


def test_an_account_that_looks_like_a_number_keeps_its_zeros(tmp_path: Path) -> None:
    for digits in ("00" * 19 + "07", "1" * 38 + "e1", "1" * 40):
        spec = read(tmp_path, f"genesis:\n  alloc:\n    {digits}: 1\n")
        assert list(spec.genesis.alloc) == [f"0x{digits}"]


def test_a_number_of_an_account_is_told_to_be_quoted() -> None:
    with pytest.raises(SpecError, match=f"genesis.alloc: quote the account: .*'{RICH.lower()}'"):
        spec_of(genesis={"alloc": {int(RICH, 16): 1}})


@pytest.mark.parametrize(
    ("one", "other"),
    [(RICH, RICH.lower()), (f'"{RICH}"', RICH), (RICH.lower(), f'"{RICH[2:].upper()}"'), (RICH, RICH)],
)
def test_one_account_in_two_spellings_is_refused(tmp_path: Path, one: str, other: str) -> None:
    told = refusal(tmp_path, f"genesis:\n  alloc:\n    {one}: 1\n    {other}: 2\n")
    assert "are the same account" in told or "duplicate key" in told
    assert RICH.lower() in told.lower() or RICH[2:].lower() in told.lower()


def test_a_mistyped_account_is_told_by_its_checksum(tmp_path: Path) -> None:
    wrong = RICH.replace("92266", "92267")
    told = refusal(tmp_path, f"genesis:\n  alloc:\n    {wrong}: 1\n")
    assert f"genesis.alloc.{wrong}: {wrong} is mistyped" in told
    assert "EIP-55" in told


@pytest.mark.parametrize("wrong", ["0x12", "0x" + "g" * 40, "0X" + RICH[2:], "alice", "0x" + "0" * 41])
def test_what_is_no_account_is_refused(tmp_path: Path, wrong: str) -> None:
    assert "is not an account address" in refusal(tmp_path, f"genesis:\n  alloc:\n    {wrong}: 1\n")


@pytest.mark.parametrize("account", [f"0x{10:040x}", checksum_address(f"{10:040x}"), f"0x{10:040X}"])
def test_the_spelling_of_an_account_changes_no_genesis(account: str) -> None:
    """Node 10's own account: what the spec allots goes before the balance of all nodes, however it is written."""
    spec = spec_of(10, genesis={"alloc": {account: 7}})
    alloc = planned(spec).genesis["alloc"]
    assert len(alloc) == 10
    assert alloc[f"{10:040x}"] == {"balance": "0x7"}
    assert terms_of(spec) == terms_of(spec_of(10, genesis={"alloc": {f"0x{10:040x}": 7}}))


def test_values_of_the_chart_keep_their_kinds(tmp_path: Path) -> None:
    """What goes to Helm is not the spec's to understand."""
    text = "runtime: kubernetes\nkubernetes:\n  values: {a: 1.0, b: 1, c: '0x5', d: 1.5, 7: x}\n"
    values = read(tmp_path, text).kubernetes.values
    assert values == {"a": 1.0, "b": 1, "c": "0x5", "d": 1.5, "7": "x"}
    assert type(values["a"]) is float


def test_an_engine_that_cannot_do_it_is_told_with_the_one_that_can(tmp_path: Path) -> None:
    assert "consensus.kind: geth has no qbft (it has bft, clique); engine.kind goquorum has" in refusal(
        tmp_path, "consensus: {kind: qbft}"
    )


@pytest.mark.parametrize("version", ["1.14.0", "1.13.16", "2.0.0", "1.17.10"])
def test_a_client_that_seals_no_more_is_refused(tmp_path: Path, version: str) -> None:
    text = f"engine: {{version: {version}}}\nconsensus: {{kind: clique}}"
    assert f"engine.version: geth {version} seals no blocks" in refusal(tmp_path, text)


def test_more_validators_than_their_contract_holds_are_refused(tmp_path: Path) -> None:
    text = "nodes: {validators: 101}\n"
    assert "nodes.validators: bft takes 100 at most, not 101" in refusal(tmp_path, text)
    assert "nodes.validators" not in refusal(tmp_path, text + "consensus: {kind: clique}\nchain_id: 0")
