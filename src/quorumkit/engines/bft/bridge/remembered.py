"""What the bridge last committed, in a small file in the directory of CometBFT's store.

It stands there because it is a mark on that store: it is wiped with it, and an older one is restored with it. So it
tells at each start, before CometBFT can be asked, which height CometBFT has at least; geth may be behind that (it lost
its last blocks) or ahead (the store is an older one).
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from quorumkit.errors import QuorumkitError
from quorumkit.files import SECRET_MODE, remove_leftovers, write_atomic

REMEMBERED: Final = Path("cometbft/data/committed.json")
"""In the directory of a node."""

_STORE = "blockstore.db"


@dataclass(frozen=True)
class Committed:
    """A block that the validators decided."""

    height: int
    """Consensus height that decided it."""
    hash: str
    base: int = 1
    """CometBFT may have dropped what it decided below this height."""


class Remembered:
    """The file. It is written before geth's head is moved: so geth is never ahead of it, unless somebody restored an
    older one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.parent.is_dir():
            remove_leftovers(path.parent)
        self.last = _read(path)
        """None: nothing was committed yet, or the file was lost."""

    @property
    def is_first(self) -> bool:
        """Whether CometBFT has no store yet: it starts from genesis or from a snapshot, whatever geth has. Then
        what the file tells is of a store that was removed."""
        return not (self._path.parent / _STORE).exists()

    @property
    def is_empty(self) -> bool:
        """Whether CometBFT has no block yet, as far as can be told. It may have been killed on its way to its first
        one, which it then begins anew. Where the file was lost its store counts as one with blocks."""
        return self.is_first or (self.last is not None and self.last.height < self.last.base)

    def commit(self, height: int, block_hash: str, *, base: int | None = None) -> None:
        """Not synced to the disk, for that would take longer than the rest: after a loss of power it may be older than
        what CometBFT has, which replays some blocks more.

        Raises:
            QuorumkitError: it cannot be written.
        """
        if base is None:
            base = self.last.base if self.last else 1
        self._write(Committed(height, block_hash, base))

    def drop_below(self, height: int) -> None:
        """CometBFT is about to be told that it may drop what it has below that height."""
        if self.last is not None and height > self.last.base:
            self._write(replace(self.last, base=height))

    def _write(self, committed: Committed) -> None:
        value = {"height": committed.height, "hash": committed.hash, "base": committed.base}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, json.dumps(value).encode() + b"\n", mode=SECRET_MODE, durable=False)
        except OSError as error:
            raise QuorumkitError(f"{self._path}: {error.strerror or error}: what is committed must be noted") from None
        self.last = committed


def _read(path: Path) -> Committed | None:
    """One that cannot be read counts as lost: what is in it can be done without."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        value: dict[str, Any] = json.loads(path.read_bytes())
        height, block_hash, base = value["height"], value["hash"], value.get("base", 1)
        if isinstance(height, int) and isinstance(base, int) and len(bytes.fromhex(block_hash[2:])) == 32:
            return Committed(height, block_hash, base)
    return None
