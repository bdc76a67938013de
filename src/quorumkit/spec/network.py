"""A whole network's spec."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from quorumkit.client_settings import RpcSpec, rpc_problem
from quorumkit.engines import Recipe, kinds, recipe_of
from quorumkit.spec.engine_rules import engine_problem
from quorumkit.spec.parts import (
    ConsensusSpec,
    EngineSpec,
    GenesisSpec,
    NodesSpec,
    Part,
    PortsSpec,
    TransactionManagerSpec,
)
from quorumkit.spec.places import ComposeSpec, KubernetesSpec

SPEC_FORMAT = 1

MAX_CHAIN_ID = (2**64 - 37) // 2
"""The largest chain id whose EIP-155 `v` (2·id + 36) fits in 64 bits (EIP-2294)."""

OWN_CONTAINER = ("tessera",)
"""Transaction managers that come in an image of their own: with Compose each is a container beside its node's."""

_NETWORK_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


def _network_name(value: str) -> str:
    if not _NETWORK_NAME.fullmatch(value):
        raise ValueError(f"{value!r} must be 1 to 40 lower-case letters, digits or '-', with '-' only inside")
    return value


class NetworkSpec(Part):
    """A whole network, as `quorumkit.yaml` says it."""

    # Most commands' help, and each node's start, read none: it is built when the first one is.
    model_config = ConfigDict(defer_build=True)

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
        engine = value.get("engine", {}) if isinstance(value, dict) else None
        kind = engine.get("kind", kinds()[0]) if isinstance(engine, dict) else None
        if kind not in kinds():
            return value
        consensus = value.get("consensus", {})
        recipe = recipe_of(kind, consensus.get("kind") if isinstance(consensus, dict) else None)
        value = ({"transaction_manager": {}} if recipe.private_transactions else {}) | value
        defaults: dict[str, dict[str, Any]] = {
            "consensus": {"kind": recipe.consensus[0]},
            "engine": {"version": recipe.default_version},
        }
        for part, fields in recipe.spec_defaults.items():
            defaults[part] = defaults.get(part, {}) | dict(fields)
        for part, fields in defaults.items():
            if isinstance(value.get(part, {}), dict):
                value[part] = {**_as_far_as_meant(fields, value.get(part, {})), **value.get(part, {})}
        return value

    @model_validator(mode="after")
    def _engine_can_do_it(self) -> NetworkSpec:
        if wrong := engine_problem(self) or rpc_problem(self.rpc, self.recipe):
            raise ValueError(wrong)
        return self

    @property
    def recipe(self) -> Recipe:
        """How its nodes are made and run."""
        return recipe_of(self.engine.kind, self.consensus.kind)

    @property
    def gas_is_free(self) -> bool:
        """Whether a transaction need not pay for its gas."""
        return self.genesis.free_gas or self.recipe.gas_is_always_free

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
        each = [field for field in PortsSpec.model_fields if field != "health"]
        for field in each:
            base = getattr(self.ports, field)
            if base is not None and base + self.nodes.total - 1 > 65535:
                raise ValueError(f"ports.{field}: {self.nodes.total} ports from {base} on go beyond 65535")
        blocks = {
            field: range(base, base + (1 if field == "health" else self.nodes.total))
            for field in (*each, "health")
            if (base := getattr(self.ports, field)) is not None
        }
        for (one, block), (other, with_) in itertools.combinations(blocks.items(), 2):
            if block.start < with_.stop and with_.start < block.stop:
                raise ValueError(f"ports.{other}: {_in_words(with_)} overlaps {_in_words(block)} of ports.{one}")
        return self


def _as_far_as_meant(defaults: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Gas that has a price is not free by default."""
    priced = any(said.get(field) for field in ("base_fee", "gas_price"))
    return {field: value for field, value in defaults.items() if not (priced and field == "free_gas")}


def _in_words(block: range) -> str:
    return f"port {block[0]}" if len(block) == 1 else f"the block {block[0]}-{block[-1]}"


def _on_kubernetes(value: Any) -> bool:
    return isinstance(value, dict) and value.get("runtime") == "kubernetes"
