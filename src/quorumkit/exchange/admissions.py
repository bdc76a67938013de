"""Who may stand in another's place: what validators signed, and what came of it. Pure.

A signature counts when its signer sits: when it is one of the lock's validators and nobody else was given its place.
Observers, those who came later and those who were replaced sign nothing that counts. A replacement takes effect once
more than half of the sitting validators, the one whose place it is among them, have signed the same; then it is a
step, and its old key is refused for ever.

Each validator has one signature that holds for each ordinal, its latest. So of two identities for one place no two can
both have more than half, unless it is not known yet what was signed later. Where such two meet, the one that was
signed later by more than half of those who sit now has the place.

Steps are judged in the order in which they took effect, each by who sat then, and are handed on in that order. So one
who was away during many of them, or comes later, judges them as the others did. What took effect is not judged again:
keys that were replaced cannot sign, or date back, anything that a node takes afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from quorumkit.exchange.protocol import Admission, Signed
from quorumkit.exchange.refusal import Refusal
from quorumkit.plan import node_name


@dataclass
class Step:
    """One replacement that took effect."""

    ordinal: int
    old: str
    new: str
    signatures: dict[str, Signed] = field(default_factory=dict)
    """By the signer's enode key."""
    latest: int = 0
    """The latest revision among those that made it take effect."""
    by_operator: bool = False
    """Taken because this node's own operator asked for it, by the rules of the first form of admissions: not enough
    validators need have signed it."""

    def is_of(self, admission: Admission) -> bool:
        return (self.ordinal, self.old, self.new) == (admission.ordinal, admission.old, admission.enode_key)


@dataclass(frozen=True)
class Standing:
    """How far a replacement has come."""

    signed: tuple[int, ...]
    """Ordinals of the sitting validators that signed it."""
    missing: tuple[int, ...]
    """Those that did not."""
    needed: int
    """How many must."""

    @property
    def complete(self) -> bool:
        return len(self.signed) >= self.needed


class Admissions:
    """All that was signed, and the steps that came of it."""

    def __init__(self, genesis: str, validators: Mapping[int, str]) -> None:
        """`validators` are the lock's: their enode keys by ordinal."""
        self.steps: list[Step] = []
        self.retired: set[str] = set()
        """Enode keys that were replaced."""
        self._genesis = genesis
        self._validators = dict(validators)
        self._pending: dict[tuple[str, int], tuple[Admission, Signed]] = {}
        """By signer and ordinal."""

    @property
    def validators(self) -> Collection[str]:
        """The enode keys of all that ever could sign."""
        return self._validators.values()

    @property
    def sitting(self) -> dict[str, int]:
        """The ordinals of the validators that sit now, by enode key."""
        return self._sitting(len(self.steps))

    def last(self, ordinal: int) -> Step | None:
        """The step that gave an ordinal its present identity."""
        return next((step for step in reversed(self.steps) if step.ordinal == ordinal), None)

    @property
    def signed(self) -> list[Signed]:
        """What others must hear, in the order in which they must."""
        done = [signed for step in self.steps for _, signed in sorted(step.signatures.items())]
        return [*done, *self.pending]

    @property
    def pending(self) -> list[Signed]:
        """What has not come to effect."""
        return [signed for _, (_, signed) in sorted(self._pending.items())]

    @property
    def digest_parts(self) -> list[str]:
        """The same on two nodes that came to the same, whoever of the signers each has heard of."""
        now = {step.ordinal: step.new for step in self.steps}
        parts = [f"{ordinal} {key}" for ordinal, key in sorted(now.items())]
        for index, step in enumerate(self.steps):
            if step.by_operator and not self._standing(step, index).complete:
                parts += [signed.text for _, signed in sorted(step.signatures.items())]
        return [*parts, *(signed.text for signed in self.pending)]

    def revision_of(self, by: str, ordinal: int) -> int:
        """Of the signature that holds of that validator for an ordinal; 0 where there is none."""
        held = self._pending.get((by, ordinal))
        return held[0].revision if held else 0

    def standing(self, ordinal: int, old: str, new: str) -> Standing:
        """How far it has come that `new` has the place of `old`."""
        for index, step in enumerate(self.steps):
            if (step.ordinal, step.old, step.new) == (ordinal, old, new):
                return self._standing(step, index)
        signers = {
            by for (by, at), (each, _) in self._pending.items()
            if at == ordinal and (each.old, each.enode_key) == (old, new)
        }  # fmt: skip
        return _counted(self.sitting, signers)

    def take(
        self, admission: Admission, signed: Signed, *, present: str | None, others: Collection[str], source: str
    ) -> bool:
        """Takes one validator's signature, found to be right; whether anything changed. `present` is the enode key of
        who has the place now, if anybody, and `others` are those of all other places.

        Raises:
            Refusal: not_admitted: the signer does not sit, or the place is not whose it says; replaced or
                identity_changed: whom it admits may not have it.
        """
        name = node_name(admission.ordinal)
        if admission.genesis != self._genesis:
            raise Refusal("not_admitted", f"{source}: an admission of {name} for another network")
        for step in self.steps:
            if step.is_of(admission):
                # Of one that took effect further signatures do no more than convince others of it.
                if admission.by in step.signatures or admission.by not in self.sitting:
                    return False
                step.signatures[admission.by] = signed
                return True
        if admission.by not in self.sitting:
            raise Refusal("not_admitted", f"{source}: {name} was admitted by one who is no sitting validator")
        if admission.enode_key in self.retired:
            raise Refusal("replaced", f"{source}: {name} is not to be a node again that was replaced")
        if admission.enode_key in others:
            raise Refusal("identity_changed", f"{source}: {name} is to have the identity of another node")
        last = self.last(admission.ordinal)
        contested = last is not None and not last.by_operator and last.old == admission.old
        if not contested and present not in (None, admission.old):
            raise Refusal("not_admitted", f"{source}: {name} was admitted in the place of one who does not have it")
        if contested and last is not None and admission.revision <= last.latest:
            return False
        held = self._pending.get((admission.by, admission.ordinal))
        if held is not None and (admission.revision, signed.text) <= (held[0].revision, held[1].text):
            return False
        self._pending[admission.by, admission.ordinal] = admission, signed
        if self.standing(admission.ordinal, admission.old, admission.enode_key).complete:
            self._take_effect(admission)
        return True

    def take_by_operator(self, ordinal: int, old: str, new: str) -> None:
        """A replacement by the rules of the first form of admissions, from this node's own disk."""
        self.steps.append(Step(ordinal, old, new, by_operator=True))
        self.retired.add(old)

    def _take_effect(self, admission: Admission) -> None:
        agreeing = {
            by: (each, signed) for (by, at), (each, signed) in self._pending.items()
            if at == admission.ordinal and (each.old, each.enode_key) == (admission.old, admission.enode_key)
        }  # fmt: skip
        last = self.last(admission.ordinal)
        if last is not None:
            self.retired.add(last.new)
        self.retired.add(admission.old)
        signatures = {by: signed for by, (_, signed) in agreeing.items()}
        latest = max(each.revision for each, _ in agreeing.values())
        self.steps.append(Step(admission.ordinal, admission.old, admission.enode_key, signatures, latest))
        # What else was signed for that place, and what the replaced one signed, is void.
        self._pending = {
            key: value for key, value in self._pending.items() if key[1] != admission.ordinal and key[0] in self.sitting
        }

    def _sitting(self, before: int) -> dict[str, int]:
        given = {step.ordinal for step in self.steps[:before]}
        return {key: ordinal for ordinal, key in self._validators.items() if ordinal not in given}

    def _standing(self, step: Step, index: int) -> Standing:
        return _counted(self._sitting(index), step.signatures.keys())


def _counted(sitting: Mapping[str, int], signers: Collection[str]) -> Standing:
    signed = sorted(ordinal for key, ordinal in sitting.items() if key in signers)
    missing = sorted(ordinal for key, ordinal in sitting.items() if key not in signers)
    return Standing(tuple(signed), tuple(missing), len(sitting) // 2 + 1)
