"""A network's spec as values of the Helm chart, and where its pods are then found. Pure."""

from __future__ import annotations

from typing import Any

from quorumkit.plan import NodeEndpoints
from quorumkit.render.containers import RPC_PORT, container_endpoints
from quorumkit.spec import NetworkSpec


def chart_values(spec: NetworkSpec, *, image: str, mark: str) -> dict[str, Any]:
    """What the chart's defaults do not say; `mark` is the network's (mark.py).

    The spec's observers are nodes beyond the chart's `validators`.
    """
    kubernetes = spec.kubernetes
    values: dict[str, Any] = {
        "replicaCount": spec.nodes.total,
        "validators": spec.nodes.validators,
        "fullnameOverride": spec.name,
        "image": _image(image),
        "network": {
            "name": spec.name,
            "id": mark,
            "chainId": spec.chain_id,
            "consensus": {
                "kind": spec.consensus.kind,
                "period": spec.consensus.period,
                "emptyBlocks": spec.consensus.empty_blocks,
                "epoch": spec.consensus.epoch,
                "requestTimeout": spec.consensus.request_timeout,
                "maxRequestTimeout": spec.consensus.max_request_timeout,
                "raftBlockTime": spec.consensus.raft_block_time,
            },
            "engine": {
                "kind": spec.engine.kind,
                "version": spec.engine.version,
                "state": spec.engine.state,
                "cache": spec.engine.cache,
                "verbosity": spec.engine.verbosity,
                "clientArguments": list(spec.engine.client_arguments),
            },
            "transactionManager": spec.transaction_manager.kind if spec.transaction_manager else "none",
            "genesis": {
                "gasLimit": spec.genesis.gas_limit,
                "freeGas": spec.genesis.free_gas,
                "baseFee": str(spec.genesis.base_fee),
                "gasPrice": str(spec.genesis.gas_price),
                # Helm's numbers are floating-point ones.
                "nodeBalance": str(spec.genesis.node_balance),
                "alloc": {account: str(wei) for account, wei in spec.genesis.alloc.items()},
            },
        },
        "rpc": {
            "http": {"modules": list(spec.rpc.http.modules), "origins": list(spec.rpc.http.origins)},
            "ws": {
                "enabled": spec.rpc.ws.enabled,
                "modules": list(spec.rpc.ws.modules),
                "origins": list(spec.rpc.ws.origins),
            },
            "dangerousModules": list(spec.rpc.dangerous_modules),
        },
        "persistence": {"size": kubernetes.storage, "storageClass": kubernetes.storage_class or ""},
    }
    return _merged(values, kubernetes.values)


def pod_name(spec: NetworkSpec, ordinal: int) -> str:
    """Pods count from 0, nodes from 1."""
    return f"{spec.name}-{ordinal - 1}"


def pod_endpoints(spec: NetworkSpec, ordinal: int, namespace: str) -> NodeEndpoints:
    """By name: addresses of pods do not last."""
    host = f"{pod_name(spec, ordinal)}.{spec.name}-peers.{namespace}.svc"
    return container_endpoints(spec, host, rpc_url=f"http://{host}:{RPC_PORT}", rpc_names=("localhost", host))


def _image(image: str) -> dict[str, str]:
    name, _, digest = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # no tag; the colon, if there is one, is before a registry's port
        repository, tag = name, "latest"
    return {"repository": repository, "tag": tag, "digest": digest}


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` goes before; maps are merged, as Helm does."""
    result = dict(base)
    for key, value in over.items():
        present = result.get(key)
        both = isinstance(present, dict) and isinstance(value, dict)
        result[key] = _merged(present, value) if both else value  # type: ignore[arg-type]
    return result
