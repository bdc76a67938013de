"""Key files in Constellation's format: read, written, locked, and refused with a reason."""

from __future__ import annotations

import json
import stat
from typing import Any

import pytest

from quorumkit.tm.errors import TmKeyError
from quorumkit.tm.keys import (
    decode_private_key,
    encode_private_key,
    generate_key_pair,
    load_key_pair,
    parse_public_key,
    write_key_files,
)

PRIVATE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
PRIVATE_BASE64 = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
LOCKED: dict[str, Any] = {
    "data": {
        "aopts": {"variant": "i", "memory": 64, "iterations": 2, "parallelism": 2},
        "asalt": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "snonce": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        "sbox": "qJwM0H4xKK4IEU4Ll67wVmWQnmSVPa0yXQUptMVQHhiyd4QGvir1dQywlVCF59as",
    },
    "type": "argon2sbox",
}


def locked(**options) -> bytes:
    data = {**LOCKED["data"], "aopts": {**LOCKED["data"]["aopts"], **options}}
    return json.dumps({**LOCKED, "data": data}).encode()


def test_unlocked_key_file():
    content = f'{{"data":{{"bytes":"{PRIVATE_BASE64}"}},"type":"unlocked"}}'.encode()
    assert decode_private_key(content) == PRIVATE
    assert json.loads(encode_private_key(PRIVATE)) == json.loads(content)


def test_locked_key_file():
    assert decode_private_key(locked(), b"correct horse") == PRIVATE


def test_locked_key_file_with_numbers_as_strings_as_tessera_writes_them():
    assert decode_private_key(locked(memory="64", iterations="2", parallelism="2"), b"correct horse") == PRIVATE


def test_the_argon2_version_counts():
    assert decode_private_key(locked(version="1.3"), b"correct horse") == PRIVATE
    with pytest.raises(TmKeyError, match="does not open"):
        decode_private_key(locked(version="1.0"), b"correct horse")


def test_wrong_or_no_password():
    with pytest.raises(TmKeyError, match="does not open with the password"):
        decode_private_key(locked(), b"wrong horse")
    for nothing in (None, b""):
        with pytest.raises(TmKeyError, match="no password was given") as caught:
            decode_private_key(locked(), nothing)
        assert "passwords" in (caught.value.hint or "")


@pytest.mark.parametrize("options", [{"memory": 2**40}, {"iterations": 10**9}, {"parallelism": 0}, {"memory": -1}])
def test_a_key_file_cannot_ask_for_the_whole_machine(options):
    with pytest.raises(TmKeyError, match="can be done"):
        decode_private_key(locked(**options), b"correct horse")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"type":"unlocked"}',
        b'{"type":"unlocked","data":{"bytes":7}}',
        b'{"type":"unlocked","data":{"bytes":"!!"}}',
        b'{"type":"unlocked","data":{"bytes":"AAAA"}}',
        b'{"type":"argon2sbox","data":{}}',
        b'{"type":"gpg","data":{}}',
        locked(variant="x"),
        locked(version="9"),
        locked(memory="much"),
        locked(memory=1),
    ],
)
def test_what_is_no_key_file_is_refused(content):
    with pytest.raises(TmKeyError) as caught:
        decode_private_key(content, b"correct horse")
    assert PRIVATE_BASE64[:20] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "A" * 44, "ü" * 44])
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(TmKeyError, match="not a TM public key"):
        parse_public_key(text)


def test_written_files_are_private_and_load(tmp_path):
    pair = generate_key_pair()
    private_path, public_path = write_key_files(pair, tmp_path)
    assert (private_path.name, public_path.name) == ("tm.key", "tm.pub")
    assert stat.S_IMODE(private_path.stat().st_mode) == 0o600
    assert parse_public_key(public_path.read_text()) == pair.public
    assert load_key_pair(public_path, private_path) == pair


def test_locked_files_load_with_the_password_only(tmp_path):
    pair = generate_key_pair()
    private_path, public_path = write_key_files(pair, tmp_path, name="other", password=b"correct horse")
    assert json.loads(private_path.read_bytes())["type"] == "argon2sbox"
    assert load_key_pair(public_path, private_path, b"correct horse") == pair
    with pytest.raises(TmKeyError, match=r"other\.key"):
        load_key_pair(public_path, private_path)


def test_halves_of_two_pairs_are_refused(tmp_path):
    _, public_path = write_key_files(generate_key_pair(), tmp_path, name="one")
    private_path, _ = write_key_files(generate_key_pair(), tmp_path, name="two")
    with pytest.raises(TmKeyError, match=r"two\.key: not the private key of .*one\.pub"):
        load_key_pair(public_path, private_path)


def test_a_missing_file_is_named(tmp_path):
    private_path, _ = write_key_files(generate_key_pair(), tmp_path)
    with pytest.raises(TmKeyError, match=r"gone\.pub: cannot be read"):
        load_key_pair(tmp_path / "gone.pub", private_path)


def test_every_pair_is_another():
    assert len({generate_key_pair().private for _ in range(20)}) == 20
