"""Whether what was asked for on the command line is what an existing network is."""

from __future__ import annotations

from typing import Any

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import UsageError
from quorumkit.spec import NetworkSpec


def check_request(spec: NetworkSpec, asked: dict[str, Any], directory: NetworkDirectory) -> None:
    """What was asked for on the command line must be what an existing network is.

    Raises:
        UsageError: it is not; `asked` holds dotted spec paths and values, None for what was not asked.
    """
    for path, value in asked.items():
        present: Any = spec
        for part in path.split("."):
            present = getattr(present, part, None)
        if value is not None and value != present:
            raise UsageError(
                f"{directory.path} is there already, with {path}: {present}, not {value}",
                hint=f"leave the option out, edit {directory.spec}, or name another directory",
            )
