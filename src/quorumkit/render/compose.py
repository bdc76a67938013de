"""The Compose project of a network. Pure.

Compose v2 and docker-compose 1.29 both read it; the project's name is in `.env` (COMPOSE_PROJECT_NAME), because 1.29
refuses a top-level `name`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from quorumkit.plan import Network, Node

HEALTH_PORT = 9545
"""Where the node program answers inside a container, on the container's own loopback."""

STOP_GRACE = "75s"
"""A little longer than the node program gives its client."""


def render_compose(network: Network, *, image: str, user: str, subnet: str) -> dict[str, bytes]:
    """`compose.yaml` and `.env`, by path below the network directory. `user` is UID:GID of the nodes' files."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

    spec = network.spec
    project: dict[str, Any] = {
        "x-node": {
            "image": image,
            # One that is made here is on no registry: what has its name there is somebody else's.
            **({} if spec.compose.image else {"pull_policy": "never"}),
            "user": Quoted(user),
            "restart": "unless-stopped",
            "read_only": True,
            "tmpfs": ["/tmp"],  # noqa: S108
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": spec.compose.memory,
            "pids_limit": spec.compose.pids,
            "stop_grace_period": STOP_GRACE,
            "healthcheck": {
                "test": ["CMD", "wget", "-q", "-O", "-", f"http://127.0.0.1:{HEALTH_PORT}/readyz"],
                "interval": "10s",
                "timeout": "5s",
                "retries": 3,
                "start_period": "60s",
            },
            "logging": {"driver": "json-file", "options": {"max-size": "20m", "max-file": Quoted("5")}},
        },
        "services": {node.name: _service(node) for node in network.nodes},
        "networks": {"quorum": {"ipam": {"config": [{"subnet": subnet}]}}},
    }
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 200
    text = io.StringIO()
    yaml.dump(_with_anchor(project), text)
    head = (
        f"# {spec.name}: rendered from quorumkit.yaml; edit that instead, then `quorumkit init`.\n"
        "# The project's name is in .env, where docker-compose 1.29 finds it too.\n"
    )
    if not spec.compose.image:
        head += "# The image is made on this machine, once: quorumkit image build\n"
    return {"compose.yaml": (head + text.getvalue()).encode(), ".env": f"COMPOSE_PROJECT_NAME={spec.name}\n".encode()}


def _service(node: Node) -> dict[str, Any]:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

    port = node.endpoints.rpc_url.rpartition(":")[2]
    return {
        "hostname": node.name,
        "ports": [Quoted(f"127.0.0.1:{port}:{node.endpoints.rpc_bind.port}")],
        "volumes": [f"./nodes/{node.name}:/node", "./genesis.json:/genesis.json:ro"],
        "networks": {"quorum": {"ipv4_address": node.endpoints.p2p.host}},
    }


def _with_anchor(project: Mapping[str, Any]) -> Any:
    """The project with what all services share written once: an anchor that each service merges."""
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.mergevalue import MergeValue

    merge = MergeValue()
    merge.merge_pos = 0
    shared = CommentedMap(project["x-node"])
    shared.yaml_set_anchor("node", always_dump=True)
    merge.append(shared)
    services = CommentedMap()
    for name, fields in project["services"].items():
        service = CommentedMap(fields)
        service.add_yaml_merge(merge)
        services[name] = service
    return CommentedMap({"x-node": shared, "services": services, "networks": project["networks"]})
