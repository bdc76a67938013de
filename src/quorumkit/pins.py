"""What a network runs that comes from outside by a name: the digest at its first use, kept in the network directory.

An image's tag can be moved by whoever publishes it; a changed image under the same name is refused until a person
accepts it. A program that a person named by its path is theirs to replace: a change is told, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from quorumkit.errors import CorruptFileError, EngineError
from quorumkit.files import read_json, to_json, write_atomic

PINS_NAME = "pins.json"
_FORMAT = 1


@dataclass(frozen=True)
class Pin:
    """One thing, as it is now."""

    name: str
    """What a person calls it: an image's name, a program's path."""
    digest: str
    is_image: bool
    """Whether somebody else may have changed it."""


def check_pins(directory: Path, current: Mapping[str, Pin]) -> list[str]:
    """Compares what is used now, by the spec's field, with what was used before, and notes what is new; what there is
    to tell of programs that changed.

    Raises:
        EngineError: an image changed under its name.
        CorruptFileError: the notes are not readable.
    """
    path = directory / PINS_NAME
    known = _read(path)
    messages = []
    for field, pin in current.items():
        before = known.get(field)
        if before is None or before.name != pin.name or before.digest == pin.digest:
            continue
        if pin.is_image:
            raise EngineError(
                f"{field}: {pin.name} is another image than before: {pin.digest}, and it was {before.digest}",
                hint=f"if that is meant, remove its entry from {path}; to be sure of one, name it by its digest",
            )
        messages.append(f"{field}: {pin.name} has changed since the last start: SHA-256 {pin.digest[:16]}…, "
                    f"and it was {before.digest[:16]}…")  # fmt: skip
    if changed := {**known, **current}:
        content = to_json({"format": _FORMAT, "pins": {field: asdict(pin) for field, pin in sorted(changed.items())}})
        if changed != known:
            write_atomic(path, content)
    return messages


def _read(path: Path) -> dict[str, Pin]:
    try:
        value = read_json(path, what="list of digests", hint="remove it: what is there now is then taken as it is")
    except FileNotFoundError:
        return {}
    try:
        return {
            str(field): Pin(str(pin["name"]), str(pin["digest"]), bool(pin["is_image"]))
            for field, pin in value["pins"].items()
        }
    except (KeyError, TypeError, AttributeError):
        raise CorruptFileError(
            f"{path}: not a list of digests", hint="remove it: what is there now is then taken as it is"
        ) from None
