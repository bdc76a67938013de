"""One operator's command for a replacement: every node that can be reached is asked for its signature, one after the
other, until enough have signed.

Each node program signs because it is asked over its own control socket; how that is reached (on this machine, in a
container, in a pod) is the runtime's affair. Where the nodes are several operators', each runs the command on his own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from quorumkit.errors import NodeError, QuorumkitError

Ask = Callable[[str], Awaitable[dict[str, Any]]]
"""Has a node sign; what it tells (`exchange.replacing.Replacement`). Raises QuorumkitError."""


@dataclass(frozen=True)
class Collected:
    """How far it has come."""

    told: dict[str, Any]
    """What the last node told."""
    failures: dict[str, str]
    """Why nodes that were asked did not sign."""

    @property
    def complete(self) -> bool:
        return bool(self.told["replaced"])

    def to_json(self) -> dict[str, Any]:
        return {**self.told, "failures": self.failures}


async def collect(ask: Ask, names: Sequence[str]) -> Collected:
    """Asks the nodes in turn.

    Raises:
        NodeError: none of them answered as it should; the message is the first one's.
    """
    told: dict[str, Any] | None = None
    failures: dict[str, str] = {}
    for name in names:
        try:
            answer = await ask(name)
        except QuorumkitError as error:
            failures[name] = error.message
            continue
        if told is None or len(answer["signed"]) >= len(told["signed"]) or answer["replaced"]:
            told = answer
        if told["replaced"]:
            break
    if told is None:
        reason = next(iter(failures.values()), "no other node runs")
        raise NodeError(reason, hint="start the network: quorumkit up")
    return Collected(told, failures)


def outcome(told: dict[str, Any]) -> str:
    """It in one line."""
    name, needed = told["name"], told["needed"]
    if told["replaced"]:
        return f"{name}: replaced, its account is now {told['account']}, and it follows"
    own = "" if told["counts"] else "; the asked node is no sitting validator, so it signs nothing that counts"
    signed, missing = ", ".join(told["signed"]) or "none", ", ".join(told["missing"])
    return (
        f"{name}: {len(told['signed'])} of {needed} signatures ({signed}){own}; it takes effect when "
        f"{needed - len(told['signed'])} more of {missing} have signed: run this command on their nodes too"
    )
