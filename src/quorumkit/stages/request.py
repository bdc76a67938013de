"""What a person asks for when a network is made or started, and the spec that it comes to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorumkit.directory import NetworkDirectory
from quorumkit.engines import acquirer_of
from quorumkit.errors import UsageError
from quorumkit.managers import manager_of
from quorumkit.spec import NetworkSpec, parse_spec


@dataclass(frozen=True)
class Request:
    """What was asked for beside the directory."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Values of the spec by dotted path; None for what was not asked for."""
    engine_binary: Path | None = None
    """A client binary. A new network keeps it in its spec; one that exists uses it this time only."""
    tm_binary: Path | None = None
    """The same for its transaction manager."""


def requested_spec(directory: NetworkDirectory, request: Request) -> NetworkSpec:
    """The spec of the network that is there, or of the new one that is asked for. Writes nothing.

    Raises:
        UsageError: the network that is there is another one than asked for, or its spec is wrong.
        EngineError: a program that was named cannot be used.
    """
    manager = {"transaction_manager.binary": str(_absolute(request.tm_binary)) if request.tm_binary else None}
    if directory.exists():
        spec = directory.read_spec()
        check_request(spec, request.fields, directory)
        if request.tm_binary:  # used this time only; but what the spec could not say is refused here too
            parse_spec(with_fields(spec.model_dump(exclude_unset=True), manager), source="the options given")
        return spec
    value = with_fields({"name": name_from(directory.path)}, {**request.fields, **manager})
    spec = parse_spec(value, source="the options given")
    # Programs are checked before anything is made, and kept for the commands that come after.
    if spec.transaction_manager is not None and spec.transaction_manager.binary is not None:
        manager_of(spec.transaction_manager.kind).find(override=Path(spec.transaction_manager.binary))
    if request.engine_binary is None:
        return spec
    binary = _absolute(request.engine_binary)
    acquirer_of(spec.engine.kind, spec.consensus.kind).find(spec.engine.version, override=binary)
    return spec.model_copy(update={"engine": spec.engine.model_copy(update={"binary": str(binary)})})


def check_request(spec: NetworkSpec, asked: Mapping[str, Any], directory: NetworkDirectory) -> None:
    """What is asked for must be what an existing network is; `asked` are values by dotted path of the spec, None for
    what was not asked for.

    Raises:
        UsageError: it is not.
    """
    for path, value in asked.items():
        present: Any = spec
        for part in path.split("."):
            present = getattr(present, part, None)
        if value is not None and value != present:
            raise UsageError(
                f"{directory.path} exists already, with {path}: {present}, not {value}",
                hint=f"leave the option out, edit {directory.spec}, or name another directory",
            )


def with_fields(value: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A spec's plain mapping with these values set in it, by dotted path; None sets nothing."""
    for path, wanted in fields.items():
        if wanted is not None:
            *parents, last = path.split(".")
            part = value
            for parent in parents:
                if part.get(parent) is None:
                    part[parent] = {}
                part = part[parent]
            part[last] = wanted
    return value


def name_from(path: Path) -> str:
    """A network name made of a directory's name, as near as the rules for names allow."""
    name = re.sub(r"[^a-z0-9]+", "-", path.absolute().resolve().name.lower()).strip("-")[:40].strip("-")
    return name or "quorum"


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()
