"""One Compose project: its containers, and the commands that Compose is given about it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quorumkit.container_engine import compose_command, docker, refusal
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NotRunningError, RuntimeUnavailableError
from quorumkit.spec import SPEC_NAME, NetworkSpec

Container = dict[str, Any]
"""What `docker inspect` says of one."""

_RUNNING = {"running", "restarting"}


class Project:
    """The one that a network directory holds."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec) -> None:
        self.directory = directory.path
        self.name = spec.name
        self._file = directory.compose

    def command(self) -> list[str]:
        """Compose on this project, whatever COMPOSE_FILE and COMPOSE_PROJECT_NAME the person has set for another."""
        return [*compose_command(), "--project-name", self.name, "--file", self._file.name]

    def is_written(self) -> bool:
        return self._file.exists()

    def read(self) -> Any:
        """The rendered project; raises OSError or YAMLError."""
        from ruamel.yaml import YAML

        return YAML(typ="safe", pure=True).load(self._file.read_text(encoding="utf-8"))

    async def run(self, *arguments: str, see: Callable[[str], None] = lambda line: None) -> None:
        """One Compose command; Ctrl-C ends it. `see` is given each line it says meanwhile.

        Raises:
            RuntimeUnavailableError: it failed; the message is in Compose's own words.
        """
        command = [*await asyncio.to_thread(self.command), *arguments]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        lines: list[str] = []
        try:
            async for line in process.stderr:
                lines.append(line.decode("utf-8", "replace"))
                see(lines[-1])
            await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        if process.returncode != 0:
            raise refusal(command, "".join(lines))

    def containers(self) -> dict[str, Container]:
        """The project's containers by service; the same for both versions of Compose.

        Raises:
            RuntimeUnavailableError: Docker cannot be asked; or another directory's project has this name.
        """
        listed = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}")
        if not listed.split():
            return {}
        containers = {}
        for container in json.loads(docker("inspect", *listed.split())):
            labels = container["Config"]["Labels"]
            place = Path(labels.get("com.docker.compose.project.working_dir", ""))
            if place.resolve() != self.directory.resolve():
                raise RuntimeUnavailableError(
                    f"another Compose project is named {self.name}, in {place}",
                    hint=f"stop that one, or give this network another name in {SPEC_NAME}",
                )
            containers[labels["com.docker.compose.service"]] = container
        return containers

    def containers_if_any(self) -> dict[str, Container]:
        """The same, where `init` on a machine without Docker is no error."""
        try:
            return self.containers()
        except RuntimeUnavailableError:
            return {}

    async def has_containers(self) -> bool:
        return bool(await asyncio.to_thread(self.containers))

    async def check_up(self) -> None:
        """Raises:
        NotRunningError: there are no containers.
        """
        if not await self.has_containers():
            raise NotRunningError(f"{self.directory}: not running", hint=f"start it: quorumkit up {self.directory}")


def is_running(container: Container | None) -> bool:
    """Whether it runs or is about to."""
    return container is not None and container["State"]["Status"] in _RUNNING
