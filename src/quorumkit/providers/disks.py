"""What is there of nodes that keep their keys on disks of their own: volumes of containers, claims of pods."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError
from quorumkit.mark import MARK_NAME
from quorumkit.record import RECORD_NAME


@dataclass(frozen=True)
class Disks:
    """What a provider found before it starts anything."""

    lost: Sequence[str] = ()
    """Nodes that are known and whose disks are gone."""
    running: bool = False
    """Whether anything of the network runs."""
    plain: frozenset[str] = frozenset()
    """Nodes whose disks have their names from before there were marks (mark.py)."""


def check_none_begins_anew(
    directory: NetworkDirectory, nodes: Iterable[str], present: Container[str], *, what: str,
    strange: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """The nodes that the directory knows and whose disks are gone: some of them, or none. `present` are those whose
    disks are there, and `what` is what these are called. `strange` are some of its name with another mark.

    Raises:
        NodeError: all are gone; nodes made anew would be another network.
    """
    known = [node for node in nodes if (directory.node(node) / RECORD_NAME).exists()]
    gone = [node for node in known if node not in present]
    if gone and len(gone) == len(known):
        lost = f"; if {MARK_NAME} was lost and {strange[0]} is its own, put the id in that name back" if strange else ""
        raise NodeError(
            f"{directory.path}: its nodes' {what} are gone, and with them their keys and the chain",
            hint=f"put them back from a backup; or give the network up: quorumkit destroy {directory.path}{lost}",
        )
    return gone
