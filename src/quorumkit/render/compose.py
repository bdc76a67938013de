"""The Compose project of a network. Pure.

Compose v2 and docker-compose 1.29 both read it; the project's name is in `.env` (COMPOSE_PROJECT_NAME), because 1.29
refuses a top-level `name`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from quorumkit.addresses import HttpUrl
from quorumkit.managers import manager_of
from quorumkit.mark import DOCKER_LABEL
from quorumkit.plan import Network, Node, NodeEndpoints
from quorumkit.render.containers import HEALTH_PORT
from quorumkit.spec import SPEC_NAME, NetworkSpec

STOP_GRACE = "75s"
"""A little longer than the node program gives its client."""

MANAGER_STOP_GRACE = "15s"

_MANAGER = "-tm"
_CONFIG_LABEL = "org.quorumkit.configuration"


def render_compose(network: Network, *, image: str, user: str, subnet: str) -> dict[str, bytes]:
    """`compose.yaml` and `.env`, by path below the network directory. `user` is UID:GID of the nodes' files."""
    spec = network.spec
    networks = {"quorum": {"ipam": {"config": [{"subnet": subnet}]}}}
    services = {node.name: _service(node, apart=spec.manager_apart) for node in network.nodes}
    shared = {"x-node": _shared(spec, image, user)}
    if spec.manager_apart:
        shared["x-manager"] = _manager(spec, user)
        services |= {manager_service(node.name): _manager_service(network, node) for node in network.nodes}
    return _files(spec, {**shared, "services": services, "networks": networks})


def manager_service(name: str) -> str:
    """The service of a node's transaction manager, where that has a container of its own."""
    return f"{name}{_MANAGER}"


def services_of(spec: NetworkSpec, names: Sequence[str]) -> list[str]:
    """The services of these nodes."""
    return [*names, *(manager_service(name) for name in names if spec.manager_apart)]


def render_exchanged_compose(
    spec: NetworkSpec,
    names: Sequence[str],
    endpoints: Sequence[NodeEndpoints],
    *,
    image: str,
    user: str,
    secret: str,
    mark: str,
    plain: Collection[str] = (),
) -> dict[str, bytes]:
    """The same for nodes that make their own keys: each has a volume of its own, and all they are given is the spec and
    the join secret (`secret`, a file beside). They find each other by their services' names.

    `user` is UID:GID of the join secret's file; `mark` the network's (mark.py). `plain` are nodes whose volumes are
    from before there were marks: Compose offers to make a volume anew, empty, whose settings changed, so theirs stay.
    """
    shared = _shared(spec, image, user) | {
        "environment": {
            "QUORUMKIT_EXCHANGE": _quoted("1"),
            "QUORUMKIT_SPEC": "/run/secrets/spec",
            "QUORUMKIT_JOIN_SECRET_FILE": "/run/secrets/join-secret",
            "QUORUMKIT_PEER_PREFIX": "node",
            "QUORUMKIT_RPC_BIND": f"0.0.0.0:{endpoints[0].rpc_bind.port}",
            # The other containers ask it too, so that one command tells how all of them are.
            "QUORUMKIT_HEALTH": f"0.0.0.0:{HEALTH_PORT}",
        },
        "secrets": ["join-secret", "spec"],
        "networks": ["quorum"],
    }
    project = {
        "x-node": shared,
        "services": {
            name: {
                "hostname": name,
                "ports": [_published(endpoint)],
                "volumes": [f"{name}:/node"],
            }
            for name, endpoint in zip(names, endpoints, strict=True)
        },
        "volumes": {name: {} if name in plain else _volume(spec.name, name, mark) for name in names},
        "secrets": {"join-secret": {"file": f"./{secret}"}, "spec": {"file": f"./{SPEC_NAME}"}},
        "networks": {"quorum": {}},
    }
    return _files(spec, project)


def volume_name(project: str, node: str, mark: str) -> str:
    """A volume that is this network's and no other's, whatever their names."""
    return f"{plain_volume_name(project, node)}_{mark}"


def plain_volume_name(project: str, node: str) -> str:
    """What Compose calls a volume by itself."""
    return f"{project}_{node}"


def _volume(project: str, node: str, mark: str) -> dict[str, Any]:
    return {"name": volume_name(project, node, mark), "labels": {DOCKER_LABEL: _quoted(mark)}}


def _shared(spec: NetworkSpec, image: str, user: str) -> dict[str, Any]:
    """What all services have in common."""
    return {
        "image": image,
        # One that is made here is on no registry: what has its name there is somebody else's.
        **({} if spec.compose.image else {"pull_policy": "never"}),
        **_confined(spec, user),
        "stop_grace_period": STOP_GRACE,
        "healthcheck": {
            "test": ["CMD", "wget", "-q", "-O", "-", f"http://127.0.0.1:{HEALTH_PORT}/readyz"],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "60s",
        },
        "logging": _logging(),
    }


def _manager(spec: NetworkSpec, user: str) -> dict[str, Any]:
    """What all transaction managers with a container of their own have in common."""
    assert spec.transaction_manager is not None
    manager = manager_of(spec.transaction_manager.kind)
    return {
        "image": manager.image(spec.transaction_manager),
        **_confined(spec, user),
        # As inside of the node's container, so that one configuration is right for both.
        "working_dir": "/node",
        "stop_grace_period": MANAGER_STOP_GRACE,
        **manager.container(),
        "logging": _logging(),
    }


def _confined(spec: NetworkSpec, user: str) -> dict[str, Any]:
    """What no container may do or have more of."""
    return {
        "user": _quoted(user),
        "restart": "unless-stopped",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": spec.compose.memory,
        "pids_limit": spec.compose.pids,
    }


def _logging() -> dict[str, Any]:
    return {"driver": "json-file", "options": {"max-size": "20m", "max-file": _quoted("5")}}


def _files(spec: NetworkSpec, project: Mapping[str, Any]) -> dict[str, bytes]:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 200
    text = io.StringIO()
    yaml.dump(_with_anchors(project), text)
    head = (
        f"# {spec.name}: rendered from quorumkit.yaml; edit that instead, then `quorumkit init`.\n"
        "# The project's name is in .env, where docker-compose 1.29 finds it too.\n"
    )
    if not spec.compose.image:
        head += "# The image is made on this machine, once: quorumkit image build --dir .\n"
    return {"compose.yaml": (head + text.getvalue()).encode(), ".env": f"COMPOSE_PROJECT_NAME={spec.name}\n".encode()}


def _quoted(text: str) -> str:
    """A string that YAML could take for something else."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    quoted: str = DoubleQuotedScalarString(text)
    return quoted


def _published(endpoints: NodeEndpoints) -> str:
    """JSON-RPC on this machine's loopback only."""
    return _quoted(f"127.0.0.1:{HttpUrl.parse(endpoints.rpc_url).place.port}:{endpoints.rpc_bind.port}")


def _service(node: Node, *, apart: bool) -> dict[str, Any]:
    return {
        "hostname": node.name,
        "ports": [_published(node.endpoints)],
        "volumes": [f"./nodes/{node.name}:/node", "./genesis.json:/genesis.json:ro"],
        **({"depends_on": [manager_service(node.name)]} if apart else {}),
        "networks": {"quorum": {"ipv4_address": node.endpoints.p2p.host}},
    }


def _manager_service(network: Network, node: Node) -> dict[str, Any]:
    """Of its node's directory it has only its own part, and with it the socket on which the client asks it."""
    assert node.endpoints.tm is not None and network.spec.transaction_manager is not None
    manager = manager_of(network.spec.transaction_manager.kind)
    return {
        "hostname": manager_service(node.name),
        # Compose makes it anew where this changed: it reads its configuration only once.
        "labels": {_CONFIG_LABEL: hashlib.sha256(manager.files(network, node)[manager.config]).hexdigest()},
        "volumes": [f"./nodes/{node.name}/tm:/node/tm"],
        "networks": {"quorum": {"ipv4_address": node.endpoints.tm.host}},
    }


def _with_anchors(project: Mapping[str, Any]) -> Any:
    """The project with what services share written once: an anchor that each service of that kind merges."""
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.mergevalue import MergeValue

    shared, merges = {}, {}
    for key in ("x-node", "x-manager"):
        if key in project:
            shared[key] = CommentedMap(project[key])
            shared[key].yaml_set_anchor(key.removeprefix("x-"), always_dump=True)
            merges[key] = MergeValue()
            merges[key].merge_pos = 0
            merges[key].append(shared[key])
    services = CommentedMap()
    for name, fields in project["services"].items():
        service = CommentedMap(fields)
        service.add_yaml_merge(merges["x-manager" if name.endswith(_MANAGER) else "x-node"])
        services[name] = service
    return CommentedMap({**project, **shared, "services": services})
