"""Where a GoQuorum comes from: an image that its makers published, or a person names one."""

from __future__ import annotations

import re
from pathlib import Path

from quorumkit.engines.base import Acquirer, Binary
from quorumkit.engines.binaries import check_binary, find_kept, take_from_image
from quorumkit.engines.goquorum.recipe import RECIPE
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.finding import Finding
from quorumkit.progress import Progress

_DOCKER_TIMEOUT = 15.0  # seconds
_VERSION_LINE = re.compile(r"^Quorum Version: (?P<version>\d+\.\d+\.\d+)", re.MULTILINE)


def official_image(version: str) -> str:
    """The image that GoQuorum's makers published."""
    return f"quorumengineering/quorum:{version}"


class GoQuorumAcquirer:
    """Takes it out of an image once, into the user's cache."""

    build_room: int | None = None

    def findings(self) -> list[Finding]:
        """Only its own networks need it, so that it is never missing."""
        from quorumkit.container_engine import docker

        version = RECIPE.default_version
        image = official_image(version)
        if binary := self.find(version):
            text = f"{version} taken out of {image}, SHA-256 {binary.sha256[:16]}…"
            return [Finding("goquorum", "ok", text)]
        otherwise = "only `--engine goquorum` needs one: name it with --engine-binary, or engine.image another image"
        try:
            docker("image", "inspect", "--format", "{{.Id}}", image, timeout=_DOCKER_TIMEOUT)
        except RuntimeUnavailableError:
            return [Finding("goquorum", "note", f"no binary of {version} is kept, and {image} is not here", otherwise)]
        return [Finding("goquorum", "note", f"{version} would be taken out of {image}, which is here", otherwise)]

    def find(self, version: str, *, override: Path | None = None, image: str | None = None) -> Binary | None:
        if override is not None:
            return check_binary(override, version, name="GoQuorum", version_line=_VERSION_LINE)
        return find_kept(RECIPE, version, image or official_image(version))

    def source_image(self, version: str, named: str | None) -> str | None:
        return named or official_image(version)

    def acquire(
        self, version: str, *, override: Path | None = None, image: str | None = None, progress: Progress
    ) -> Binary:
        return self.find(version, override=override, image=image) or take_from_image(
            image or official_image(version), "/usr/local/bin/geth", RECIPE, version,
            name="GoQuorum", version_line=_VERSION_LINE, progress=progress,
        )  # fmt: skip


ACQUIRER: Acquirer = GoQuorumAcquirer()
