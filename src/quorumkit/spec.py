"""The network spec, `quorumkit.yaml`: what a person writes. Every default stands here and only here."""

from __future__ import annotations

import io
import ipaddress
import itertools
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from quorumkit.client_settings import ClientArgument, RpcSpec, rpc_problem
from quorumkit.errors import NewerFormatError, SpecError
from quorumkit.notation import account_address, amount_of_wei, distinct_accounts, load_yaml, whole_number

SPEC_FORMAT = 1
SPEC_NAME = "quorumkit.yaml"

MAX_CHAIN_ID = (2**64 - 37) // 2
"""The largest chain id whose EIP-155 `v` (2·id + 36) fits in 64 bits (EIP-2294)."""

_NETWORK_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


def _network_name(value: str) -> str:
    if not _NETWORK_NAME.fullmatch(value):
        raise ValueError(f"{value!r} must be 1 to 40 lower-case letters, digits or '-', with '-' only inside")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_people_write_it(cls, value: Any, info: ValidationInfo) -> Any:
        """Numbers in every way in which there is no doubt what is meant."""
        number = cls.model_fields[str(info.field_name)].annotation in (int, int | None)
        return whole_number(value) if number else value


class NodesSpec(_Part):
    """How many nodes: the first `validators` ordinals seal blocks, the `observers` after them only follow."""

    validators: int = Field(default=5, ge=1, le=1000)
    """Nodes that seal blocks."""
    observers: int = Field(default=0, ge=0, le=1000)
    """Nodes that only follow; more can be added to a network that has a chain."""

    @property
    def total(self) -> int:
        return self.validators + self.observers


class ConsensusSpec(_Part):
    """The consensus kind and its parameters."""

    kind: Literal["clique", "qbft", "ibft", "raft"] = "clique"
    """Default: clique with geth, qbft with goquorum."""
    period: int = Field(default=1, ge=1, le=3600)
    """Seconds between blocks (Clique's `period`, EIP-225). Raft has none: a block comes when there are transactions."""
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
        meant = {
            "clique": ("period", "epoch"),
            "qbft": ("period", "epoch", "request_timeout", "max_request_timeout"),
            "ibft": ("period", "epoch", "request_timeout"),
            "raft": ("raft_block_time",),
        }
        return {field: getattr(self, field) for field in ("kind", *meant[self.kind])}


_IMAGE = r"^[a-z0-9][A-Za-z0-9._/:@-]*[A-Za-z0-9]$"


class EngineSpec(_Part):
    """Which client implements a node."""

    kind: Literal["geth", "goquorum"] = "geth"
    """The client: go-ethereum, or GoQuorum for BFT consensus and private transactions."""
    version: str = Field(default="1.13.15", pattern=r"^\d+\.\d+\.\d+$")
    """Default: 1.13.15 of geth, 24.4.1 of goquorum; the last releases that seal."""
    binary: str | None = None
    """A client binary to use instead of the one that would be built; relative to the network directory."""
    image: str | None = Field(default=None, pattern=_IMAGE)
    """The image that the client binary is taken out of, where none is named; default: quorumengineering/quorum:VERSION.
    Only with goquorum: geth is built."""
    state: Literal["archive", "pruned"] = "archive"
    """Whether each block's state goes to disk with the block. With `pruned`, state is kept in memory for up to an
    hour: a client that is killed falls back to its last flush and takes the rest from its peers, and a network whose
    clients are all killed at once loses those blocks."""
    cache: int = Field(default=128, ge=32, le=65536)
    """MiB that the client may use to cache its database (geth's `--cache`)."""
    verbosity: int | None = Field(default=None, ge=3, le=5)
    """How much the client logs: 3 what it does, 4 more, 5 everything. Default: the client's own, 3. Not less: the node
    program reads from its log when it is up."""
    client_arguments: tuple[ClientArgument, ...] = Field(default=(), strict=False)
    """Further flags of the client, each `--name` or `--name=value`, such as `--txpool.globalslots=20000`. What
    Quorumkit sets itself is refused."""


class TransactionManagerSpec(_Part):
    """What keeps the payloads of private transactions."""

    kind: Literal["builtin", "tessera"] = "builtin"
    """Quorumkit's own (docs/reference/transaction-manager.md), or Tessera."""
    version: str = Field(default="24.4.2", pattern=r"^\d+\.\d+\.\d+$")
    """The tag of Tessera's image; a program that is named is run as it is."""
    binary: str | None = None
    """Tessera as a process: `bin/tessera` of its distribution, or a .jar; relative to the network directory. Default:
    the `tessera` on PATH."""
    image: str | None = Field(default=None, pattern=r"^[a-z0-9][A-Za-z0-9._/:@-]*[A-Za-z0-9]$")
    """Tessera with Compose. Default: `quorumengineering/tessera:VERSION`."""


class GenesisSpec(_Part):
    """What the first block holds beyond what consensus asks for."""

    gas_limit: int = Field(default=30_000_000, ge=5_000_000, le=2**63 - 1)
    """The most gas that a block may use, this one and all that follow."""
    free_gas: bool = False
    """Whether transactions need not pay for gas, ever: a gas price of 0 is mined, and accounts need no ether. The chain
    then keeps Berlin's rules, without London's transactions of EIP-1559 and BASEFEE instruction. Gas is always free
    with goquorum. See docs/explanation/gas.md."""
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


class PortsSpec(_Part):
    """The first port of each block of N on the loopback interface; none means any free block."""

    rpc: int | None = Field(default=None, ge=1, le=65535)
    """HTTP JSON-RPC of node 1; node 2's is the next."""
    p2p: int | None = Field(default=None, ge=1, le=65535)
    """Where node 1 listens for its peers."""
    exchange: int | None = Field(default=None, ge=1, le=65535)
    """Where nodes that share nothing serve the exchange; only with `identities: exchanged`."""
    raft: int | None = Field(default=None, ge=1, le=65535)
    """Raft's own messages; only with that consensus kind."""
    tm: int | None = Field(default=None, ge=1, le=65535)
    """Where transaction managers reach each other, where there are any."""
    health: int | None = Field(default=None, ge=1, le=65535)
    """The one port of the node program's /healthz, /readyz and /metrics."""


ENGINE_CONSENSUS = {"geth": ("clique",), "goquorum": ("qbft", "ibft", "raft", "clique")}
"""Which consensus kinds an engine can run."""

LAST_THAT_SEALS = {"geth": "1.13.15"}
"""The last version of an engine that can run such a network; later ones leave consensus to another program."""

ALWAYS_FREE = ("goquorum",)
"""Engines whose gas is free whatever the spec says."""

OWN_CONTAINER = ("tessera",)
"""Transaction managers that come in an image of their own: with Compose each is a container beside its node's."""

_MEMORY = re.compile(r"[1-9]\d*[kmg]")


def _memory(value: str) -> str:
    if not _MEMORY.fullmatch(value):
        raise ValueError(f"{value!r} is not an amount of memory (such as 512m or 2g)")
    return value


def _subnet(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IPv4 subnet, such as 172.28.0.0/24 ({error})") from None
    if not network.is_private or network.prefixlen > 29:
        raise ValueError(f"{value!r} must be a private subnet with room for a node (/29 or larger)")
    return value


class ComposeSpec(_Part):
    """What only the `compose` runtime asks for. Limits are a container's."""

    subnet: Annotated[str, AfterValidator(_subnet)] | None = None
    """The containers' own network; none means a free one, chosen when the network is made."""
    image: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._/:-]*[a-z0-9]$")
    """The node image; none means the one that `quorumkit image build` makes."""
    memory: Annotated[str, AfterValidator(_memory)] = "1g"
    """A container's memory limit, such as `512m` or `2g`."""
    pids: int = Field(default=512, ge=64)
    """How many processes and threads a container may have."""


class KubernetesSpec(_Part):
    """What only the `kubernetes` runtime asks for."""

    context: str | None = Field(default=None, min_length=1)
    """The kubeconfig's context; none means its current one."""
    namespace: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """Made where it is missing; none means the context's own."""
    image: str | None = Field(default=None, pattern=_IMAGE)
    """The node image, as the cluster pulls it; none means the name that `quorumkit image build` gives."""
    storage: str = Field(default="10Gi", pattern=r"^[1-9]\d*(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)$")
    """Size of each node's own volume."""
    storage_class: str | None = Field(default=None, min_length=1)
    """None means the cluster's default."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Further values of the chart, such as `resources`; they go before all others."""


FIRST_HOST = 10
"""The first node's place in the subnet, where there is room: .11 is node1's address, .12 node2's."""


class NetworkSpec(_Part):
    """A whole network, as `quorumkit.yaml` says it."""

    format: int = SPEC_FORMAT
    """The version of this format; a newer one than Quorumkit knows is refused."""
    name: Annotated[str, AfterValidator(_network_name)]
    """1 to 40 lower-case letters, digits or `-`. The directory's name, where the command made it."""
    runtime: Literal["process", "compose", "kubernetes"] = "process"
    """Where the nodes run."""
    identities: Literal["generated", "exchanged"] = "generated"
    """Whether one command makes all keys, or each node its own, so that nothing but a join secret is shared."""
    chain_id: int = Field(default=1337, ge=1, le=MAX_CHAIN_ID)
    """Signed into every transaction, so that it is worth nothing on another chain (EIP-155)."""
    nodes: NodesSpec = NodesSpec()
    consensus: ConsensusSpec = ConsensusSpec()
    engine: EngineSpec = EngineSpec()
    transaction_manager: TransactionManagerSpec | None = None
    """Default: `builtin` with goquorum; none with geth, which has no private transactions."""
    genesis: GenesisSpec = GenesisSpec()
    rpc: RpcSpec = RpcSpec()
    ports: PortsSpec = PortsSpec()
    compose: ComposeSpec = ComposeSpec()
    kubernetes: KubernetesSpec = KubernetesSpec()

    @model_validator(mode="before")
    @classmethod
    def _pods_share_nothing(cls, value: Any) -> Any:
        return {"identities": "exchanged", **value} if _on_kubernetes(value) else value

    @model_validator(mode="after")
    def _kubernetes_can_do_it(self) -> NetworkSpec:
        if self.runtime == "kubernetes":
            if self.identities != "exchanged":
                raise ValueError("identities: pods make their own keys, so with runtime kubernetes they are exchanged")
            if not self.name[0].isalpha():
                raise ValueError(f"name: {self.name} must begin with a letter, as Kubernetes asks of a Service")
        return self

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_engine(cls, value: Any) -> Any:
        """What is not said follows from the engine's kind."""
        engine = value.get("engine") if isinstance(value, dict) else None
        if not isinstance(engine, dict) or engine.get("kind") != "goquorum":
            return value
        value = {"transaction_manager": {}, **value, "engine": {"version": "24.4.1", **engine}}
        if isinstance(value.get("consensus", {}), dict):
            value["consensus"] = {"kind": "qbft", **value.get("consensus", {})}
        return value

    @model_validator(mode="after")
    def _engine_can_do_it(self) -> NetworkSpec:
        if self.consensus.kind not in ENGINE_CONSENSUS[self.engine.kind]:
            known = ", ".join(ENGINE_CONSENSUS[self.engine.kind])
            others = [kind for kind, kinds in ENGINE_CONSENSUS.items() if self.consensus.kind in kinds]
            raise ValueError(
                f"consensus.kind: {self.engine.kind} has no {self.consensus.kind} (it has {known}); "
                f"engine.kind {' and '.join(others)} has"
            )
        last = LAST_THAT_SEALS.get(self.engine.kind)
        if last is not None and _numbers(self.engine.version) > _numbers(last):
            raise ValueError(
                f"engine.version: {self.engine.kind} {self.engine.version} seals no blocks of its own; {last} is the "
                "last that does"
            )
        if self.transaction_manager is not None and self.engine.kind == "geth":
            raise ValueError("transaction_manager: geth has no private transactions; engine.kind goquorum has")
        if (
            self.engine.kind in ALWAYS_FREE
            and "free_gas" in self.genesis.model_fields_set
            and not self.genesis.free_gas
        ):
            raise ValueError(f"genesis.free_gas: with {self.engine.kind} gas is always free; leave it out")
        if self.engine.image is not None and self.engine.kind == "geth":
            raise ValueError("engine.image: geth is built, not taken out of an image; engine.binary names one")
        if wrong := rpc_problem(self.rpc, self.engine.kind):
            raise ValueError(wrong)
        return self

    @property
    def gas_is_free(self) -> bool:
        """Whether a transaction need not pay for its gas."""
        return self.genesis.free_gas or self.engine.kind in ALWAYS_FREE

    @property
    def manager_apart(self) -> bool:
        """Whether each node's transaction manager has a container of its own."""
        manager = self.transaction_manager
        return self.runtime == "compose" and manager is not None and manager.kind in OWN_CONTAINER

    @property
    def containers(self) -> int:
        """How many the `compose` runtime makes."""
        return self.nodes.total * (2 if self.manager_apart else 1)

    @model_validator(mode="after")
    def _manager_can_run(self) -> NetworkSpec:
        manager = self.transaction_manager
        if manager is None:
            return self
        if manager.kind == "builtin":
            if meaningless := sorted(manager.model_fields_set - {"kind"}):
                raise ValueError(f"transaction_manager.{meaningless[0]}: builtin has none; kind tessera has")
        elif self.runtime == "kubernetes":
            raise ValueError(f"transaction_manager.kind: the chart has no {manager.kind} (it has builtin)")
        elif self.identities == "exchanged":
            raise ValueError(
                f"transaction_manager.kind: with exchanged identities there is no {manager.kind} (there is builtin)"
            )
        if manager.binary is not None and self.manager_apart:
            raise ValueError("transaction_manager.binary: with runtime compose it runs from its image; name that")
        return self

    @model_validator(mode="after")
    def _rounds_may_grow(self) -> NetworkSpec:
        first, longest = self.consensus.request_timeout, self.consensus.max_request_timeout
        if longest < first and self.consensus.kind == "qbft":
            raise ValueError(f"consensus.max_request_timeout: {longest} is less than request_timeout, {first}")
        return self

    @model_validator(mode="after")
    def _subnet_has_room(self) -> NetworkSpec:
        if self.compose.subnet is not None:
            total = self.containers
            room = ipaddress.IPv4Network(self.compose.subnet).num_addresses - 3  # network, gateway, broadcast
            if room < total:
                what = "containers" if self.manager_apart else "nodes"
                raise ValueError(f"compose.subnet: {self.compose.subnet} has room for {room} {what}, not for {total}")
        return self

    @model_validator(mode="after")
    def _ports_fit(self) -> NetworkSpec:
        for field in ("rpc", "p2p", "exchange", "raft", "tm"):
            base = getattr(self.ports, field)
            if base is not None and base + self.nodes.total - 1 > 65535:
                raise ValueError(f"ports.{field}: {self.nodes.total} ports from {base} on go beyond 65535")
        blocks = {
            field: range(base, base + (1 if field == "health" else self.nodes.total))
            for field in ("rpc", "p2p", "exchange", "raft", "tm", "health")
            if (base := getattr(self.ports, field)) is not None
        }
        for (one, block), (other, with_) in itertools.combinations(blocks.items(), 2):
            if block.start < with_.stop and with_.start < block.stop:
                raise ValueError(f"ports.{other}: {_told(with_)} overlaps {_told(block)} of ports.{one}")
        return self


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _told(block: range) -> str:
    return f"port {block[0]}" if len(block) == 1 else f"the block {block[0]}-{block[-1]}"


def _on_kubernetes(value: Any) -> bool:
    return isinstance(value, dict) and value.get("runtime") == "kubernetes"


def parse_spec(value: Any, *, source: str = SPEC_NAME) -> NetworkSpec:
    """The spec in a plain mapping.

    Raises:
        NewerFormatError: its `format` is one this version does not know.
        SpecError: one field or more is wrong; the message names each by its path.
    """
    if not isinstance(value, dict):
        raise SpecError(f"{source}: a mapping of fields was expected, such as `name: mynet`")
    written = value.get("format", SPEC_FORMAT)
    if isinstance(written, int) and not isinstance(written, bool) and written > SPEC_FORMAT:
        raise NewerFormatError(
            f"{source}: format {written} was written by a newer Quorumkit (this one knows format {SPEC_FORMAT})",
            hint="install the newer version: pip install --upgrade quorumkit",
        )
    if written != SPEC_FORMAT:
        raise SpecError(f"{source}: format: {written!r} is not a known format ({SPEC_FORMAT})")
    try:
        return NetworkSpec.model_validate(value)
    except ValidationError as error:
        raise SpecError(_explain(error, source)) from None


def _explain(error: ValidationError, source: str) -> str:
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"] if part != "[key]")
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown field"
            known = _known_fields(problem["loc"][:-1])
            if known:
                message += f" (known here: {', '.join(known)})"
        elif problem["type"] != "missing" and path:
            message += f", not {problem['input']!r}" if problem["type"] != "value_error" else ""
        lines.append(f"{path}: {message}" if path else message)
    return f"{source}: " + "; ".join(lines)


def _known_fields(location: tuple[int | str, ...]) -> list[str]:
    model: Any = NetworkSpec
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))


def read_spec(path: Path) -> NetworkSpec:
    """The spec in a YAML file (YAML 1.2, no repeated keys)."""
    from ruamel.yaml.error import YAMLError

    try:
        value = load_yaml(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise SpecError(f"{path}:{where} not valid YAML: {problem}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    return parse_spec(value, source=str(path))


def spec_to_yaml(spec: NetworkSpec) -> bytes:
    """The spec as a person would keep it.

    What decides the chain (sizes, consensus, client version) is written out even where it equals a default, so that
    a later version with other defaults still renders the same network; the rest only where it differs.
    """
    from ruamel.yaml import YAML

    values: dict[str, Any] = {
        "format": spec.format,
        "name": spec.name,
        "runtime": spec.runtime,
        "chain_id": spec.chain_id,
        "nodes": spec.nodes.model_dump(),
        "consensus": spec.consensus.model_dump(exclude=_not_of(spec.consensus)),
        "engine": spec.engine.model_dump(mode="json", exclude_none=True, exclude=_empty(spec.engine)),
        "genesis": spec.genesis.model_dump(exclude_defaults=False),
    }
    if spec.transaction_manager is not None:
        manager = spec.transaction_manager
        said = {"kind"} if manager.kind == "builtin" else None
        values["transaction_manager"] = manager.model_dump(include=said, exclude_none=True)
    values |= {
        field: value
        for field, value in spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True).items()
        if field not in values
    }
    if spec.engine.kind in ALWAYS_FREE and not spec.genesis.free_gas:
        del values["genesis"]["free_gas"]
    if not values["genesis"]["alloc"]:
        del values["genesis"]["alloc"]
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    text.write("# A Quorumkit network. Every field: docs/reference/spec.md\n")
    yaml.dump(values, text)
    return text.getvalue().encode()


def _empty(engine: EngineSpec) -> set[str]:
    return set() if engine.client_arguments else {"client_arguments"}


def _not_of(consensus: ConsensusSpec) -> set[str]:
    """The fields that mean nothing with that kind, where nobody set them."""
    defaults = ConsensusSpec()
    fields = set(ConsensusSpec.model_fields) - set(consensus.own_fields)
    return {field for field in fields if getattr(consensus, field) == getattr(defaults, field)}
