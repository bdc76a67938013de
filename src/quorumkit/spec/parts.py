"""The spec's parts that say what the network is, wherever its nodes run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from quorumkit.client_settings import ClientArgument
from quorumkit.consensus import consensus_of
from quorumkit.engines import consensus_kinds, kinds, recipe_of
from quorumkit.notation import account_address, amount_of_wei, distinct_accounts, whole_number


class Part(BaseModel):
    """What all parts share: unknown fields are refused, and so is a text where a number is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_people_write_it(cls, value: Any, info: ValidationInfo) -> Any:
        """Numbers in every way in which there is no doubt what is meant."""
        number = cls.model_fields[str(info.field_name)].annotation in (int, int | None)
        return whole_number(value) if number else value


class OneOf:
    """A field's values are those that a registry has, with the messages and the JSON Schema of a `Literal`."""

    def __init__(self, values: Callable[[], tuple[str, ...]]) -> None:
        self.values = values

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"enum": list(self.values())}

    def _check(self, value: Any) -> Any:
        if value not in self.values():
            *others, last = map(repr, self.values())
            expected = f"{', '.join(others)} or {last}" if others else last
            raise PydanticKnownError("literal_error", {"expected": expected})
        return value


class NodesSpec(Part):
    """How many nodes: the first `validators` ordinals seal blocks, the `observers` after them only follow."""

    validators: int = Field(default=5, ge=1, le=1000)
    """Nodes that seal blocks."""
    observers: int = Field(default=0, ge=0, le=1000)
    """Nodes that only follow; more can be added to a network that has a chain."""

    @property
    def total(self) -> int:
        return self.validators + self.observers


class ConsensusSpec(Part):
    """The consensus kind and its parameters."""

    kind: Annotated[str, OneOf(consensus_kinds)] = consensus_kinds()[0]
    """Default: bft with geth, qbft with goquorum."""
    period: int = Field(default=1, ge=1, le=3600)
    """Seconds between blocks (Clique's `period`, EIP-225). Raft has none: a block comes when there are transactions."""
    empty_blocks: bool = True
    """Whether BFT makes a block each period also when there is no transaction; else one comes only when there is one,
    at once."""
    epoch: int = Field(default=30000, ge=1, le=2**63 - 1)
    """Blocks after which pending votes are dropped (EIP-225's `EPOCH_LENGTH`)."""
    request_timeout: int = Field(default=4, ge=1, le=3600)
    """Seconds that a round of QBFT or IBFT waits for its proposal before the next validator proposes; doubled with each
    round."""
    max_request_timeout: int = Field(default=30, ge=1, le=86_400)
    """Seconds that a round of QBFT waits at most: with doubling alone, a network whose validators were away for an hour
    may wait another before it goes on. IBFT has no such bound."""
    raft_block_time: int = Field(default=50, ge=5, le=60_000)
    """Milliseconds between two of raft's blocks under load."""

    @property
    def own_fields(self) -> dict[str, Any]:
        """The kind, and the fields that mean something with it."""
        return {field: getattr(self, field) for field in ("kind", *consensus_of(self.kind).spec_fields)}


IMAGE = r"^[a-z0-9][A-Za-z0-9._/:@-]*[A-Za-z0-9]$"
"""How an image may be named."""


class EngineSpec(Part):
    """Which client implements a node."""

    kind: Annotated[str, OneOf(kinds)] = kinds()[0]
    """The client: go-ethereum, or GoQuorum for BFT consensus and private transactions."""
    version: str = Field(default=recipe_of(kinds()[0]).default_version, pattern=r"^\d+\.\d+\.\d+$")
    """Default: 1.17.10 of geth; with clique 1.13.15, the last that seals; 24.4.1 of goquorum."""
    binary: str | None = None
    """A client binary to use instead of the one that would be built; relative to the network directory."""
    image: str | None = Field(default=None, pattern=IMAGE)
    """The image that the client binary is taken out of, where none is named; default: quorumengineering/quorum:VERSION.
    Only with goquorum: geth is built."""
    state: Literal["archive", "pruned"] = "archive"
    """Which state is kept: `archive`, that of every block; `pruned`, the default with bft, that of the last 128 blocks.
    With another consensus kind than bft, `pruned` keeps state in memory for up to an hour: a client that is killed
    falls back to its last flush and takes the rest from its peers, and a network whose clients are all killed at once
    loses those blocks."""
    cache: int = Field(default=128, ge=32, le=65536)
    """MiB that the client may use to cache its database (geth's `--cache`)."""
    verbosity: int | None = Field(default=None, ge=3, le=5)
    """How much the client logs: 3 what it does, 4 more, 5 everything. Default: the client's own, 3. Not less: the node
    program reads from its log when it is up."""
    client_arguments: tuple[ClientArgument, ...] = Field(default=(), strict=False)
    """Further flags of the client, each `--name` or `--name=value`, such as `--txpool.globalslots=20000`. What
    Quorumkit sets itself is refused."""

    @model_validator(mode="before")
    @classmethod
    def _version_of_its_kind(cls, value: Any) -> Any:
        kind = value.get("kind", kinds()[0]) if isinstance(value, dict) else None
        return {"version": recipe_of(kind).default_version, **value} if kind in kinds() else value


class TransactionManagerSpec(Part):
    """What keeps the payloads of private transactions."""

    kind: Literal["builtin", "tessera"] = "builtin"
    """Quorumkit's own (docs/reference/transaction-manager.md), or Tessera."""
    version: str = Field(default="24.4.2", pattern=r"^\d+\.\d+\.\d+$")
    """The tag of Tessera's image; a program that is named is run as it is."""
    binary: str | None = None
    """Tessera as a process: `bin/tessera` of its distribution, or a .jar; relative to the network directory. Default:
    the `tessera` on PATH."""
    image: str | None = Field(default=None, pattern=IMAGE)
    """Tessera with Compose. Default: `quorumengineering/tessera:VERSION`."""


class GenesisSpec(Part):
    """What the first block holds beyond what consensus asks for."""

    gas_limit: int = Field(default=30_000_000, ge=5_000_000, le=2**63 - 1)
    """The most gas that a block may use, this one and all that follow. Default with bft: 1,000,000,000, for one block
    that is more than half full has the next ones ask for a base fee."""
    free_gas: bool = False
    """Whether transactions need not pay for gas, ever: a gas price of 0 is mined, and accounts need no ether. Default
    with bft, unless a price is named. With Clique the chain then keeps Berlin's rules, without London's transactions of
    EIP-1559 and BASEFEE instruction. Gas is always free with goquorum. See docs/explanation/gas.md."""
    base_fee: Annotated[int, BeforeValidator(amount_of_wei)] = Field(default=0, ge=0, le=2**63 - 1)
    """Wei per gas that a transaction of the first block burns; from there it rises and falls with demand (EIP-1559).
    Only with bft."""
    gas_price: Annotated[int, BeforeValidator(amount_of_wei)] = Field(default=0, ge=0, le=2**63 - 1)
    """The least tip, in wei per gas, for which a transaction is taken. Only with bft."""
    fork_times: dict[str, Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(default_factory=dict)
    """When the rules of later forks begin, in seconds since 1970, by the fork's name. Only with bft, which begins with
    those of Osaka."""
    node_balance: Annotated[int, BeforeValidator(amount_of_wei)] = Field(default=10**21, ge=0, le=2**256 - 1)
    """Wei that each validator's own account holds, to pay its transactions' gas with; observers' accounts hold none."""
    alloc: Annotated[
        dict[
            Annotated[str, AfterValidator(account_address)],
            Annotated[int, BeforeValidator(amount_of_wei), Field(ge=0, le=2**256 - 1)],
        ],
        BeforeValidator(distinct_accounts),
    ] = Field(default_factory=dict)
    """Further balances in wei, by account. All balances may also be written as `1000 ether`, `20 gwei`, `1e21` or
    `0x3635c9adc5dea00000`."""


class PortsSpec(Part):
    """The first port of each block of N on the loopback interface; none means any free block."""

    rpc: int | None = Field(default=None, ge=1, le=65535)
    """HTTP JSON-RPC of node 1; node 2's is the next."""
    p2p: int | None = Field(default=None, ge=1, le=65535)
    """Where node 1 listens for its peers."""
    exchange: int | None = Field(default=None, ge=1, le=65535)
    """Where nodes that share nothing serve the exchange; only with `identities: exchanged`."""
    raft: int | None = Field(default=None, ge=1, le=65535)
    """Raft's own messages; only with that consensus kind."""
    bft: int | None = Field(default=None, ge=1, le=65535)
    """Where validators agree on blocks; only with that consensus kind."""
    light: int | None = Field(default=None, ge=1, le=65535)
    """Where nodes that join are told signed headers; only with consensus kind bft."""
    tm: int | None = Field(default=None, ge=1, le=65535)
    """Where transaction managers reach each other, where there are any."""
    health: int | None = Field(default=None, ge=1, le=65535)
    """The one port of the node program's /healthz, /readyz and /metrics."""
