"""The volumes of containers that make their own keys: which are a network's own.

A volume is named after the network's mark (mark.py) and labelled with it, so that no two networks share one. Those made
before there were marks have a name that any network of that name has too: such a volume is a network's own only if one
of its containers has it, or if the node on it is the one that the network directory knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorumkit.container_engine import docker
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.mark import DOCKER_LABEL
from quorumkit.providers.known import known_key
from quorumkit.record import RECORD_NAME
from quorumkit.render.compose import plain_volume_name, volume_name

_READ_KEYS = f"""
import json, pathlib
keys = {{}}
for record in pathlib.Path("/volumes").glob("*/{RECORD_NAME}"):
    try:
        node = json.loads(record.read_bytes())
        keys[record.parent.name] = node["enode_key"] if "enode_key" in node else node["node"]["identity"]["enode_key"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
print(json.dumps(keys))
"""
"""Run in a container, with a node's directory at /volumes/NODE each."""


CONFINED = (
    "--pull", "never", "--user", "0", "--network", "none", "--read-only",
    "--cap-drop", "ALL", "--cap-add", "DAC_READ_SEARCH",
)  # fmt: skip
"""Options of a container that reads volumes: root reads what is any user's there, and nothing else is in its reach."""


@dataclass(frozen=True)
class Volumes:
    """What there is, by node; volumes of other networks are left out."""

    marked: Mapping[str, str]
    """Names of volumes that bear the network's mark."""
    plain: Mapping[str, str]
    """Names of the network's own volumes from before there were marks."""

    strange: tuple[str, ...] = ()
    """Names of volumes with the network's name and another mark."""

    @property
    def by_node(self) -> dict[str, str]:
        return {**self.marked, **self.plain}


def find_volumes(
    directory: NetworkDirectory,
    project: str,
    mark: str | None,
    nodes: Sequence[str],
    containers: Mapping[str, Mapping[str, Any]],
    *,
    image: str,
) -> Volumes:
    """The network's volumes. `containers` are its own ones, by service; `image` is the node image, to look into volumes
    from before there were marks with.

    Raises:
        RuntimeUnavailableError: Docker cannot be asked; or a volume with the network's name bears another one's mark.
    """
    present = set(docker("volume", "ls", "--quiet").split())
    marked = {node: name for node in nodes if mark and (name := volume_name(project, node, mark)) in present}
    _check_marks([*marked.values()], mark)
    plain = {node: name for node in nodes if (name := plain_volume_name(project, node)) in present}
    own_plain = _own_of(plain, directory, containers, image=image) if plain else {}
    begins = tuple(f"{plain_volume_name(project, node)}_" for node in nodes)
    strange = tuple(sorted(name for name in present - {*marked.values()} if name.startswith(begins)))
    return Volumes(marked, own_plain, strange)


def former_volumes(project: str, mark: str) -> list[str]:
    """The names of all volumes that bear the network's mark, those of nodes that its spec has no more among them.

    Raises:
        RuntimeUnavailableError: Docker cannot be asked.
    """
    listed = docker("volume", "ls", "--quiet", "--filter", f"label={DOCKER_LABEL}={mark}").split()
    name = re.compile(rf"{re.escape(plain_volume_name(project, 'node'))}[1-9][0-9]*_{mark}")
    return sorted(volume for volume in listed if name.fullmatch(volume))


def _check_marks(names: Sequence[str], mark: str | None) -> None:
    for volume in json.loads(docker("volume", "inspect", *names)) if names else []:
        if (volume.get("Labels") or {}).get(DOCKER_LABEL) != mark:
            raise RuntimeUnavailableError(
                f"the volume {volume['Name']} was not made for this network (it has no label {DOCKER_LABEL}={mark})",
                hint="move what is on it to a volume of another name, and remove it",
            )


def _own_of(
    plain: Mapping[str, str], directory: NetworkDirectory, containers: Mapping[str, Mapping[str, Any]], *, image: str
) -> dict[str, str]:
    mounted = {mount.get("Name") for container in containers.values() for mount in container.get("Mounts", [])}
    own = {node: name for node, name in plain.items() if name in mounted}
    doubtful = {node: name for node, name in plain.items() if node not in own and known_key(directory, node)}
    if doubtful:
        keys = _keys_on(doubtful, image=image)
        own |= {node: name for node, name in doubtful.items() if keys.get(node) == known_key(directory, node)}
    return own


def _keys_on(volumes: Mapping[str, str], *, image: str) -> dict[str, str]:
    """The enode keys of the nodes on these volumes, as their own records have them."""
    mounts = [word for node, name in volumes.items() for word in ("--volume", f"{name}:/volumes/{node}:ro")]
    output = docker(
        "run", "--rm", *CONFINED, *mounts,
        "--entrypoint", "python3", image, "-I", "-c", _READ_KEYS,
    )  # fmt: skip
    try:
        return {str(node): str(key) for node, key in json.loads(output).items()}
    except (ValueError, AttributeError):
        return {}


def rendered_plain(compose_file: Path) -> frozenset[str]:
    """The nodes whose volumes a rendered project has under their names from before there were marks."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        volumes = YAML(typ="safe", pure=True).load(compose_file.read_text(encoding="utf-8"))["volumes"]
        return frozenset(str(node) for node, settings in volumes.items() if not (settings or {}).get("name"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, YAMLError):
        return frozenset()
