"""What the exchange keeps on a node's own volume, in NODE_DIR/exchange: its commitment, the lock, and the members.

Each file is replaced in one step and is on the disk before others hear of it. They hold nothing secret, but
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
from quorumkit.exchange.membership import Lock, Membership, check_revision, lock_from
from quorumkit.exchange.protocol import Proven, Signed, SoleAdmission, check, prove
from quorumkit.exchange.refusal import Refusal
from quorumkit.files import SECRET_MODE, private_directory, write_atomic
from quorumkit.foreign import one_line
from quorumkit.plan import node_name

FOLDER = Path("exchange")
FORMAT = 1
MEMBERS_FORMAT = 2
_SOLE_MEMBERS_FORMAT = 1
"""Of member lists whose admissions one member alone had signed."""

_RESTORE = "put it back from a backup; or empty the node's directory and admit it anew: quorumkit node replace"


@dataclass(frozen=True)
class OwnCommitment:
    """The one commitment of this node, and the documents it stands for."""

    genesis: str
    signed: Signed
    documents: tuple[Proven, ...]


class ExchangeStore:
    """The files of one node directory."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self.commitment_path = self._folder / "commitment.json"
        self.lock_path = self._folder / "lock.json"
        self.members_path = self._folder / "members.json"
        self._addresses_path = self._folder / "addresses.json"

    def write_commitment(self, own: OwnCommitment) -> None:
        self._write(self.commitment_path, {
            "genesis": own.genesis,
            "commitment": own.signed.model_dump(),
            "documents": [proven.signed.model_dump() for proven in own.documents],
        })  # fmt: skip

    def read_commitment(self) -> OwnCommitment | None:
        """Raises:
        CorruptFileError: the file is not what was written.
        """
        value = self._read(self.commitment_path, "commitment")
        if value is None:
            return None
        with self._reading(self.commitment_path):
            documents = tuple(prove(Signed(**each), source=self.commitment_path.name) for each in value["documents"])
            return OwnCommitment(str(value["genesis"]), Signed(**value["commitment"]), documents)

    def write_lock(self, lock: Lock) -> None:
        self._write(self.lock_path, {
            "genesis": lock.genesis,
            "documents": [proven.signed.model_dump() for proven in lock.documents],
            "commitments": [signed.model_dump() for signed in lock.commitments],
        })  # fmt: skip

    def read_lock(self) -> Lock | None:
        """The locked set; None before the lock.

        Raises:
            CorruptFileError: the file is not what was written.
        """
        value = self._read(self.lock_path, "lock")
        if value is None:
            return None
        with self._reading(self.lock_path):
            return lock_from(
                str(value["genesis"]),
                [Signed(**each) for each in value["documents"]],
                [Signed(**each) for each in value["commitments"]],
                source=self.lock_path.name,
            )

    def read_members(self, membership: Membership, *, latest: int) -> list[str]:
        """Takes into a locked set what changed since, as far as it holds by the rules; what does not, one line each.

        `latest` is the latest revision that can be true now. Only admissions of the first form are measured by it:
        the rest was when it came, and this node's clock may be behind at a start.

        Raises:
            CorruptFileError: the file is not what was written.
        """
        value = self._read(self.members_path, "member list", formats=(MEMBERS_FORMAT, _SOLE_MEMBERS_FORMAT))
        if value is None:
            return []
        dropped: list[str] = []
        with self._reading(self.members_path):
            taking = _Taking(membership, self.members_path.name, dropped)
            documents = [Signed(**each) for each in value["documents"]]
            if value["format"] == _SOLE_MEMBERS_FORMAT:
                taking.sole_admissions([Signed(**each) for each in value["admissions"]], documents, latest)
            else:
                for step in value["steps"]:
                    taking.step(step)
                for each in value["pending"]:
                    taking.signature(Signed(**each))
            for signed in documents:
                taking.document(signed)
        return dropped

    def write_members(self, membership: Membership) -> None:
        self._write(self.members_path, {
            "format": MEMBERS_FORMAT,
            "steps": [
                {
                    "ordinal": step.ordinal,
                    "old": step.old,
                    "new": step.new,
                    "own_word": step.by_operator,
                    "signatures": [signed.model_dump() for _, signed in sorted(step.signatures.items())],
                }
                for step in membership.admissions.steps
            ],
            "pending": [signed.model_dump() for signed in membership.admissions.pending],
            "documents": [signed.model_dump() for signed in membership.documents],
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

    def _read(self, path: Path, what: str, *, formats: tuple[int, ...] = (FORMAT,)) -> dict[str, Any] | None:
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:
            raise CorruptFileError(f"{path}: not a valid {what} ({error})", hint=_RESTORE) from None
        if not isinstance(value, dict) or value.get("format") not in formats:
            raise CorruptFileError(f"{path}: not a {what} of format {formats[0]}", hint=_RESTORE)
        return value

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (Refusal, KeyError, TypeError, AttributeError, ValueError) as error:
            raise CorruptFileError(f"{path}: damaged ({error})", hint=_RESTORE) from None


class _Taking:
    """Member by member, from a file: what does not hold is left out and reported, the rest counts."""

    def __init__(self, membership: Membership, source: str, dropped: list[str]) -> None:
        self._membership = membership
        self._source = source
        self._dropped = dropped

    def step(self, value: dict[str, Any]) -> None:
        ordinal, old, new = int(value["ordinal"]), str(value["old"]), str(value["new"])
        if value["own_word"]:
            self._take_by_operator(ordinal, old, new)
        for each in value["signatures"]:
            self.signature(Signed(**each))
        last = self._membership.admissions.last(ordinal)
        if last is None or (last.old, last.new) != (old, new):
            self._drop(f"{node_name(ordinal)}'s replacement", "not enough of the sitting validators signed it")

    def signature(self, signed: Signed) -> None:
        with self._dropping("a signature for a replacement"):
            self._membership.admit(signed, source=self._source)

    def document(self, signed: Signed) -> None:
        with self._dropping("a member"):
            self._membership.offer(prove(signed, source=self._source), source=self._source)

    def sole_admissions(self, admissions: list[Signed], documents: list[Signed], latest: int) -> None:
        """What was taken when one member's signature was enough was what this node's operator asked for, and stays; if
        it was signed by one of the first N, and not dated ahead."""
        placed = set()
        for signed in documents:
            with self._dropping("a member"):
                document = prove(signed, source=self._source).document
                placed.add((document.ordinal, document.enode_key))
        found = []
        for signed in admissions:
            with self._dropping("an admission"):
                admission = check(SoleAdmission, signed, source=self._source)
                check_revision(admission.revision, latest, self._source)
                found.append(admission)
        members = {proven.document.enode_key for proven in self._membership.lock.documents}
        for admission in sorted(found, key=lambda each: each.revision):
            holder = self._membership.holder(admission.ordinal)
            if admission.by not in members or (admission.ordinal, admission.enode_key) not in placed:
                self._drop(f"{node_name(admission.ordinal)}'s replacement", "no member signed it")
            elif holder is not None and holder != admission.enode_key:
                self._take_by_operator(admission.ordinal, holder, admission.enode_key)
                members.add(admission.enode_key)

    def _take_by_operator(self, ordinal: int, old: str, new: str) -> None:
        admissions = self._membership.admissions
        taken = {proven.document.enode_key for proven in self._membership.current.values()} | admissions.retired
        if self._membership.holder(ordinal) != old or new in taken:
            self._drop(f"{node_name(ordinal)}'s replacement", "it is not in the place of who stood there")
            return
        admissions.take_by_operator(ordinal, old, new)

    def _drop(self, what: str, why: str) -> None:
        self._dropped.append(one_line(f"{self._source}: {what} does not hold and is left out: {why}"))

    @contextlib.contextmanager
    def _dropping(self, what: str) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            self._drop(what, refusal.message)
