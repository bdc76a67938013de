"""A block as consensus sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Head:
    """A block of the chain."""

    number: int
    hash: str
    timestamp: int
    """Seconds since 1970."""
    height: int
    """The consensus height that decided it, kept in the block's parent beacon root (EIP-4788); 0 for the first one."""

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Head:
        """Of what `eth_getHeaderByNumber` answers, or a block.

        Raises:
            KeyError, TypeError, ValueError: it is not a header.
        """
        number = int(header["number"], 16)
        height = int(header["parentBeaconBlockRoot"], 16) if number else 0
        return cls(number, header["hash"], int(header["timestamp"], 16), height)
