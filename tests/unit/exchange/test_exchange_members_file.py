"""What a node keeps of the members on its disk: read again by the rules, and never more than that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exchange_samples import admission_of, enode_key, genesis_of, nodekey, proven_of, spec_of

from quorumkit.errors import CorruptFileError
from quorumkit.exchange.membership import Lock, Membership
from quorumkit.exchange.protocol import SoleAdmission, sign
from quorumkit.exchange.store import ExchangeStore

NOW = 1_000_000


def lock_of(total: int = 4) -> Lock:
    documents = tuple(proven_of(ordinal, spec=spec_of(total)) for ordinal in range(1, total + 1))
    return Lock(genesis_of(total), documents, ())


def replaced(total: int = 4) -> Membership:
    members = Membership(lock_of(total))
    for by in (1, 2, 3):
        members.admit(admission_of(4, "new", by=by, total=total), source="x")
    members.offer(proven_of(4, "new", spec=spec_of(total)), source="x")
    members.offer(proven_of(6, spec=spec_of(total)), source="x")
    members.admit(admission_of(2, "next", by=1, total=total), source="x")
    return members


def read(folder: Path) -> tuple[Membership, list[str]]:
    members = Membership(lock_of())
    return members, ExchangeStore(folder).read_members(members, latest=NOW)


def rewrite(folder: Path, change: Any) -> None:
    path = ExchangeStore(folder).members_path
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    members = replaced()
    ExchangeStore(tmp_path).write_members(members)
    again, dropped = read(tmp_path)
    assert dropped == []
    assert again.digest == members.digest
    assert again.admissions.retired == members.admissions.retired
    assert again.standing(2, enode_key(2), enode_key("next")).signed == (1,)


def test_without_the_file_the_lock_alone_holds(tmp_path: Path) -> None:
    store = ExchangeStore(tmp_path)
    store.write_members(replaced())
    store.members_path.unlink()
    again, dropped = read(tmp_path)
    assert not again.changed
    assert dropped == []


def test_what_does_not_hold_is_left_out_and_told(tmp_path: Path) -> None:
    ExchangeStore(tmp_path).write_members(replaced())
    rewrite(tmp_path, lambda value: value["steps"][0]["signatures"].pop())
    again, dropped = read(tmp_path)
    assert again.holder(4) == enode_key(4)
    assert 6 in again.current  # the rest counts
    assert any("node4's replacement does not hold and is left out" in line for line in dropped)
    assert any("another identity" in line for line in dropped)


def test_a_signature_that_is_none_is_left_out(tmp_path: Path) -> None:
    ExchangeStore(tmp_path).write_members(replaced())

    def forge(value: Any) -> None:
        value["steps"][0]["signatures"][0]["signature"] = value["steps"][0]["signatures"][1]["signature"]
        value["documents"][4]["signature"] = "00"

    rewrite(tmp_path, forge)
    again, dropped = read(tmp_path)
    assert again.holder(4) == enode_key(4)
    assert 6 not in again.current
    assert len(dropped) >= 3


def former(folder: Path, *, by: object = 1, revision: int = NOW, name: str = "new", ordinal: int = 4) -> None:
    """The file as it was when one member's signature was enough."""
    part = SoleAdmission(ordinal=ordinal, revision=min(revision, NOW), enode_key=enode_key(name), by=enode_key(by))
    part = part.model_copy(update={"revision": revision})
    documents = [proven_of(n, spec=spec_of(4)) for n in (1, 2, 3, 4)]
    documents[ordinal - 1] = proven_of(ordinal, name, spec=spec_of(4))
    value = {
        "format": 1,
        "admissions": [sign(part, nodekey(by)).model_dump()],
        "documents": [proven.signed.model_dump() for proven in documents],
    }
    path = ExchangeStore(folder).members_path
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def test_what_was_taken_by_one_signature_stays_on_the_nodes_own_disk(tmp_path: Path) -> None:
    former(tmp_path)
    members, dropped = read(tmp_path)
    assert dropped == []
    assert members.is_replaced(4)
    assert not members.standing(4, enode_key(4), enode_key("new")).complete
    ExchangeStore(tmp_path).write_members(members)
    again, dropped = read(tmp_path)
    assert dropped == []
    assert again.digest == members.digest
    # Others need the validators' signatures, which can be given afterwards.
    other = Membership(lock_of())
    for by in (1, 2, 3):
        signed = admission_of(4, "new", by=by, total=4)
        assert again.admit(signed, source="x")
    assert again.standing(4, enode_key(4), enode_key("new")).complete
    for signed in again.admissions.signed:
        other.admit(signed, source="x")
    other.offer(proven_of(4, "new", spec=spec_of(4)), source="x")
    assert other.digest == again.digest


@pytest.mark.parametrize(
    "more",
    [{"revision": 2**53}, {"revision": NOW + 1}, {"by": "newcomer"}, {"by": "new"}],
    ids=["beyond all time", "ahead", "of a newcomer", "its own"],
)
def test_what_the_join_secret_alone_had_brought_about_is_undone_at_a_start(tmp_path: Path, more: Any) -> None:
    former(tmp_path, **more)
    members, dropped = read(tmp_path)
    assert not members.is_replaced(4)
    assert members.holder(4) == enode_key(4)
    assert dropped


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"format": 3}', b'{"format": 2}', b"[" * 5000,
                                    b'{"format": 2, "steps": [1], "pending": [], "documents": []}'])  # fmt: skip
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes) -> None:
    store = ExchangeStore(tmp_path)
    store.write_members(replaced())
    store.members_path.write_bytes(damage)
    with pytest.raises(CorruptFileError, match=r"members\.json"):
        read(tmp_path)
