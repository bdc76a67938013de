"""The network directory: what lies where, and what is read back from it."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quorumkit.addresses import HttpUrl
from quorumkit.errors import CorruptFileError, NewerFormatError, NotANetworkError, NotRunningError
from quorumkit.identity import PublicIdentity
from quorumkit.plan import Network, Node, node_name, node_names, plan, ports_in
from quorumkit.record import RECORD_NAME, NodeRecord, PeerRecord, read_record
from quorumkit.spec import SPEC_NAME, NetworkSpec, read_spec

DEFAULT_DIRECTORY = "mynet"

_NO_ACCOUNT = "0x" + "00" * 20


def default_directory() -> Path:
    """The network that commands mean when none is named: `$QUORUMKIT_NETWORK`; else the current directory if it is a
    network; else ./mynet."""
    if chosen := os.environ.get("QUORUMKIT_NETWORK"):
        return Path(chosen)
    return Path() if Path(SPEC_NAME).is_file() else Path(DEFAULT_DIRECTORY)


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

    @property
    def as_argument(self) -> str:
        """What a command on this network ends with in a hint: nothing where it is the default one."""
        return "" if self._is_default else f" {shlex.quote(str(self.path))}"

    @property
    def as_option(self) -> str:
        """The same for a command about a node, which has the network as an option."""
        return "" if self._is_default else f" -d {shlex.quote(str(self.path))}"

    @property
    def _is_default(self) -> bool:
        return self.path.absolute() == default_directory().absolute()

    def former_nodes(self, spec: NetworkSpec) -> list[Path]:
        """The directories of nodes that the spec had once and has no more; what they left may still run."""
        present = set(node_names(spec))
        return sorted(node for node in self.nodes.glob("node[0-9]*") if node.is_dir() and node.name not in present)

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

    def manager_override(self, spec: NetworkSpec) -> Path | None:
        """The transaction manager that the spec names, if it does."""
        manager = spec.transaction_manager
        return self.path.joinpath(Path(manager.binary).expanduser()) if manager and manager.binary else None

    def is_network(self, spec: NetworkSpec) -> bool:
        """Whether it is known here who the nodes are: not before those that make their own identities have agreed."""
        return spec.identities == "generated" or (self.node(node_name(1)) / RECORD_NAME).exists()

    def load(self) -> Network:
        """The network as it was generated, from the spec and the nodes' records.

        Raises:
            CorruptFileError: a node's record is missing or wrong.
            NotRunningError: nodes that make their own identities have not agreed on a network yet.
        """
        spec = self.read_spec()
        if not self.is_network(spec):
            raise NotRunningError(
                f"{self.path}: its nodes have not agreed on a network yet",
                hint=f"start it: quorumkit up{self.as_argument}",
            )
        records = [read_record(self.node(name)) for name in node_names(spec)]
        for ordinal, record in enumerate(records, start=1):
            if record.ordinal != ordinal:
                raise CorruptFileError(f"{self.node(node_name(ordinal))}: holds node{record.ordinal}'s record")
        return _planned(spec, [record.node for record in records])

    def load_what_is_there(self) -> Network:
        """Like `load`, for whoever only looks: a node whose record is gone or unreadable is what its peers' records say
        of it, without its account.

        Raises:
            CorruptFileError: no node's record is left.
        """
        spec = self.read_spec()
        records: dict[int, NodeRecord] = {}
        for ordinal in range(1, spec.nodes.total + 1):
            with contextlib.suppress(CorruptFileError, NewerFormatError, OSError):
                record = read_record(self.node(node_name(ordinal)))
                if record.ordinal == ordinal:
                    records[ordinal] = record
        if len(records) in (0, spec.nodes.total):
            return self.load()
        peers = {peer.name: peer for record in records.values() for peer in record.peers}
        witness = next(iter(records.values())).node
        unknown = PeerRecord(name=witness.name, enode=witness.enode, further_keys=witness.identity.further_keys)
        return _planned(spec, [
            records[ordinal].node
            if ordinal in records
            else _as_peers_know_it(ordinal, peers.get(node_name(ordinal), unknown), witness)
            for ordinal in range(1, spec.nodes.total + 1)
        ])  # fmt: skip


def _planned(spec: NetworkSpec, nodes: Sequence[Node]) -> Network:
    return plan(spec, [node.identity for node in nodes], [node.endpoints for node in nodes])


def _as_peers_know_it(ordinal: int, peer: PeerRecord, witness: Node) -> Node:
    """A node by its enode URL, and for the rest by another one: ports that people use are in ordinal order."""
    url, enode = HttpUrl.parse(witness.endpoints.rpc_url), peer.enode
    endpoints = replace(
        witness.endpoints,
        p2p=enode.place,
        rpc_url=str(url.with_port(url.place.port + ordinal - witness.ordinal)),
        ports=ports_in(enode),
    )
    identity = PublicIdentity(enode.key, _NO_ACCOUNT, further_keys=peer.further_keys)
    return Node(ordinal, witness.role, identity, endpoints)


def recorded_validators(directory: NetworkDirectory) -> int | None:
    """How many validators the nodes' records tell of; None where one cannot be read."""
    nodes = [node for node in directory.nodes.glob("node*") if node.is_dir()]
    try:
        return sum(read_record(node).role == "validator" for node in nodes) or None
    except (CorruptFileError, NewerFormatError):
        return None
