"""Stopping a network: `quorumkit down`. Its spec need not be right for that.

What runs was started by an earlier spec, or by an earlier version with fewer rules. To stop it takes little: its name,
where it runs, and whose identities its nodes have. The rest may be wrong, and then is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NewerFormatError, SpecError
from quorumkit.notation import load_yaml
from quorumkit.progress import Progress
from quorumkit.providers import Provider
from quorumkit.providers.join_secret import JOIN_SECRET
from quorumkit.spec import SPEC_FORMAT, NetworkSpec
from quorumkit.stages.request import name_from

_NODE = re.compile(r"node([1-9]\d{0,3})")
_SERVICE = re.compile(r"^ +node([1-9]\d{0,3}):", re.MULTILINE)
_FIELD = re.compile(r"[a-z_]+(\.[a-z_]+)*")
_LONGEST = 100
"""Wrong fields that are left out, one after the other, before only what is needed is kept."""

Value = dict[Any, Any]


@dataclass(frozen=True)
class WhatRuns:
    """A network, as far as it must be known to be stopped or destroyed."""

    spec: NetworkSpec
    problem: str | None = None
    """What is wrong with the spec as it is written, with the path of the field; the `spec` here has none of it."""


async def stop_network(provider: Provider, progress: Progress) -> bool:
    """Stops everything and returns when nothing of it is left. Whether anything ran.

    Raises:
        QuorumkitError: where it runs cannot be reached, or what is there under its name is another network's.
    """
    return await provider.stop(progress)


def read_what_runs(directory: NetworkDirectory) -> WhatRuns:
    """The spec; where it is wrong, that of a network with the same name in the same place, to be stopped.

    Raises:
        NotANetworkError, NewerFormatError: see `NetworkDirectory.read_spec`.
        SpecError: what is wrong is needed to find what runs; the hint says how to mend it.
    """
    try:
        return WhatRuns(directory.read_spec())
    except NewerFormatError:
        raise
    except SpecError as error:
        return WhatRuns(_without_wrong_fields(directory, error), error.message)


def _without_wrong_fields(directory: NetworkDirectory, refused: SpecError) -> NetworkSpec:
    value = _written(directory)
    if value is None:
        raise SpecError(
            refused.message,
            hint=f"mend that, or put the file back; to stop what runs, a {directory.spec.name} with its three lines "
            "name, runtime and identities is enough",
        )
    value["format"] = SPEC_FORMAT
    wrong = {path for path, _ in _problems(value)}
    _check_place(directory, value, refused)
    if "name" in wrong and value.get("runtime", "process") == "process":  # nothing of it is known by its name there
        value["name"] = name_from(directory.path)
    if "identities" in wrong or "identities" not in value:
        value["identities"] = "exchanged" if (directory.path / JOIN_SECRET).exists() else "generated"
        if value.get("runtime") == "kubernetes":
            del value["identities"]  # always exchanged
    if any(path.split(".")[0] == "nodes" for path in wrong):
        value["nodes"] = {"validators": _highest_ordinal(directory)}
    return _left_out(directory, value, refused)


def _written(directory: NetworkDirectory) -> Value | None:
    """The fields as they are written; None where it is not YAML, or not fields."""
    from ruamel.yaml.error import YAMLError

    try:
        value = load_yaml(directory.spec.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def _problems(value: Value) -> list[tuple[str, str]]:
    """The path of each wrong field, and pydantic's name for what is wrong; an empty path for what has none."""
    try:
        NetworkSpec.model_validate(value)
    except ValidationError as error:
        found = []
        for problem in error.errors():
            path = ".".join(str(part) for part in problem["loc"] if part != "[key]")
            if not path:  # a rule about several fields, whose message begins with the one to change
                said = problem["msg"].removeprefix("Value error, ").partition(":")[0]
                path = said if _FIELD.fullmatch(said) else ""
            found.append((path, problem["type"]))
        return found
    return []


def _check_place(directory: NetworkDirectory, value: Value, refused: SpecError) -> None:
    """Raises:
    SpecError: it cannot be told where the network runs, or by what name it is known there.
    """
    problems = _problems(value)
    wrong = {path for path, _ in problems}
    unknown = [path for path, kind in problems if kind == "extra_forbidden"]
    needed = ["runtime"]
    if value.get("runtime", "process") != "process":
        needed.append("name")
    if value.get("runtime") == "kubernetes":
        needed += ["kubernetes", "kubernetes.context", "kubernetes.namespace"]
    for path in needed:
        mistyped = not _has(value, path) and get_close_matches(path, unknown, cutoff=0.8)
        containers = path == "runtime" and path not in value and directory.compose.exists()
        if path in wrong or mistyped or containers:
            raise SpecError(
                refused.message, hint=f"mend {path}: what runs can only be found with it; the rest may stay as it is"
            )


def _left_out(directory: NetworkDirectory, value: Value, refused: SpecError) -> NetworkSpec:
    """The spec without what is wrong in it.

    Raises:
        SpecError: see `_check_place`; rules about several fields are looked at only where each of them is right.
    """
    for _ in range(_LONGEST):
        problems = _problems(value)
        if not problems:
            return NetworkSpec.model_validate(value)
        _check_place(directory, value, refused)
        removed = [_leave_out(value, path) for path in {path for path, _ in problems}]
        if not any(removed):
            break
    kept = ("format", "name", "runtime", "identities", "nodes", "kubernetes")
    value = {field: value[field] for field in kept if field in value}
    if _problems(value):
        raise refused
    return NetworkSpec.model_validate(value)


def _leave_out(value: Value, path: str) -> bool:
    """Removes the field, or the nearest one that is there and holds it. Whether there was any."""
    *parents, last = path.split(".")
    part: Any = value
    for place, parent in enumerate(parents):
        if not isinstance(part.get(parent), dict):
            parents, last = parents[:place], parent
            break
        part = part[parent]
    if last in part:
        del part[last]
        return True
    return bool(parents) and _leave_out(value, ".".join(parents))


def _has(value: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _highest_ordinal(directory: NetworkDirectory) -> int:
    """How many nodes there are, by what an earlier start left: their directories, or their containers' services."""
    found = [int(match[1]) for path in directory.nodes.glob("node*") if (match := _NODE.fullmatch(path.name))]
    if directory.compose.is_file():
        text = directory.compose.read_text(encoding="utf-8", errors="replace")
        found += map(int, _SERVICE.findall(text))
    return max(_allowed(found), default=1)


def _allowed(ordinals: Iterable[int]) -> list[int]:
    return [ordinal for ordinal in ordinals if ordinal <= 1000]
