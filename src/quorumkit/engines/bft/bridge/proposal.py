"""What a block proposal carries: its form, and what is wrong with one that others sent. Pure.

A proposal's bytes come from a validator that may be hostile. Each payload has exactly one form, and what no block of
this network may have (withdrawals, blobs) has no form at all: it cannot be sent.

    1 byte            version: 1 8 bytes           mark: when its proposer released it, in microseconds since 1970
    (for the pace alone) fixed size        the fields of ExecutionPayloadV3 (execution-apis, src/engine/cancun.md) of
    a fixed size, in the order
                      of `_FIXED`; numbers are unsigned and big-endian
    1 byte, bytes     extra data: length and content
    4 bytes, entries  execution requests (EIP-7685): number, and each with a length of 4 bytes
    4 bytes, entries  transactions (EIP-2718): the same

The block's hash is over all of it but the mark; geth checks it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.payload import BEACON_ROOT, Payload, beacon_root, most_gas_for_free, prev_randao

LARGEST: Final = 12 * 1024 * 1024
"""Bytes of an encoded payload. A block has at most 8 MiB (EIP-7934); execution requests come on top."""

_VERSION = 1
_MOST_MICROSECONDS = 1 << 53  # what a float keeps exactly: to the year 2255
_LONGEST_EXTRA = 32  # bytes (yellow paper, section 4.3.4)
_BLOB_TRANSACTION = "0x03"  # EIP-4844

_DATA = "data"
_NUMBER = "number"
_FIXED: Final[tuple[tuple[str, str, int], ...]] = (
    ("parentHash", _DATA, 32),
    ("feeRecipient", _DATA, 20),
    ("stateRoot", _DATA, 32),
    ("receiptsRoot", _DATA, 32),
    ("logsBloom", _DATA, 256),
    ("prevRandao", _DATA, 32),
    ("blockNumber", _NUMBER, 8),
    ("gasLimit", _NUMBER, 8),
    ("gasUsed", _NUMBER, 8),
    ("timestamp", _NUMBER, 8),
    ("baseFeePerGas", _NUMBER, 32),
    ("blockHash", _DATA, 32),
    (BEACON_ROOT, _DATA, 32),
)
_ABSENT: Final[Mapping[str, Any]] = {"withdrawals": [], "blobGasUsed": "0x0", "excessBlobGas": "0x0"}
"""Fields that have this value in every block of the network, and so no form."""

_HEAD = struct.Struct(">BQ")
_LENGTH = struct.Struct(">I")


def encode(payload: Payload) -> bytes:
    """The form of a payload.

    Raises:
        ValueError: it has none: it has fields that are not known here, or what no block of this network may have.
    """
    fields = payload.fields
    for name, value in _ABSENT.items():
        if fields.get(name, value) != value:
            raise ValueError(f"{name} is {fields[name]}")
    known = {name for name, _, _ in _FIXED} | _ABSENT.keys() | {"extraData", "transactions"}
    if further := fields.keys() - known:
        raise ValueError(f"{min(further)} is a field that has no place in a proposal")
    parts = [_HEAD.pack(_VERSION, round(payload.mark * 1e6))]
    for name, kind, size in _FIXED:
        if name not in fields:
            raise ValueError(f"{name} is missing")
        value = fields[name]
        part = _bytes(value) if kind is _DATA else int(value, 16).to_bytes(size, "big")
        if len(part) != size:
            raise ValueError(f"{name} has {len(part)} bytes")
        parts.append(part)
    extra = _bytes(fields["extraData"])
    if len(extra) > _LONGEST_EXTRA:
        raise ValueError(f"extraData has {len(extra)} bytes")
    parts.append(bytes([len(extra)]) + extra)
    for entries in (payload.requests, fields["transactions"]):
        parts.append(_LENGTH.pack(len(entries)))
        for entry in entries:
            content = _bytes(entry)
            parts += _LENGTH.pack(len(content)), content
    return b"".join(parts)


def decode(data: bytes) -> Payload:
    """The payload of that form: exactly the one that `encode` gives these bytes for.

    Raises:
        ValueError: it is not one.
    """
    if len(data) > LARGEST:
        raise ValueError(f"{len(data)} bytes")
    reader = _Reader(data)
    version, microseconds = _HEAD.unpack(reader.take(_HEAD.size))
    if version != _VERSION:
        raise ValueError(f"version {version}")
    if microseconds > _MOST_MICROSECONDS:
        raise ValueError("its mark is out of range")
    fields: dict[str, Any] = {}
    for name, kind, size in _FIXED:
        content = reader.take(size)
        fields[name] = "0x" + content.hex() if kind is _DATA else hex(int.from_bytes(content, "big"))
    length = reader.take(1)[0]
    if length > _LONGEST_EXTRA:
        raise ValueError(f"{length} bytes of extra data")
    fields["extraData"] = "0x" + reader.take(length).hex()
    requests = reader.entries()
    fields["transactions"] = reader.entries()
    if reader.left:
        raise ValueError(f"{reader.left} bytes too many")
    return Payload(fields={**fields, **_ABSENT}, requests=tuple(requests), mark=microseconds / 1e6)


@dataclass(frozen=True)
class Times:
    """Which timestamps a block may have, in seconds since 1970, both included."""

    earliest: int
    latest: int


def objection(  # noqa: PLR0911
    payload: Payload, *, head: Head, height: int, times: Times, free_gas: bool = False
) -> str | None:
    """What is wrong with a proposed payload as the block that follows `head` at that consensus height; None if nothing
    is, as far as can be seen without executing it."""
    fields = payload.fields
    if payload.parent_hash != head.hash:
        return f"it follows {payload.parent_hash}, not our head {head.hash}"
    if payload.number != head.number + 1:
        return f"it is number {payload.number} after {head.number}"
    if payload.beacon_root != beacon_root(height):
        return f"its height mark is {payload.beacon_root}, at height {height}"
    if fields["prevRandao"] != prev_randao(payload.parent_hash, height):
        return "its prevRandao is not the one that follows from its parent and height"
    if payload.timestamp <= head.timestamp:
        return f"its time {payload.timestamp} is not after its parent's, {head.timestamp}"
    if payload.timestamp < times.earliest:
        return f"its time is {times.earliest - payload.timestamp} s too early"
    if payload.timestamp > times.latest:
        return f"its time is {payload.timestamp - times.latest} s too late"
    used, most = int(fields["gasUsed"], 16), most_gas_for_free(int(fields["gasLimit"], 16))
    if free_gas and used > most:
        return f"it uses {used} gas: above {most} gas would have a price from the next block on"
    if any(transaction.startswith(_BLOB_TRANSACTION) for transaction in fields["transactions"]):
        return "it has a blob transaction"
    return None


def read(txs: Sequence[bytes], *, may_be_none: bool) -> Payload | None:
    """The payload of a proposed or decided block; None for one without, where that may be.

    Raises:
        ValueError: it is not such a block.
    """
    if not txs and may_be_none:
        return None
    if len(txs) != 1:
        raise ValueError(f"{len(txs)} payloads instead of one")
    return decode(txs[0])


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError("it ends too early")
        content = self._data[self._at : self._at + size]
        self._at += size
        return content

    def entries(self) -> list[str]:
        (count,) = _LENGTH.unpack(self.take(_LENGTH.size))
        if count * _LENGTH.size > self.left:
            raise ValueError("it ends too early")
        entries = []
        for _ in range(count):
            (length,) = _LENGTH.unpack(self.take(_LENGTH.size))
            entries.append("0x" + self.take(length).hex())
        return entries


def _bytes(value: str) -> bytes:
    if not value.startswith("0x"):
        raise ValueError(f"{value[:20]!r} is not hexadecimal")
    return bytes.fromhex(value[2:])
