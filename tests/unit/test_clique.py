"""Clique's genesis fields and quorum, against EIP-225 and vectors made by hand from it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.consensus import consensus_of
from quorumkit.spec import ConsensusSpec

CLIQUE = consensus_of("clique")


def extra_data(*validators: str) -> str:
    return str(CLIQUE.genesis_fields(ConsensusSpec(kind="clique"), validators)["extraData"])


def test_one_signer_stands_between_vanity_and_seal() -> None:
    # 32 zero bytes, the address, 65 zero bytes.
    assert extra_data("0x7df9a875a174b3bc565e6424a0050ebc1b2d1d82") == (
        "0x"
        "0000000000000000000000000000000000000000000000000000000000000000"
        "7df9a875a174b3bc565e6424a0050ebc1b2d1d82"
        "0000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000000"
        "00"
    )


def test_signers_stand_in_ascending_order_whatever_their_spelling_and_ordinals() -> None:
    given_order = (
        "0xF41C74C9AE680C1AA78F42E5647A62F353B7BDDE",
        "0x0000000000000000000000000000000000000001",
        "0x7dF9a875a174b3bc565e6424a0050ebc1b2d1d82",
    )
    assert extra_data(*given_order) == (
        "0x" + "00" * 32 + "0000000000000000000000000000000000000001"
        "7df9a875a174b3bc565e6424a0050ebc1b2d1d82"
        "f41c74c9ae680c1aa78f42e5647a62f353b7bdde" + "00" * 65
    )


@given(st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=50, unique=True), st.randoms())
def test_the_order_of_validators_does_not_matter(accounts: list[bytes], random: Random) -> None:
    addresses = ["0x" + account.hex() for account in accounts]
    shuffled = list(addresses)
    random.shuffle(shuffled)
    extra = bytes.fromhex(extra_data(*addresses).removeprefix("0x"))
    assert extra_data(*shuffled) == "0x" + extra.hex()
    assert len(extra) == 32 + 20 * len(accounts) + 65
    signers = [extra[i : i + 20] for i in range(32, len(extra) - 65, 20)]
    assert signers == sorted(accounts)
    assert not any(extra[:32]) and not any(extra[-65:])


def test_period_and_epoch_come_from_the_spec() -> None:
    fields = CLIQUE.genesis_fields(ConsensusSpec(kind="clique", period=7, epoch=99), ["0x" + "11" * 20])
    assert fields["config"] == {"clique": {"period": 7, "epoch": 99}}


@pytest.mark.parametrize(
    ("validators", "quorum", "faults"), [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 3, 1), (5, 3, 2), (6, 4, 2), (7, 4, 3)]
)
def test_more_than_half_must_be_up(validators: int, quorum: int, faults: int) -> None:
    assert CLIQUE.quorum(validators) == quorum
    assert CLIQUE.tolerated_faults(validators) == faults
