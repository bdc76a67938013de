"""What every transaction manager answers."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from quorumkit.foreign import one_line

if TYPE_CHECKING:
    from quorumkit.addresses import Endpoint
    from quorumkit.plan import Network, Node
    from quorumkit.process_spec import ProcessSpec
    from quorumkit.spec import TransactionManagerSpec

TM_SOCKET = Path("tm/tm.ipc")
"""Where its client asks it: HTTP over a unix socket, by path below the node's directory."""

TM_PROCESS = "tm"
"""Its name among a node's processes."""

_STOP_WITHIN = 15.0  # seconds

_FAILURE = re.compile(r"(?:^Error:|\bERROR\b|^Exception\b.*?:|^Caused by:)\s*(\S.*)")
"""How a line begins that says why it ends: of Quorumkit's own, and of Tessera."""


def tm_url(endpoint: Endpoint) -> str:
    """How one manager reaches another."""
    return f"http://{endpoint}/"


class Manager(Protocol):
    """A transaction manager behind its command line. Paths in commands and files are relative to the node's directory,
    where managers run. All have Constellation's key files, `tm/tm.key` and `tm/tm.pub`, and answer `GET /upcheck`."""

    kind: str
    config: str
    """Its configuration file. Being on its command line, it tells a node's manager from other processes too."""
    ready_within: float
    """Seconds after which one that does not answer yet is given up."""

    def find(self, *, override: Path | None) -> Path | None:
        """The program to run: the one named, else the one that is here; None where it needs none but Quorumkit.

        Raises:
            EngineError: it is missing, or cannot be run.
        """
        ...

    def check_place(self, directory: Path) -> None:
        """Whether it can run in that node's directory.

        Raises:
            NodeError: it cannot.
        """
        ...

    def files(self, network: Network, node: Node) -> dict[str, bytes]:
        """Its configuration, by path below the node's directory; pure, and no secrets."""
        ...

    def keep(self, present: bytes, rendered: bytes, *, source: Path) -> bytes:
        """The configuration to write over `present`: as rendered, with what its operator added and Quorumkit does not
        set.

        Raises:
            UsageError: what is there cannot be read.
        """
        ...

    def process(self, program: Path | None, *, apart: bool = False) -> ProcessSpec:
        """It, in the group of its node; `apart` where it has a container of its own."""
        ...

    def image(self, spec: TransactionManagerSpec) -> str | None:
        """The image it comes in, to run in a container of its own; None where the node's container runs it."""
        ...

    def container(self) -> dict[str, Any]:
        """What only it asks of its container: fields of a Compose service. Working directory is the node's."""
        ...


def manager_process(
    argv: list[str], *, ready_within: float, apart: bool, environment: dict[str, str] | None = None
) -> ProcessSpec:
    """What is the same of all. A client talks to its manager from its start on, so the manager is there before, and is
    started again by itself: the client bears that it is away for a moment. SIGHUP has it read its files again, or end,
    so as to be started again."""
    from quorumkit.process_spec import ProcessSpec, Upcheck  # only who runs nodes needs them

    return ProcessSpec(
        name=TM_PROCESS,
        title="transaction manager",
        argv=tuple(argv),
        environment=environment or {},
        ready=Upcheck(TM_SOCKET, word="up!"),
        ready_within=ready_within,
        starts_alone=True,
        is_elsewhere=apart,
        stop_within=_STOP_WITHIN,
        reload=signal.SIGHUP,
        log_prefix="tm: ",
        why_it_ends=_why_it_ends,
        # One that a killed manager left would keep Tessera from listening.
        unlink_first=(TM_SOCKET,),
    )


def _why_it_ends(line: str) -> str | None:
    found = _FAILURE.search(line)
    return one_line(found[1]) if found else None
