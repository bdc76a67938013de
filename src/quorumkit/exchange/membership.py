"""The network after the lock: who stands where now. Pure.

The lock's documents give the genesis and never change. Over them lie, by ordinal, the documents that hold now: the
same identity at another address, another identity that a member admitted in a lost one's place, and observers that
came later. All nodes end with the same, in whatever order they hear of it: of two documents of one identity the later
holds, of two admissions for one ordinal the later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from quorumkit.consensus import consensus_of
from quorumkit.exchange.protocol import Admission, Document, Proven, Signed, check_admission, prove
from quorumkit.exchange.refusal import Refusal
from quorumkit.plan import FULL_MESH, Endpoint, Network, Node, NodeEndpoints, node_name, peer_ordinals, plan
from quorumkit.spec import NetworkSpec

NOWHERE = "0.0.0.0"  # noqa: S104
"""The address of a node that no peer of this one has to find: permissions go by keys."""


@dataclass(frozen=True)
class Lock:
    """What all N agreed on: their documents, by ordinal, and everyone's word for the genesis that follows."""

    genesis: str
    documents: tuple[Proven, ...]
    commitments: tuple[Signed, ...]


class Membership:
    """Who is a member now."""

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.current: dict[int, Proven] = {proven.document.ordinal: proven for proven in lock.documents}
        self._admissions: dict[int, tuple[Admission, Signed]] = {}

    @property
    def total(self) -> int:
        return len(self.lock.documents)

    @property
    def documents(self) -> list[Signed]:
        """Everyone's that holds now, by ordinal."""
        return [proven.signed for _, proven in sorted(self.current.items())]

    @property
    def admissions(self) -> list[Signed]:
        return [signed for _, (_, signed) in sorted(self._admissions.items())]

    @property
    def digest(self) -> str:
        """The same on two nodes that know the same members."""
        told = [*(signed.text for signed in self.documents), *(signed.text for signed in self.admissions)]
        return hashlib.sha256("\n".join((self.lock.genesis, *told)).encode()).hexdigest()

    def offer(self, proven: Proven, *, source: str) -> bool:
        """Takes a document; whether anything changed.

        Raises:
            Refusal: identity_changed: another identity than the one in that place, and nobody admitted it;
                chain_id or spec: it belongs to another network.
        """
        document = proven.document
        ours = self.lock.documents[0].document
        name = node_name(document.ordinal)
        if document.chain_id != ours.chain_id:
            raise Refusal("chain_id", f"{source}: {name} has chain id {document.chain_id}, and this is {ours.chain_id}")
        if document.spec != ours.spec:
            raise Refusal("spec", f"{source}: {name} was started with other settings")
        present = self.current.get(document.ordinal)
        if present is None:
            if any(document.enode_key == other.document.enode_key for other in self.current.values()):
                raise Refusal("identity_changed", f"{source}: {name} has the identity of another node")
            self.current[document.ordinal] = proven
            return True
        if present.document.same_identity(document):
            if document.revision <= present.document.revision:
                return False
            self.current[document.ordinal] = proven
            return True
        admitted = self._admissions.get(document.ordinal)
        if admitted is None or admitted[0].enode_key != document.enode_key:
            raise Refusal(
                "identity_changed",
                f"{source}: {name} has another identity ({document.enode_key[:16]}…) than the one that was agreed on "
                f"({present.document.enode_key[:16]}…)",
            )
        self.current[document.ordinal] = proven
        return True

    def admit(self, signed: Signed, *, source: str) -> bool:
        """Takes a member's word that another identity has an ordinal's place; whether anything changed.

        Raises:
            Refusal: format, signature, or not_admitted when it is no member's.
        """
        admission = check_admission(signed, source=source)
        keys = {proven.document.enode_key for proven in (*self.current.values(), *self.lock.documents)}
        if admission.by not in keys:
            raise Refusal("not_admitted", f"{source}: {node_name(admission.ordinal)} was admitted by no member")
        present = self._admissions.get(admission.ordinal)
        if present is not None and (admission.revision, signed.text) <= (present[0].revision, present[1].text):
            return False
        self._admissions[admission.ordinal] = admission, signed
        return True

    def is_replaced(self, ordinal: int) -> bool:
        """Whether the place of one of the genesis is held by another identity now."""
        if ordinal > self.total:
            return False
        original = self.lock.documents[ordinal - 1].document
        return not self.current[ordinal].document.same_identity(original)

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
                raft_port=document.raft_port, tm=managers.get(document.ordinal, document.tm),
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


def lock_from(genesis: str, documents: list[Signed], commitments: list[Signed], *, source: str) -> Lock:
    """A lock that was written down.

    Raises:
        Refusal: format or signature.
    """
    proven = sorted((prove(signed, source=source) for signed in documents), key=lambda each: each.document.ordinal)
    if [each.document.ordinal for each in proven] != list(range(1, len(proven) + 1)):
        raise Refusal("format", f"{source}: its ordinals are not 1 to {len(proven)}")
    return Lock(genesis, tuple(proven), tuple(commitments))
