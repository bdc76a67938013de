"""Files copied out of nodes' directories, wherever these are."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from quorumkit.directory import NetworkDirectory
from quorumkit.providers import provider_of


def copied(network: Path, node: str, path: str) -> bytes:
    """The content of a file of a node, as the network's provider copies it."""
    directory = NetworkDirectory(network)
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "copy"
        asyncio.run(provider_of(directory, directory.read_spec()).copy(node, path, to))
        assert to.stat().st_mode & 0o777 == 0o600
        return to.read_bytes()
