"""Who can prove to hold a TM key, and to whom."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.tm.enclave import Enclave
from quorumkit.tm.keys import KeyPair, generate_key_pair
from quorumkit.tm.proof import CHALLENGE_LIFE, SCHEME, Challenges, prove

BODY = b'{"type":"ALL"}'


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def asker() -> KeyPair:
    return generate_key_pair()


@pytest.fixture
def asked() -> KeyPair:
    return generate_key_pair()


def proof_of(holder: KeyPair, asked: KeyPair, challenge: str, body: bytes = BODY) -> str:
    made = prove(Enclave([holder]), holder.public, {asked.public}, body, challenge)
    assert made is not None
    return made


def changed(header: str, at: int) -> str:
    scheme, value = header.split()
    content = bytearray(base64.b64decode(value))
    content[at] ^= 1
    return f"{scheme} {base64.b64encode(content).decode()}"


def test_the_holder_proves_it_once(asker: KeyPair, asked: KeyPair) -> None:
    challenges = Challenges(Enclave([asked]))
    proof = proof_of(asker, asked, challenges.header())
    assert challenges.answered_by(asker.public, BODY, proof)
    assert not challenges.answered_by(asker.public, BODY, proof)


def test_a_manager_with_several_keys_is_known_by_any(asker: KeyPair, asked: KeyPair) -> None:
    challenges = Challenges(Enclave([generate_key_pair(), asked]))
    assert challenges.answered_by(asker.public, BODY, proof_of(asker, asked, challenges.header()))


def test_nobody_else_proves_it(asker: KeyPair, asked: KeyPair) -> None:
    challenges = Challenges(Enclave([asked]))
    other = generate_key_pair()
    assert not challenges.answered_by(asker.public, BODY, proof_of(other, asked, challenges.header()))
    # Nor the manager that is asked, about itself, with what it can make of its own key and the public one.
    assert not challenges.answered_by(asker.public, BODY, proof_of(asked, asked, challenges.header()))


def test_a_proof_is_for_one_manager(asker: KeyPair, asked: KeyPair) -> None:
    """A member that is asked cannot hand another one's challenge on and use the answer there."""
    challenges = Challenges(Enclave([asked]))
    member = generate_key_pair()
    assert not challenges.answered_by(
        asker.public, BODY, proof_of(asker, member, _renamed(challenges.header(), member))
    )


def _renamed(header: str, member: KeyPair) -> str:
    scheme, value = header.split()
    content = base64.b64decode(value)
    return f"{scheme} {base64.b64encode(content[:-32] + member.public).decode()}"


def test_a_proof_does_not_serve_the_other_way(asker: KeyPair, asked: KeyPair) -> None:
    """The secret is the same for both: what one proves to the other must not prove the other to the one."""
    theirs, ours = Challenges(Enclave([asked])), Challenges(Enclave([asker]))
    proof = proof_of(asker, asked, theirs.header())
    value = base64.b64decode(proof.split()[1])
    turned = f"{SCHEME} {base64.b64encode(asker.public + value[32:]).decode()}"
    assert not ours.answered_by(asked.public, BODY, turned)
    assert not theirs.answered_by(asked.public, BODY, proof)


def test_a_proof_is_for_one_request(asker: KeyPair, asked: KeyPair) -> None:
    challenges = Challenges(Enclave([asked]))
    proof = proof_of(asker, asked, challenges.header())
    assert not challenges.answered_by(asker.public, BODY + b" ", proof)


def test_every_byte_of_a_proof_counts(asker: KeyPair, asked: KeyPair) -> None:
    challenges = Challenges(Enclave([asked]))
    proof = proof_of(asker, asked, challenges.header())
    for at in range(len(base64.b64decode(proof.split()[1]))):
        assert not challenges.answered_by(asker.public, BODY, changed(proof, at))
    assert challenges.answered_by(asker.public, BODY, proof)


def test_a_challenge_ends(asker: KeyPair, asked: KeyPair) -> None:
    clock = Clock()
    challenges = Challenges(Enclave([asked]), clock=clock)
    early, late = (proof_of(asker, asked, challenges.header()) for _ in range(2))
    clock.now += CHALLENGE_LIFE - 0.1
    assert challenges.answered_by(asker.public, BODY, early)
    clock.now += 0.2
    assert not challenges.answered_by(asker.public, BODY, late)
    assert not challenges.answered_by(asker.public, BODY, early)


def test_another_managers_challenge_is_none(asker: KeyPair, asked: KeyPair) -> None:
    proof = proof_of(asker, asked, Challenges(Enclave([asked])).header())
    assert not Challenges(Enclave([asked])).answered_by(asker.public, BODY, proof)


def test_nothing_is_proved_to_a_peer_whose_key_is_not_known(asker: KeyPair, asked: KeyPair) -> None:
    header = Challenges(Enclave([asked])).header()
    assert prove(Enclave([asker]), asker.public, {generate_key_pair().public}, BODY, header) is None
    assert prove(Enclave([asker]), asker.public, set(), BODY, header) is None


def test_a_key_of_low_order_proves_nothing(asked: KeyPair) -> None:
    """Its secret with any other key is known to everybody."""
    challenges = Challenges(Enclave([asked]))
    proof = proof_of(generate_key_pair(), asked, challenges.header())
    assert not challenges.answered_by(bytes(32), BODY, proof)


@given(st.text(max_size=200) | st.binary(max_size=300).map(lambda raw: f"{SCHEME} {base64.b64encode(raw).decode()}"))
def test_whatever_a_header_says_it_is_judged(header: str) -> None:
    pair = generate_key_pair()
    assert not Challenges(Enclave([pair])).answered_by(pair.public, BODY, header)
    prove(Enclave([pair]), pair.public, {pair.public}, BODY, header)
