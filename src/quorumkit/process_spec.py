"""One part of a node's group, as engines and transaction managers describe it and the node program runs it: a process,
or a task that the node program carries itself. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

STOP_WITHIN = 60.0
"""Seconds that a process gets to write out its state before SIGKILL, where its spec says nothing else."""

GROUP_STOP_WITHIN = 65.0
"""Seconds that all parts of a group have together. Who waits for a node's end (`providers.program.CONTROL_TIMEOUT`, the
grace of containers and pods) waits for longer than that."""

MARK = "QUORUMKIT_PROCESS"
"""In the environment of every process of a node's group: its name. By that, and by its directory, one is found that
outlived its node program."""


@dataclass(frozen=True)
class LoggedLine:
    """A process is ready once it has logged such a line."""

    is_one: Callable[[str], bool]


@dataclass(frozen=True)
class Upcheck:
    """A process is ready once a request by HTTP on its unix socket is answered with status 200: without more said,
    `GET /upcheck`, as by all transaction managers."""

    socket: Path
    """Below the node's directory."""
    path: str = "/upcheck"
    word: str = ""
    """What must be in the answer."""


@dataclass(frozen=True)
class SignOfLife:
    """A JSON-RPC method without parameters that a process in order answers at once, with a result or an error, and one
    that stands still does not. It is asked again and again, so it costs nothing."""

    socket: Path
    """Below the node's directory."""
    method: str
    is_http: bool = False
    """Whether it is asked by HTTP (`GET /METHOD`), as CometBFT is; else by one JSON value a line, as geth is."""


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


class Carrier(Protocol):
    """What the node program gives a task that it carries."""

    @property
    def directory(self) -> Path:
        """The node's."""
        ...

    def say(self, level: str, text: str) -> None:
        """A line for the node's log; the level is `INFO`, `WARN` or `ERROR`."""
        ...

    def ready(self) -> None:
        """The task does its work from now on: what starts after it can start."""
        ...

    def record(self) -> NodeRecord:
        """The node's record as it was last read: another one once the node's files were written again."""
        ...

    def publish(self, name: str, value: Any) -> None:
        """A figure for the node's status and its metrics (`NodeStatus.figures`), in place of the one before."""
        ...


@dataclass(frozen=True)
class TaskSpec:
    """A part of a node's group that the node program carries itself, in its own event loop."""

    name: str
    """Within the node."""
    run: Callable[[Carrier], Coroutine[Any, Any, None]]
    """Until it is cancelled. Where it returns or raises, the group ends and starts again; the message of a
    `QuorumkitError` is told as the reason."""
    title: str = ""
    """What messages call it; without it, its name."""
    after: tuple[str, ...] = ()
    """The parts that must be ready before this one starts; it is stopped before them."""
    ready_within: float | None = None
    """Seconds after which one that is not ready is given up; None for never."""
    stop_within: float = 10.0
    """Seconds that it gets to end once it is cancelled, before it is left behind."""

    @property
    def words(self) -> str:
        """What messages call it."""
        return self.title or self.name


PartSpec = ProcessSpec | TaskSpec
_Part = TypeVar("_Part", ProcessSpec, TaskSpec, PartSpec)


def client_of(parts: Sequence[PartSpec]) -> ProcessSpec:
    """The client, which stands first in what a recipe says that a node consists of."""
    client = parts[0]
    assert isinstance(client, ProcessSpec)
    return client


def in_order(specs: Sequence[_Part]) -> list[_Part]:
    """The parts of a group, each behind those it starts after, and else as they were.

    Raises:
        ValueError: two have one name, one is to start after another that is not there, or they wait for each other.
    """
    left = {spec.name: spec for spec in specs}
    if len(left) < len(specs):
        raise ValueError(f"two parts have one name: {', '.join(spec.name for spec in specs)}")
    for spec in specs:
        if missing := [name for name in spec.after if name not in left]:
            raise ValueError(f"{spec.name} is to start after {missing[0]}, which is not in the group")
    ordered: list[_Part] = []
    while left:
        startable = next((spec for spec in left.values() if left.keys().isdisjoint(spec.after)), None)
        if startable is None:
            raise ValueError(f"parts wait for each other: {', '.join(left)}")
        ordered.append(left.pop(startable.name))
    return ordered


def stop_share(left: float, within: float, others: Sequence[float]) -> float:
    """Seconds that a part gets to end of those that its group has left: those of its own spec (`within`), where all
    that are stopped after it (`others`) can have theirs too; else its share, so that a deaf one takes nobody's time.
    """
    total = within + sum(others)
    return max(0.0, min(within, left * within / total)) if total > 0 else 0.0
