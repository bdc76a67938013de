"""`quorumkit node replace`: a validator signs, because its own operator asks for it, that another identity has a place.

Nothing that comes over the exchange makes a node sign. The others' signatures are heard of from them, and when more
than half of the sitting validators have signed the same, every node takes it for itself (`admissions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quorumkit.errors import NodeError, QuorumkitError
from quorumkit.exchange.admissions import Standing
from quorumkit.exchange.keeping import Keeping
from quorumkit.exchange.local import LocalNode
from quorumkit.exchange.membership import Membership
from quorumkit.exchange.protocol import Admission, Proven, sign
from quorumkit.identity import PublicIdentity
from quorumkit.plan import node_name


@dataclass(frozen=True)
class Replacement:
    """How far one has come."""

    name: str
    identity: PublicIdentity
    """The new one."""
    standing: Standing
    counts: bool
    """Whether the asked node's own signature does: it is a sitting validator."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "enode_key": self.identity.enode_key,
            "account": self.identity.account,
            "replaced": self.standing.complete,
            "signed": [node_name(ordinal) for ordinal in self.standing.signed],
            "missing": [node_name(ordinal) for ordinal in self.standing.missing],
            "needed": self.standing.needed,
            "counts": self.counts,
        }


async def replace(local: LocalNode, keeping: Keeping | None, name: str) -> Replacement:
    """Signs, where this node is a sitting validator, that the identity which answers at a node's name now has that
    node's place; tells how far that has come.

    Raises:
        NodeError: there is no such node, it has not changed, or it does not answer.
    """
    members = keeping.membership if keeping else None
    ordinal = next((n for n in members.current if node_name(n) == name), None) if members else None
    if keeping is None or members is None or ordinal is None:
        raise NodeError(f"{name}: not a member of the locked set", hint="see `quorumkit status` for their names")
    if ordinal == local.ordinal:
        raise NodeError(f"{name}: it is the node you are asking", hint="ask through another node")
    proven = await _asked(local, members, ordinal)
    new = proven.document
    # What others have signed by now is to be known first, so that all sign the same.
    await keeping.sync_all()
    step = members.admissions.last(ordinal)
    current = members.current[ordinal].document
    old = members.holder(ordinal)
    if old == new.enode_key and step is not None:
        old = step.old
    elif old == new.enode_key and current.same_identity(new):
        raise NodeError(f"{name}: has the identity that is agreed on", hint="there is nothing to replace")
    if old is None or old == new.enode_key:
        raise NodeError(
            f"{name}: has the nodekey that is agreed on, and another account or another key beside it",
            hint="put those back from a backup; or empty its directory, start it and try again",
        )
    if step is not None and old == step.old and members.standing(ordinal, old, new.enode_key).complete:
        raise NodeError(f"{name}: has the identity that is agreed on", hint="there is nothing to replace")
    counts = local.own.document.enode_key in members.admissions.sitting
    if counts:
        last = max(members.admissions.revision_of(local.own.document.enode_key, ordinal), step.latest if step else 0)
        admission = Admission(
            genesis=members.lock.genesis, ordinal=ordinal, old=old, enode_key=new.enode_key,
            revision=max(local.now(), last + 1), by=local.own.document.enode_key,
        )  # fmt: skip
        before = members.standing(ordinal, old, new.enode_key)
        if local.ordinal not in before.signed:
            members.admit(sign(admission, local.nodekey()), source=name, latest=local.latest)
    standing = members.standing(ordinal, old, new.enode_key)
    if standing.complete:
        with local.refusals_logged(name):  # what was signed is to be kept and handed on all the same
            members.offer(proven, source=name, latest=local.latest)
        local.say("WARN", f"{name} was replaced: its identity is now {new.enode_key[:16]}…")
    else:
        local.say(
            "WARN",
            f"{name}: {len(standing.signed)} of {standing.needed} signatures for {new.enode_key[:16]}… in its place",
        )
    keeping.members_changed()
    return Replacement(name, new.identity, standing, counts)


async def _asked(local: LocalNode, members: Membership, ordinal: int) -> Proven:
    """The document of who answers at a node's name, where it can have that node's place.

    Raises:
        NodeError: nobody answers, or one who cannot.
    """
    name = node_name(ordinal)
    try:
        answer = await local.pull(ordinal, "documents")
        proven = local.proven(answer.sender, name)
    except QuorumkitError as error:
        raise NodeError(
            f"{name}: does not answer with its new identity: {error.message}", hint="start it first, then try again"
        ) from None
    new = proven.document
    if new.ordinal != ordinal:
        raise NodeError(f"{name}: {node_name(new.ordinal)} answers at that name", hint="look at names and addresses")
    if members.takes_anothers(new):
        raise NodeError(
            f"{name}: has the account or a key of another node",
            hint="empty its directory, start it and try again",
        )
    return proven
