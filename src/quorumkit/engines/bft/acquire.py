"""Where current geth and CometBFT come from: built from their Go modules, or named by a person."""

from __future__ import annotations

import os
from pathlib import Path

from quorumkit.engines.base import Acquirer, Binary
from quorumkit.engines.bft.processes import COMETBFT
from quorumkit.engines.geth.acquire import check_named
from quorumkit.engines.go_acquirer import GoAcquirer
from quorumkit.engines.go_build import GoProgram
from quorumkit.engines.go_modules import go_modules
from quorumkit.errors import EngineError
from quorumkit.files import sha256_of

GETH = GoProgram(
    name="geth",
    title="geth",
    version="1.17.10",
    package="github.com/ethereum/go-ethereum/cmd/geth",
    module=f"{__package__}.module_geth",
    packages=996,
    room=1_700_000_000,
    oldest_go=(1, 25),
    ldflags="-s -w -checklinkname=0",  # a dependency links to the runtime's internals, refused from Go 1.23 on
)
COMET = GoProgram(
    name=COMETBFT,
    title="CometBFT",
    version="0.40.0",
    package="github.com/cometbft/cometbft/cmd/cometbft",
    module=f"{__package__}.module_cometbft",
    packages=891,
    room=1_000_000_000,
    oldest_go=(1, 25),
)


def check_comet(path: Path, program: GoProgram) -> Binary:
    """A CometBFT that a person put beside the geth that he named. What it prints for its version is another one's
    (0.39.0), so what its Go linker wrote into it counts.

    Raises:
        EngineError: it is not executable, or another program or version.
    """
    hint = f"put a {program.title} {program.version} there, or take it away and Quorumkit builds one"
    if not os.access(path, os.X_OK):
        raise EngineError(f"{path}: not executable", hint=f"chmod +x {path}")
    module = "github.com/cometbft/cometbft"
    version = next((each.version for each in go_modules(path) if each.path == module), None)
    if version is None:
        raise EngineError(f"{path}: not CometBFT", hint=hint)
    if version not in (f"v{program.version}", "(devel)"):
        raise EngineError(f"{path}: CometBFT {version}, where {program.version} is needed", hint=hint)
    return Binary(path.absolute(), program.version, sha256_of(path))


ACQUIRER: Acquirer = GoAcquirer(GETH, [COMET], check_named, check_comet, what_for="consensus kind bft")
