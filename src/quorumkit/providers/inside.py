"""Inside a node's container: the node is the one that the container carries."""

from __future__ import annotations

import os
from pathlib import Path

from quorumkit.contracts import console_script
from quorumkit.engines import acquirer_of
from quorumkit.errors import NotRunningError
from quorumkit.files import SECRET_MODE, private_directory, write_atomic
from quorumkit.providers.base import Command
from quorumkit.record import read_record


def console_inside(directory: Path, *, execute: str | None) -> Command:
    """The client's console on the node in that directory.

    Raises:
        NotRunningError: its client is not up, or not known where it is.
    """
    record = read_record(directory)
    override = os.environ.get("QUORUMKIT_ENGINE_BINARY")
    wanted, recipe = record.engine, record.recipe
    binary = acquirer_of(wanted.kind, record.consensus.kind).find(
        wanted.version, override=Path(override) if override else None, image=wanted.image
    )
    if binary is None or not (directory / recipe.ipc).exists():
        raise NotRunningError(f"{record.name}: its client is not up", hint="see the container's log")
    # Its JavaScript runs with the node's rights: so it lies where nobody else can write, under no name in /tmp.
    script = private_directory(directory / ".state").absolute() / "console.js"
    write_atomic(script, console_script().encode(), mode=SECRET_MODE, durable=False)
    command = recipe.console_command(binary.path, script=str(script), execute=execute)
    return Command(command, directory, failure=None if execute is None else recipe.console_failure)
