"""QBFT, IBFT and raft: extraData, quorum, and what the spec makes of an engine's defaults."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import identity_number, spec_of

from quorumkit import rlp
from quorumkit.consensus import consensus_of
from quorumkit.errors import SpecError
from quorumkit.spec import ConsensusSpec, parse_spec, spec_to_yaml

ONE = "0x9811ebc35d7b06b3fa8dc5809a1f9c52751e1deb"
TWO = "0x" + "aa" * 20
VANITY = "00" * 32


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        # The examples of the Ethereum wiki's page on RLP.
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        (b"", "80"),
        ([], "c0"),
        (0, "80"),
        (b"\x00", "00"),
        (15, "0f"),
        (1024, "820400"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (
            b"Lorem ipsum dolor sit amet, consectetur adipisicing elit",
            "b8384c6f72656d20697073756d20646f6c6f722073697420616d65742c20636f6e7365637465747572206164697069736963696e6720656c6974",
        ),
    ],
)
def test_rlp_examples(item: rlp.Item, encoded: str) -> None:
    assert rlp.encode(item).hex() == encoded


def test_qbft_extra_data_worked_out_by_hand() -> None:
    """[vanity, [validator], no vote, round 0, no seals]: 33 + 22 + 1 + 1 + 1 bytes, so a long list of 0x3a."""
    fields = consensus_of("qbft").genesis_fields(ConsensusSpec(kind="qbft"), [ONE])
    assert fields["extraData"] == "0x" + "f83a" + "a0" + VANITY + "d594" + ONE[2:] + "c0" + "80" + "c0"
    assert fields["mixHash"] == "0x" + b"ctical byzantine fault tolerance".hex()


def test_ibft_extra_data_worked_out_by_hand() -> None:
    """32 bytes vanity, then [[validators], empty seal, no committed seals]: 43 + 1 + 1 bytes, a short list of 0x2d."""
    fields = consensus_of("ibft").genesis_fields(ConsensusSpec(kind="ibft"), [TWO, ONE])
    assert fields["extraData"] == "0x" + VANITY + "ed" + "ea94" + ONE[2:] + "94" + TWO[2:] + "80" + "c0"


def test_terms_of_the_bft_kinds() -> None:
    spec = ConsensusSpec(kind="ibft", period=3, epoch=100, request_timeout=7)
    assert consensus_of("ibft").genesis_fields(spec, [ONE])["config"] == {
        "ibft": {
            "epochlength": 100, "blockperiodseconds": 3, "requesttimeoutseconds": 7, "policy": 0, "ceil2Nby3Block": 0,
        }
    }  # fmt: skip


def test_a_round_of_qbft_waits_no_longer_than_it_was_told() -> None:
    """GoQuorum doubles the wait with each round, and only QBFT has a bound (eth/ethconfig/config.go)."""
    config = consensus_of("qbft").genesis_fields(ConsensusSpec(kind="qbft", max_request_timeout=9), [ONE])["config"]
    assert config["qbft"]["maxRequestTimeoutSeconds"] == 9


@given(st.integers(1, 300))
def test_two_quorums_share_an_honest_validator(validators: int) -> None:
    for kind in ("qbft", "ibft"):
        consensus = consensus_of(kind)
        quorum, faults = consensus.quorum(validators), consensus.tolerated_faults(validators)
        assert 2 * quorum - validators > faults or validators < 4
        assert validators - faults >= quorum


@pytest.mark.parametrize(("validators", "quorum", "faults"), [(1, 1, 0), (3, 2, 1), (4, 3, 1), (5, 3, 2)])
def test_raft_survives_a_minority(validators: int, quorum: int, faults: int) -> None:
    consensus = consensus_of("raft")
    assert (consensus.quorum(validators), consensus.tolerated_faults(validators)) == (quorum, faults)


def test_bft_knows_a_validator_by_its_nodekey_and_clique_by_its_account() -> None:
    identity = identity_number(7)
    assert consensus_of("clique").validator_address(identity) == identity.account
    assert consensus_of("qbft").validator_address(identity) == identity.node_address != identity.account


def test_goquorum_brings_its_own_defaults() -> None:
    spec = spec_of(engine={"kind": "goquorum"})
    assert (spec.engine.version, spec.consensus.kind) == ("24.4.1", "qbft")
    assert spec.transaction_manager is not None
    assert parse_spec(_load(spec_to_yaml(spec))) == spec


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"consensus": {"kind": "qbft"}}, "consensus.kind"),
        ({"engine": {"kind": "goquorum"}, "consensus": {"kind": "pow"}}, "consensus.kind"),
        ({"transaction_manager": {}}, "transaction_manager"),
        ({"engine": {"kind": "goquorum"}, "transaction_manager": {"kind": "other"}}, "transaction_manager.kind"),
    ],
)
def test_what_an_engine_cannot_do_is_told_by_its_path(fields: dict[str, object], path: str) -> None:
    with pytest.raises(SpecError, match=rf"{path}: "):
        parse_spec({"name": "bank", **fields})


def _load(content: bytes) -> object:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(content)
