"""What every transaction manager answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from quorumkit.plan import Endpoint, Network, Node
    from quorumkit.spec import TransactionManagerSpec

TM_SOCKET = Path("tm/tm.ipc")
"""Where its client asks it: HTTP over a unix socket, by path below the node's directory."""


def tm_url(endpoint: Endpoint) -> str:
    """How one manager reaches another."""
    return f"http://{endpoint}/"


class Manager(Protocol):
    """A transaction manager behind its command line. Paths in commands and files are relative to the node's directory,
    where managers run. All have Constellation's key files, `tm/tm.key` and `tm/tm.pub`, and answer `GET /upcheck`."""

    kind: str
    config: str
    """Its configuration file. Being on its command line, it tells a node's manager from other processes too."""
    start_patience: float
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

    def run_command(self, program: Path | None) -> list[str]:
        """Runs it until SIGTERM; SIGHUP has it read its files again, or end, so as to be started again."""
        ...

    def environment(self) -> dict[str, str]:
        """What its process has in its environment beyond the node program's own."""
        ...

    def image(self, spec: TransactionManagerSpec) -> str | None:
        """The image it comes in, to run in a container of its own; None where the node's container runs it."""
        ...

    def container(self) -> dict[str, Any]:
        """What only it asks of its container: fields of a Compose service. Working directory is the node's."""
        ...
