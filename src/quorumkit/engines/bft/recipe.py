"""Current go-ethereum, which executes, and CometBFT, which agrees; between them the node program."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.engines.base import NONE_BESIDE, NamedPort, NeutralGenesis, Recipe
from quorumkit.engines.bft.files import LIGHT_PORT, PORT
from quorumkit.engines.bft.keys import KEYS
from quorumkit.engines.bft.paths import SIGNER_SOCKET
from quorumkit.engines.bft.prices import suggestions
from quorumkit.engines.bft.validators import LARGEST
from quorumkit.engines.geth.flags import FIELDS_INSTEAD, OUR_FLAGS
from quorumkit.engines.geth.recipe import GethRecipe

if TYPE_CHECKING:
    from quorumkit.identity import FurtherKeys
    from quorumkit.plan import Network, Node
    from quorumkit.process_spec import PartSpec
    from quorumkit.record import NodeRecord

_STORE = Path("cometbft/data")
_SIGNED = "priv_validator_state.json"
"""What a validator has signed last: it is never to sign another at that height, so this is never removed."""

_PORTS = {
    PORT: NamedPort(
        number=26656,
        block=range(24000, 27000),
        about="Where validators agree on blocks, with consensus kind bft.",
        enode_field="bft",
    ),
    LIGHT_PORT: NamedPort(
        number=26657,
        block=range(21000, 24000),
        about="Where nodes that join are told signed headers, with consensus kind bft.",
        enode_field="light",
    ),
}

_POOL = {"accountslots": 2048, "globalslots": 20480, "accountqueue": 2048, "globalqueue": 20480}
"""How much a pool holds (geth's own: 16, 5120, 64, 1024)."""


class BftRecipe(GethRecipe):
    """Its files and console are geth's; what differs stands here."""

    kind = "geth"
    default_version = "1.17.10"
    first_version: str | None = "1.17.10"
    last_version: str | None = None
    consensus: tuple[str, ...] = ("bft",)
    spec_defaults: Mapping[str, Mapping[str, Any]] = {
        "engine": {"state": "pruned"},
        "genesis": {"gas_limit": 1_000_000_000, "free_gas": True},
    }
    further_keys: FurtherKeys | None = KEYS
    most_validators: int | None = LARGEST
    genesis_fields: tuple[str, ...] = ("base_fee", "gas_price", "fork_times")
    later_forks: tuple[str, ...] = ("bpo1", "bpo2", "bpo3", "bpo4", "bpo5")
    api_modules: tuple[str, ...] = ("eth", "net", "web3", "txpool", "admin", "debug", "miner")
    our_flags = rf"({OUR_FLAGS})|(state\.scheme|cache\.gc|history\.state|blobpool\.datacap|beacon|synctarget)(\..*)?"
    fields_instead: Mapping[str, str] = {**FIELDS_INSTEAD, "state": "engine.state", "history": "engine.state"}
    _console_flags: tuple[str, ...] = ()

    def ports(self, consensus: str) -> Mapping[str, NamedPort]:
        return _PORTS

    def genesis(self, neutral: NeutralGenesis) -> dict[str, Any]:
        from quorumkit.engines.bft.genesis import client_genesis

        return client_genesis(neutral)

    def node_files(self, network: Network, node: Node) -> dict[str, bytes]:
        from quorumkit.engines.bft.files import consensus_files

        known = [str(peer.enode) for peer in network.peers_of(node)]
        tables = {"Eth.GPO": suggestions(free=network.spec.gas_is_free, least=network.spec.genesis.gas_price)}
        geth = self._config(network, node, static=known, trusted=known, further=tables)
        return {"geth.toml": geth, **consensus_files(network, node)}

    def _sync_settings(self, most_peers: int) -> dict[str, dict[str, Any]]:
        """A node that joins late has this changed, for that time (`joining`)."""
        return {"Eth": {"SyncMode": "full"}}

    def keeps_names(self, consensus: str) -> bool:
        """It looks names up again at each try (p2p/dial.go, 1.17)."""
        return True

    def chain_damage(self, directory: Path) -> str | None:
        """Pebble begins a new one where no marker names its manifest (cockroachdb/pebble, vfs/atomicfs)."""
        if self.has_chain(directory) and not any((directory / self.chain).glob("marker.manifest.*")):
            return f"{self.chain} is damaged: its file marker.manifest is missing"
        return None

    def clear_unfinished(self, directory: Path) -> None:
        """CometBFT's chain too, where geth's is gone: it keeps not all of it, so that it can be fetched again only
        whole. What the validator signed stays."""
        super().clear_unfinished(directory)
        if self.has_chain(directory):
            return
        with contextlib.suppress(FileNotFoundError):
            for path in (directory / _STORE).iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != _SIGNED:
                    path.unlink()

    def setup_commands(self, binary: Path, record: NodeRecord, genesis: str) -> list[list[str]]:
        return [[str(binary), "init", *_state_flags(record)[:2], "--datadir", "data", genesis]]

    def processes(
        self,
        binary: Path,
        record: NodeRecord,
        *,
        admission: str | None = None,
        beside: Mapping[str, Path] = NONE_BESIDE,
    ) -> list[PartSpec]:
        from quorumkit.engines.bft.processes import group_of

        return group_of(binary, beside, record, [*self._flags(record), *record.engine.client_arguments])

    def _flags(self, record: NodeRecord) -> list[str]:
        flags = [
            *("--config", "geth.toml", "--datadir", "data", "--ipcpath", str(self.ipc)),
            *("--networkid", str(record.chain_id), "--nat", "none"),
            *_state_flags(record),
            *("--cache", str(record.engine.cache)),
            *("--signer", str(SIGNER_SOCKET)),
            # The Engine API is spoken over the unix socket; this cannot be switched off, and needs a secret.
            *("--authrpc.addr", "127.0.0.1", "--authrpc.port", "0"),
            # A price of 0 is possible only once it runs (eth/backend.go), and the bridge names it then.
            *("--miner.gasprice", str(record.gas_price or 1), "--txpool.pricelimit", str(record.gas_price or 1)),
            # Without it, what the pool refuses is answered as if it were taken (eth/api_backend.go, SendTx).
            "--txpool.nolocals",
            *("--miner.recommit", "1s"),
            # Blobs take a place of their own beside a block, which the others do not get.
            *("--blobpool.datacap", "1"),
        ]
        if record.gas_limit is not None:
            flags += ["--miner.gaslimit", str(record.gas_limit)]
        for name, size in _POOL.items():
            flags += [f"--txpool.{name}", str(size)]
        if record.engine.verbosity:
            flags += ["--verbosity", str(record.engine.verbosity)]
        return flags


def _state_flags(record: NodeRecord) -> list[str]:
    """Pruned: the state of the last 128 blocks, which is on the disk as each block comes (`--cache.gc 0`), so that a
    killed client falls back by no more than those. Archive: all of it, with each block."""
    if record.engine.state == "archive":
        return ["--state.scheme", "hash", "--gcmode", "archive"]
    return ["--state.scheme", "path", "--gcmode", "full", "--cache.gc", "0"]


RECIPE: Recipe = BftRecipe()
