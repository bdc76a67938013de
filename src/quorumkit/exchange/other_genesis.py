"""A node that is started with settings which give another genesis than the one it is locked to."""

from __future__ import annotations

from pathlib import Path

from quorumkit.drift import drift_of
from quorumkit.errors import NodeError, QuorumkitError
from quorumkit.files import read_json
from quorumkit.spec import NetworkSpec

_HINT = "start it with the settings that the network was made with"


def other_genesis(spec: NetworkSpec, directory: Path, *, nodes: int) -> NodeError:
    """Why the node in that directory cannot go on, with the spec's own fields where they can be found out. `nodes` is
    how many are locked."""
    if nodes != spec.nodes.total:
        return NodeError(
            f"nodes.validators: {spec.nodes.validators} and nodes.observers: {spec.nodes.observers} are "
            f"{spec.nodes.total} in all, and the network was made with {nodes}",
            hint=_HINT,
        )
    fields = ""
    try:
        genesis = read_json(directory / "genesis.json", what="genesis")
        if isinstance(genesis, dict):
            fields = "; ".join(map(str, drift_of(spec, genesis)))
    except (QuorumkitError, OSError):
        pass
    return NodeError(fields or "the settings give another genesis than the one that is locked", hint=_HINT)
