"""GoQuorum 24.4.1, the last release of the fork that brought private transactions. It gets no fixes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quorumkit.engines.base import Binary, Standing
from quorumkit.engines.geth import Geth, standing_among
from quorumkit.engines.raft_members import raft_standing
from quorumkit.errors import NodeError
from quorumkit.files import to_json
from quorumkit.identity.keys import enode_key_in
from quorumkit.progress import Progress
from quorumkit.spec import is_literal_address

if TYPE_CHECKING:
    from quorumkit.engines.branches import BranchSearch
    from quorumkit.plan import Network, Node
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc

VERSION = "24.4.1"

_ANYWHERE = "0.0.0.0"  # noqa: S104 - nobody listens there

_FORKS = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul"]
_TOLD_THEIR_PEERS = {"qbft", "ibft"}
_RAFT_LOG = Path("data/raft-wal")
_ADMITTED_WITHIN = 10.0
_FETCHES_WITHIN = 12.0
"""Seconds: with less than min(5, MaxPeers) peers it looks once in 10 s (eth/sync.go, nextSyncOp)."""
_APPLIED_SOON = 0.2
"""Seconds: raft applies a change of its members at once, where a majority of them is up."""

_VERSION_LINE = re.compile(r"^Quorum Version: (?P<version>\d+\.\d+\.\d+)", re.MULTILINE)


def official_image(version: str) -> str:
    """The image that GoQuorum's makers published."""
    return f"quorumengineering/quorum:{version}"


class GoQuorum(Geth):
    """A fork of geth 1.10.3: its files, console and admin API are geth's; what differs stands here."""

    kind = "goquorum"
    package = "pkg:github/Consensys/quorum"
    consensus = frozenset({"qbft", "ibft", "raft", "clique"})
    private_transactions = True
    _console_flags = ()

    def find(self, version: str, *, override: Path | None = None, image: str | None = None) -> Binary | None:
        from quorumkit.engines.binaries import check_binary, find_kept

        if override is not None:
            return check_binary(override, version, name="GoQuorum", version_line=_VERSION_LINE)
        return find_kept(self.kind, version, image or official_image(version))

    def source_image(self, version: str, named: str | None) -> str | None:
        return named or official_image(version)

    def acquire(
        self, version: str, *, override: Path | None = None, image: str | None = None, progress: Progress
    ) -> Binary:
        from quorumkit.engines.binaries import take_from_image

        return self.find(version, override=override, image=image) or take_from_image(
            image or official_image(version), "/usr/local/bin/geth", self.kind, version,
            name="GoQuorum", version_line=_VERSION_LINE, progress=progress,
        )  # fmt: skip

    def genesis(
        self,
        *,
        chain_id: int,
        gas_limit: int,
        free_gas: bool,
        balances: Mapping[str, int],
        consensus_fields: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Gas is free on a Quorum chain (`isQuorum`): a transaction with a gas price is refused."""
        fields = dict(consensus_fields)
        return {
            "config": {
                "chainId": chain_id,
                **{f"{fork}Block": 0 for fork in _FORKS},
                "isQuorum": True,
                "txnSizeLimit": 64,  # KiB
                "transitions": [{"block": 0, "contractsizelimit": 64}],  # KiB
                **fields.pop("config"),
            },
            "nonce": "0x0",
            "timestamp": "0x0",
            "gasLimit": hex(gas_limit),
            "coinbase": "0x" + "00" * 20,
            **fields,
            "alloc": {account.removeprefix("0x"): {"balance": hex(wei)} for account, wei in sorted(balances.items())},
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
        voters = [other.enode for other in network.nodes if other.role == "validator"]
        peers = [peer.enode for peer in network.peers_of(node)]
        kind = network.spec.consensus.kind
        trusted = [] if kind in _TOLD_THEIR_PEERS else peers
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

    async def set_up(self, rpc: Rpc, record: NodeRecord) -> None:
        """Nothing: its gas is free by `isQuorum`."""

    def seal_method(self, record: NodeRecord) -> str | None:
        return None if record.consensus.kind == "raft" else "miner_start"

    def seals_before_peers(self, record: NodeRecord) -> bool:
        return record.consensus.kind in _TOLD_THEIR_PEERS

    def sign_of_life(self, record: NodeRecord) -> str:
        """Where raft stands still its client answers all else: only this takes raft's lock, and it takes it once."""
        return "raft_leader" if record.consensus.kind == "raft" else super().sign_of_life(record)

    async def standing(self, rpc: Rpc, record: NodeRecord) -> Standing:
        kind = record.consensus.kind
        if kind == "raft":
            return await raft_standing(rpc, record.identity.enode_key)
        if kind in _TOLD_THEIR_PEERS:
            return standing_among(record, await rpc.call("istanbul_getValidators"))
        return await super().standing(rpc, record)

    async def is_level(self, rpc: Rpc) -> bool:
        """Every peer is known with its total difficulty when it came, or by the newest block it sent itself: no more
        than the client's own."""
        peers = [peer["protocols"].get("eth") for peer in await rpc.call("admin_peers")]
        if "handshake" in peers:
            return False
        own = int((await rpc.call("eth_getBlockByNumber", "latest", False))["totalDifficulty"], 16)
        return all(int(peer["difficulty"]) <= own for peer in peers if isinstance(peer, dict))

    def branch_search(self, rpc: Rpc, record: NodeRecord, directory: Path) -> BranchSearch | None:
        """QBFT and IBFT agree on a block before it is made, and raft's leader makes them all."""
        from quorumkit.engines.branches import BranchSearch

        if record.consensus.kind != "clique":
            return None
        return BranchSearch(rpc, self, record, directory, fetches_within=_FETCHES_WITHIN)

    async def seal(self, rpc: Rpc, record: NodeRecord) -> None:
        """QBFT and IBFT sign with the nodekey, which is there from the start."""
        if record.consensus.kind in _TOLD_THEIR_PEERS:
            await rpc.call("miner_start")
        else:
            await super().seal(rpc, record)

    def why_not_anew(self, directory: Path, record: NodeRecord, *, had_chain: bool) -> str | None:
        """Raft hands on no block that a member has said it has, and counts on what it has said."""
        if record.consensus.kind != "raft" or not (had_chain or (directory / _RAFT_LOG).exists()):
            return None
        return "a member of a raft that has lost what it acknowledged cannot begin anew"

    def first_commands(self, binary: Path, record: NodeRecord) -> list[list[str]]:
        """Has a QBFT node write down the genesis's validators, so that it reads them at its first start as later.

        Validators propose in an order that a node remembers in two ways: by the addresses' bytes, from the start that
        made the first snapshot, until it ends; by their text, where capitals from the checksum come first, from any
        start that reads one (consensus/istanbul/backend/snapshot.go, UnmarshalJSON). A node that was started again
        then waits for another proposer than the rest, and they for another than it: rounds are lost for good.
        """
        if record.consensus.kind != "qbft":
            return []
        flags = ["--datadir", "data", "--networkid", str(record.chain_id), "--ipcdisable", "--nat", "none"]
        flags += ["--port", "0", "--nodiscover", "--maxpeers", "0", "--nousb"]
        return [[str(binary), *flags, "console", "--exec", 'istanbul.getValidators("0x0")']]

    def can_be_asked(self, line: str, record: NodeRecord) -> bool:
        """A raft node that is asked for its members while it reads them from its disk stands still for good: it takes a
        lock for reading twice, and in between waits the one who writes (raft/handler.go, NodeInfo; raft/snapshot.go,
        updateClusterMembership)."""
        if record.consensus.kind == "raft":
            return "raft node started" in line
        return super().can_be_asked(line, record)

    def needs_admission(self, record: NodeRecord) -> bool:
        return record.consensus.kind == "raft" and record.role == "observer"

    async def admit(self, rpc: Rpc, enode: str, replaced: Collection[str] | None = None) -> str:
        """The node's raft id. It comes in as a learner, which gets the log and has no vote.

        Only the leader is asked: a raft id is one more than the highest that a member knows of (raft/handler.go,
        nextRaftId), and one that lags could give the same to two nodes. What it proposes counts once it has applied it.

        A member with another key at that very place has lost its disk and was replaced: raft takes it off its list
        first, for good, and counts its vote no more. Where `replaced` says who was, nobody else is taken off: whoever
        may come in could otherwise put out any member by giving its host and port for his own.
        """
        key = enode_key_in(enode)
        try:
            async with asyncio.timeout(_ADMITTED_WITHIN):
                while True:
                    members = await rpc.call("raft_cluster")
                    if (raft_id := _raft_id(members, key)) is not None:
                        return str(raft_id)
                    if await rpc.call("raft_role") != "minter":
                        raise NodeError("it does not lead the raft")
                    if (lost := _member_at(members, enode)) is None:
                        await rpc.call("raft_addLearner", enode)
                    elif replaced is None or lost["nodeId"] in replaced:
                        await rpc.call("raft_removePeer", int(lost["raftId"]))
                    else:
                        raise NodeError("another member of the raft has its host and port, and was not replaced")
                    await asyncio.sleep(_APPLIED_SOON)
        except TimeoutError:
            raise NodeError(f"raft did not take the node in within {_ADMITTED_WITHIN:g} s") from None

    def run_command(self, binary: Path, record: NodeRecord, *, admission: str | None = None) -> list[str]:
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
        return [*command, *record.engine.client_arguments]


def _permitted(node: Node) -> str:
    """The node's enode URL with a literal address: only its key counts here, and a name would be looked up at every
    connection."""
    place = node.endpoints.p2p
    if is_literal_address(place.host):
        return node.enode
    return node.enode.replace(f"@{place}?", f"@{_ANYWHERE}:{place.port}?")


def _raft_id(members: list[dict[str, Any]], key: str) -> int | None:
    """The raft id of the member with that enode key, as `raft_cluster` tells it."""
    return next((int(member["raftId"]) for member in members if member["nodeId"] == key), None)


def _member_at(members: list[dict[str, Any]], enode: str) -> dict[str, Any] | None:
    """The member at the host and port of that enode URL."""
    url = urlsplit(enode)
    place = url.hostname, url.port
    return next((member for member in members if (member["hostname"], member["p2pPort"]) == place), None)
