"""go-ethereum 1.13.15, the last release that seals Clique (go-ethereum#29194). It gets no fixes: trusted peers only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.consensus import consensus_of
from quorumkit.engines.base import Binary, Standing
from quorumkit.engines.geth_gas import gas_flags, suggestions
from quorumkit.errors import EngineError, RpcError
from quorumkit.identity.keys import enode_key_in
from quorumkit.progress import Progress

if TYPE_CHECKING:
    from quorumkit.engines.branches import BranchSearch
    from quorumkit.plan import Network, Node
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc

VERSION = "1.13.15"
_FATAL = re.compile(
    r"^Fatal: (?P<fatal>.*)|^CRIT .*?\] (?P<critical>.*)|^panic: (?P<panic>.*)|^(?P<usage>flag provided but .*)"
)
_LOW_DISK = re.compile(r"^ERROR\s*\[[^]]*\] Low disk space\. .*?available=(\S+ ?[KMG]?i?B?)")
"""With so little left a client ends itself, with exit code 0 (cmd/utils/cmd.go, monitorFreeDiskSpace)."""


_VERSION_LINE = re.compile(r"^Geth\nVersion: (?P<version>\d+\.\d+\.\d+)", re.MULTILINE)

_SOON = 0.005  # seconds

_FETCHES_WITHIN = 3.0
"""Seconds: from its first peer on it fetches at once (`_sync_settings`)."""

_NO_ORIGIN = "https://none.invalid"
"""An origin that no page has (RFC 2606): with an empty list the client lets pages of localhost connect."""

_CHAIN = Path("data/geth/chaindata")
_JWT_SECRET = Path("data/geth/jwtsecret")
_WHOLE_JWT_SECRET = re.compile(rb"\s*(0x)?[0-9a-fA-F]{64}\s*")


class Geth:
    """One geth a node."""

    kind = "geth"
    package = "pkg:golang/github.com/ethereum/go-ethereum"
    consensus = frozenset({"clique"})
    private_transactions = False
    ipc = Path("data/geth.ipc")
    # Clique's validators take turns, and geth warns each time that this one had its turn a moment ago.
    noise: re.Pattern[str] | None = re.compile(
        r'^WARN \[[^]]*\] Block sealing failed\s+err="signed recently, must wait for others"\s*$'
        r"|^INFO \[[^]]*\] Signed recently, must wait for others\s*$"
    )
    noise_is = "signed recently, must wait for others"
    # Its console warns of the `personal` namespace at each start, which the node program needs; other warnings stay.
    _console_flags: tuple[str, ...] = ("--verbosity", "1", "--log.vmodule", "*=3,console=1")
    console_failure = "[quorumkit: the script failed]"

    def find(self, version: str, *, override: Path | None = None, image: str | None = None) -> Binary | None:
        from quorumkit.engines.binaries import check_binary
        from quorumkit.engines.geth_build import find_built

        if override is not None:
            otherwise = "or leave it out and Quorumkit builds one"
            return check_binary(override, version, name="geth", version_line=_VERSION_LINE, otherwise=otherwise)
        return find_built(version)

    def source_image(self, version: str, named: str | None) -> str | None:
        return None

    def acquire(
        self, version: str, *, override: Path | None = None, image: str | None = None, progress: Progress
    ) -> Binary:
        from quorumkit.engines.geth_build import build

        return self.find(version, override=override) or build(version, progress)

    def genesis(
        self,
        *,
        chain_id: int,
        gas_limit: int,
        free_gas: bool,
        balances: Mapping[str, int],
        consensus_fields: Mapping[str, Any],
    ) -> dict[str, Any]:
        """All forks up to London from block 0, or with free gas up to Berlin (see `geth_gas`); the later ones need the
        merge, which Clique never reaches."""
        forks = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul"]
        forks += ["berlin"] if free_gas else ["berlin", "london"]
        fields = dict(consensus_fields)
        return {
            "config": {
                "chainId": chain_id,
                **{f"{fork}Block": 0 for fork in forks},
                **fields.pop("config"),
            },
            "timestamp": "0x0",
            "gasLimit": hex(gas_limit),
            **({} if free_gas else {"baseFeePerGas": "0x0"}),
            **fields,
            "alloc": {account.removeprefix("0x"): {"balance": hex(wei)} for account, wei in sorted(balances.items())},
        }

    def node_files(self, network: Network, node: Node) -> dict[str, bytes]:
        """`geth.toml`: what the command line cannot say, or not readably.

        `DialRatio = 1` leaves no slot for anyone who dials in (p2p/server.go, maxInboundConns = MaxPeers -
        MaxPeers/DialRatio), and trusted nodes need none: so a stranger never gets one, even while a member is away.

        `MaxPeers` bounds strangers only, but a client that has dialled so many peers dials no more, not even static
        ones (p2p/dial.go, freeDialSlots): with fewer than there are, two nodes that both dialled others would never
        find each other again.
        """
        known = [peer.enode for peer in network.peers_of(node)]
        prices = {"Eth.GPO": suggestions(free=network.spec.gas_is_free)}
        return {"geth.toml": self._config(network, node, static=known, trusted=known, further=prices)}

    def _config(
        self,
        network: Network,
        node: Node,
        *,
        static: list[str],
        trusted: list[str],
        further: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> bytes:
        p2p: dict[str, Any] = {
            "ListenAddr": str(node.endpoints.p2p_bind),
            "NoDiscovery": True,
            "MaxPeers": max(1, len(network.peers_of(node))),
            "DialRatio": 1,
            "StaticNodes": static,
            "TrustedNodes": trusted,
        }
        bind, rpc = node.endpoints.rpc_bind, network.spec.rpc
        http = {
            "HTTPHost": bind.host,
            "HTTPPort": bind.port,
            "HTTPModules": list(rpc.http.modules),
            # Checked against the Host header, so that a web page cannot reach the port by rebinding a name to it.
            "HTTPVirtualHosts": list(node.endpoints.rpc_names),
        }
        if rpc.http.origins:
            http["HTTPCors"] = list(rpc.http.origins)
        if rpc.ws.enabled:
            # At HTTP's own address and port one server answers both (node/node.go, wsServerForPort). A page from an
            # origin that is not listed is refused, whatever host name it used.
            http |= {"WSHost": bind.host, "WSPort": bind.port, "WSModules": list(rpc.ws.modules)}
            http["WSOrigins"] = list(rpc.ws.origins) or [_NO_ORIGIN]
        head = f"# {node.name} of {network.spec.name}: rendered from quorumkit.yaml; edit that instead.\n"
        tables = self._sync_settings(p2p["MaxPeers"]) | {"Node": http, "Node.P2P": p2p, **(further or {})}
        return (head + _toml(tables)).encode()

    def _sync_settings(self, most_peers: int) -> dict[str, dict[str, Any]]:
        """Has a client that is behind fetch blocks from its first peer on.

        It does so at once only when it has min(5, M) peers, and else once in 10 s (eth/sync.go, nextSyncOp), where M is
        `MaxPeers` less the share of light clients (eth/backend.go, Start). There is no server for those in this
        version any more, so the share can be all but one.
        """
        return {"Eth": {"LightServ": 1, "LightPeers": most_peers - 1}}

    def keeps_names(self, consensus: str) -> bool:
        """Never: it looks a name up once, and ends when there is none (p2p/enode/urlv4.go, parseComplete)."""
        return False

    def has_chain(self, directory: Path) -> bool:
        """An empty folder is none: geth would begin a chain in it."""
        chain = directory / _CHAIN
        return chain.is_dir() and any(chain.iterdir())

    def chain_damage(self, directory: Path) -> str | None:
        """Both of its databases, LevelDB and Pebble, begin a new one where `CURRENT` is missing, and remove the files
        that it does not know."""
        if self.has_chain(directory) and not (directory / _CHAIN / "CURRENT").is_file():
            return f"{_CHAIN} is damaged: its file CURRENT is missing"
        return None

    def why_not_anew(self, directory: Path, record: NodeRecord, *, had_chain: bool) -> str | None:
        return None

    def clear_unfinished(self, directory: Path) -> None:
        """The secret of its Engine API, which it does not write in one step, and does not start with half of
        (node/node.go, obtainJWTSecret); it makes another."""
        path = directory / _JWT_SECRET
        with contextlib.suppress(FileNotFoundError):
            if not _WHOLE_JWT_SECRET.fullmatch(path.read_bytes()):
                path.unlink()

    def init_command(self, binary: Path, genesis: str) -> list[str]:
        return [str(binary), "init", "--datadir", "data", genesis]

    def first_commands(self, binary: Path, record: NodeRecord) -> list[list[str]]:
        return []

    def can_be_asked(self, line: str, record: NodeRecord) -> bool:
        return "IPC endpoint opened" in line

    def needs_admission(self, record: NodeRecord) -> bool:
        return False

    async def admit(self, rpc: Rpc, enode: str, replaced: Collection[str] | None = None) -> str:
        raise NotImplementedError("no node of geth's needs it")

    def run_command(self, binary: Path, record: NodeRecord, *, admission: str | None = None) -> list[str]:
        return [
            *(str(binary), *self._flags(record)),
            # The Engine API cannot be switched off; any free port of its own on loopback, behind its JWT secret.
            *("--authrpc.addr", "127.0.0.1", "--authrpc.port", "0"),
            *gas_flags(free=record.free_gas, gas_limit=record.gas_limit),
            *("--miner.etherbase", record.identity.account),
            *("--rpc.enabledeprecatedpersonal", *record.engine.client_arguments),
        ]

    def _flags(self, record: NodeRecord) -> list[str]:
        """What any geth is told, and any fork of it."""
        return [
            *("--config", "geth.toml", "--datadir", "data", "--ipcpath", str(self.ipc)),
            *("--networkid", str(record.chain_id), "--nat", "none", "--syncmode", "full"),
            *("--gcmode", "archive" if record.engine.state == "archive" else "full"),
            *("--cache", str(record.engine.cache)),
            # The account must be open to seal and to send, which `open_account` does over the unix socket; over HTTP it
            # can pay for transactions, no more.
            "--allow-insecure-unlock",
            *(("--verbosity", str(record.engine.verbosity)) if record.engine.verbosity else ()),
        ]

    def console_command(self, binary: Path, *, script: str | None, execute: str | None) -> list[str]:
        command = [str(binary), *self._console_flags, "attach", "--datadir", "data"]
        if script:
            command += ["--preload", script]
        if execute is not None:
            command += ["--exec", _guarded(execute, self.console_failure)]
        return [*command, str(self.ipc)]

    def seal_method(self, record: NodeRecord) -> str | None:
        return "miner_start"

    def seals_before_peers(self, record: NodeRecord) -> bool:
        return False

    def sign_of_life(self, record: NodeRecord) -> str:
        return "eth_blockNumber"

    async def set_up(self, rpc: Rpc, record: NodeRecord) -> None:
        """With free gas it mines what pays nothing only when it is told so while it runs: on its command line a price
        of 0 counts as none (eth/backend.go, "Sanitizing invalid miner gas price")."""
        if record.free_gas:
            await rpc.call("miner_setGasPrice", "0x0")

    async def accept_blocks(self, rpc: Rpc) -> None:
        """A geth with a new chain drops the blocks that others announce until it has synced once or begins to seal
        (eth/handler.go, enableSyncedFeatures). Two that drop each other's first block and seal their own never meet:
        each waits for the other to seal the second. So it begins to seal at once, with its account still closed."""
        await rpc.call("miner_start")

    async def open_account(self, rpc: Rpc, account: str, password: str) -> None:
        try:
            await rpc.call("personal_unlockAccount", account, password, 0)
        except RpcError as error:
            if "could not decrypt key" not in error.message:
                raise
            raise EngineError(error.message, hint="put the node's `password` file back from a backup") from None

    async def standing(self, rpc: Rpc, record: NodeRecord) -> Standing:
        return standing_among(record, await rpc.call("clique_getSigners"))

    async def is_level(self, rpc: Rpc) -> bool:
        """geth tells nobody what its peers have (eth/peer.go), but it turns to one that has more as soon as that one is
        connected: from when it has that one's head until all of it is in, `eth_syncing` names a higher block.
        That it still has to index what it has, which it does for long with a new chain, is another matter."""
        if await _any_handshake(rpc):
            return False
        syncing = await rpc.call("eth_syncing")
        return not syncing or int(syncing["currentBlock"], 16) >= int(syncing["highestBlock"], 16)

    def branch_search(self, rpc: Rpc, record: NodeRecord, directory: Path) -> BranchSearch | None:
        from quorumkit.engines.branches import BranchSearch

        return BranchSearch(rpc, self, record, directory, fetches_within=_FETCHES_WITHIN)

    async def seal(self, rpc: Rpc, record: NodeRecord) -> None:
        """What it could not sign before it tries again only after another's block, or when it is started anew: a start
        is ignored until a stop has come through (miner/miner.go), and so is the same block again (miner/worker.go,
        taskLoop), from which other extra data tells it apart.

        A peer counts as connected a moment before it hears of blocks, and what is sealed in between never reaches it.
        """
        while await _any_handshake(rpc):  # noqa: ASYNC110
            await asyncio.sleep(_SOON)
        await self.stop_sealing(rpc)
        await rpc.call("miner_setExtra", "quorumkit")
        await rpc.call("miner_start")

    async def stop_sealing(self, rpc: Rpc) -> None:
        await rpc.call("miner_stop")
        while await rpc.call("eth_mining"):  # noqa: ASYNC110
            await asyncio.sleep(_SOON)

    async def connected_keys(self, rpc: Rpc) -> frozenset[str]:
        peers = await rpc.call("admin_peers")
        return frozenset(enode_key_in(peer["enode"]) for peer in peers)

    async def add_peer(self, rpc: Rpc, enode: str) -> None:
        await rpc.call("admin_addTrustedPeer", enode)
        await rpc.call("admin_addPeer", enode)

    async def drop_peer(self, rpc: Rpc, enode: str) -> None:
        """Trust ends first, so that the peer cannot come back in between. A static peer must be dropped to be given
        another address: geth ignores a second one of the same key (p2p/dial.go, addStaticCh)."""
        await rpc.call("admin_removeTrustedPeer", enode)
        await rpc.call("admin_removePeer", enode)

    def failure_in(self, line: str) -> str | None:
        if low := _LOW_DISK.match(line):
            return f"low disk space, and the client ends itself with so little left ({low[1].strip()})"
        match = _FATAL.match(line)
        return next(filter(None, match.groups())).strip() if match else None


def standing_among(record: NodeRecord, validators: list[str]) -> Standing:
    """Of a node among those validators' addresses."""
    own = consensus_of(record.consensus.kind).validator_address(record.identity)
    return Standing(own.lower() in {address.lower() for address in validators}, len(validators))


async def _any_handshake(rpc: Rpc) -> bool:
    """Whether a peer counts as connected that does not speak the eth protocol yet."""
    return any(peer["protocols"].get("eth") == "handshake" for peer in await rpc.call("admin_peers"))


def _guarded(script: str, failure: str) -> str:
    """The same script, with that line before the error it ends with; its value is printed as before, which takes a
    statement of its own in the JavaScript engine of older clients."""
    told = f"catch (error) {{ console.log({json.dumps(failure)}); throw error }}"
    return f"var __quorumkit; try {{ __quorumkit = eval({json.dumps(script)}) }} {told} __quorumkit"


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML of simple tables: their booleans, numbers, ASCII strings and lists look as in JSON (TOML 1.0), whose encoder
    is the quickest."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value, indent=4)}\n" for key, value in table.items())
        for name, table in tables.items()
    )
