"""How N nodes come to one genesis. A pure state machine: what arrives is offered to it, and it says what is missing.

Three stages, each of which a node passes when it holds something of all N:

1. documents: everyone's identity. All N identities, by ordinal, give the genesis.
2. reports: the genesis that everyone derives. They bind nobody: a node that learns better reports anew.
3. commitments: a node that holds N equal reports gives its signed word, once and for ever, that it will run that
   genesis. N equal commitments are the lock.

A node commits to one genesis only, and keeps its word, and the set it stands for, on its disk before it gives it. So
two locks of different sets would need the word of the same node for both: any interleaving of starts, deaths and
restarts ends in the same lock or in none.

Nobody can say by looking at two documents which of two claimants of an ordinal is the right one. An empty place takes
the first claim; two claims make a dispute, which is settled by who answers at that ordinal's name. Until it is, there
are no N equal reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from quorumkit.exchange.protocol import Admission, Commitment, Document, Proven, Report, Signed, Stage
from quorumkit.exchange.refusal import Refusal
from quorumkit.foreign import one_line
from quorumkit.identity import PublicIdentity
from quorumkit.plan import node_name


@dataclass(frozen=True)
class Genesis:
    """What all must agree on: a digest, and one of each field, so that a difference can be named."""

    digest: str
    fields: Mapping[str, str]


Derive = Callable[[Sequence[PublicIdentity]], Genesis]
"""The genesis that identities give, by ordinal. Pure."""


@dataclass(frozen=True)
class Difference:
    """A node that derives another genesis."""

    ordinal: int
    fields: tuple[str, ...]
    """Where it differs; empty when all fields look the same (another version of Quorumkit)."""

    def __str__(self) -> str:
        return f"{node_name(self.ordinal)} in {', '.join(self.fields) or 'its layout'}"


class Agreement:
    """One node's view of the others, up to the lock."""

    def __init__(
        self,
        own: Proven,
        *,
        total: int,
        terms: Mapping[str, int | str],
        spec: str,
        derive: Derive,
        committed: str | None = None,
        documents: Iterable[Proven] = (),
        joins: bool = False,
    ) -> None:
        """`spec` is the digest of `terms`; `committed` the genesis that this node gave its word for in an earlier
        life, and `documents` the set that gave it. One who `joins`, as everyone does whose ordinal is beyond `total`,
        collects and has no say."""
        self.own = own
        self.total = total
        self.joins = joins or own.document.ordinal > total
        self.committed = committed
        self.version = 0
        """Grows with every change."""
        self.disputed: dict[int, Proven] = {}
        """Claims on ordinals that hold another identity already, to be settled by asking at the ordinal's name."""
        self.rejected: dict[int, str] = {}
        """The enode key of the claim on an ordinal that was last refused, which makes no second dispute."""
        self.documents: dict[int, Proven] = {proven.document.ordinal: proven for proven in documents}
        self._reports: dict[int, Report] = {}
        self._commitments: dict[int, tuple[Commitment, Signed]] = {}
        self._signatures: set[str] = set()
        self._reckoned: tuple[int, set[int], set[int]] = (-1, set(), set())
        self._terms = terms
        self._spec = spec
        self._derive = derive
        self._genesis: Genesis | None = None
        self._admitted: dict[int, str] = {}
        if not self.joins:
            self.documents[own.document.ordinal] = own
        self._changed()

    @property
    def ordinal(self) -> int:
        return self.own.document.ordinal

    @property
    def ordinals(self) -> range:
        return range(1, self.total + 1)

    @property
    def genesis(self) -> Genesis | None:
        """What the identities give, once all are there."""
        return self._genesis

    @property
    def commitments(self) -> list[Signed]:
        return [signed for _, signed in self._commitments.values()]

    @property
    def stage(self) -> Stage:
        """What this node is at."""
        if self._genesis is None:
            return "documents"
        if self.joins or self.committed is not None:
            return "commitments"
        return "reports"

    @property
    def locked(self) -> bool:
        """Whether all N gave their word for the genesis that their identities give."""
        return self._genesis is not None and not self._without_commitment(self.ordinals)

    @property
    def own_report(self) -> Report | None:
        return self._reports.get(self.ordinal) if not self.joins else None

    def offer(self, proven: Proven, *, source: str, terms: Mapping[str, int | str] | None = None) -> None:
        """Takes a document. `terms` are those of the node it came from, where it spoke for itself.

        Raises:
            Refusal: chain_id, spec, or ordinal_taken (a dispute then waits to be settled).
        """
        document = proven.document
        name = node_name(document.ordinal)
        own = self.own.document
        if document.chain_id != own.chain_id:
            raise Refusal("chain_id", f"{source}: {name} has chain id {document.chain_id}, and this is {own.chain_id}")
        if document.spec != self._spec:
            raise Refusal("spec", f"{source}: {name} was started with other settings{self._difference(terms)}")
        if document.ordinal > self.total:
            return
        if document.parts != own.parts:
            raise Refusal("spec", f"{source}: {name} does not say what a node of this network has to say of itself")
        if document.ordinal == self.ordinal and not self.joins:
            if not document.same_identity(own):
                raise Refusal("ordinal_taken", f"{source}: another node claims {name}, which is this one")
            return
        present = self.documents.get(document.ordinal)
        if present is None or present.document.same_identity(document):
            if present is None or document.revision > present.document.revision:
                self.documents[document.ordinal] = proven
                self._changed()
            return
        if self.committed is not None:
            raise Refusal(
                "identity_changed",
                f"{source}: {name} has another identity than the one this node gave its word for: "
                f"{_keys(present.document, document)}",
            )
        if self.rejected.get(document.ordinal) != document.enode_key and self.disputed.get(document.ordinal) != proven:
            self.disputed[document.ordinal] = proven
            self._changed()
        raise Refusal("ordinal_taken", f"{source}: two nodes claim {name}: {_keys(present.document, document)}")

    def renew(self, own: Proven) -> None:
        """This node signed its document anew."""
        self.own = own
        if not self.joins and self.committed is None:
            self.documents[self.ordinal] = own
        self.version += 1

    def settle(self, ordinal: int, answer: Proven | None) -> None:
        """Ends a dispute by what answered at the ordinal's name; None, when nobody did, leaves it as it is for now."""
        claim = self.disputed.pop(ordinal, None)
        if answer is None or answer.document.ordinal != ordinal:
            return
        present = self.documents.get(ordinal)
        if self.committed is None and ordinal != self.ordinal and present is not None:
            if claim is not None:
                self.rejected[ordinal] = claim.document.enode_key
            if not present.document.same_identity(answer.document):
                self.rejected[ordinal] = present.document.enode_key
                self.documents[ordinal] = answer
                self._reports.pop(ordinal, None)
                self._commitments.pop(ordinal, None)
                self._signatures = {signed.signature for _, signed in self._commitments.values()}
        self._changed()

    def report(self, report: Report) -> None:
        """Takes what another node derives."""
        if report.ordinal > self.total or (report.ordinal == self.ordinal and not self.joins):
            return
        present = self._reports.get(report.ordinal)
        if self._genesis is not None and report.genesis == self._genesis.digest:
            report = report.model_copy(update={"fields": dict(self._genesis.fields)})
        if present is None or report.version > present.version:
            self._reports[report.ordinal] = report
            self.version += 1

    def knows(self, signed: Signed) -> bool:
        """Whether that very commitment is here already."""
        return signed.signature in self._signatures

    def commit(self, commitment: Commitment, signed: Signed) -> None:
        """Takes a commitment; this node's own comes by the same way, once it is on its disk."""
        if commitment.ordinal > self.total:
            return
        if commitment.ordinal == self.ordinal and not self.joins:
            if commitment.enode_key != self.own.document.enode_key:
                return
            self.committed = commitment.genesis
        present = self._commitments.get(commitment.ordinal)
        holder = self.documents.get(commitment.ordinal)
        # A node that lost its disk before the lock may have committed under its old key: the one in the set counts.
        if present is None or (
            present[0] != commitment and holder is not None and holder.document.enode_key == commitment.enode_key
        ):
            self._commitments[commitment.ordinal] = commitment, signed
            self._signatures.add(signed.signature)
            self.version += 1

    def admit(self, admission: Admission) -> None:
        """Takes a member's signature for this node's having its ordinal's place although the set holds another identity
        there: it then joins, and gathers the lock anew, for what it has gathered may be of others that were replaced.

        That one signed is enough here: one who joins has no say, and whether it is a member the others judge.
        """
        members = {proven.document.enode_key for proven in self.documents.values()} - {self.own.document.enode_key}
        mine = (admission.ordinal, admission.enode_key) == (self.ordinal, self.own.document.enode_key)
        if not mine or self.joins or admission.by not in members:
            return
        self.joins = True
        self.documents.clear()
        self.disputed.clear()
        self.rejected.clear()
        self._reports.clear()
        self._commitments.clear()
        self._signatures.clear()
        self._changed()

    def may_commit(self, *, version: int) -> str | None:
        """The genesis to give one's word for now, if it is time to: all N report the same. `version` dates the own
        report (milliseconds since 1970)."""
        if self._genesis is None or self.joins:
            return None
        own = self._reports.get(self.ordinal)
        if own is None or own.genesis != self._genesis.digest:
            latest = own.version + 1 if own else 1
            self._reports[self.ordinal] = Report(
                ordinal=self.ordinal,
                version=max(version, latest),
                genesis=self._genesis.digest,
                fields=dict(self._genesis.fields),
            )
            self.version += 1
        if self.committed is not None or self.disputed or self._without_report(self.ordinals):
            return None
        return self._genesis.digest

    def promise(self, genesis: str) -> None:
        """From now on the set stays as it is, while the word for it is written down; `commit` then gives it."""
        self.committed = genesis
        self.version += 1

    def missing(self, ordinals: Iterable[int]) -> list[int]:
        """Of whom of these the present stage still lacks something."""
        if self._genesis is None:
            return [ordinal for ordinal in ordinals if ordinal not in self.documents]
        if self.stage == "reports":
            return self._without_report(ordinals)
        return self._without_commitment(ordinals)

    def has(self, stage: Stage, ordinals: Iterable[int]) -> bool:
        """Whether another node that wants this of these can be served."""
        if stage == "documents":
            return all(ordinal in self.documents for ordinal in ordinals)
        if stage == "reports":
            return all(ordinal in self._reports or ordinal in self._commitments for ordinal in ordinals)
        return all(ordinal in self._commitments for ordinal in ordinals)

    def reports_of(self, ordinals: Iterable[int], *, genesis: str | None = None) -> list[Report]:
        """What these derive, for one who derives `genesis` himself: of equal ones he knows the fields."""
        found = [self._reports[ordinal] for ordinal in ordinals if ordinal in self._reports]
        return [each if each.genesis != genesis else each.without_fields for each in found]

    def commitments_of(self, ordinals: Iterable[int]) -> list[Signed]:
        return [self._commitments[ordinal][1] for ordinal in ordinals if ordinal in self._commitments]

    def documents_of(self, ordinals: Iterable[int]) -> list[Signed]:
        return [self.documents[ordinal].signed for ordinal in ordinals if ordinal in self.documents]

    @property
    def differences(self) -> list[Difference]:
        """Who reports another genesis, and where it differs."""
        if self._genesis is None:
            return []
        found = []
        for ordinal, report in sorted(self._reports.items()):
            if report.genesis != self._genesis.digest:
                ours, theirs = self._genesis.fields, report.fields
                fields = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
                found.append(Difference(ordinal, tuple(fields)))
        return found

    @property
    def broken_word(self) -> bool:
        """Whether the identities give another genesis than the one this node gave its word for."""
        return self._genesis is not None and self.committed not in (None, self._genesis.digest)

    def _without_report(self, ordinals: Iterable[int]) -> list[int]:
        reporting, _ = self._standing()
        return [ordinal for ordinal in ordinals if ordinal not in reporting]

    def _without_commitment(self, ordinals: Iterable[int]) -> list[int]:
        _, committed = self._standing()
        return [ordinal for ordinal in ordinals if ordinal not in committed]

    def _standing(self) -> tuple[set[int], set[int]]:
        """Who reports the genesis and who gave his word for it; reckoned once for each version."""
        if self._reckoned[0] != self.version:
            committed = {ordinal for ordinal in self.ordinals if self._is_committed(ordinal)}
            digest = self._genesis.digest if self._genesis else None
            agreeing = {ordinal for ordinal, report in self._reports.items() if report.genesis == digest}
            self._reckoned = self.version, agreeing | committed, committed
        return self._reckoned[1], self._reckoned[2]

    def _is_committed(self, ordinal: int) -> bool:
        if self._genesis is None or ordinal not in self._commitments:
            return False
        commitment, _ = self._commitments[ordinal]
        holder = self.documents.get(ordinal)
        return (
            holder is not None
            and commitment.enode_key == holder.document.enode_key
            and commitment.genesis == self._genesis.digest
        )

    def _difference(self, terms: Mapping[str, int | str] | None) -> str:
        if terms is None:
            return ""
        names = sorted(name for name in terms.keys() | self._terms.keys() if terms.get(name) != self._terms.get(name))
        told = [f"{name} is {terms.get(name, 'missing')} there and {self._terms.get(name, 'missing')} here"
                for name in names]  # fmt: skip
        return one_line(f": {'; '.join(told)}", longest=600) if told else ""

    def _changed(self) -> None:
        self.version += 1
        if len(self.documents) < self.total:
            self._genesis = None
            return
        self._genesis = self._derive([self.documents[ordinal].document.identity for ordinal in self.ordinals])


def _keys(one: Document, other: Document) -> str:
    return f"one has the key {one.enode_key[:16]}…, one {other.enode_key[:16]}…"


@dataclass(frozen=True)
class Block:
    """Ordinals that a node collects together, and whom it asks for them, the first one first."""

    ordinals: tuple[int, ...]
    sources: tuple[int, ...]


def blocks(ordinal: int, total: int, *, joins: bool = False) -> list[Block]:
    """Whom a node asks for what, so that all N have all of it after about log2(N) requests each.

    The node 2^r places on is asked for itself and the 2^r - 1 behind it, which it collects from others in the same way
    (the dissemination pattern of barriers: Hensgen, Finkel and Manber 1988). When it is not there, others of the block
    and then all the rest are asked. One who joins asks anyone for all.
    """
    ring = [(ordinal - 1 + step) % total + 1 for step in range(1, total)]
    if joins:
        everyone = tuple(dict.fromkeys([*ring, *range(1, total + 1)]))
        everyone = tuple(other for other in everyone if other != ordinal)
        return [Block(tuple(range(1, total + 1)), everyone)]
    found = []
    stride = 1
    while stride < total:
        mine = ring[stride - 1 : 2 * stride - 1]
        found.append(Block(tuple(mine), (*mine, *(other for other in ring if other not in mine))))
        stride *= 2
    return found
