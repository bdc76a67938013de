"""The network of transaction managers that a test makes; whatever still runs at its end is stopped."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tm_processes import Network


@pytest.fixture
def network() -> Iterator[Network]:
    # pytest's own directories are too deep for the path of a unix socket.
    with tempfile.TemporaryDirectory(prefix="qktm-") as root:
        made = Network(Path(root))
        try:
            yield made
        finally:
            made.close()
