"""JSON-RPC URLs that are not what they were. A person is told, for other programs know the old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quorumkit.addresses import HttpUrl
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import QuorumkitError
from quorumkit.node.status import NodeStatus
from quorumkit.providers.ports import LOOPBACK, port_holder, port_is_free
from quorumkit.spec import SPEC_NAME, NetworkSpec


@dataclass(frozen=True)
class Move:
    """One node's."""

    node: str
    before: str
    after: str
    reason: str

    def to_json(self) -> dict[str, str]:
        return {"node": self.node, "before": self.before, "after": self.after, "reason": self.reason}


def recorded_urls(directory: NetworkDirectory) -> dict[str, str]:
    """By node, as it was when the network last ran; empty where there was none."""
    try:
        network = directory.load_what_is_there()
    except (QuorumkitError, OSError):
        return {}
    return {node.name: node.endpoints.rpc_url for node in network.nodes}


def moved_urls(before: Mapping[str, str], statuses: Sequence[NodeStatus], spec: NetworkSpec) -> list[Move]:
    """Those that changed, and why as far as it can be told now."""
    changed = [status for status in statuses if before.get(status.name, status.rpc_url) != status.rpc_url]
    reason = _reason([before[status.name] for status in changed], spec) if changed else ""
    return [Move(status.name, before[status.name], status.rpc_url, reason) for status in changed]


def describe_moves(moved: Sequence[Move]) -> list[str]:
    """The same in lines for people."""
    if not moved:
        return []
    first = moved[0]
    others = f" (and {len(moved) - 1} more)" if len(moved) > 1 else ""
    return [f"RPC URLs changed: {first.node} had {first.before} and has {first.after}{others}: {first.reason}"]


def _reason(urls: Sequence[str], spec: NetworkSpec) -> str:
    if spec.ports.rpc is not None:
        return f"ports.rpc in {SPEC_NAME} asks for it"
    places = [HttpUrl.parse(url).place for url in urls]
    ports = [place.port for place in places if place.host == LOOPBACK]
    for port in ports:
        if not port_is_free(port):
            return f"port {port} is taken{port_holder(port)}"
    return "one of the old ports was taken when it started" if ports else "the spec asks for it"
