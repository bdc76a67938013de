"""go-ethereum 1.13.15, the last release that seals Clique (go-ethereum#29194). It gets no fixes: trusted peers only."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.engines.base import NONE_BESIDE, NamedPort, NeutralGenesis, Recipe
from quorumkit.engines.geth.flags import FIELDS_INSTEAD, OUR_FLAGS
from quorumkit.engines.geth.gas import gas_flags, suggestions

if TYPE_CHECKING:
    from quorumkit.identity import FurtherKeys
    from quorumkit.plan import Network, Node
    from quorumkit.process_spec import PartSpec, ProcessSpec
    from quorumkit.record import NodeRecord

_NO_ORIGIN = "https://none.invalid"
"""An origin that no page has (RFC 2606): with an empty list the client lets pages of localhost connect."""

_JWT_SECRET = Path("data/geth/jwtsecret")
_WHOLE_JWT_SECRET = rb"\s*(0x)?[0-9a-fA-F]{64}\s*"


FORKS = ("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul")
"""Up to Istanbul, as a genesis names them: what geth and all forks of it have from block 0."""


def alloc_of(balances: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """Balances in wei, by account, as a genesis has them."""
    return {account.removeprefix("0x"): {"balance": hex(wei)} for account, wei in sorted(balances.items())}


class GethRecipe:
    """One geth a node."""

    kind = "geth"
    default_version = "1.13.15"
    first_version: str | None = None
    last_version: str | None = "1.13.15"
    consensus: tuple[str, ...] = ("clique",)
    gas_is_always_free = False
    further_keys: FurtherKeys | None = None
    most_validators: int | None = None
    genesis_fields: tuple[str, ...] = ()
    later_forks: tuple[str, ...] = ()
    spec_defaults: Mapping[str, Mapping[str, Any]] = {}
    private_transactions = False
    comes_in_image = False
    api_modules: tuple[str, ...] = (
        *("eth", "net", "web3", "txpool"),
        *("admin", "clique", "debug", "miner", "personal"),
    )
    our_flags = OUR_FLAGS
    fields_instead: Mapping[str, str] = FIELDS_INSTEAD
    package = "pkg:golang/github.com/ethereum/go-ethereum"
    program = "geth"
    chain = Path("data/geth/chaindata")
    ipc = Path("data/geth.ipc")
    console_failure = "[quorumkit: the script failed]"
    # Its console warns of the `personal` namespace at each start, which the node program needs; other warnings stay.
    _console_flags: tuple[str, ...] = ("--verbosity", "1", "--log.vmodule", "*=3,console=1")

    def ports(self, consensus: str) -> Mapping[str, NamedPort]:
        return {}

    def genesis(self, neutral: NeutralGenesis) -> dict[str, Any]:
        """All forks up to London from block 0, or with free gas up to Berlin (see `gas`); the later ones need the
        merge, which Clique never reaches."""
        forks = [*FORKS, "berlin"] if neutral.free_gas else [*FORKS, "berlin", "london"]
        fields = dict(neutral.consensus_fields)
        return {
            "config": {
                "chainId": neutral.chain_id,
                **{f"{fork}Block": 0 for fork in forks},
                **fields.pop("config"),
            },
            "timestamp": "0x0",
            "gasLimit": hex(neutral.gas_limit),
            **({} if neutral.free_gas else {"baseFeePerGas": "0x0"}),
            **fields,
            "alloc": alloc_of(neutral.balances),
        }

    def node_files(self, network: Network, node: Node) -> dict[str, bytes]:
        """`geth.toml`: what the command line cannot say, or not readably.

        `DialRatio = 1` leaves no slot for anyone who dials in (p2p/server.go, maxInboundConns = MaxPeers -
        MaxPeers/DialRatio), and trusted nodes need none: so a stranger never gets one, even while a member is away.

        `MaxPeers` bounds strangers only, but a client that has dialled so many peers dials no more, not even static
        ones (p2p/dial.go, freeDialSlots): with fewer than there are, two nodes that both dialled others would never
        find each other again.
        """
        known = [str(peer.enode) for peer in network.peers_of(node)]
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
        return (head + toml_tables(tables)).encode()

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
        chain = directory / self.chain
        return chain.is_dir() and any(chain.iterdir())

    def chain_damage(self, directory: Path) -> str | None:
        """Both of its databases, LevelDB and Pebble, begin a new one where `CURRENT` is missing, and remove the files
        that it does not know."""
        if self.has_chain(directory) and not (directory / self.chain / "CURRENT").is_file():
            return f"{self.chain} is damaged: its file CURRENT is missing"
        return None

    def why_not_anew(self, directory: Path, record: NodeRecord, *, had_chain: bool) -> str | None:
        return None

    def clear_unfinished(self, directory: Path) -> None:
        """The secret of its Engine API, which it does not write in one step, and does not start with half of
        (node/node.go, obtainJWTSecret); it makes another."""
        path = directory / _JWT_SECRET
        with contextlib.suppress(FileNotFoundError):
            if not re.fullmatch(_WHOLE_JWT_SECRET, path.read_bytes()):
                path.unlink()

    def setup_commands(self, binary: Path, record: NodeRecord, genesis: str) -> list[list[str]]:
        return [[str(binary), "init", "--datadir", "data", genesis]]

    def needs_admission(self, record: NodeRecord) -> bool:
        return False

    def processes(
        self,
        binary: Path,
        record: NodeRecord,
        *,
        admission: str | None = None,
        beside: Mapping[str, Path] = NONE_BESIDE,
    ) -> Sequence[PartSpec]:
        command = [
            *(str(binary), *self._flags(record)),
            # The Engine API cannot be switched off; any free port of its own on loopback, behind its JWT secret.
            *("--authrpc.addr", "127.0.0.1", "--authrpc.port", "0"),
            *gas_flags(free=record.free_gas, gas_limit=record.gas_limit),
            *("--miner.etherbase", record.identity.account),
            *("--rpc.enabledeprecatedpersonal", *record.engine.client_arguments),
        ]
        return [self._client(command)]

    def _client(
        self, command: Sequence[str], *, ready: str = "IPC endpoint opened", asked: str = "eth_blockNumber"
    ) -> ProcessSpec:
        """The client, which can be asked once its log has a line with `ready` in it, and is asked `asked` for a sign of
        life."""
        # Only who runs nodes needs these, and each command imports recipes.
        from quorumkit.engines.geth.log import SIGNED_RECENTLY, why_it_ends
        from quorumkit.process_spec import LoggedLine, ProcessSpec, SignOfLife

        return ProcessSpec(
            name=self.kind,
            title="client",
            argv=tuple(command),
            ready=LoggedLine(lambda line: ready in line),
            sign_of_life=SignOfLife(self.ipc, asked),
            why_it_ends=why_it_ends,
            noise=SIGNED_RECENTLY,
        )

    def why_it_ends(self, line: str) -> str | None:
        from quorumkit.engines.geth.log import why_it_ends

        return why_it_ends(line)

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


def _guarded(script: str, failure: str) -> str:
    """The same script, with that line before the error it ends with; its value is printed as before, which takes a
    statement of its own in the JavaScript engine of older clients."""
    caught = f"catch (error) {{ console.log({json.dumps(failure)}); throw error }}"
    return f"var __quorumkit; try {{ __quorumkit = eval({json.dumps(script)}) }} {caught} __quorumkit"


def toml_tables(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML of simple tables: their booleans, numbers, ASCII strings and lists look as in JSON (TOML 1.0). Its encoder
    is in C, and tomli_w is not: with that, the files of 500 nodes take 1.7 times as long to render."""
    return "\n".join(f"[{name}]\n{toml_lines(table)}" for name, table in tables.items())


def toml_lines(table: Mapping[str, Any]) -> str:
    """One table's, without its name."""
    return "".join(f"{key} = {json.dumps(value, indent=4)}\n" for key, value in table.items())


RECIPE: Recipe = GethRecipe()
