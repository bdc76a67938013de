"""The pure parts of the bridge's side of geth."""

from __future__ import annotations

import pytest
from Crypto.Hash import keccak

from quorumkit.engines.bft.bridge.engine_api import ExecutionError, methods_of
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.retention import kept_blocks, retain_height
from quorumkit.engines.bft.bridge.validator_events import UPDATE, ValidatorEvents

CONTRACT = "0x" + "42" * 20
KEY, OTHER = b"\x01" * 32, b"\x02" * 32


def hashed(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def bloom_of(*entries: bytes) -> str:
    bits = 0
    for entry in entries:
        digest = hashed(entry)
        for i in (0, 2, 4):
            bits |= 1 << (int.from_bytes(digest[i : i + 2], "big") & 2047)
    return f"0x{bits:0512x}"


def log(key: bytes, power: int, *, address: str = CONTRACT, event: str = UPDATE) -> dict[str, object]:
    account = "0x" + "00" * 12 + "07" * 20
    topics = ["0x" + hashed(event.encode()).hex(), account, "0x" + key.hex()]
    return {"address": address, "topics": topics, "data": f"0x{power:064x}"}


def test_a_block_without_the_contracts_events_is_known_by_its_bloom() -> None:
    events = ValidatorEvents(CONTRACT)
    contract, topic = bytes.fromhex(CONTRACT[2:]), hashed(UPDATE.encode())
    assert events.may_be_in(bloom_of(contract, topic))
    assert not events.may_be_in(bloom_of(contract))
    assert not events.may_be_in(bloom_of(topic))
    assert not events.may_be_in("0x" + "00" * 256)


def test_changes_are_those_of_the_contract_and_the_last_word_on_a_key_counts() -> None:
    logs = [
        log(KEY, 0),
        log(OTHER, 1),
        log(OTHER, 9, address="0x" + "43" * 20),
        log(OTHER, 9, event="Voted(address,address,bytes32,uint256)"),
        log(KEY, 1, address=CONTRACT.upper().replace("0X", "0x")),
    ]
    assert ValidatorEvents(CONTRACT).changes(logs) == [(OTHER, 1), (KEY, 1)]


def test_a_key_of_another_length_is_no_change() -> None:
    with pytest.raises(ValueError, match="another length"):
        ValidatorEvents(CONTRACT).changes([log(b"\x01", 1)])


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
