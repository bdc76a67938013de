"""What a node holds of all N before the lock: their documents, reports and commitments. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from quorumkit.exchange.protocol import Commitment, Proven, Report, Signed, Stage


class Gathered:
    """By ordinal; one of each kind of a node."""

    def __init__(self, documents: Iterable[Proven] = ()) -> None:
        self.documents: dict[int, Proven] = {proven.document.ordinal: proven for proven in documents}
        self.reports: dict[int, Report] = {}
        self._commitments: dict[int, tuple[Commitment, Signed]] = {}
        self._signatures: set[str] = set()

    @property
    def commitments(self) -> list[Signed]:
        return [signed for _, signed in self._commitments.values()]

    def knows(self, signed: Signed) -> bool:
        """Whether that very commitment is here already."""
        return signed.signature in self._signatures

    def has(self, stage: Stage, ordinals: Iterable[int]) -> bool:
        """Whether another node that wants this of these can be served."""
        if stage == "documents":
            return all(ordinal in self.documents for ordinal in ordinals)
        if stage == "reports":
            return all(ordinal in self.reports or ordinal in self._commitments for ordinal in ordinals)
        return all(ordinal in self._commitments for ordinal in ordinals)

    def reports_of(self, ordinals: Iterable[int], *, genesis: str | None = None) -> list[Report]:
        """What these derive, for one who derives `genesis` himself: of equal ones he knows the fields."""
        found = [self.reports[ordinal] for ordinal in ordinals if ordinal in self.reports]
        return [each if each.genesis != genesis else each.without_fields for each in found]

    def commitments_of(self, ordinals: Iterable[int]) -> list[Signed]:
        return [self._commitments[ordinal][1] for ordinal in ordinals if ordinal in self._commitments]

    def documents_of(self, ordinals: Iterable[int]) -> list[Signed]:
        return [self.documents[ordinal].signed for ordinal in ordinals if ordinal in self.documents]

    def holder(self, ordinal: int) -> str | None:
        """The enode key of the identity that an ordinal has here."""
        present = self.documents.get(ordinal)
        return present.document.enode_key if present else None

    def commitment(self, ordinal: int) -> Commitment | None:
        held = self._commitments.get(ordinal)
        return held[0] if held else None

    def is_committed(self, ordinal: int, genesis: str | None) -> bool:
        """Whether the identity that an ordinal has here committed to that genesis."""
        commitment = self.commitment(ordinal)
        return commitment is not None and (commitment.enode_key, commitment.genesis) == (self.holder(ordinal), genesis)

    def commit(self, commitment: Commitment, signed: Signed) -> None:
        """Takes a commitment, in the place of whatever that ordinal's was."""
        self._commitments[commitment.ordinal] = commitment, signed
        self._signatures.add(signed.signature)

    def replace(self, proven: Proven) -> None:
        """Takes another identity for an ordinal: what the one before reported and committed to counts no more."""
        ordinal = proven.document.ordinal
        self.documents[ordinal] = proven
        self.reports.pop(ordinal, None)
        self._commitments.pop(ordinal, None)
        self._signatures = {signed.signature for _, signed in self._commitments.values()}

    def clear(self) -> None:
        self.documents.clear()
        self.reports.clear()
        self._commitments.clear()
        self._signatures.clear()
