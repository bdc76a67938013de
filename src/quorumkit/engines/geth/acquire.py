"""Where a geth comes from: built from its Go module, or named by a person."""

from __future__ import annotations

import re
from pathlib import Path

from quorumkit.engines.base import Acquirer, Binary
from quorumkit.engines.binaries import check_binary
from quorumkit.engines.go_acquirer import GoAcquirer
from quorumkit.engines.go_build import GoProgram

VERSION_LINE = re.compile(r"^Geth\nVersion: (?P<version>\d+\.\d+\.\d+)", re.MULTILINE)

GETH = GoProgram(
    name="geth",
    title="geth",
    version="1.13.15",
    package="github.com/ethereum/go-ethereum/cmd/geth",
    module=f"{__package__}.module",
    packages=666,
    room=1_500_000_000,
    oldest_go=(1, 23),
    ldflags="-s -w -checklinkname=0",  # a dependency links to the runtime's internals, refused from Go 1.23 on
)


def check_named(path: Path, version: str) -> Binary:
    """A geth that a person named.

    Raises:
        EngineError: it is missing, not executable, or another program or version.
    """
    otherwise = "or leave it out and Quorumkit builds one"
    return check_binary(path, version, name="geth", version_line=VERSION_LINE, otherwise=otherwise)


ACQUIRER: Acquirer = GoAcquirer(GETH, [], check_named, what_for="consensus kind clique")
