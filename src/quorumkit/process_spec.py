"""One process of a node's group, as engines and transaction managers describe it and the node program runs it. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
class Noise:
    """Lines of a log that come with every other block and say nothing."""

    pattern: re.Pattern[str]
    what: str
    """What they are, in words."""


@dataclass(frozen=True)
class ProcessSpec:
    """A process that runs in the node's directory until it is told to stop; paths in its command are relative to it."""

    name: str
    """Within the node: the client's kind, `tm`, …; what the log and the status call it."""
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """On top of the node program's own."""
    after: tuple[str, ...] = ()
    """The processes that must be ready before this one starts; it is stopped before them."""
    ready: LoggedLine | Upcheck | None = None
    """How it is known to be ready; None for as soon as it runs."""
    ready_within: float | None = None
    """Seconds after which one that is not ready is given up; None for never."""
    starts_alone: bool = False
    """Whether one that ends is started again by itself; else the whole group ends and starts again with it."""
    is_elsewhere: bool = False
    """Whether something else runs it, such as a container of its own: then it is only waited for."""
    stop: signal.Signals = signal.SIGTERM
    stop_within: float = 60.0
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
