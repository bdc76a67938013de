"""Keys of further clients in documents: bounded, alike on all nodes, and nobody's but one's."""

from __future__ import annotations

from typing import Any

import pytest
from exchange_samples import CHAIN_ID, document_of, genesis_of, nodekey, proven_of, spec_of
from exchange_samples import derive as derived
from pydantic import ValidationError

from quorumkit.exchange.agreement import Agreement
from quorumkit.exchange.membership import Lock, Membership
from quorumkit.exchange.protocol import Proven, digest_of, sign
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.terms import terms_of


def keys_of(name: int) -> dict[str, str]:
    return {"bft": f"{name:02x}" * 32, "validator": f"{name + 100:02x}" * 32}


def proven(ordinal: int, name: object = None, **more: Any) -> Proven:
    return proven_of(ordinal, name, **{"further_keys": keys_of(ordinal), **more})


def agreement(ordinal: int = 1, **more: Any) -> Agreement:
    terms = terms_of(spec_of(3))
    return Agreement(proven(ordinal), total=3, terms=terms, spec=digest_of(terms), derive=derived, **more)


def code_of(taker: Agreement | Membership, offered: Proven) -> str:
    with pytest.raises(Refusal) as refused:
        taker.offer(offered, source="x")
    return refused.value.code


def test_a_document_without_them_is_what_it_was() -> None:
    assert "further_keys" not in sign(document_of(1), nodekey(1)).text
    assert document_of(1).identity.further_keys == {}


def test_they_are_part_of_the_identity_and_signed() -> None:
    document = proven(1).document
    assert document.identity.further_keys == keys_of(1)
    assert '"further_keys":{"bft":"0101' in sign(document, nodekey(1)).text
    assert not document.same_identity(proven(1, further_keys=keys_of(2)).document)
    assert hash(document.identity) == hash(proven(1, further_keys=keys_of(2)).document.identity)


@pytest.mark.parametrize(
    "keys",
    [{}, {"bft": ""}, {"bft": "0" * 65}, {"bft": "00" * 65}, {"bft": "AA" * 32}, {"bft": "00" * 32 + "\n"},
     {"B": "00" * 32}, {f"key{n}": "00" * 32 for n in range(5)}],
)  # fmt: skip
def test_what_no_key_can_be_is_no_document(keys: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        document_of(1, further_keys=keys)


def test_the_longest_document_is_not_too_long_to_be_signed() -> None:
    keys = {f"{n}".rjust(20, "a")[:20].replace("0", "a"): "00" * 64 for n in range(4)}
    longest = document_of(
        1, host="h" * 253, further_keys=keys, chain_id=CHAIN_ID, tm_key="B" * 42 + "A=",
        tm_url="http://" + "h" * 253 + ":9001/", further_ports={f"{'p' * 19}{'abcdefgh'[n]}": 65535 for n in range(8)},
    )  # fmt: skip
    assert len(sign(longest, nodekey(1)).text) <= 2000


@pytest.mark.parametrize(
    "keys", [None, {"bft": "02" * 32}, {**keys_of(2), "more": "03" * 32}, {**keys_of(2), "validator": "04" * 33}]
)
def test_who_does_not_have_what_all_have_is_refused(keys: dict[str, str] | None) -> None:
    members = Membership(Lock(genesis_of(), tuple(proven(n) for n in (1, 2, 3)), ()))
    assert code_of(agreement(), proven(2, further_keys=keys)) == "spec"
    assert code_of(members, proven(4, further_keys=keys)) == "spec"


@pytest.mark.parametrize(
    "stolen",
    [{"further_keys": {**keys_of(2), "validator": keys_of(1)["validator"]}},
     {"further_keys": {**keys_of(2), "validator": keys_of(1)["bft"]}},
     {"account": document_of(1).account.upper().replace("X", "x")}],
)  # fmt: skip
def test_before_the_lock_no_two_have_one_key(stolen: dict[str, Any]) -> None:
    """A genesis with one validator's key twice is one that no client starts from."""
    one, three = agreement(1), agreement(3)
    assert code_of(one, proven(2, "thief", **stolen)) == "shared_key"
    three.offer(proven(2, "thief", **stolen), source="x")
    assert code_of(three, proven(1)) == "shared_key"
    assert three.missing(three.ordinals) == [1]
    # Once the right node answers at its name, all goes on.
    assert code_of(three, proven(2)) == "ordinal_taken"
    three.resolve(2, proven(2))
    three.offer(proven(1), source="x")
    assert three.stage == "reports"


def test_a_thief_that_answers_at_its_own_name_takes_nothing() -> None:
    one = agreement(1)
    one.offer(proven(2), source="x")
    thief = proven(2, "thief", further_keys={**keys_of(2), "bft": keys_of(1)["bft"]})
    assert code_of(one, thief) == "ordinal_taken"
    one.resolve(2, thief)
    assert one.gathered.documents[2] == proven(2)


def test_after_the_lock_nobody_takes_anothers() -> None:
    members = Membership(Lock(genesis_of(), tuple(proven(n) for n in (1, 2, 3)), ()))
    stolen = {**keys_of(4), "validator": keys_of(2)["validator"]}
    assert code_of(members, proven(4, further_keys=stolen)) == "identity_changed"
    assert members.takes_anothers(proven(4, further_keys=stolen).document)
    assert members.offer(proven(4), source="x")


def test_who_joins_takes_what_is_locked_as_it_is() -> None:
    """Networks were locked before this was looked at."""
    late = Agreement(
        proven(4), total=3, terms=terms_of(spec_of(3)), spec=digest_of(terms_of(spec_of(3))), derive=derived
    )
    late.offer(proven(1), source="x")
    late.offer(proven(2, account=document_of(1).account), source="x")
    assert late.missing(late.ordinals) == [3]
