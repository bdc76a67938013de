"""Network directories that an earlier commit made: see tests/data/earlier/README.md."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent.parent / "data/earlier"
_CHAIN = ("geth/", "raft-wal", "quorum-raft-state", "raft-snap")

FACTS: dict[str, dict[str, Any]] = json.loads((_FOLDER / "facts.json").read_bytes())
"""What was true of each network when it ran, by name."""


def unpack(name: str, folder: Path, *, chain: bool = True) -> Path:
    """The network directory of that name, in `folder`; without its nodes' chains if they are not asked for."""

    def wanted(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        inside = member.name.partition("/data/")[2]
        if not chain and inside.startswith(_CHAIN) and inside != "geth/nodekey":
            return None
        return tarfile.tar_filter(member, path)

    with tarfile.open(_FOLDER / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter=wanted)
    return folder / name
