"""Generates the bridge's protocol code from its description: `make protocol`."""

from __future__ import annotations

import sys
from importlib.resources import as_file, files
from pathlib import Path

from grpc_tools import protoc

BRIDGE = Path(__file__).parents[1] / "src" / "quorumkit" / "engines" / "bft" / "bridge"
NAME = "abci"


def generate(into: Path) -> list[Path]:
    """Writes what is generated into a directory.

    Raises:
        SystemExit: the description is wrong.
    """
    with as_file(files("grpc_tools") / "_proto") as common:
        code = protoc.main([
            "protoc", f"-I{BRIDGE}", f"-I{common}", f"--python_out={into}", f"--pyi_out={into}", f"{NAME}.proto",
        ])  # fmt: skip
    if code:
        sys.exit(code)
    return [into / f"{NAME}_pb2.py", into / f"{NAME}_pb2.pyi"]


if __name__ == "__main__":
    generate(BRIDGE)
