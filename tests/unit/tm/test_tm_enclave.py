"""Sealing and opening, against NaCl's published example and against each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult_base

from quorumkit.tm import enclave as enclave_module
from quorumkit.tm.enclave import Enclave, for_recipient
from quorumkit.tm.errors import BadRequestError, PayloadNotFoundError, UnknownPartyError
from quorumkit.tm.keys import KeyPair, generate_key_pair

# "Cryptography in NaCl" (D. J. Bernstein, 2009), whose example keys are also RFC 7748's.
ALICE = KeyPair(
    bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
    bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
)
BOB = KeyPair(
    bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"),
    bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
)
FIRST_KEY = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
NONCE = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
MESSAGE = bytes.fromhex(
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f4"
    "1db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52"
    "f0a089bc76897040e082f937763848645e0705"
)
BOXED = bytes.fromhex(
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b"
    "4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da"
    "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
)

CAROL = generate_key_pair()


def test_cipher_text_is_nacls_secretbox(monkeypatch):
    draws = iter([FIRST_KEY, NONCE, b"r" * 24])
    monkeypatch.setattr("quorumkit.tm.enclave.os.urandom", lambda _: next(draws))
    assert Enclave([ALICE]).seal(MESSAGE, ALICE.public, [BOB.public]).cipher_text == BOXED


def test_recipient_box_is_nacls_box(monkeypatch):
    draws = iter([MESSAGE[:32], b"n" * 24, NONCE])
    monkeypatch.setattr("quorumkit.tm.enclave.os.urandom", lambda _: next(draws))
    (box,) = Enclave([ALICE]).seal(b"payload", ALICE.public, [BOB.public]).recipient_boxes
    # The box of a message's beginning is the beginning of its box, but for the authenticator in the first 16 bytes.
    assert box[16:] == BOXED[16:48]


def test_every_party_reads_and_nobody_else():
    sealed = Enclave([ALICE]).seal(b"payload", ALICE.public, [BOB.public, CAROL.public])
    for pair in (BOB, CAROL):
        part = for_recipient(sealed, pair.public)
        assert part is not None
        assert part.recipient_keys == (pair.public,)
        assert len(part.recipient_boxes) == 1
        assert part.hash == sealed.hash
        assert Enclave([pair]).open(part) == b"payload"
    with pytest.raises(PayloadNotFoundError):
        Enclave([generate_key_pair()]).open(sealed)
    assert for_recipient(sealed, generate_key_pair().public) is None


def test_a_box_of_another_party_does_not_open():
    sealed = Enclave([ALICE]).seal(b"payload", ALICE.public, [BOB.public, CAROL.public])
    bobs = for_recipient(sealed, BOB.public)
    assert bobs is not None
    with pytest.raises(PayloadNotFoundError):
        Enclave([CAROL]).open(replace(bobs, recipient_keys=(CAROL.public,)))
    with pytest.raises(PayloadNotFoundError):
        Enclave([CAROL]).open(replace(bobs, recipient_keys=()))


def test_the_sender_reads_what_it_sent():
    alice = Enclave([ALICE])
    sealed = alice.seal(b"payload", ALICE.public, [BOB.public])
    assert alice.open(sealed) == b"payload"
    assert alice.addressee(sealed) == BOB.public


def test_a_payload_without_keys_opens_for_its_recipient():
    sealed = Enclave([ALICE]).seal(b"payload", ALICE.public, [BOB.public])
    bare = replace(sealed, recipient_keys=())
    assert Enclave([CAROL, BOB]).open(bare) == b"payload"
    assert Enclave([CAROL, BOB]).addressee(bare) == BOB.public


def test_a_payload_for_the_sender_alone():
    alice = Enclave([ALICE])
    assert alice.open(alice.seal(b"secret", ALICE.public, [ALICE.public])) == b"secret"


def test_the_reader_asked_for_is_the_one_that_reads():
    sealed = Enclave([ALICE]).seal(b"payload", ALICE.public, [BOB.public])
    both = Enclave([CAROL, BOB])
    assert both.open(sealed, BOB.public) == b"payload"
    with pytest.raises(PayloadNotFoundError):
        both.open(sealed, CAROL.public)


def test_another_sender_than_the_boxes_was_made_by_is_found_out():
    sealed = Enclave([ALICE]).seal(b"payload", ALICE.public, [BOB.public])
    with pytest.raises(PayloadNotFoundError):
        Enclave([BOB]).open(replace(sealed, sender=CAROL.public))


@pytest.mark.parametrize("part", ["cipher_text", "nonce", "recipient_nonce", "sender"])
def test_a_changed_bit_is_found_out(part):
    sealed = Enclave([ALICE]).seal(b"payload", ALICE.public, [BOB.public])
    changed = bytearray(getattr(sealed, part))
    changed[0] ^= 1
    changes: dict[str, Any] = {part: bytes(changed)}
    with pytest.raises(PayloadNotFoundError):
        Enclave([BOB]).open(replace(sealed, **changes))


def test_readdressing_keeps_the_hash_and_the_payload():
    alice = Enclave([ALICE])
    stored = alice.seal(b"payload", ALICE.public, [ALICE.public])
    sent = alice.readdress(stored, [BOB.public])
    assert sent.hash == stored.hash
    assert Enclave([BOB]).open(sent) == b"payload"


def test_only_the_nodes_own_keys_send():
    with pytest.raises(BadRequestError, match="not a key of this transaction manager"):
        Enclave([ALICE]).seal(b"payload", BOB.public, [CAROL.public])


def test_a_point_of_low_order_is_no_party():
    with pytest.raises(UnknownPartyError, match="cannot be a TM public key"):
        Enclave([ALICE]).seal(b"payload", ALICE.public, [bytes(32)])


def test_a_payload_from_a_point_of_low_order_is_not_for_this_node():
    sealed = Enclave([ALICE]).seal(b"payload", ALICE.public, [BOB.public])
    with pytest.raises(PayloadNotFoundError):
        Enclave([BOB]).open(replace(sealed, sender=bytes(32)))


def test_the_cache_of_shared_keys_is_bounded(monkeypatch):
    monkeypatch.setattr(enclave_module, "_MAX_SHARED_KEYS", 3)
    alice = Enclave([ALICE])
    for _ in range(10):
        alice.seal(b"", ALICE.public, [generate_key_pair().public])
    assert len(alice._shared) <= 3


def test_private_keys_do_not_show():
    pair = generate_key_pair()
    assert pair.private.hex() not in repr(pair)
    assert repr(pair.private)[2:-1] not in repr(pair)


@settings(max_examples=30)
@given(st.binary(max_size=5000), st.integers(1, 4))
def test_what_is_sealed_opens(payload, parties):
    pairs = [generate_key_pair() for _ in range(parties)]
    sealed = Enclave([ALICE]).seal(payload, ALICE.public, [pair.public for pair in pairs])
    assert len(sealed.cipher_text) == len(payload) + 16
    for pair in pairs:
        assert Enclave([pair]).open(sealed) == payload


def test_the_example_keys_belong_together():
    for pair in (ALICE, BOB):
        assert crypto_scalarmult_base(pair.private) == pair.public
