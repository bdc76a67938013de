"""Nodes as containers of one Docker Compose project: with their directories mapped into them (compose_mapped.py), or
each with a volume of its own (compose_volumes.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quorumkit.container_engine import compose_command, have_image
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import Binary, acquirer_of
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.image.build import build_image, find_image, image_tag
from quorumkit.managers import manager_of
from quorumkit.plan import Node
from quorumkit.progress import Progress
from quorumkit.providers.compose_commands import ComposeCommands
from quorumkit.render.compose import services_of
from quorumkit.rpc import HttpRpc, Rpc
from quorumkit.spec import NetworkSpec


class ComposeProvider(ComposeCommands):
    """The part of a `Provider` that both kinds have in common."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        super().__init__(directory, spec)
        self._override = binary or directory.engine_override(spec)

    def acquire(self, progress: Progress) -> None:
        compose_command()
        if image := self._manager_image:
            have_image(
                image, progress, called=f"the image {image}", missing=f"{image}: not here",
                hint="load it with `docker load`, or name another as transaction_manager.image",
            )  # fmt: skip
        if self._spec.compose.image:
            if find_image(self._spec.compose.image) is None:
                raise RuntimeUnavailableError(
                    f"compose.image: {self._spec.compose.image} is not here",
                    hint=f"docker pull {self._spec.compose.image}, or leave compose.image out and one is built",
                )
            return
        build_image(self._tag, self._recipe, self._binary(progress), progress)

    async def stop(self, progress: Progress) -> bool:
        ran = await self._project.has_containers()
        progress("stopping containers")
        if ran or self._project.is_written():
            await self._project.run("down", "--remove-orphans")
        return ran

    async def is_running(self) -> bool:
        return await self._project.has_containers()

    async def connect(self, node: Node) -> Rpc:
        return HttpRpc(node.endpoints.rpc_url, where=node.name)

    async def start_nodes(self, names: Sequence[str]) -> None:
        await self._project.has_containers()  # those of another network of that name are not touched
        await self._project.run("up", "--detach", "--no-build", *services_of(self._spec, names))

    async def stop_nodes(self, names: Sequence[str]) -> None:
        await self._project.check_up()
        await self._project.run("stop", *services_of(self._spec, names))

    async def restart_nodes(self, names: Sequence[str]) -> None:
        await self._project.check_up()
        await self._project.run("restart", *services_of(self._spec, names))

    @property
    def _tag(self) -> str:
        return self._spec.compose.image or image_tag(self._recipe.kind, self._spec.engine.version)

    @property
    def _manager_image(self) -> str | None:
        """The image of transaction managers that have containers of their own."""
        manager = self._spec.transaction_manager
        return manager_of(manager.kind).image(manager) if manager else None

    def _binary(self, progress: Progress) -> Binary:
        wanted = self._spec.engine
        return acquirer_of(wanted.kind, self._spec.consensus.kind).acquire(
            wanted.version, override=self._override, image=wanted.image, progress=progress
        )
