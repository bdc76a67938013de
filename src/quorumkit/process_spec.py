"""One process of a node's group, as engines and transaction managers describe it and the node program runs it. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP_WITHIN = 60.0
"""Seconds that a process gets to write out its state before SIGKILL, where its spec says nothing else."""

MARK = "QUORUMKIT_PROCESS"
"""In the environment of every process of a node's group: its name. By that, and by its directory, one is found that
outlived its node program."""


@dataclass(frozen=True)
class LoggedLine:
    """A process is ready once it has logged such a line."""

    is_one: Callable[[str], bool]


@dataclass(frozen=True)
class Upcheck:
    """A process is ready once `GET /upcheck` on its unix socket is answered, as by all transaction managers."""

    socket: Path
    """Below the node's directory."""


@dataclass(frozen=True)
class SignOfLife:
    """A JSON-RPC method without parameters that a process in order answers at once, with a result or an error, and one
    that stands still does not. It is asked again and again, so it costs nothing."""

    socket: Path
    """Below the node's directory."""
    method: str


@dataclass(frozen=True)
class Noise:
    """Lines of a log that come with every other block and say nothing."""

    pattern: re.Pattern[str]
    what: str
    """What they are, in words."""


@dataclass(frozen=True)
class ProcessSpec:
    """A process that runs in the node's directory until it is told to stop; paths in its command are relative to it."""

    name: str
    """Within the node: the client's kind, `tm`, …; what the status calls it."""
    argv: tuple[str, ...]
    title: str = ""
    """What messages call it, such as `transaction manager`; without it, its name."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """On top of the node program's own."""
    after: tuple[str, ...] = ()
    """The processes that must be ready before this one starts; it is stopped before them."""
    ready: LoggedLine | Upcheck | None = None
    """How it is known to be ready; None for as soon as it runs."""
    ready_within: float | None = None
    """Seconds after which one that is not ready is given up; None for never."""
    sign_of_life: SignOfLife | None = None
    """What one that stands still does not answer any more, so that it is ended; None where it is not asked."""
    starts_alone: bool = False
    """Whether one that ends is started again by itself; else the whole group ends and starts again with it."""
    is_elsewhere: bool = False
    """Whether something else runs it, such as a container of its own: then it is only waited for."""
    stop: signal.Signals = signal.SIGTERM
    stop_within: float = STOP_WITHIN
    """Seconds that it gets to write out its state before SIGKILL."""
    reload: signal.Signals | None = None
    """What has it read its files again; None where it does not, or need not."""
    log_prefix: str = ""
    """Before each of its lines in the node's log."""
    why_it_ends: Callable[[str], str | None] = lambda line: None
    """What a line of its log says of why it ends, if it does."""
    noise: Noise | None = None
    unlink_first: tuple[Path, ...] = ()
    """What a killed one leaves and would keep it from starting, below the node's directory."""

    @property
    def words(self) -> str:
        """What messages call it."""
        return self.title or self.name


def in_order(specs: Sequence[ProcessSpec]) -> list[ProcessSpec]:
    """The processes of a group, each behind those it starts after, and else as they were.

    Raises:
        ValueError: two have one name, one is to start after another that is not there, or they wait for each other.
    """
    left = {spec.name: spec for spec in specs}
    if len(left) < len(specs):
        raise ValueError(f"two processes have one name: {', '.join(spec.name for spec in specs)}")
    for spec in specs:
        if missing := [name for name in spec.after if name not in left]:
            raise ValueError(f"{spec.name} is to start after {missing[0]}, which is not in the group")
    ordered: list[ProcessSpec] = []
    while left:
        startable = next((spec for spec in left.values() if left.keys().isdisjoint(spec.after)), None)
        if startable is None:
            raise ValueError(f"processes wait for each other: {', '.join(left)}")
        ordered.append(left.pop(startable.name))
    return ordered
