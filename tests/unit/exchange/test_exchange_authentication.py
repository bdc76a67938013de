"""The join secret at work: nobody without it gets in, nothing is sent twice, and each reason has its name."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.errors import UsageError
from quorumkit.exchange import authentication
from quorumkit.exchange.authentication import (
    CLOCK_TOLERANCE,
    JoinKeys,
    Nonces,
    Ticket,
    check_ticket,
    hkdf_sha256,
    open_answer,
    open_request,
    read_join_secret,
    seal_answer,
    seal_request,
)
from quorumkit.exchange.refusal import Refusal

KEYS = JoinKeys.derive(b"correct horse battery staple")
OTHER = JoinKeys.derive(b"correct horse battery stapler")
PATH = "/v1/pull"


def judge(
    header: str, *, keys: JoinKeys = KEYS, now: float = 1000.0, nonces: Nonces | None = None, path: str = PATH
) -> Ticket:
    return check_ticket(keys, "POST", path, header, now=now, nonces=nonces or Nonces(), source="10.0.0.9")


@pytest.mark.parametrize(
    ("secret", "salt", "info", "length", "expected"),
    [
        # RFC 5869, appendices A.1, A.2 (shortened inputs spelled out) and A.3
        ("0b" * 22, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9", 42,
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
        (bytes(range(0x00, 0x50)).hex(), bytes(range(0x60, 0xB0)).hex(), bytes(range(0xB0, 0x100)).hex(), 82,
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f0"
         "9b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
        ("0b" * 22, "", "", 42, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
    ],
)  # fmt: skip
def test_hkdf_gives_the_rfcs_vectors(secret: str, salt: str, info: str, length: int, expected: str) -> None:
    derived = hkdf_sha256(bytes.fromhex(secret), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=length)
    assert derived.hex() == expected


@given(st.binary(max_size=5000))
def test_a_request_and_its_answer_arrive(content: bytes) -> None:
    header, body, nonce = seal_request(KEYS, "POST", PATH, content, now=1000.0)
    ticket = judge(header)
    assert open_request(KEYS, "POST", PATH, ticket, body, source="x") == content
    proof, sealed = seal_answer(KEYS, 200, ticket.nonce, content[::-1])
    assert open_answer(KEYS, 200, nonce, proof, sealed, source="x") == content[::-1]


def test_an_outsider_can_read_nothing() -> None:
    header, body, nonce = seal_request(KEYS, "POST", PATH, b"account 0x1234", now=1000.0)
    _, answer = seal_answer(KEYS, 200, nonce, b"account 0x1234")
    for seen in (header.encode(), body, answer):
        assert b"account" not in seen
        assert b"battery" not in seen


def refused(header: str, **more: object) -> str:
    with pytest.raises(Refusal) as refusal:
        judge(header, **more)  # type: ignore[arg-type]
    assert "10.0.0.9" in refusal.value.message
    assert refusal.value.hint
    return refusal.value.code


def test_each_wrong_request_is_told_apart() -> None:
    header, _, _ = seal_request(KEYS, "POST", PATH, b"x", now=1000.0)
    assert refused("") == "rubbish"
    assert refused("Bearer 123") == "rubbish"
    assert refused(header, keys=OTHER) == "wrong_secret"
    assert refused(header, path="/v1/other") == "tampered"
    assert refused(header.replace("time=1000000", "time=1000001")) == "tampered"
    assert refused(header, now=1000.0 + CLOCK_TOLERANCE + 1) == "clock"
    assert refused(header, now=1000.0 - CLOCK_TOLERANCE - 1) == "clock"


def test_a_replayed_request_is_refused_for_as_long_as_it_would_be_fresh() -> None:
    nonces = Nonces()
    header, _, _ = seal_request(KEYS, "POST", PATH, b"x", now=1000.0 + CLOCK_TOLERANCE)  # made by a clock that is ahead
    judge(header, now=1000.0, nonces=nonces)
    for later in (0.0, CLOCK_TOLERANCE, 2 * CLOCK_TOLERANCE - 0.001):
        assert refused(header, now=1000.0 + later, nonces=nonces) == "replay"
    assert refused(header, now=1000.0 + 2 * CLOCK_TOLERANCE + 1, nonces=nonces) == "clock"


def test_nonces_are_forgotten_when_they_cannot_come_again() -> None:
    nonces = Nonces()
    for second in range(0, 1000, 10):
        nonces.take(f"{second:032x}", float(second), "x")
    assert len(nonces._seen) <= 2 * CLOCK_TOLERANCE / 10 + 1


@given(st.data())
def test_no_changed_byte_is_let_through(data: st.DataObject) -> None:
    header, body, nonce = seal_request(KEYS, "POST", PATH, b"the content", now=1000.0)
    position = data.draw(st.integers(0, len(body) - 1))
    changed = bytes([*body[:position], body[position] ^ data.draw(st.integers(1, 255)), *body[position + 1 :]])
    with pytest.raises(Refusal) as refusal:
        open_request(KEYS, "POST", PATH, judge(header), changed, source="x")
    assert refusal.value.code == "tampered"
    proof, answer = seal_answer(KEYS, 200, nonce, b"the content")
    at = data.draw(st.integers(0, len(answer) - 1))
    answer = bytes([*answer[:at], answer[at] ^ 1, *answer[at + 1 :]])
    with pytest.raises(Refusal):
        open_answer(KEYS, 200, nonce, proof, answer, source="x")


def test_an_answer_belongs_to_one_request_and_status() -> None:
    proof, answer = seal_answer(KEYS, 200, "a" * 32, b"yes")
    for status, nonce, header in ((409, "a" * 32, proof), (200, "b" * 32, proof), (200, "a" * 32, None)):
        with pytest.raises(Refusal):
            open_answer(KEYS, status, nonce, header, answer, source="x")


def test_a_request_is_no_answer() -> None:
    """Sent back to its sender, a request must not look like an answer to it."""
    header, body, nonce = seal_request(KEYS, "POST", PATH, b"x", now=1000.0)
    with pytest.raises(Refusal):
        open_answer(KEYS, 200, nonce, header.rpartition("mac=")[2], body, source="x")


def test_the_secret_is_read_from_a_file_and_must_be_long(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    with pytest.raises(UsageError, match="No such file"):
        read_join_secret(file)
    file.write_text("short\n")
    with pytest.raises(UsageError, match="shorter than 20"):
        read_join_secret(file)
    file.write_text("correct horse battery staple\n")
    assert read_join_secret(file) == KEYS


def test_keys_stay_out_of_repr() -> None:
    assert KEYS.request_mac.hex() not in repr(KEYS)
    assert repr(KEYS.request_box) not in repr(KEYS)


@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o440, False), (0o444, True), (0o644, True),
                                               (0o602, True), (0o640, False)])  # fmt: skip
def test_a_secret_that_everybody_on_the_machine_can_read_is_refused(tmp_path: Path, mode: int, refused: bool) -> None:
    """Where everybody can get at it at all: in a directory that is open to its owner only, the mode does not matter."""
    path = tmp_path / "join-secret"
    path.write_text("a join secret of some length")
    path.chmod(mode)
    read_join_secret(path)
    opened = []
    try:
        for folder in (tmp_path, *tmp_path.parents):
            if not folder.stat().st_mode & 0o001:
                opened.append((folder, folder.stat().st_mode))
                folder.chmod(folder.stat().st_mode | 0o001)
        if refused:
            with pytest.raises(UsageError, match="every user of this machine") as failure:
                read_join_secret(path)
            assert "chmod 600" in (failure.value.hint or "")
        else:
            read_join_secret(path)
    finally:
        for folder, before in opened:
            folder.chmod(before & 0o7777)


def test_a_secret_of_a_mount_that_is_read_only_is_not_judged_by_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "join-secret"
    path.write_text("a join secret of some length")
    path.chmod(0o444)
    monkeypatch.setattr(authentication, "_reachable_by_all", lambda file: True)
    with pytest.raises(UsageError):
        read_join_secret(path)
    monkeypatch.setattr(
        "quorumkit.exchange.authentication.os.statvfs", lambda file: SimpleNamespace(f_flag=os.ST_RDONLY)
    )
    read_join_secret(path)


@pytest.mark.parametrize("header", ["\udcff", "\xff", "\u0663" * 64, "A" * 64, "0" * 63, "", "0" * 64 + "\n"])
def test_a_proof_of_any_letters_is_none(header: str) -> None:
    with pytest.raises(Refusal) as refused:
        open_answer(KEYS, 200, "0" * 32, header, b"", source="x")
    assert refused.value.code == "tampered"
