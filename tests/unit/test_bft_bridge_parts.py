"""The pure parts of the bridge's side of geth."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorumkit.engines.bft.bridge.engine_api import ExecutionError, methods_of
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.remembered import Committed, Remembered
from quorumkit.engines.bft.bridge.retention import kept_blocks, retain_height
from quorumkit.errors import QuorumkitError


def test_cometbft_keeps_what_geth_can_lose() -> None:
    assert kept_blocks(200) == 1000
    assert kept_blocks(5000) == 5000
    assert retain_height(oldest_kept=0, height=50) == 0
    assert retain_height(oldest_kept=1, height=50) == 0
    assert retain_height(oldest_kept=70, height=2000) == 70


def test_osaka_takes_the_methods_that_its_specification_names() -> None:
    methods = methods_of("osaka")
    assert (methods.forkchoice, methods.new_payload, methods.get_payload) == (
        "engine_forkchoiceUpdatedV3",
        "engine_newPayloadV4",
        "engine_getPayloadV5",
    )
    with pytest.raises(ExecutionError, match="'london'"):
        methods_of("london")


def test_a_head_is_read_from_a_header() -> None:
    header = {"number": "0x5", "hash": "0x01", "timestamp": "0x10", "parentBeaconBlockRoot": "0x07"}
    assert Head.of(header) == Head(number=5, hash="0x01", timestamp=16, height=7)
    # Whatever the first block has there, consensus did not decide it.
    assert Head.of({**header, "number": "0x0", "parentBeaconBlockRoot": None}).height == 0


def test_what_was_committed_is_noted_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "committed.json"
    (tmp_path / ".committed.json.killed.partial").write_text("{")
    remembered = Remembered(path)
    assert not (tmp_path / ".committed.json.killed.partial").exists()
    assert remembered.is_first
    (tmp_path / "blockstore.db").mkdir()
    remembered.commit(7, "0x" + "12" * 32)
    remembered.drop_below(5)
    remembered.drop_below(3)
    remembered.commit(8, "0x" + "34" * 32)
    again = Remembered(path)
    assert not again.is_first
    assert again.last == Committed(8, "0x" + "34" * 32, base=5)


def test_a_store_has_no_blocks_until_its_first_one_is_committed(tmp_path: Path) -> None:
    path, store = tmp_path / "committed.json", tmp_path / "blockstore.db"
    assert Remembered(path).is_empty
    store.mkdir()
    assert not Remembered(path).is_empty, "the file was lost, the store was not"
    Remembered(path).commit(0, "0x" + "12" * 32)
    assert Remembered(path).is_empty, "killed before its first block"
    Remembered(path).commit(600, "0x" + "12" * 32, base=601)
    assert Remembered(path).is_empty, "killed while it took a snapshot"
    Remembered(path).commit(601, "0x" + "34" * 32)
    assert not Remembered(path).is_empty
    store.rmdir()
    assert Remembered(path).is_empty, "the store was removed, the file was not"
    assert Remembered(path).is_first


def test_a_note_that_cannot_be_written_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(QuorumkitError, match="must be noted"):
        Remembered(tmp_path / "data" / "committed.json").commit(1, "0x" + "12" * 32)
