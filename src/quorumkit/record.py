"""`node.json`: a node's public identity, its addresses and how its client is to run. No secrets, no paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quorumkit.errors import CorruptFileError, NewerFormatError
from quorumkit.files import read_json

RECORD_FORMAT = 1
RECORD_NAME = "node.json"
RERENDER = "remove it: the next `quorumkit up` writes it again from the spec and the keys"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EndpointRecord(_Part):
    """A host and a TCP port."""

    host: str
    port: int = Field(ge=1, le=65535)


class EngineRecord(_Part):
    """The client to run, as the spec has it."""

    kind: str
    version: str
    image: str | None = None
    """The image that the binary was taken out of, where the spec names one."""
    state: Literal["archive", "pruned"]
    cache: int
    verbosity: int | None = None
    client_arguments: list[str] = []
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
    """The transaction manager beside the client."""

    kind: str
    public_key: str
    url: str
    """What the other nodes' managers reach it by."""
    apart: bool = False
    """Whether it runs in a container of its own, so that the node program waits for it and does not start it."""


class PeerRecord(_Part):
    """A static peer."""

    name: str
    enode: str


class NodeRecord(_Part):
    """One node."""

    format: Literal[1] = 1
    network: str
    name: str
    ordinal: int = Field(ge=1)
    role: Literal["validator", "observer"]
    engine: EngineRecord
    consensus: ConsensusRecord
    chain_id: int
    gas_limit: int | None = None
    """Of every block; None in records from before it was kept, whose clients go towards their own."""
    free_gas: bool = False
    enode_key: str = Field(pattern=r"^[0-9a-f]{128}$")
    enode: str
    account: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$")
    p2p: EndpointRecord
    p2p_bind: EndpointRecord
    rpc_bind: EndpointRecord
    rpc_url: str
    rpc_names: list[str] = ["localhost"]
    raft_port: int | None = None
    tm_bind: EndpointRecord | None = None
    tm: TmRecord | None = None
    peers: list[PeerRecord]


def read_record(directory: Path) -> NodeRecord:
    """The record in a node's directory.

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
    try:
        return NodeRecord.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CorruptFileError(f"{path}: {where}: {first['msg']}", hint=RERENDER) from None
