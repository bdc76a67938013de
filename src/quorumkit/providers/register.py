"""What networks of this user hold of the machine, running or not: a small register in the user's cache, so that two
networks that are made or started at the same moment do not choose the same ports or subnet."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorumkit.cache import cache_directory
from quorumkit.files import to_json, write_atomic
from quorumkit.spec import SPEC_NAME


@dataclass
class Holding:
    """What one network holds."""

    ports: dict[str, range] = field(default_factory=dict)
    """Blocks of loopback ports, by their kind (`rpc`, `p2p`)."""
    subnet: str | None = None
    starting: tuple[int, float] | None = None
    """The process that last began to start it: its id, and when it was created."""

    def to_json(self) -> dict[str, Any]:
        ports = {kind: [block.start, block.stop] for kind, block in self.ports.items()}
        starting = {"starting": list(self.starting)} if self.starting else {}
        return {"ports": ports, "subnet": self.subnet, **starting}

    @classmethod
    def from_json(cls, value: Any) -> Holding:
        ports = {str(kind): range(int(block[0]), int(block[1])) for kind, block in value["ports"].items()}
        stamp = value.get("starting")
        starting = (int(stamp[0]), float(stamp[1])) if stamp else None
        return cls(ports, None if value["subnet"] is None else str(value["subnet"]), starting)


@dataclass
class Register:
    """Holdings by network directory; `mine` is the caller's own, to be changed."""

    mine: Holding
    others: list[Holding]
    starting: dict[Path, tuple[int, float] | None]
    """The other networks' directories, and what process began to start each."""


@contextlib.contextmanager
def open_register(directory: Path) -> Iterator[Register]:
    """The register, under its lock; `mine` is written back at the end. Networks that are gone are dropped from it."""
    from filelock import FileLock

    path = cache_directory() / "holdings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        held: dict[str, Holding] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
            for name, holding in json.loads(path.read_bytes()).items():
                if (Path(name) / SPEC_NAME).exists():
                    held[name] = Holding.from_json(holding)
        own = str(directory.absolute())
        mine = held.pop(own, Holding())
        starting = {Path(name): holding.starting for name, holding in held.items()}
        register = Register(mine, list(held.values()), starting)
        yield register
        held[own] = register.mine
        write_atomic(path, to_json({name: holding.to_json() for name, holding in held.items()}), durable=False)
