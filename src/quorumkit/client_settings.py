"""What a person may have a node's client do beyond what its engine says: JSON-RPC for others, flags. Part of the spec.

Nothing here changes the genesis, so nodes of one network may differ in it.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SAFE_MODULES = ("eth", "net", "web3", "txpool")
"""What JSON-RPC serves by default: nothing that changes the node or the validators. (`eth` sends from the node's own
account, see docs/explanation/security.md.)"""

_GETH_MODULES = (*SAFE_MODULES, "admin", "clique", "debug", "miner", "personal")
CLIENT_MODULES = {
    "geth": _GETH_MODULES,
    "goquorum": (*_GETH_MODULES, "istanbul", "raft", "quorumPermission", "quorumExtension"),
}
"""The API modules that a client has (geth's rpc.API namespaces)."""

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:\d{1,5})?")

_ARGUMENT = re.compile(r"--(?P<flag>[a-z][A-Za-z0-9.-]*)(=.*)?", re.DOTALL)

OUR_FLAGS = (
    # These, but not all that begins like them: --cache.gc and --rpc.gascap are anybody's.
    r"cache|rpc|rpc\.enabledeprecatedpersonal|rpc(addr|port|api|corsdomain|vhosts)|blobpool\.datadir|pprof\.addr|pprofaddr"
    r"|txpool\.(pricelimit|nolocals|locals)"
    # And whole families. Where the node's data, keys and peers are;
    r"|(config|datadir|raftlogdir|keystore|nodekey|nodekeyhex|ipcpath|ipcdisable|usb|nousb|signer|unlock|password"
    r"|port|nat|bootnodes|nodiscover|v5disc|discovery|netrestrict|maxpeers|maxpendpeers|permissioned|qlight"
    # which network it is, and how blocks are made;
    r"|networkid|mainnet|goerli|sepolia|holesky|rinkeby|ropsten|yolov3|dev|override|syncmode|gcmode|synctarget"
    r"|exitwhensynced|mine|miner|gpo|istanbul|raft[a-z]*|fakepow|catalyst"
    # who may call it, and what the node program reads.
    r"|http|ws|authrpc|allow-insecure-unlock|verbosity|ptm|help|version)(\..*)?"
)
"""The flags of geth and GoQuorum that Quorumkit sets, or that would undo what it sets; the chart has the same text."""

_INSTEAD = {
    "verbosity": "engine.verbosity",
    "cache": "engine.cache",
    "gcmode": "engine.state",
    "syncmode": "engine.state",
    "networkid": "chain_id",
    "http": "rpc.http",
    "rpc": "rpc.http",
    "ws": "rpc.ws",
    "istanbul": "consensus",
    "miner": "genesis and consensus",
    "gpo": "genesis.free_gas",
    "txpool.pricelimit": "genesis.free_gas",
    "txpool.nolocals": "genesis.free_gas",
    "txpool.locals": "genesis.free_gas",
    "raftblocktime": "consensus.raft_block_time",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError(f"{value!r} is not an origin (such as https://app.example, without a path), nor '*'")
    return value


def _argument(value: str) -> str:
    match = _ARGUMENT.fullmatch(value)
    if match is None:
        # A value of its own would end the client's flags: what follows it is taken for a command.
        raise ValueError(f"{value!r} is not a flag: write it as --name or --name=value, in one")
    if "\0" in value or "\n" in value:
        raise ValueError(f"{value!r} has a line break or a zero in it")
    flag = match["flag"]
    if re.fullmatch(OUR_FLAGS, flag):
        family = flag.partition(".")[0]
        instead = _INSTEAD.get(flag) or _INSTEAD.get(family)
        raise ValueError(f"--{flag} is set by Quorumkit{f': see {instead}' if instead else ''}")
    return value


Origin = Annotated[str, AfterValidator(_origin)]
ClientArgument = Annotated[str, AfterValidator(_argument)]
"""One flag of a client, `--name` or `--name=value`, that Quorumkit does not set itself."""


class HttpSpec(_Part):
    """JSON-RPC over HTTP."""

    modules: tuple[str, ...] = Field(default=SAFE_MODULES, min_length=1, strict=False)
    """API modules. One that can change the node must stand in `rpc.dangerous_modules` too."""
    origins: tuple[Origin, ...] = Field(default=(), strict=False)
    """Origins of web pages that browsers let call it (CORS), such as `https://app.example`; `*` for every page."""


class WebSocketSpec(_Part):
    """JSON-RPC over WebSocket, at the address and port of HTTP."""

    enabled: bool = False
    """Whether it is served."""
    modules: tuple[str, ...] = Field(default=SAFE_MODULES, min_length=1, strict=False)
    """API modules, as with HTTP."""
    origins: tuple[Origin, ...] = Field(default=(), strict=False)
    """Origins of web pages that may connect, as with HTTP; programs send none, and may."""


class RpcSpec(_Part):
    """What each client's JSON-RPC serves. Where it listens, the runtime says."""

    http: HttpSpec = HttpSpec()
    ws: WebSocketSpec = WebSocketSpec()
    dangerous_modules: tuple[str, ...] = Field(default=(), strict=False)
    """Consent, by name, to modules beyond `eth`, `net`, `web3` and `txpool`: whoever reaches JSON-RPC can stop the
    node with `admin`, read and rewind its chain with `debug`, use its keys with `personal`, vote with `clique`."""


def rpc_problem(rpc: RpcSpec, engine: str) -> str | None:
    """What is wrong with the modules: one that the client has not, or one that is dangerous and not consented to."""
    served = {"http.modules": rpc.http.modules, "ws.modules": rpc.ws.modules}
    known = CLIENT_MODULES[engine]
    for field, modules in {**served, "dangerous_modules": rpc.dangerous_modules}.items():
        if missing := [module for module in modules if module not in known]:
            return f"rpc.{field}: {engine} has no {missing[0]} (it has {', '.join(known)})"
    for field, modules in served.items():
        for module in modules:
            if module not in SAFE_MODULES and module not in rpc.dangerous_modules:
                return (
                    f"rpc.{field}: with {module}, whoever reaches JSON-RPC can change the node; "
                    "to serve it all the same, name it in rpc.dangerous_modules too"
                )
    return None
