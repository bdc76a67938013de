"""GoQuorum 24.4.1, the last release of the fork that brought private transactions. It gets no fixes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.engines.base import NONE_BESIDE, NamedPort, NeutralGenesis, Recipe
from quorumkit.engines.geth.recipe import FORKS, GethRecipe, alloc_of
from quorumkit.files import to_json
from quorumkit.notation import is_literal_address

if TYPE_CHECKING:
    from quorumkit.plan import Network, Node
    from quorumkit.process_spec import ProcessSpec
    from quorumkit.record import NodeRecord

_ANYWHERE = "0.0.0.0"  # noqa: S104 - nobody listens there

TOLD_THEIR_PEERS = {"qbft", "ibft"}
"""The consensus kinds whose nodes know no peers until they are told."""

_RAFT_LOG = Path("data/raft-wal")
_RAFT_PORT = NamedPort(
    number=50400,
    block=range(27000, 30303),
    about="Where raft's own messages go, with that consensus kind.",
    enode_field="raftport",  # p2p/enode/urlv4.go, parseComplete
)


class GoQuorumRecipe(GethRecipe):
    """A fork of geth 1.10.3: its files and console are geth's; what differs stands here."""

    kind = "goquorum"
    default_version = "24.4.1"
    last_version: str | None = None
    consensus: tuple[str, ...] = ("qbft", "ibft", "raft", "clique")
    gas_is_always_free = True
    private_transactions = True
    comes_in_image = True
    api_modules: tuple[str, ...] = (*GethRecipe.api_modules, "istanbul", "raft", "quorumPermission", "quorumExtension")
    package = "pkg:github/Consensys/quorum"
    _console_flags = ()

    def ports(self, consensus: str) -> Mapping[str, NamedPort]:
        return {"raft": _RAFT_PORT} if consensus == "raft" else {}

    def genesis(self, neutral: NeutralGenesis) -> dict[str, Any]:
        """Gas is free on a Quorum chain (`isQuorum`): a transaction with a gas price is refused."""
        fields = dict(neutral.consensus_fields)
        return {
            "config": {
                "chainId": neutral.chain_id,
                **{f"{fork}Block": 0 for fork in FORKS},
                "isQuorum": True,
                "txnSizeLimit": 64,  # KiB
                "transitions": [{"block": 0, "contractsizelimit": 64}],  # KiB
                **fields.pop("config"),
            },
            "nonce": "0x0",
            "timestamp": "0x0",
            "gasLimit": hex(neutral.gas_limit),
            "coinbase": "0x" + "00" * 20,
            **fields,
            "alloc": alloc_of(neutral.balances),
        }

    def node_files(self, network: Network, node: Node) -> dict[str, bytes]:
        """Raft numbers its first members by their place in `static-nodes.json`: the validators, by ordinal, on every
        node the same. Those that come later are in raft's own log, so that list never changes. One of those dials
        nobody by itself: what it dials before raft tells it the members it refuses, and dials again after 35 s
        (p2p/server.go, checkPeerInRaft).

        QBFT and IBFT drop a peer whose message comes before they seal (consensus/istanbul/backend, "stopped engine"),
        and dial it again after half a minute: so they know no peers until they are told.

        The permissioned nodes are matched by key alone and read again at each connection
        (permission/core/permissions.go), so a change needs no restart.
        """
        everyone = [_permitted(other) for other in network.members]
        voters = [str(other.enode) for other in network.nodes if other.role == "validator"]
        peers = [str(peer.enode) for peer in network.peers_of(node)]
        kind = network.spec.consensus.kind
        trusted = [] if kind in TOLD_THEIR_PEERS else peers
        static = [] if kind == "raft" and node.role == "observer" else trusted
        return {
            "geth.toml": self._config(network, node, static=static, trusted=trusted),
            "data/static-nodes.json": to_json(voters if kind == "raft" else static),
            "data/permissioned-nodes.json": to_json(everyone),
            "data/disallowed-nodes.json": to_json([]),
        }

    def _sync_settings(self, most_peers: int) -> dict[str, dict[str, Any]]:
        """None: this version still serves light clients where it is told of any."""
        return {}

    def keeps_names(self, consensus: str) -> bool:
        """With raft, whose members are known by the addresses they joined with, for good: one that moves can only be
        found again by its name. `raftport` in an enode makes the client keep the name (p2p/enode/urlv4.go,
        parseComplete), and `--raftdnsenable` has raft's own messages go by it."""
        return consensus == "raft"

    def why_not_anew(self, directory: Path, record: NodeRecord, *, had_chain: bool) -> str | None:
        """Raft hands on no block that a member has said it has, and counts on what it has said."""
        if record.consensus.kind != "raft" or not (had_chain or (directory / _RAFT_LOG).exists()):
            return None
        return "a member of a raft that has lost what it acknowledged cannot begin anew"

    def setup_commands(self, binary: Path, record: NodeRecord, genesis: str) -> list[list[str]]:
        """Has a QBFT node write down the genesis's validators, so that it reads them at its first start as later.

        Validators propose in an order that a node remembers in two ways: by the addresses' bytes, from the start that
        made the first snapshot, until it ends; by their text, where capitals from the checksum come first, from any
        start that reads one (consensus/istanbul/backend/snapshot.go, UnmarshalJSON). A node that was started again
        then waits for another proposer than the rest, and they for another than it: rounds are lost for good.
        """
        commands = super().setup_commands(binary, record, genesis)
        if record.consensus.kind != "qbft":
            return commands
        flags = ["--datadir", "data", "--networkid", str(record.chain_id), "--ipcdisable", "--nat", "none"]
        flags += ["--port", "0", "--nodiscover", "--maxpeers", "0", "--nousb"]
        return [*commands, [str(binary), *flags, "console", "--exec", 'istanbul.getValidators("0x0")']]

    def needs_admission(self, record: NodeRecord) -> bool:
        return record.consensus.kind == "raft" and record.role == "observer"

    def processes(
        self,
        binary: Path,
        record: NodeRecord,
        *,
        admission: str | None = None,
        beside: Mapping[str, Path] = NONE_BESIDE,
    ) -> list[ProcessSpec]:
        """A raft node that is asked for its members while it reads them from its disk stands still for good: it takes a
        lock for reading twice, and in between waits the one who writes (raft/handler.go, NodeInfo; raft/snapshot.go,
        updateClusterMembership). So it can be asked only once raft has started.

        Where raft stands still all the same its client answers all else: only `raft_leader` takes raft's lock, and it
        takes it once.
        """
        command = [
            *(str(binary), *self._flags(record), "--permissioned", "--miner.gasprice", "0"),
            # Some twenty lines for each block are left out, warnings not.
            *("--vmodule", "consensus/istanbul/*=2"),
        ]
        if record.consensus.kind == "raft":
            command += ["--raft", "--raftport", str(record.endpoints.ports["raft"]), "--raftdnsenable"]
            command += ["--raftblocktime", str(record.consensus.raft_block_time)]
            command += ["--raftjoinexisting", admission] if admission else []
        elif record.consensus.kind == "clique":
            command += ["--miner.etherbase", record.identity.account]
        if record.gas_limit is not None:
            # Between its own limits, 700M and 800M, the client would go with what blocks use.
            limit = str(record.gas_limit)
            command += ["--miner.gastarget", limit, "--miner.gaslimit", limit]
        if record.tm is not None:
            command += ["--ptm.socket", "tm/tm.ipc"]
        command += record.engine.client_arguments
        if record.consensus.kind == "raft":
            return [self._client(command, ready="raft node started", asked="raft_leader")]
        return [self._client(command)]


def _permitted(node: Node) -> str:
    """The node's enode URL with a literal address: only its key counts here, and a name would be looked up at every
    connection."""
    enode = node.enode
    return str(enode if is_literal_address(enode.place.host) else enode.with_host(_ANYWHERE))


RECIPE: Recipe = GoQuorumRecipe()
