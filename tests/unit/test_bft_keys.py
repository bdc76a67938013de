"""CometBFT's two keys of a node: made once, read back from their files, never written over."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import endpoints_number, identity_number, spec_of

from quorumkit.engines.bft.keys import KEYS, NODE_KEY, SIGNED, VALIDATOR_KEY, node_id
from quorumkit.errors import CorruptFileError
from quorumkit.exchange.run import own_identity
from quorumkit.files import to_json
from quorumkit.identity import PublicIdentity, check_identity, generate_secrets, load_identity, write_secrets
from quorumkit.identity.store import NODEKEY
from quorumkit.plan import plan
from quorumkit.record import read_record
from quorumkit.render.node_files import record_of


@pytest.fixture
def identity(tmp_path: Path) -> PublicIdentity:
    secrets = generate_secrets(further=KEYS)
    write_secrets(tmp_path, secrets)
    return secrets.identity


def content_of(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_the_files_are_those_of_cometbft_and_private(tmp_path: Path, identity: PublicIdentity) -> None:
    validator = content_of(tmp_path / VALIDATOR_KEY)
    public = base64.b64decode(validator["pub_key"]["value"])
    assert public.hex() == identity.further_keys["validator"]
    assert validator["address"] == hashlib.sha256(public).hexdigest()[:40].upper()
    assert base64.b64decode(validator["priv_key"]["value"])[32:] == public
    assert content_of(tmp_path / SIGNED) == {"height": "0", "round": 0, "step": 0}
    peer = base64.b64decode(content_of(tmp_path / NODE_KEY)["priv_key"]["value"])[32:]
    assert node_id(identity.further_keys["bft"]) == hashlib.sha256(peer).hexdigest()[:40]
    for path in (NODE_KEY, VALIDATOR_KEY, SIGNED):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / path).parent.stat().st_mode) == 0o700


def test_they_are_read_back_and_no_two_are_alike(tmp_path: Path, identity: PublicIdentity) -> None:
    assert load_identity(tmp_path, KEYS) == identity
    check_identity(tmp_path, identity, KEYS)
    assert len({*identity.further_keys.values(), *generate_secrets(further=KEYS).identity.further_keys.values()}) == 4


def test_another_nodes_key_is_told(tmp_path: Path, identity: PublicIdentity) -> None:
    (tmp_path / VALIDATOR_KEY).write_bytes(KEYS.make().files[VALIDATOR_KEY])
    with pytest.raises(CorruptFileError, match="its key `validator` is not that of this node's record"):
        check_identity(tmp_path, identity, KEYS)


@pytest.mark.parametrize("path", [NODE_KEY, VALIDATOR_KEY])
@pytest.mark.parametrize(
    "value",
    [None, [], {"priv_key": 1}, *({"priv_key": {"value": text}} for text in ("", "x", "AAAA", "A" * 86 + "=="))],
)
def test_what_is_no_key_is_told_with_its_path(tmp_path: Path, identity: PublicIdentity, path: Path, value: Any) -> None:
    (tmp_path / path).write_text(json.dumps(value))
    for read in (lambda: load_identity(tmp_path, KEYS), lambda: check_identity(tmp_path, identity, KEYS)):
        with pytest.raises(CorruptFileError, match=path.name):
            read()


@pytest.mark.parametrize("path", [NODE_KEY, VALIDATOR_KEY, SIGNED])
def test_a_missing_file_is_told_and_not_made_again(tmp_path: Path, identity: PublicIdentity, path: Path) -> None:
    (tmp_path / path).unlink()
    with pytest.raises(CorruptFileError, match=f"{path.name}: .*missing"):
        own_identity(tmp_path, locked=False, further=KEYS)
    assert not (tmp_path / path).exists()


@pytest.mark.parametrize("path", [NODE_KEY, VALIDATOR_KEY, SIGNED])
def test_nothing_is_written_over(tmp_path: Path, path: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text("there")
    with pytest.raises(FileExistsError):
        write_secrets(tmp_path, generate_secrets(further=KEYS))
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [tmp_path / path]


def test_a_first_start_that_was_killed_before_its_last_key_begins_anew(
    tmp_path: Path, identity: PublicIdentity
) -> None:
    (tmp_path / NODEKEY).unlink()
    again = own_identity(tmp_path, locked=False, further=KEYS)
    assert set(again.further_keys.values()).isdisjoint(identity.further_keys.values())
    assert load_identity(tmp_path, KEYS) == again


@pytest.mark.parametrize("leak", [repr, str])
def test_secrets_are_in_no_text(leak: Callable[[object], str]) -> None:
    secrets = generate_secrets(further=KEYS)
    assert "priv_key" not in leak(secrets) + leak(KEYS.make())


def test_a_record_without_them_is_what_it_was(tmp_path: Path) -> None:
    """Versions that do not know them refuse a record that has the field."""
    identities = [identity_number(1), replace(identity_number(2), further_keys={"bft": "02" * 32})]
    network = plan(spec_of(2), identities, [endpoints_number(n) for n in (1, 2)])
    plain, further = (record_of(network, node) for node in network.nodes)
    assert "further_keys" not in plain.model_dump()["node"]["identity"]
    assert "further_keys" not in further.model_dump()["peers"][0]
    for record in (plain, further):
        (tmp_path / "node.json").write_bytes(to_json(record.model_dump()))
        assert read_record(tmp_path) == record
