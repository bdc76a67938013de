"""What a person may have a node's client do beyond what its engine says: JSON-RPC for others, flags. Part of the spec.

Nothing here changes the genesis, so nodes of one network may differ in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from quorumkit.engines import Recipe

SAFE_MODULES = ("eth", "net", "web3", "txpool")
"""What JSON-RPC serves by default: nothing that changes the node or the validators. (`eth` sends from the node's own
account, see docs/explanation/security.md.)"""

_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:\d{1,5})?")

_ARGUMENT = re.compile(r"--[a-z][A-Za-z0-9.-]*(=.*)?", re.DOTALL)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError(f"{value!r} is not an origin (such as https://app.example, without a path), nor '*'")
    return value


def _argument(value: str) -> str:
    if not _ARGUMENT.fullmatch(value):
        # A value of its own would end the client's flags: what follows it is taken for a command.
        raise ValueError(f"{value!r} is not a flag: write it as --name or --name=value, in one")
    if "\0" in value or "\n" in value:
        raise ValueError(f"{value!r} has a line break or a zero in it")
    return value


Origin = Annotated[str, AfterValidator(_origin)]
ClientArgument = Annotated[str, AfterValidator(_argument)]
"""One flag of a client, `--name` or `--name=value`; see `arguments_problem`."""


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


def arguments_problem(arguments: Sequence[str], recipe: Recipe) -> str | None:
    """What is wrong with the flags of a client: one that Quorumkit sets itself, or whose like undoes what it sets."""
    for place, argument in enumerate(arguments):
        flag = argument.removeprefix("--").partition("=")[0]
        if re.fullmatch(recipe.our_flags, flag):
            family = flag.partition(".")[0]
            instead = recipe.fields_instead.get(flag) or recipe.fields_instead.get(family)
            see = f": see {instead}" if instead else ""
            return f"engine.client_arguments.{place}: --{flag} is set by Quorumkit{see}"
    return None


def rpc_problem(rpc: RpcSpec, recipe: Recipe) -> str | None:
    """What is wrong with the modules: one that the client has not, or one that is dangerous and not consented to."""
    served = {"http.modules": rpc.http.modules, "ws.modules": rpc.ws.modules}
    known = recipe.api_modules
    for field, modules in {**served, "dangerous_modules": rpc.dangerous_modules}.items():
        if missing := [module for module in modules if module not in known]:
            return f"rpc.{field}: {recipe.kind} has no {missing[0]} (it has {', '.join(known)})"
    for field, modules in served.items():
        for module in modules:
            if module not in SAFE_MODULES and module not in rpc.dangerous_modules:
                return (
                    f"rpc.{field}: with {module}, whoever reaches JSON-RPC can change the node; "
                    "to serve it all the same, name it in rpc.dangerous_modules too"
                )
    return None
