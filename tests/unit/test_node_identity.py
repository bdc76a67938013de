"""Keys: made once, kept private, checked at each use. An implementation that is not ours confirms what they are."""

from __future__ import annotations

import json
import os
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
from quorumkit.identity.keystore import checksum_address, opens

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


def another_keystore(node: Path, name: str, secrets: NodeSecrets | None = None) -> NodeSecrets:
    secrets = secrets or generate_secrets()
    (node / "data/keystore" / name).write_text(json.dumps(secrets.keystore))
    return secrets


@pytest.mark.parametrize("name", ["UTC--1970-01-01T00-00-00.000000000Z--other", "UTC--9", "AAA", "zzz"])
def test_the_account_is_found_by_address_whatever_lies_beside_it(node: Path, secrets: NodeSecrets, name: str) -> None:
    another_keystore(node, name)
    check_identity(node, secrets.identity)
    assert load_identity(node) == secrets.identity


def test_the_account_is_found_under_any_name(node: Path, secrets: NodeSecrets) -> None:
    keystore_of(node).rename(node / "data/keystore/sealer.json")
    check_identity(node, secrets.identity)
    assert load_identity(node) == secrets.identity


@pytest.mark.parametrize("name", ["README", ".hidden", "UTC--0", "copy~"])
def test_what_is_no_keystore_is_passed_over(node: Path, secrets: NodeSecrets, name: str) -> None:
    (node / "data/keystore" / name).write_text("not a keystore")
    (node / "data/keystore/folder").mkdir()
    check_identity(node, secrets.identity)
    assert load_identity(node) == secrets.identity


def test_a_keystore_that_is_there_twice_is_told_for_the_client_would_take_neither(
    node: Path, secrets: NodeSecrets
) -> None:
    another_keystore(node, "copy", secrets)
    for read in (lambda: load_identity(node), lambda: check_identity(node, secrets.identity)):
        with pytest.raises(CorruptFileError, match="copy are the same account"):
            read()


def test_keystores_that_the_password_opens_none_of_are_told(node: Path, secrets: NodeSecrets) -> None:
    another_keystore(node, "other")
    (node / "password").write_text("wrong")
    check_identity(node, secrets.identity)  # the client tells that the password is wrong
    with pytest.raises(CorruptFileError, match="password opens none of the keystores"):
        load_identity(node)


@pytest.mark.parametrize("field", ["n", "r", "p"])
@pytest.mark.parametrize("value", [2**62, 2**31, -1, 0, "x", None])
def test_a_keystore_that_would_cost_too_much_is_not_tried(secrets: NodeSecrets, field: str, value: object) -> None:
    keystore = json.loads(json.dumps(secrets.keystore))
    assert opens(keystore, secrets.password)
    keystore["crypto"]["kdfparams"][field] = value
    assert not opens(keystore, secrets.password)


def test_a_file_of_a_staged_node_is_private_and_new(tmp_path: Path, secrets: NodeSecrets) -> None:
    before = os.umask(0)
    try:
        write_secrets(tmp_path / "node1", secrets, staged=True)
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "node1").rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
