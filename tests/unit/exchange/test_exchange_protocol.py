"""Documents, their canonical text, their signatures: what a second implementation would have to do alike."""

from __future__ import annotations

import json

import coincurve
import pytest
from exchange_samples import commitment_of, document_of, nodekey, proven_of, spec_of
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.exchange.protocol import (
    Admission,
    Commitment,
    PullRequest,
    Signed,
    canonical,
    check,
    digest_of,
    parse,
    prove,
    sign,
)
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.terms import terms_of

TEXT = (
    '{"account":"0x69cc4d4f44ca3f4b19f84b26aaf4ae1bbba9d5dc","chain_id":4242,"enode_key":"KEY","exchange_port":9546,'
    '"format":1,"host":"node1","ordinal":1,"p2p_port":30303,"revision":1,"spec":"SPEC"}'
)


def test_a_documents_text_is_canonical_json() -> None:
    document = document_of(1)
    expected = TEXT.replace("KEY", document.enode_key).replace("SPEC", document.spec)
    expected = expected.replace("0x69cc4d4f44ca3f4b19f84b26aaf4ae1bbba9d5dc", document.account)
    assert sign(document, nodekey(1)).text == expected


def test_the_signature_is_over_sha256_of_kind_and_text() -> None:
    signed = proven_of(1).signed
    key = coincurve.PrivateKey(nodekey(1)).public_key
    assert key.verify(bytes.fromhex(signed.signature), b"quorumkit document 1\n" + signed.text.encode())


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))  # fmt: skip
def test_canonical_text_is_ascii_and_says_the_same(value: object) -> None:
    text = canonical(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


def test_a_right_document_is_proven() -> None:
    proven = proven_of(2)
    assert prove(proven.signed, source="x").document == proven.document


@pytest.mark.parametrize("change", ['"ordinal":2', '"host":"evil.example"', '"chain_id":1'])
def test_a_changed_document_is_not_signed(change: str) -> None:
    signed = proven_of(1).signed
    name = change.partition(":")[0]
    text = json.dumps(json.loads(signed.text) | json.loads("{" + change + "}"), sort_keys=True, separators=(",", ":"))
    assert name in text
    with pytest.raises(Refusal) as refused:
        prove(Signed(text=text, signature=signed.signature), source="node1")
    assert refused.value.code == "signature"


def test_a_document_signed_by_another_key_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        prove(sign(document_of(1), nodekey("mallory")), source="node1")
    assert refused.value.code == "signature"


def test_a_signature_for_one_kind_is_none_for_another() -> None:
    """Had the two kinds the same fields, only the line that names the kind would tell them apart."""
    commitment = commitment_of(1, "a" * 64)
    signed = sign(commitment, nodekey(1))
    assert check(Commitment, signed, source="x") == commitment
    with pytest.raises(Refusal):
        check(Admission, signed, source="x")
    message = b"quorumkit document 1\n" + signed.text.encode()
    forged = Signed(text=signed.text, signature=coincurve.PrivateKey(nodekey(1)).sign(message).hex())
    with pytest.raises(Refusal) as refused:
        check(Commitment, forged, source="x")
    assert refused.value.code == "signature"


def test_an_admission_is_signed_by_the_validator_who_admits() -> None:
    admission = Admission(
        genesis="0" * 64, ordinal=3, old=document_of(3).enode_key, enode_key=document_of(3, "new").enode_key,
        revision=7, by=document_of(1).enode_key,
    )  # fmt: skip
    assert check(Admission, sign(admission, nodekey(1)), source="x") == admission
    with pytest.raises(Refusal) as refused:
        check(Admission, sign(admission, nodekey("new")), source="x")
    assert refused.value.code == "signature"


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    document = document_of(1).model_copy(update={"enode_key": "ff" * 64})
    with pytest.raises(Refusal) as refused:
        prove(sign(document, nodekey(1)), source="node1")
    assert refused.value.code == "signature"


@pytest.mark.parametrize(
    "field", [{"ordinal": 0}, {"ordinal": 2001}, {"p2p_port": 70000}, {"host": "a b"}, {"host": "a/../b"},
              {"host": "x\nWARN forged"}, {"account": "0x12"}, {"revision": 0}, {"more": 1}],
)  # fmt: skip
def test_what_is_no_document_is_refused(field: dict[str, object]) -> None:
    text = canonical(document_of(1).model_dump() | field)
    message = b"quorumkit document 1\n" + text.encode()
    signed = Signed(text=text, signature=coincurve.PrivateKey(nodekey(1)).sign(message).hex())
    with pytest.raises(Refusal) as refused:
        prove(signed, source="node1")
    assert refused.value.code == "format"


@given(st.binary(max_size=300))
def test_no_bytes_are_a_request_by_chance(content: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        parse(PullRequest, content, source="x")
    assert refused.value.code == "format"


def test_terms_are_what_the_genesis_rests_on() -> None:
    """A node's own affairs do not keep it out; anything that changes the chain does."""
    base = digest_of(terms_of(spec_of()))
    assert digest_of(terms_of(spec_of(ports={"rpc": 9000}, engine={"cache": 512}))) == base
    for other in (
        spec_of(4),
        spec_of(consensus={"period": 5}),
        spec_of(genesis={"gas_limit": 9_000_000}),
        spec_of(genesis={"alloc": {"0x" + "1" * 40: 1}}),
        spec_of().model_copy(update={"chain_id": 1}),
        spec_of().model_copy(update={"name": "other"}),
    ):
        assert digest_of(terms_of(other)) != base
