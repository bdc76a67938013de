"""What a client is told about gas: its limit, its price, and what the spec may say of them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from samples import planned, spec_of

from quorumkit.engines import recipe_of
from quorumkit.engines.geth.gas import LEAST_TIP, SUGGESTED_TIP
from quorumkit.errors import SpecError
from quorumkit.exchange.terms import terms_of
from quorumkit.process_spec import client_of
from quorumkit.render.node_files import record_of
from quorumkit.spec import NetworkSpec, spec_to_yaml

GOQUORUM = {"kind": "goquorum"}


def command_of(spec: NetworkSpec, **changes: Any) -> dict[str, str]:
    """Each flag with the word after it."""
    network = planned(spec)
    record = record_of(network, network.node(1)).model_copy(update=changes)
    words = client_of(spec.recipe.processes(Path("geth"), record)).argv
    return dict(zip(words, [*words[1:], ""], strict=True))


def genesis_of(spec: NetworkSpec) -> dict[str, Any]:
    return planned(spec).genesis


def suggestions_of(spec: NetworkSpec) -> dict[str, int]:
    network = planned(spec)
    text = recipe_of("geth", "clique").node_files(network, network.node(1))["geth.toml"].decode()
    found: dict[str, int] = tomllib.loads(text)["Eth"]["GPO"]
    return found


def test_a_client_keeps_the_gas_limit_of_the_spec() -> None:
    assert command_of(spec_of(genesis={"gas_limit": 31_000_000}))["--miner.gaslimit"] == "31000000"
    words = command_of(spec_of(engine={"kind": "goquorum"}, genesis={"gas_limit": 31_000_000}))
    assert words["--miner.gaslimit"] == words["--miner.gastarget"] == "31000000"


@pytest.mark.parametrize("engine", ["geth", "goquorum"])
def test_a_record_from_before_it_had_a_gas_limit_runs_as_it_did(engine: str) -> None:
    words = command_of(spec_of(engine={"kind": engine}), gas_limit=None)
    assert not {"--miner.gaslimit", "--miner.gastarget"} & set(words)


def test_free_gas_has_no_base_fee_and_no_least_price() -> None:
    spec = spec_of(genesis={"free_gas": True})
    genesis = genesis_of(spec)
    assert "baseFeePerGas" not in genesis
    assert "londonBlock" not in genesis["config"]
    assert genesis["config"]["berlinBlock"] == 0
    words = command_of(spec)
    assert words["--txpool.pricelimit"] == "0"
    assert "--txpool.nolocals" not in words  # what waits is kept on disk
    assert suggestions_of(spec)["Default"] == 0
    # What is ignored teaches the client nothing.
    assert suggestions_of(spec)["IgnorePrice"] == 2**63 - 1


def test_priced_gas_is_londons_and_who_sends_by_rpc_pays_too() -> None:
    spec = spec_of()
    assert genesis_of(spec)["config"]["londonBlock"] == 0
    assert genesis_of(spec)["baseFeePerGas"] == "0x0"
    words = command_of(spec)
    assert words["--miner.gasprice"] == words["--txpool.pricelimit"] == str(LEAST_TIP)
    assert "--txpool.nolocals" in words
    suggested = suggestions_of(spec)
    assert suggested["Default"] == suggested["MaxPrice"] == suggested["IgnorePrice"] == SUGGESTED_TIP > LEAST_TIP


def test_nodes_agree_on_free_gas_and_older_networks_terms_stay_as_they_are() -> None:
    assert "genesis.free_gas" not in terms_of(spec_of())
    assert terms_of(spec_of(genesis={"free_gas": True}))["genesis.free_gas"] is True
    assert terms_of(spec_of(engine=GOQUORUM)) == terms_of(spec_of(engine=GOQUORUM, genesis={"free_gas": True}))


def test_gas_is_always_free_with_goquorum() -> None:
    assert spec_of(engine=GOQUORUM).gas_is_free
    assert "free_gas" not in spec_to_yaml(spec_of(engine=GOQUORUM)).decode()
    with pytest.raises(SpecError, match=r"genesis\.free_gas: with goquorum gas is always free"):
        spec_of(engine=GOQUORUM, genesis={"free_gas": False})
