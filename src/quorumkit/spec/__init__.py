"""The network spec, `quorumkit.yaml`: what a person writes. Every default stands here, but for what a client's recipe
says of it, and only here."""

from quorumkit.spec.network import MAX_CHAIN_ID, SPEC_FORMAT, NetworkSpec
from quorumkit.spec.parts import (
    ConsensusSpec,
    EngineSpec,
    GenesisSpec,
    NodesSpec,
    OneOf,
    PortsSpec,
    TransactionManagerSpec,
)
from quorumkit.spec.places import FIRST_HOST, ComposeSpec, KubernetesSpec
from quorumkit.spec.text import SCHEMA_NAME, SPEC_NAME, parse_spec, read_spec, spec_to_yaml

__all__ = [
    "FIRST_HOST",
    "MAX_CHAIN_ID",
    "SCHEMA_NAME",
    "SPEC_FORMAT",
    "SPEC_NAME",
    "ComposeSpec",
    "ConsensusSpec",
    "EngineSpec",
    "GenesisSpec",
    "KubernetesSpec",
    "NetworkSpec",
    "NodesSpec",
    "OneOf",
    "PortsSpec",
    "TransactionManagerSpec",
    "parse_spec",
    "read_spec",
    "spec_to_yaml",
]
