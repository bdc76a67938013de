"""Recursive Length Prefix encoding (Yellow Paper, appendix B): of bytes, non-negative integers, and lists of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

Item = Union[bytes, int, Sequence["Item"]]  # noqa: UP007 - a quoted name takes no `|`

_STRING = 0x80
_LIST = 0xC0
_LONG = 55  # bytes; a longer payload has its length's length in the prefix


def encode(item: Item) -> bytes:
    """The encoding; an integer is big-endian without leading zeros, so 0 is the empty string."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < _STRING else _prefix(_STRING, len(item)) + item
    payload = b"".join(encode(part) for part in item)
    return _prefix(_LIST, len(payload)) + payload


def _prefix(kind: int, length: int) -> bytes:
    if length <= _LONG:
        return bytes([kind + length])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([kind + _LONG + len(digits)]) + digits
