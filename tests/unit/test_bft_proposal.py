"""What proposals carry, and what is refused of others' ones."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.engines.bft.bridge import proposal
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.payload import BEACON_ROOT, Payload, beacon_root, prev_randao
from quorumkit.engines.bft.bridge.proposal import Times, decode, encode, objection, read

HEAD = Head(number=6, hash="0x" + "aa" * 32, timestamp=1_000, height=8)
HEIGHT = 9
TIMES = Times(earliest=1_000, latest=1_010)


def payload(**changes: Any) -> Payload:
    fields: dict[str, Any] = {
        "parentHash": HEAD.hash,
        "feeRecipient": "0x" + "01" * 20,
        "stateRoot": "0x" + "02" * 32,
        "receiptsRoot": "0x" + "03" * 32,
        "logsBloom": "0x" + "00" * 256,
        "prevRandao": prev_randao(HEAD.hash, HEIGHT),
        "blockNumber": "0x7",
        "gasLimit": hex(10**9),
        "gasUsed": "0x5208",
        "timestamp": hex(1_001),
        "extraData": "0xd883",
        "baseFeePerGas": "0x0",
        "blockHash": "0x" + "04" * 32,
        "transactions": ["0x02f8", "0xf86c01"],
        "withdrawals": [],
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        BEACON_ROOT: beacon_root(HEIGHT),
    }
    return Payload(fields=fields | changes, requests=("0x01aabb",), mark=1001.25)


def objected(**changes: Any) -> str | None:
    return objection(decode(encode(payload(**changes))), head=HEAD, height=HEIGHT, times=TIMES)


def test_a_payload_comes_back_as_it_was() -> None:
    assert decode(encode(payload())) == payload()


def test_transactions_and_requests_stay_apart() -> None:
    one = dataclasses.replace(payload(transactions=[]), requests=("0x01",))
    other = dataclasses.replace(payload(transactions=["0x01"]), requests=())
    assert encode(one) != encode(other)
    assert (decode(encode(one)), decode(encode(other))) == (one, other)


@given(
    numbers=st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3),
    base_fee=st.integers(0, 2**256 - 1),
    extra=st.binary(max_size=32),
    transactions=st.lists(st.binary(max_size=40), max_size=5),
    requests=st.lists(st.binary(max_size=40), max_size=3),
    microseconds=st.integers(0, 2**53),
)
def test_every_payload_has_one_form(
    numbers: list[int], base_fee: int, extra: bytes, transactions: list[bytes], requests: list[bytes], microseconds: int
) -> None:
    changes = {
        "gasLimit": hex(numbers[0]),
        "gasUsed": hex(numbers[1]),
        "timestamp": hex(numbers[2]),
        "baseFeePerGas": hex(base_fee),
        "extraData": "0x" + extra.hex(),
        "transactions": ["0x" + each.hex() for each in transactions],
    }
    sent = Payload(
        fields=payload(**changes).fields,
        requests=tuple("0x" + each.hex() for each in requests),
        mark=microseconds / 1e6,
    )
    assert decode(encode(sent)) == sent


@given(st.binary(max_size=700))
def test_rubbish_is_no_payload_and_nothing_else_goes_wrong(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)


@given(at=st.integers(0, len(encode(payload())) - 1), value=st.integers(0, 255))
def test_whatever_is_read_is_written_the_same_way(at: int, value: int) -> None:
    changed = bytearray(encode(payload()))
    changed[at] = value
    try:
        found = decode(bytes(changed))
    except ValueError:
        return
    assert encode(found) == changed


@given(st.integers(0, len(encode(payload())) - 1))
def test_a_part_of_a_payload_is_none(length: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(encode(payload())[:length])


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="1 bytes too many"):
        decode(encode(payload()) + b"\x00")


def test_too_large_a_payload_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="bytes"):
        decode(b"\x01" + b"\x00" * proposal.LARGEST)


def test_numbers_of_entries_that_cannot_be_are_refused_at_once() -> None:
    data = encode(dataclasses.replace(payload(transactions=[]), requests=()))
    with pytest.raises(ValueError, match="too early"):
        decode(data[:-4] + struct.pack(">I", 0xFFFFFFFF))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"withdrawals": [{"index": "0x0"}]}, "withdrawals"),
        ({"blobGasUsed": "0x20000"}, "blobGasUsed"),
        ({"blockAccessList": "0x"}, "blockAccessList"),
        ({"extraData": "0x" + "00" * 33}, "extraData"),
        ({"stateRoot": "0x00"}, "stateRoot"),
        ({"stateRoot": "02" * 32}, "hexadecimal"),
    ],
)
def test_what_no_block_may_have_has_no_form(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        encode(payload(**changes))


def test_a_right_proposal_has_no_objection() -> None:
    assert objected() is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parentHash": "0x" + "bb" * 32}, "not our head"),
        ({"blockNumber": "0x8"}, "number 8"),
        ({BEACON_ROOT: beacon_root(HEIGHT + 1)}, "height mark"),
        ({"prevRandao": prev_randao(HEAD.hash, HEIGHT - 1)}, "prevRandao"),
        ({"timestamp": hex(1_000)}, "not after its parent"),
        ({"timestamp": hex(1_011)}, "1 s too late"),
        ({"timestamp": hex(2**64 - 1)}, "too late"),
        ({"transactions": ["0x02f8", "0x03f8"]}, "blob"),
    ],
)
def test_what_a_hostile_proposer_sends_is_objected_to(changes: dict[str, Any], said: str) -> None:
    found = objected(**changes)
    assert found is not None
    assert said in found


def test_a_time_before_the_earliest_is_objected_to() -> None:
    times = Times(earliest=1_005, latest=1_010)
    found = objection(payload(), head=HEAD, height=HEIGHT, times=times)
    assert found == "its time is 4 s too early"


def test_a_block_has_one_payload_or_none_where_that_may_be() -> None:
    data = encode(payload())
    assert read([data], may_be_none=False) == payload()
    assert read([], may_be_none=True) is None
    with pytest.raises(ValueError, match="0 payloads"):
        read([], may_be_none=False)
    with pytest.raises(ValueError, match="2 payloads"):
        read([data, data], may_be_none=True)


def test_where_gas_is_free_no_block_may_give_it_a_price() -> None:
    """One that is more than half full has the next one ask for a base fee."""
    full = payload(gasUsed=hex(10**9 // 2 + 1))
    assert objection(full, head=HEAD, height=HEIGHT, times=TIMES) is None
    found = objection(full, head=HEAD, height=HEIGHT, times=TIMES, free_gas=True)
    assert found is not None
    assert "a price" in found
    half = payload(gasUsed=hex(10**9 // 2))
    assert objection(half, head=HEAD, height=HEIGHT, times=TIMES, free_gas=True) is None
