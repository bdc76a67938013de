"""Where a GoQuorum comes from: an image that its makers published, or a person names one."""

from __future__ import annotations

import re
from pathlib import Path

from quorumkit.engines.base import Acquirer, Binary
from quorumkit.engines.binaries import check_binary, find_kept, take_from_image
from quorumkit.progress import Progress

_KIND = "goquorum"
_VERSION_LINE = re.compile(r"^Quorum Version: (?P<version>\d+\.\d+\.\d+)", re.MULTILINE)


def official_image(version: str) -> str:
    """The image that GoQuorum's makers published."""
    return f"quorumengineering/quorum:{version}"


class GoQuorumAcquirer:
    """Takes it out of an image once, into the user's cache."""

    def find(self, version: str, *, override: Path | None = None, image: str | None = None) -> Binary | None:
        if override is not None:
            return check_binary(override, version, name="GoQuorum", version_line=_VERSION_LINE)
        return find_kept(_KIND, version, image or official_image(version))

    def source_image(self, version: str, named: str | None) -> str | None:
        return named or official_image(version)

    def acquire(
        self, version: str, *, override: Path | None = None, image: str | None = None, progress: Progress
    ) -> Binary:
        return self.find(version, override=override, image=image) or take_from_image(
            image or official_image(version), "/usr/local/bin/geth", _KIND, version,
            name="GoQuorum", version_line=_VERSION_LINE, progress=progress,
        )  # fmt: skip


ACQUIRER: Acquirer = GoQuorumAcquirer()
