"""What a node program writes of itself into its state directory, so that a later command finds it, or cleans up after
it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quorumkit.errors import CorruptFileError
from quorumkit.files import to_json, write_atomic

INFO_NAME = "supervisor.json"
LOCK_NAME = "supervisor.lock"


def write_info(state: Path, info: dict[str, Any]) -> None:
    """Raises OSError: it cannot be written."""
    write_atomic(state / INFO_NAME, to_json(info), mode=0o600, durable=False)


def read_info(state: Path) -> dict[str, Any] | None:
    """What the node program of that state directory wrote of itself, if it is there.

    Raises:
        CorruptFileError: the file is not what a node program writes.
    """
    path = state / INFO_NAME
    try:
        value = json.loads(path.read_bytes())
        if not isinstance(value["pid"], int) or not isinstance(value["created"], float | int):
            raise TypeError("pid")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise CorruptFileError(f"{path}: not readable", hint="remove it") from None
    return dict(value)
