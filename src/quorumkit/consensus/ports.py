"""Ports that a consensus kind needs beyond those for peers and for JSON-RPC. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedPort:
    """One that every node has, on the host where its peers dial it."""

    number: int
    """Where a node listens that has an address of its own: in a container, in a pod."""
    block: range
    """Where nodes that share an address have theirs. Below 32768 Linux hands no port out by itself (ip(7),
    ip_local_port_range)."""
    about: str
    """What goes there: the help of the option `--NAME-port`."""
    enode_field: str | None = None
    """What an enode URL calls it, where the other nodes learn of it from there."""
