"""`node.json`: a node of the plan and its peers, and how its client is to run. No secrets, no paths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_serializer,
    model_serializer,
)

from quorumkit.addresses import Enode, HttpUrl
from quorumkit.engines import Recipe, recipe_of
from quorumkit.errors import CorruptFileError, NewerFormatError
from quorumkit.files import read_json
from quorumkit.identity import PublicIdentity
from quorumkit.plan import Node, NodeEndpoints, Role

RECORD_FORMAT = 2
RECORD_NAME = "node.json"
RERENDER = "remove it: the next `quorumkit up` writes it again from the spec and the keys"


def _parsed(enode: object) -> Enode:
    return enode if isinstance(enode, Enode) else Enode.parse(str(enode))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EngineRecord(_Part):
    """The client to run, as the spec has it."""

    kind: str
    version: str
    image: str | None = None
    """The image that the binary was taken out of, where the spec names one."""
    state: Literal["archive", "pruned"]
    cache: int
    verbosity: int | None = None
    client_arguments: tuple[str, ...] = ()
    """Further flags, from the spec."""


class ConsensusRecord(_Part):
    """What the node program must know to tell whether blocks come when they should."""

    kind: str
    period: int
    quorum: int = Field(ge=1)
    """How many validators must be connected for blocks to go on."""
    blocks_on_demand: bool = False
    """Whether a block comes only when there are transactions, so that none is no sign of anything."""
    raft_block_time: int | None = None
    """Milliseconds; raft only."""


class TmRecord(_Part):
    """The transaction manager beside the client. Its key and its address are the node's."""

    kind: str
    apart: bool = False
    """Whether it runs in a container of its own, so that the node program waits for it and does not start it."""


class PeerRecord(_Part):
    """A static peer."""

    name: str
    enode: Annotated[Enode, BeforeValidator(_parsed), PlainSerializer(str)]
    further_keys: Mapping[str, str] = Field(default_factory=dict)
    """Its further public keys, by name (`PublicIdentity.further_keys`)."""

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, rest: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """So that versions that do not know it yet read the records of nodes that have none."""
        fields: dict[str, Any] = rest(self)
        return fields if self.further_keys else {name: fields[name] for name in fields if name != "further_keys"}


class NodeRecord(_Part):
    """One node."""

    format: Literal[2] = 2
    network: str
    chain_id: int
    gas_limit: int | None = None
    """Of every block; None in records from before it was kept, whose clients go towards their own."""
    free_gas: bool = False
    gas_price: int | None = None
    """The least tip in wei per gas, where the spec names one."""
    engine: EngineRecord
    consensus: ConsensusRecord
    tm: TmRecord | None = None
    node: Node
    peers: tuple[PeerRecord, ...]

    @field_serializer("node", mode="wrap")
    def _without_keys_that_are_not_there(self, node: Node, rest: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As with `PeerRecord`."""
        fields: dict[str, Any] = rest(node)
        if not node.identity.further_keys:
            del fields["identity"]["further_keys"]
        return fields

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def recipe(self) -> Recipe:
        """How the node is run."""
        return recipe_of(self.engine.kind, self.consensus.kind)

    @property
    def ordinal(self) -> int:
        return self.node.ordinal

    @property
    def role(self) -> Role:
        return self.node.role

    @property
    def identity(self) -> PublicIdentity:
        return self.node.identity

    @property
    def endpoints(self) -> NodeEndpoints:
        return self.node.endpoints


def read_record(directory: Path) -> NodeRecord:
    """The record in a node's directory, whatever version of Quorumkit wrote it.

    Raises:
        CorruptFileError: it is not there, or not a node's record.
        NewerFormatError: a newer Quorumkit wrote it.
    """
    path = directory / RECORD_NAME
    try:
        value: Any = read_json(path, what="node record", hint=RERENDER)
    except FileNotFoundError:
        raise CorruptFileError(f"{path}: there is no such file", hint=RERENDER) from None
    written = value.get("format") if isinstance(value, dict) else None
    if isinstance(written, int) and written > RECORD_FORMAT:
        raise NewerFormatError(f"{path}: written by a newer Quorumkit (format {written})", hint="install that one")
    first_format = written == 1
    try:
        # From text, as JSON has no tuples and strict validation takes nothing else for them.
        return NodeRecord.model_validate_json(json.dumps(_upgraded(value) if first_format else value))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        where = _name_in_format_1(where) if first_format else where
        raise CorruptFileError(f"{path}: {where}: {first['msg']}", hint=RERENDER) from None


_MOVED = {
    "ordinal": "node.ordinal",
    "role": "node.role",
    "enode_key": "node.identity.enode_key",
    "account": "node.identity.account",
    "tm.public_key": "node.identity.tm_key",
    "p2p": "node.endpoints.p2p",
    "p2p_bind": "node.endpoints.p2p_bind",
    "rpc_bind": "node.endpoints.rpc_bind",
    "rpc_url": "node.endpoints.rpc_url",
    "rpc_names": "node.endpoints.rpc_names",
    "raft_port": "node.endpoints.ports.raft",
    "tm.url": "node.endpoints.tm",
    "tm_bind": "node.endpoints.tm_bind",
}
"""Where what format 1 has under another name stands now. Its `name` and `enode` are what the rest says."""


def _upgraded(record: dict[str, Any]) -> dict[str, Any]:
    """A record of format 1 as one of format 2. What is wrong with it is wrong with that too."""
    new: dict[str, Any] = {"node": {"identity": {}, "endpoints": {"ports": {}}}}
    old = dict(record)
    if isinstance(old.get("tm"), dict):
        old["tm"] = manager = dict(old["tm"])
        old |= {f"tm.{name}": manager.pop(name) for name in ("public_key", "url") if name in manager}
    if isinstance(url := old.get("tm.url"), str):
        old["tm.url"] = _place(url)
    if old.get("raft_port") is None:
        old.pop("raft_port", None)
    for name, path in _MOVED.items():
        if name in old:
            *parents, last = path.split(".")
            part = new
            for parent in parents:
                part = part[parent]
            part[last] = old.pop(name)
    for name in ("name", "enode"):
        old.pop(name, None)
    return {**old, **new, "format": 2}


def _place(url: str) -> Any:
    try:
        return asdict(HttpUrl.parse(url).place)
    except ValueError:
        return url


def _name_in_format_1(path: str) -> str:
    for name, moved in _MOVED.items():
        if path == moved or path.startswith(f"{moved}."):
            return name + path.removeprefix(moved)
    return path
