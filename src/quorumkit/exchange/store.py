"""What the exchange keeps on a node's own volume, in NODE_DIR/exchange: its word, the lock, and the members.

Each file is replaced in one step and is on the disk before anything is told to others. They hold nothing secret, but
are nobody else's business: 0600 in a 0700 directory.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorumkit.errors import CorruptFileError, QuorumkitError
from quorumkit.exchange.membership import Lock, Membership, lock_from
from quorumkit.exchange.protocol import Proven, Signed, prove
from quorumkit.exchange.refusal import Refusal
from quorumkit.files import SECRET_MODE, private_directory, write_atomic

FOLDER = Path("exchange")
FORMAT = 1
_RESTORE = "put it back from a backup; or empty the node's directory and admit it anew: quorumkit node replace"


@dataclass(frozen=True)
class Word:
    """The one commitment of this node, and the documents it stands for."""

    genesis: str
    signed: Signed
    documents: tuple[Proven, ...]


class ExchangeStore:
    """The files of one node directory."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self.word_path = self._folder / "commitment.json"
        self.lock_path = self._folder / "lock.json"
        self._members_path = self._folder / "members.json"
        self._addresses_path = self._folder / "addresses.json"

    def write_word(self, word: Word) -> None:
        self._write(self.word_path, {
            "genesis": word.genesis,
            "commitment": word.signed.model_dump(),
            "documents": [proven.signed.model_dump() for proven in word.documents],
        })  # fmt: skip

    def read_word(self) -> Word | None:
        """Raises:
        CorruptFileError: the file is not what was written.
        """
        value = self._read(self.word_path, "commitment")
        if value is None:
            return None
        with self._reading(self.word_path):
            documents = tuple(prove(Signed(**each), source=self.word_path.name) for each in value["documents"])
            return Word(str(value["genesis"]), Signed(**value["commitment"]), documents)

    def write_lock(self, lock: Lock) -> None:
        self._write(self.lock_path, {
            "genesis": lock.genesis,
            "documents": [proven.signed.model_dump() for proven in lock.documents],
            "commitments": [signed.model_dump() for signed in lock.commitments],
        })  # fmt: skip

    def read_membership(self) -> Membership | None:
        """The locked set with what changed since; None before the lock.

        Raises:
            CorruptFileError: a file is not what was written.
        """
        value = self._read(self.lock_path, "lock")
        if value is None:
            return None
        with self._reading(self.lock_path):
            lock = lock_from(
                str(value["genesis"]),
                [Signed(**each) for each in value["documents"]],
                [Signed(**each) for each in value["commitments"]],
                source=self.lock_path.name,
            )
        membership = Membership(lock)
        later = self._read(self._members_path, "member list")
        if later is not None:
            with self._reading(self._members_path):
                for each in later["admissions"]:
                    membership.admit(Signed(**each), source=self._members_path.name)
                for each in later["documents"]:
                    proven = prove(Signed(**each), source=self._members_path.name)
                    membership.offer(proven, source=self._members_path.name)
        return membership

    def write_members(self, membership: Membership) -> None:
        self._write(self._members_path, {
            "documents": [signed.model_dump() for signed in membership.documents],
            "admissions": [signed.model_dump() for signed in membership.admissions],
        })  # fmt: skip

    def write_addresses(self, addresses: dict[int, str]) -> None:
        content = {"addresses": {str(key): value for key, value in addresses.items()}}
        self._write(self._addresses_path, content, durable=False)

    def read_addresses(self) -> dict[int, str]:
        """The last address of each node; only a beginning, so a damaged file counts as none."""
        with contextlib.suppress(QuorumkitError, KeyError, ValueError, AttributeError):
            value = self._read(self._addresses_path, "address list") or {"addresses": {}}
            return {int(key): str(address) for key, address in value["addresses"].items()}
        return {}

    def _write(self, path: Path, value: dict[str, Any], *, durable: bool = True) -> None:
        private_directory(self._folder)
        # Not indented: with that, Python's encoder is ten times slower, and of 100 nodes each writes 100 documents.
        content = (json.dumps({"format": FORMAT, **value}) + "\n").encode()
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content:
                return
        write_atomic(path, content, mode=SECRET_MODE, durable=durable)

    def _read(self, path: Path, what: str) -> dict[str, Any] | None:
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise CorruptFileError(f"{path}: not a valid {what} ({error})", hint=_RESTORE) from None
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise CorruptFileError(f"{path}: not a {what} of format {FORMAT}", hint=_RESTORE)
        return value

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (Refusal, KeyError, TypeError, ValueError) as error:
            raise CorruptFileError(f"{path}: damaged ({error})", hint=_RESTORE) from None
