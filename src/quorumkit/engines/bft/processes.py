"""What a node consists of while it runs: its signer, what it tells those who join, geth, the
bridge and CometBFT, in that order. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.engines.bft.paths import GETH_IPC, RPC_SOCKET
from quorumkit.engines.geth.log import why_it_ends
from quorumkit.process_spec import Carrier, LoggedLine, Noise, PartSpec, ProcessSpec, SignOfLife, TaskSpec, Upcheck

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

COMETBFT = "cometbft"
"""The name of its process, and of its program beside geth's."""

_BLOCK_BY_BLOCK = Noise(
    re.compile(
        r"(INFO|WARN) *\[[^\]]*\] "
        r"(Imported new potential chain segment|Chain head was updated|Starting work on payload|Updated payload"
        r"|Stopping work on payload|Ignoring already known beacon payload)"
    ),
    "what geth does with each block",
)
_PANIC = re.compile(r"panic: (?P<why>.*)|^ERROR: (?P<error>.*)")
"""Not the errors that it logs: it goes on after each."""


def group_of(binary: Path, beside: Mapping[str, Path], record: NodeRecord, geth_flags: Sequence[str]) -> list[PartSpec]:
    """Its client first."""
    return [
        ProcessSpec(
            name=record.engine.kind,
            title="client",
            argv=(str(binary), *geth_flags),
            after=("signer", "light"),
            ready=LoggedLine(lambda line: "IPC endpoint opened" in line),
            sign_of_life=SignOfLife(GETH_IPC, "eth_blockNumber"),
            why_it_ends=why_it_ends,
            noise=None if record.engine.verbosity else _BLOCK_BY_BLOCK,
        ),
        TaskSpec(name="signer", run=_task(".signer"), title="signer"),
        # Before geth, for it also decides how the node comes into step.
        TaskSpec(name="light", run=_task(".light_server"), title="data for those who join", ready_within=60.0),
        TaskSpec(name="bridge", run=_task(".bridge"), title="bridge", after=(record.engine.kind,)),
        ProcessSpec(
            name=COMETBFT,
            title="CometBFT",
            argv=(str(beside[COMETBFT]), "start", "--home", "cometbft"),
            after=("bridge",),
            ready=Upcheck(RPC_SOCKET, "/health"),
            sign_of_life=SignOfLife(RPC_SOCKET, "health", is_http=True),
            log_prefix="CometBFT: ",
            why_it_ends=_why_it_panics,
            unlink_first=(RPC_SOCKET,),
        ),
    ]


def _task(module: str) -> Callable[[Carrier], Coroutine[Any, Any, None]]:
    """What that module serves, loaded when it runs: only the node program needs it."""

    async def run(carrier: Carrier) -> None:
        await import_module(module, __package__).serve(carrier)

    return run


def _why_it_panics(line: str) -> str | None:
    match = _PANIC.search(line)
    return next((text for text in match.groups() if text), None) if match else None
