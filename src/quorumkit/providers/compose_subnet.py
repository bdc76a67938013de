"""The subnet of a Compose project whose containers have fixed addresses."""

from __future__ import annotations

import contextlib
import json

from ruamel.yaml.error import YAMLError

from quorumkit.container_engine import docker
from quorumkit.errors import PortError, RuntimeUnavailableError
from quorumkit.providers.compose_project import Project
from quorumkit.providers.subnets import Subnet, choose_subnet, clash, host_subnets, room
from quorumkit.spec import SPEC_NAME, NetworkSpec


class ProjectSubnet:
    """One project's; chosen once."""

    def __init__(self, project: Project, spec: NetworkSpec) -> None:
        self._project = project
        self._spec = spec
        self._chosen: str | None = None

    def choose(self) -> str:
        """The spec's subnet; else the one that the project has already; else a free one."""
        if self._spec.compose.subnet:
            return self._spec.compose.subnet
        if self._chosen is None:
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError, TypeError, YAMLError):
                present = self._rendered()
                usable = bool(self._project.containers_if_any()) or self._overlapping(present) is None
                if room(present) >= self._spec.containers and usable:
                    self._chosen = present
        if self._chosen is None:
            in_use = [*host_subnets(), *docker_subnets().values()]
            self._chosen = choose_subnet(self._project.directory, self._spec.containers, in_use)
        return self._chosen

    def check(self) -> None:
        """Before the project's network is made, its subnet must be nobody else's.

        Raises:
            PortError: it is.
        """
        subnet = self._rendered()
        overlapping = self._overlapping(subnet)
        if overlapping is not None:
            again = "run `quorumkit up` again: another one is chosen"
            asked = f"set another compose.subnet in {SPEC_NAME}, then run `quorumkit up` again"
            raise PortError(
                f"compose.subnet: {subnet} overlaps {overlapping}, which this machine uses already",
                hint=asked if self._spec.compose.subnet else again,
            )

    def _overlapping(self, subnet: str) -> Subnet | None:
        """What of this machine's networks overlaps the subnet, this project's own aside."""
        taken = docker_subnets()
        own = f"{self._project.name}_quorum"
        others = [network for name, network in taken.items() if name != own]
        routes = host_subnets()
        if own in taken:  # a network that an earlier start left is an interface of this machine too
            routes = [route for route in routes if route != Subnet(subnet)]
        return clash(subnet, [*others, *routes])

    def _rendered(self) -> str:
        """The subnet that the rendered project has."""
        return str(self._project.read()["networks"]["quorum"]["ipam"]["config"][0]["subnet"])


def docker_subnets() -> dict[str, Subnet]:
    """The IPv4 subnets of Docker's networks, by the network's name; none where there is no Docker."""
    with contextlib.suppress(RuntimeUnavailableError):
        names = docker("network", "ls", "--quiet").split()
        if names:
            networks = json.loads(docker("network", "inspect", *names))
            return {
                network["Name"]: Subnet(config["Subnet"])
                for network in networks
                for config in network["IPAM"]["Config"] or []
                if ":" not in config.get("Subnet", ":")
            }
    return {}
