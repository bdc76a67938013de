"""The network after the lock: who stands where now. Pure.

The lock's documents give the genesis and never change. Over them lie, by ordinal, the documents that hold now: the
same identity at another address, another identity that the validators admitted in a lost one's place (`admissions`),
and observers that came later. All nodes end with the same, in whatever order they hear of it: of two documents of one
identity the later holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from quorumkit.addresses import Endpoint
from quorumkit.consensus import consensus_of
from quorumkit.exchange.admissions import Admissions, Standing
from quorumkit.exchange.protocol import MOST_NODES, Admission, Document, Proven, Signed, check, prove
from quorumkit.exchange.refusal import Refusal
from quorumkit.plan import FULL_MESH, Network, Node, NodeEndpoints, node_name, peer_ordinals, plan
from quorumkit.spec import NetworkSpec

NOWHERE = "0.0.0.0"  # noqa: S104
"""The address of a node that no peer of this one has to find: permissions go by keys."""

LATECOMERS = 100
"""Places beyond the first N: so many, or as many as N where that is more. Whoever has the join secret can take one."""


@dataclass(frozen=True)
class Lock:
    """What all N agreed on: their documents, by ordinal, and everyone's commitment to the genesis that follows."""

    genesis: str
    documents: tuple[Proven, ...]
    commitments: tuple[Signed, ...]


class Membership:
    """Who is a member now."""

    def __init__(self, lock: Lock, *, validators: int | None = None) -> None:
        """The first `validators` of the lock's are validators; without it, all are."""
        self.lock = lock
        self.current: dict[int, Proven] = {proven.document.ordinal: proven for proven in lock.documents}
        voting = lock.documents[:validators]
        self.admissions = Admissions(
            lock.genesis, {proven.document.ordinal: proven.document.enode_key for proven in voting}
        )

    @property
    def total(self) -> int:
        return len(self.lock.documents)

    @property
    def places(self) -> int:
        """The highest ordinal there may be."""
        return min(MOST_NODES, self.total + max(LATECOMERS, self.total))

    @property
    def documents(self) -> list[Signed]:
        """Everyone's that holds now, by ordinal."""
        return [proven.signed for _, proven in sorted(self.current.items())]

    @property
    def digest(self) -> str:
        """The same on two nodes that know the same members."""
        parts = [*(signed.text for signed in self.documents), *self.admissions.digest_parts]
        return hashlib.sha256("\n".join((self.lock.genesis, *parts)).encode()).hexdigest()

    @property
    def changed(self) -> bool:
        """Whether it is not the locked set any more."""
        return self.digest != Membership(self.lock).digest

    def offer(self, proven: Proven, *, source: str, latest: int | None = None) -> bool:
        """Takes a document; whether anything changed. `latest` is the latest revision that can be true now: one beyond
        it is refused, and holds against no other.

        Raises:
            Refusal: identity_changed: another identity than the one in that place, and it was not admitted; replaced:
                one that another was admitted in the place of; chain_id or spec: it belongs to another network; clock;
                too_many: an ordinal beyond all places.
        """
        document = proven.document
        ours = self.lock.documents[0].document
        name = node_name(document.ordinal)
        if document.chain_id != ours.chain_id:
            raise Refusal("chain_id", f"{source}: {name} has chain id {document.chain_id}, and this is {ours.chain_id}")
        if document.spec != ours.spec:
            raise Refusal("spec", f"{source}: {name} was started with other settings")
        if document.parts != ours.parts:
            raise Refusal("spec", f"{source}: {name} does not say what a node of this network has to say of itself")
        if document.enode_key in self.admissions.retired:
            raise Refusal("replaced", f"{source}: the key {document.enode_key[:16]}… was replaced")
        if document.ordinal > self.places:
            raise Refusal("too_many", f"{source}: {name} is beyond the {self.places} places of this network")
        check_revision(document.revision, latest, source)
        present = self.current.get(document.ordinal)
        if present is not None and present.document.same_identity(document):
            past = latest is None or present.document.revision <= latest
            if past and document.revision <= present.document.revision:
                return False
            if proven == present:
                return False
            self.current[document.ordinal] = proven
            return True
        step = self.admissions.last(document.ordinal)
        admitted = step is not None and step.new == document.enode_key
        sharing = self._sharing(document)
        if document.enode_key in self._others(document.ordinal) or (
            sharing and not (admitted and sharing.isdisjoint(self._established))
        ):
            raise Refusal("identity_changed", f"{source}: {name} has the identity of another node")
        if present is not None or step is not None:
            held = present.document.enode_key if present else ""
            if step is None or step.new != document.enode_key or held == document.enode_key:
                raise Refusal(
                    "identity_changed",
                    f"{source}: {name} has another identity ({document.enode_key[:16]}…) than the one that was "
                    f"agreed on ({(step.new if step else held)[:16]}…)",
                )
        for ordinal in sharing:
            # It was heard of first and took what belongs to one whom the validators have signed for.
            del self.current[ordinal]
        self.current[document.ordinal] = proven
        return True

    def admit(self, signed: Signed, *, source: str, latest: int | None = None) -> bool:
        """Takes a validator's signature for another identity in an ordinal's place; whether anything changed.

        Raises:
            Refusal: format, signature, clock; too_many: an ordinal beyond all places; and see `Admissions.take`.
        """
        admission = check(Admission, signed, source=source, signers=self.admissions.validators)
        if admission.ordinal > self.places:
            raise Refusal("too_many", f"{source}: {node_name(admission.ordinal)} is beyond the places of this network")
        check_revision(admission.revision, latest, source)
        return self.admissions.take(
            admission, signed, present=self.holder(admission.ordinal), others=self._others(admission.ordinal),
            source=source,
        )  # fmt: skip

    def holder(self, ordinal: int) -> str | None:
        """The enode key of who has an ordinal's place, whether its document is here or not."""
        step = self.admissions.last(ordinal)
        if step is not None:
            return step.new
        present = self.current.get(ordinal)
        return present.document.enode_key if present else None

    def standing(self, ordinal: int, old: str, new: str) -> Standing:
        """How far it has come that `new` has the place of `old`."""
        return self.admissions.standing(ordinal, old, new)

    def is_replaced(self, ordinal: int) -> bool:
        """Whether the place of one of the genesis is held by another identity now."""
        if ordinal > self.total:
            return False
        original = self.lock.documents[ordinal - 1].document
        return not self.current[ordinal].document.same_identity(original)

    def takes_anothers(self, document: Document) -> bool:
        """Whether its account or another of its keys belongs to another, so that it can have no place at all."""
        return not self._sharing(document).isdisjoint(self._established)

    def _sharing(self, document: Document) -> set[int]:
        """The ordinals of other nodes whose account or other keys it has: their due would come to it.
        Those of the lock count on when their node was replaced, for who stole its disk has them."""
        return {
            other.document.ordinal
            for other in (*self.current.values(), *self.lock.documents)
            if other.document.ordinal != document.ordinal and document.shares_with(other.document)
        }

    @property
    def _established(self) -> set[int]:
        """The places that were not had for coming: those of the lock, and those that the validators gave."""
        return {*range(1, self.total + 1), *(step.ordinal for step in self.admissions.steps)}

    def _others(self, ordinal: int) -> set[str]:
        """The enode keys of all places but one."""
        ordinals = {*self.current, *(step.ordinal for step in self.admissions.steps)} - {ordinal}
        return {key for other in ordinals if (key := self.holder(other)) is not None}

    def network(
        self,
        spec: NetworkSpec,
        own: int,
        endpoints: NodeEndpoints,
        addresses: Mapping[int, str],
        managers: Mapping[int, Endpoint] | None = None,
    ) -> Network:
        """The network as node `own` sees it: the others' `addresses`, where their transaction managers are, and its own
        `endpoints`. One whose address is not known is a member all the same, and no peer.

        A replaced node follows: the genesis names its old account as the validator, and only the validators' votes can
        change that.
        """
        lock = self.lock.documents
        managers = managers or {}

        def places(document: Document) -> NodeEndpoints:
            """What a node needs to know of another to speak with it; the rest is that one's own."""
            if document.ordinal == own:
                return endpoints
            p2p = Endpoint(addresses.get(document.ordinal, NOWHERE), document.p2p_port)
            return NodeEndpoints(
                p2p=p2p, p2p_bind=p2p, rpc_bind=p2p, rpc_url="",
                ports=document.ports, tm=managers.get(document.ordinal, document.tm),
            )  # fmt: skip

        current = [self.current[proven.document.ordinal].document for proven in lock]
        planned = plan(spec, [proven.document.identity for proven in lock], [places(document) for document in current])
        nodes = tuple(
            replace(node, identity=self.current[node.ordinal].document.identity, role="observer")
            if self.is_replaced(node.ordinal)
            else node
            for node in planned.nodes
        )
        late = tuple(
            Node(ordinal, "observer", self.current[ordinal].document.identity, places(self.current[ordinal].document))
            for ordinal in sorted(self.current)
            if ordinal > self.total
        )
        return GrownNetwork(spec, nodes, planned.genesis, late)


@dataclass(frozen=True)
class GrownNetwork(Network):
    """A network and the observers that came after its genesis was made."""

    late: tuple[Node, ...] = ()

    @property
    def members(self) -> tuple[Node, ...]:
        return (*self.nodes, *self.late)

    def node(self, ordinal: int) -> Node:
        if ordinal <= len(self.nodes):
            return super().node(ordinal)
        return next(node for node in self.late if node.ordinal == ordinal)

    def peers_of(self, node: Node) -> tuple[Node, ...]:
        """Latecomers peer with nodes of the genesis, not with each other; mutual, as ever."""
        total = len(self.nodes)
        everyone = consensus_of(self.spec.consensus.kind).full_mesh
        if node.ordinal > total:
            return tuple(self.node(n) for n in late_peer_ordinals(node.ordinal, total, everyone=everyone))
        late = tuple(
            other
            for other in self.late
            if node.ordinal in late_peer_ordinals(other.ordinal, total, everyone=everyone)
            and other.endpoints.p2p.host != NOWHERE
        )
        return (*super().peers_of(node), *late)


def late_peer_ordinals(ordinal: int, total: int, *, everyone: bool = False) -> list[int]:
    """The peers of an observer that came later: all N, or in a large network those of the node it falls upon, which is
    one of them; with `everyone`, all of however many."""
    if everyone or total <= FULL_MESH:
        return list(range(1, total + 1))
    host = (ordinal - 1) % total + 1
    return sorted({host, *peer_ordinals(host, total)})


def check_revision(revision: int, latest: int | None, source: str) -> None:
    """Raises:
    Refusal: clock: it lies further ahead than a clock may.
    """
    if latest is not None and revision > latest:
        raise Refusal("clock", f"{source}: it was signed by a clock that is {(revision - latest) // 1000 + 60} s ahead")


def lock_from(genesis: str, documents: list[Signed], commitments: list[Signed], *, source: str) -> Lock:
    """A lock that was written down.

    Raises:
        Refusal: format or signature.
    """
    proven = sorted((prove(signed, source=source) for signed in documents), key=lambda each: each.document.ordinal)
    if [each.document.ordinal for each in proven] != list(range(1, len(proven) + 1)):
        raise Refusal("format", f"{source}: its ordinals are not 1 to {len(proven)}")
    return Lock(genesis, tuple(proven), tuple(commitments))
