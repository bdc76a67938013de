"""How N nodes come to one genesis. A pure state machine: what arrives is offered to it, and it says what is missing.

Three stages, each of which a node passes when it holds something of all N:

1. documents: everyone's identity. All N identities, by ordinal, give the genesis.
2. reports: the genesis that everyone derives. They bind nobody: a node that learns better reports anew.
3. commitments: a node that holds N equal reports signs, once and for ever, that it will run that genesis. N equal
   commitments are the lock.

A node commits to one genesis only, and has its commitment, and the set it stands for, on its disk before it hands it
out. So two locks of different sets would need commitments of the same node to both: any interleaving of starts, deaths
and restarts ends in the same lock or in none.

Nobody can say by looking at two documents which of two claimants of an ordinal is the right one. An empty place takes
the first claim; two claims make a dispute, which is resolved by who answers at that ordinal's name. Until it is, there
are no N equal reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from quorumkit.exchange.gathered import Gathered
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
        """`spec` is the digest of `terms`; `committed` the genesis that this node committed to before it was
        started again, and `documents` the set that gave it. One who `joins`, as everyone does whose ordinal is beyond
        `total`, collects and has no say."""
        self.own = own
        self.total = total
        self.joins = joins or own.document.ordinal > total
        self.committed = committed
        self.version = 0
        """Grows with every change."""
        self.disputed: dict[int, Proven] = {}
        """Claims on ordinals that hold another identity already, to be resolved by asking at the ordinal's name."""
        self.rejected: dict[int, str] = {}
        """The enode key of the claim on an ordinal that was last refused, which makes no second dispute."""
        self.gathered = Gathered(documents)
        self._standing_at: tuple[int, set[int], set[int]] = (-1, set(), set())
        """See `_standing`, for one version."""
        self._terms = terms
        self._spec = spec
        self._derive = derive
        self.genesis: Genesis | None = None
        """What the identities give, once all are there."""
        if not self.joins:
            self.gathered.documents[own.document.ordinal] = own
        self._changed()

    @property
    def ordinal(self) -> int:
        return self.own.document.ordinal

    @property
    def ordinals(self) -> range:
        return range(1, self.total + 1)

    @property
    def stage(self) -> Stage:
        """What this node is at."""
        if self.genesis is None:
            return "documents"
        if self.joins or self.committed is not None:
            return "commitments"
        return "reports"

    @property
    def locked(self) -> bool:
        """Whether all N committed to the genesis that their identities give."""
        return self.genesis is not None and not self._without("commitments", self.ordinals)

    def offer(self, proven: Proven, *, source: str, terms: Mapping[str, int | str] | None = None) -> None:
        """Takes a document. `terms` are those of the node it came from, where it spoke for itself.

        Raises:
            Refusal: chain_id, spec, shared_key, or ordinal_taken (a dispute then waits to be resolved).
        """
        document = proven.document
        name = node_name(document.ordinal)
        own = self.own.document
        if document.chain_id != own.chain_id:
            raise Refusal("chain_id", f"{source}: {name} has chain id {document.chain_id}, and this is {own.chain_id}")
        if document.spec != self._spec:
            raise Refusal("spec", f"{source}: {name} was started with other settings{_difference(terms, self._terms)}")
        if document.ordinal > self.total:
            return
        if document.parts != own.parts:
            raise Refusal("spec", f"{source}: {name} does not say what a node of this network has to say of itself")
        if document.ordinal == self.ordinal and not self.joins:
            if not document.same_identity(own):
                raise Refusal("ordinal_taken", f"{source}: another node claims {name}, which is this one")
            return
        present = self.gathered.documents.get(document.ordinal)
        if present is None:
            self._check_own_keys(document, source=source)
        if present is None or present.document.same_identity(document):
            if present is None or document.revision > present.document.revision:
                self.gathered.documents[document.ordinal] = proven
                self._changed()
            return
        if self.committed is not None:
            raise Refusal(
                "identity_changed",
                f"{source}: {name} has another identity than the one this node committed to: "
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
            self.gathered.documents[self.ordinal] = own
        self.version += 1

    def resolve(self, ordinal: int, answer: Proven | None) -> None:
        """Ends a dispute by what answered at the ordinal's name; None, when nobody did, leaves it as it is for now."""
        claim = self.disputed.pop(ordinal, None)
        if answer is None or answer.document.ordinal != ordinal:
            return
        present = self.gathered.documents.get(ordinal)
        if self.committed is None and ordinal != self.ordinal and present is not None:
            if claim is not None:
                self.rejected[ordinal] = claim.document.enode_key
            if not present.document.same_identity(answer.document) and self._sharing(answer.document) is None:
                self.rejected[ordinal] = present.document.enode_key
                self.gathered.replace(answer)
        self._changed()

    def report(self, report: Report) -> None:
        """Takes what another node derives."""
        if report.ordinal > self.total or (report.ordinal == self.ordinal and not self.joins):
            return
        present = self.gathered.reports.get(report.ordinal)
        if self.genesis is not None and report.genesis == self.genesis.digest:
            report = report.model_copy(update={"fields": dict(self.genesis.fields)})
        if present is None or report.version > present.version:
            self.gathered.reports[report.ordinal] = report
            self.version += 1

    def commit(self, commitment: Commitment, signed: Signed) -> None:
        """Takes a commitment; this node's own comes by the same way, once it is on its disk."""
        if commitment.ordinal > self.total:
            return
        if commitment.ordinal == self.ordinal and not self.joins:
            if commitment.enode_key != self.own.document.enode_key:
                return
            self.committed = commitment.genesis
        present = self.gathered.commitment(commitment.ordinal)
        # A node that lost its disk before the lock may have committed under its old key: the one in the set counts.
        if present is None or (
            present != commitment and self.gathered.holder(commitment.ordinal) == commitment.enode_key
        ):
            self.gathered.commit(commitment, signed)
            self.version += 1

    def admit(self, admission: Admission) -> None:
        """Takes a member's signature for this node's having its ordinal's place although the set holds another identity
        there: it then joins, and gathers the lock anew, for what it has gathered may be of others that were replaced.

        That one signed is enough here: one who joins has no say, and whether it is a member the others judge.
        """
        everyone = {proven.document.enode_key for proven in self.gathered.documents.values()}
        members = everyone - {self.own.document.enode_key}
        mine = (admission.ordinal, admission.enode_key) == (self.ordinal, self.own.document.enode_key)
        if not mine or self.joins or admission.by not in members:
            return
        self.joins = True
        self.gathered.clear()
        self.disputed.clear()
        self.rejected.clear()
        self._changed()

    def may_commit(self, *, version: int) -> str | None:
        """The genesis to commit to now, if it is time to: all N report the same. `version` dates the own
        report (milliseconds since 1970)."""
        if self.genesis is None or self.joins:
            return None
        own = self.gathered.reports.get(self.ordinal)
        if own is None or own.genesis != self.genesis.digest:
            latest = own.version + 1 if own else 1
            self.gathered.reports[self.ordinal] = Report(
                ordinal=self.ordinal,
                version=max(version, latest),
                genesis=self.genesis.digest,
                fields=dict(self.genesis.fields),
            )
            self.version += 1
        if self.committed is not None or self.disputed or self._without("reports", self.ordinals):
            return None
        return self.genesis.digest

    def promise(self, genesis: str) -> None:
        """From now on the set stays as it is, while the commitment to it is written down; `commit` then takes it."""
        self.committed = genesis
        self.version += 1

    def missing(self, ordinals: Iterable[int]) -> list[int]:
        """Of whom of these the present stage still lacks something."""
        if self.genesis is None:
            return [ordinal for ordinal in ordinals if ordinal not in self.gathered.documents]
        return self._without(self.stage, ordinals)

    @property
    def differences(self) -> list[Difference]:
        """Who reports another genesis, and where it differs."""
        if self.genesis is None:
            return []
        found = []
        for ordinal, report in sorted(self.gathered.reports.items()):
            if report.genesis != self.genesis.digest:
                ours, theirs = self.genesis.fields, report.fields
                fields = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
                found.append(Difference(ordinal, tuple(fields)))
        return found

    @property
    def contradicts_commitment(self) -> bool:
        """Whether the identities give another genesis than the one this node committed to."""
        return self.genesis is not None and self.committed not in (None, self.genesis.digest)

    def _without(self, stage: Stage, ordinals: Iterable[int]) -> list[int]:
        """Who of these does not report the genesis, or has not committed to it."""
        reporting, committed = self._standing()
        done = reporting if stage == "reports" else committed
        return [ordinal for ordinal in ordinals if ordinal not in done]

    def _standing(self) -> tuple[set[int], set[int]]:
        """Who reports the genesis and who committed to it; worked out once for each version."""
        if self._standing_at[0] != self.version:
            digest = self.genesis.digest if self.genesis else None
            committed = {ordinal for ordinal in self.ordinals if self.gathered.is_committed(ordinal, digest)}
            agreeing = {ordinal for ordinal, report in self.gathered.reports.items() if report.genesis == digest}
            self._standing_at = self.version, agreeing | committed, committed
        return self._standing_at[1], self._standing_at[2]

    def _check_own_keys(self, document: Document, *, source: str) -> None:
        """No genesis names one account or one key twice. Which of two nodes has it of the other cannot be seen from
        what they say: neither is agreed on together with the other.

        Raises:
            Refusal: shared_key: another node has its account or one of its keys.
        """
        other = self._sharing(document)
        if other is not None:
            one, two = sorted((document.ordinal, other))
            raise Refusal(
                "shared_key",
                f"{source}: {node_name(one)} and {node_name(two)} have an account or a key in common: one of them is "
                "a copy of the other",
            )

    def _sharing(self, document: Document) -> int | None:
        """The ordinal of another node that has its account or one of its keys. What is locked is looked at no more."""
        if self.joins:
            return None
        return next(
            (
                ordinal
                for ordinal, other in self.gathered.documents.items()
                if ordinal != document.ordinal
                and (document.enode_key == other.document.enode_key or document.shares_with(other.document))
            ),
            None,
        )

    def _changed(self) -> None:
        self.version += 1
        if len(self.gathered.documents) < self.total:
            self.genesis = None
            return
        self.genesis = self._derive([self.gathered.documents[ordinal].document.identity for ordinal in self.ordinals])


def _keys(one: Document, other: Document) -> str:
    return f"one has the key {one.enode_key[:16]}…, one {other.enode_key[:16]}…"


def _difference(theirs: Mapping[str, int | str] | None, ours: Mapping[str, int | str]) -> str:
    """What others were started with, where it is not what this node was; empty where they do not say."""
    if theirs is None:
        return ""
    names = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
    found = [f"{name} is {theirs.get(name, 'missing')} there and {ours.get(name, 'missing')} here" for name in names]
    return one_line(f": {'; '.join(found)}", longest=600) if found else ""
