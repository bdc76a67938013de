"""Keys: made once, kept private, checked at each use. An implementation that is not ours confirms what they are."""

from __future__ import annotations

import json
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eth_account import Account
from eth_keys import keys  # type: ignore[attr-defined]
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.errors import CorruptFileError
from quorumkit.identity import (
    NodeSecrets,
    PublicIdentity,
    check_identity,
    generate_secrets,
    load_identity,
    write_secrets,
)
from quorumkit.identity.keystore import checksum_address

NODEKEY = "data/geth/nodekey"


@pytest.fixture
def secrets() -> NodeSecrets:
    return generate_secrets()


@pytest.fixture
def node(tmp_path: Path, secrets: NodeSecrets) -> Path:
    write_secrets(tmp_path / "node1", secrets)
    return tmp_path / "node1"


def keystore_of(node: Path) -> Path:
    (keystore,) = (node / "data/keystore").iterdir()
    return keystore


def test_a_keystore_opens_with_its_password_and_holds_its_account(secrets: NodeSecrets) -> None:
    key = Account.decrypt(json.dumps(secrets.keystore), secrets.password)
    assert Account.from_key(key).address == secrets.identity.account


def test_a_keystore_does_not_open_with_another_password(secrets: NodeSecrets) -> None:
    with pytest.raises(ValueError, match="MAC mismatch"):
        Account.decrypt(json.dumps(secrets.keystore), secrets.password + "x")


def test_the_enode_key_is_the_public_half_of_the_nodekey(secrets: NodeSecrets) -> None:
    assert secrets.identity.enode_key == keys.PrivateKey(secrets.nodekey).public_key.to_bytes().hex()


def test_the_sealing_account_and_the_nodekey_are_different_keys(secrets: NodeSecrets) -> None:
    assert Account.decrypt(json.dumps(secrets.keystore), secrets.password) != secrets.nodekey


def test_passwords_carry_256_bits(secrets: NodeSecrets) -> None:
    assert len(secrets.password) == 43  # 32 bytes in base64 without padding


def test_keys_made_in_many_threads_all_differ() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: generate_secrets(), range(40)))
    assert len({one.nodekey for one in made}) == len({one.password for one in made}) == 40
    assert len({one.identity.account for one in made}) == 40


def test_no_secret_shows_in_a_representation(secrets: NodeSecrets) -> None:
    text = repr(secrets) + str(secrets) + f"{secrets}"
    for secret in (secrets.password, secrets.nodekey.hex(), repr(secrets.nodekey), secrets.keystore["crypto"]["mac"]):
        assert secret not in text


def test_files_are_only_their_owners(node: Path) -> None:
    paths = [node, *node.rglob("*")]
    assert len([path for path in paths if path.is_file()]) == 3
    for path in paths:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_identities_are_read_back_from_the_keys(node: Path, secrets: NodeSecrets) -> None:
    assert load_identity(node) == secrets.identity
    check_identity(node, secrets.identity)


@pytest.mark.parametrize("kept", [NODEKEY, "password"])
def test_keys_are_never_written_over_old_ones(node: Path, kept: str) -> None:
    for path in [NODEKEY, "password"]:
        if path != kept:
            (node / path).unlink()
    before = {path: path.read_bytes() for path in node.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError):
        write_secrets(node, generate_secrets())
    assert {path: path.read_bytes() for path in node.rglob("*") if path.is_file()} == before


def test_a_lone_keystore_is_not_joined_by_another(node: Path) -> None:
    (node / NODEKEY).unlink()
    (node / "password").unlink()
    with pytest.raises(FileExistsError):
        write_secrets(node, generate_secrets())
    keystore_of(node)


@pytest.mark.parametrize(
    "content", ["", "zz" * 32, "00" * 32, "ff" * 32, "12" * 31, "12" * 33, "\x00" * 64, "old key", "ä"]
)
def test_a_corrupted_nodekey_is_told(node: Path, secrets: NodeSecrets, content: str) -> None:
    (node / NODEKEY).write_text(content)
    for read in (lambda: load_identity(node), lambda: check_identity(node, secrets.identity)):
        with pytest.raises(CorruptFileError, match="nodekey: not a nodekey") as caught:
            read()
        assert "backup" in (caught.value.hint or "")
        assert not content.strip("\x00") or content not in caught.value.message


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "5", '"x"', "{}", '{"address": "12", "crypto": {}}', '{"address": "zz", "crypto": {}}',
     '{"address": null, "crypto": {}}', '{"address": "%s"}' % ("12" * 20), "\x00\xff"],
)  # fmt: skip
def test_a_corrupted_keystore_is_told(node: Path, content: str) -> None:
    keystore_of(node).write_text(content)
    with pytest.raises(CorruptFileError, match="not a keystore") as caught:
        load_identity(node)
    assert str(keystore_of(node)) in caught.value.message


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (NODEKEY, "nodekey is missing"),
        ("password", "password is missing"),
        ("data/keystore", "keystore is missing"),
        ("data", "nodekey is missing"),
    ],
)
def test_a_missing_key_is_told_apart(node: Path, lost: str, message: str) -> None:
    path = node / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(CorruptFileError, match=message):
        load_identity(node)


def test_another_nodes_keys_are_told(node: Path, tmp_path: Path, secrets: NodeSecrets) -> None:
    other = generate_secrets()
    enode_swapped = PublicIdentity(enode_key=other.identity.enode_key, account=secrets.identity.account)
    with pytest.raises(CorruptFileError, match="not the nodekey of this node's enode"):
        check_identity(node, enode_swapped)
    account_swapped = PublicIdentity(enode_key=secrets.identity.enode_key, account=other.identity.account)
    with pytest.raises(CorruptFileError, match=f"not the keystore of {other.identity.account}"):
        check_identity(node, account_swapped)


@pytest.mark.parametrize("key", ["", "12" * 63, "12" * 65, "g" * 128, "AB" * 64, "12" * 64 + "\n"])
def test_an_identity_refuses_what_is_no_enode_key(key: str) -> None:
    with pytest.raises(ValueError, match="not a public key"):
        PublicIdentity(enode_key=key, account="0x" + "11" * 20)


@given(st.binary(min_size=20, max_size=20))
def test_addresses_are_spelt_as_eip_55_wants(address: bytes) -> None:
    from eth_utils.address import to_checksum_address

    assert checksum_address(address.hex()) == to_checksum_address(address)
