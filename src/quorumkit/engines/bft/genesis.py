"""The first block of both: geth's with all rules up to Osaka's, and CometBFT's with the validators. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from quorumkit.engines.bft.keys import VALIDATOR, named_validator
from quorumkit.engines.bft.validators import ADDRESS, CONSENSUS_POWER, Validator
from quorumkit.engines.bft.validators.genesis import genesis_account
from quorumkit.engines.geth.recipe import FORKS, alloc_of
from quorumkit.files import to_json

if TYPE_CHECKING:
    from quorumkit.engines.base import NeutralGenesis
    from quorumkit.plan import Network

_BLOBS = {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}
"""Cancun's (EIP-4844). geth asks for a schedule; blocks hold no blobs."""

LARGEST_BLOCK = 20 * 2**20
"""Bytes of a block of CometBFT's, which holds one of geth's: at most 10 MiB of that (EIP-7934), as it is proposed."""

RETAINED = 10_000
"""How many blocks CometBFT keeps at least, and for how many evidence of a validator that signed twice counts."""

_BEGINS = "2025-01-01T00:00:00Z"
"""CometBFT's first block has this time (spec/consensus/bft-time.md), the same for all; the blocks of geth have their
own."""


def client_genesis(neutral: NeutralGenesis) -> dict[str, Any]:
    """After the merge from the first block on, with the contracts that the rules up to Osaka's need (EIP-4788, 2935,
    7002, 7251) or those after them may, and the contract that names the validators."""
    fields = dict(neutral.consensus_fields)
    times = {f"{fork}Time": time for fork, time in neutral.fork_times.items()}
    schedule = {"cancun": _BLOBS, "prague": _BLOBS} | dict.fromkeys(
        (fork for fork in neutral.fork_times if fork.startswith("bpo")), _BLOBS
    )
    contracts = {
        address.removeprefix("0x").lower(): {"balance": "0x0", "nonce": "0x1", "code": code}
        for address, code in _system_contracts().items()
    }
    validators = [Validator(one.account, bytes.fromhex(one.further_keys[VALIDATOR])) for one in neutral.validators]
    contracts[ADDRESS.removeprefix("0x").lower()] = genesis_account(validators)
    balances = alloc_of(neutral.balances)
    return {
        "config": {
            "chainId": neutral.chain_id,
            **{f"{fork}Block": 0 for fork in (*FORKS, "berlin", "london")},
            "terminalTotalDifficulty": 0,
            **{f"{fork}Time": 0 for fork in ("shanghai", "cancun", "prague", "osaka")},
            **times,
            "blobSchedule": schedule,
            "depositContractAddress": "0x" + "00" * 20,
            **fields.pop("config"),
        },
        "timestamp": "0x0",
        "gasLimit": hex(neutral.gas_limit),
        "baseFeePerGas": hex(neutral.base_fee),
        **fields,
        # A balance named for a contract's address would be lost otherwise.
        "alloc": {
            account: {**contracts.get(account, {}), **balances.get(account, {})}
            for account in sorted({*contracts, *balances})
        },
    }


def consensus_genesis(network: Network) -> dict[str, Any]:
    """CometBFT's `genesis.json`: the same on every node of the network."""
    window = RETAINED * network.spec.consensus.period
    return {
        "genesis_time": _BEGINS,
        "chain_id": consensus_chain_id(network.spec.chain_id, network.genesis),
        "initial_height": "1",
        "consensus_params": {
            "block": {"max_bytes": str(LARGEST_BLOCK), "max_gas": "-1"},
            "evidence": {
                "max_age_num_blocks": str(RETAINED),
                "max_age_duration": str(window * 10**9),  # ns
                "max_bytes": "1048576",
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "1"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [
            named_validator(node.identity.further_keys[VALIDATOR]) | {"power": str(CONSENSUS_POWER), "name": node.name}
            for node in network.nodes
            if node.role == "validator"
        ],
        "app_hash": "",
    }


def consensus_chain_id(chain_id: int, genesis: Mapping[str, Any]) -> str:
    """What CometBFT calls the chain, so that its signatures are worth nothing on any other."""
    return f"quorumkit-{chain_id}-{hashlib.sha256(to_json(genesis)).hexdigest()[:16]}"


@cache
def _system_contracts() -> Mapping[str, str]:
    """Their code by address, as go-ethereum has it (params/protocol_params.go)."""
    contracts: Mapping[str, str] = json.loads(files(__package__).joinpath("system_contracts.json").read_text())
    return contracts
