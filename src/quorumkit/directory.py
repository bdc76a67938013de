"""The network directory: what lies where, and what is read back from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from quorumkit.errors import CorruptFileError, NotANetworkError, NotRunningError
from quorumkit.identity import PublicIdentity
from quorumkit.node.record import RECORD_NAME, EndpointRecord, NodeRecord, read_record
from quorumkit.plan import Endpoint, Network, NodeEndpoints, node_name, plan
from quorumkit.spec import SPEC_NAME, NetworkSpec, read_spec


@dataclass(frozen=True)
class NetworkDirectory:
    """Names, not contents."""

    path: Path

    @property
    def spec(self) -> Path:
        return self.path / SPEC_NAME

    @property
    def genesis(self) -> Path:
        return self.path / "genesis.json"

    @property
    def compose(self) -> Path:
        return self.path / "compose.yaml"

    @property
    def nodes(self) -> Path:
        return self.path / "nodes"

    @property
    def state(self) -> Path:
        """What runs now: sockets, locks, logs. Never mapped, never needed to rebuild the network."""
        return self.path / ".state"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def node(self, name: str) -> Path:
        return self.nodes / name

    def exists(self) -> bool:
        return self.spec.is_file()

    def read_spec(self) -> NetworkSpec:
        """Raises:
        NotANetworkError: there is no spec here.
        SpecError: the spec is wrong.
        """
        if not self.exists():
            problem = "there is no such directory" if not self.path.exists() else f"no {SPEC_NAME} in it"
            raise NotANetworkError(
                f"{self.path}: not a network ({problem})",
                hint=f"make one with `quorumkit init {self.path} -n 5`, or name another directory",
            )
        return read_spec(self.spec)

    def engine_override(self, spec: NetworkSpec) -> Path | None:
        """The binary that the spec names, if it does."""
        return self.path.joinpath(Path(spec.engine.binary).expanduser()) if spec.engine.binary else None

    def load(self) -> Network:
        """The network as it was generated, from the spec and the nodes' records.

        Raises:
            CorruptFileError: a node's record is missing or wrong.
            NotRunningError: nodes that make their own identities have not agreed on a network yet.
        """
        spec = self.read_spec()
        if spec.identities == "exchanged" and not (self.node(node_name(1)) / RECORD_NAME).exists():
            raise NotRunningError(
                f"{self.path}: its nodes have not agreed on a network yet", hint=f"start it: quorumkit up {self.path}"
            )
        records = [read_record(self.node(node_name(ordinal))) for ordinal in range(1, spec.nodes.total + 1)]
        for ordinal, record in enumerate(records, start=1):
            if record.ordinal != ordinal:
                raise CorruptFileError(f"{self.node(node_name(ordinal))}: holds node{record.ordinal}'s record")
        return plan(spec, [identity_of(record) for record in records], [endpoints_of(record) for record in records])


def identity_of(record: NodeRecord) -> PublicIdentity:
    """The public identity that a record tells."""
    return PublicIdentity(
        enode_key=record.enode_key, account=record.account, tm_key=record.tm.public_key if record.tm else None
    )


def endpoints_of(record: NodeRecord) -> NodeEndpoints:
    """The endpoints that a record tells."""
    return NodeEndpoints(
        p2p=_endpoint(record.p2p),
        p2p_bind=_endpoint(record.p2p_bind),
        rpc_bind=_endpoint(record.rpc_bind),
        rpc_url=record.rpc_url,
        rpc_names=tuple(record.rpc_names),
        raft_port=record.raft_port,
        tm=_tm_endpoint(record),
        tm_bind=_endpoint(record.tm_bind) if record.tm_bind else None,
    )


def _tm_endpoint(record: NodeRecord) -> Endpoint | None:
    if record.tm is None:
        return None
    parts = urlsplit(record.tm.url)
    return Endpoint(str(parts.hostname), int(parts.port or 80))


def _endpoint(record: EndpointRecord) -> Endpoint:
    return Endpoint(record.host, record.port)
