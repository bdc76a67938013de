"""The command that opens a node's JavaScript console: `quorumkit console`."""

from __future__ import annotations

import asyncio

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NotRunningError
from quorumkit.plan import Network, Node
from quorumkit.providers import Command, Provider

WITHOUT_CLIENT = ("stopped", "exchanging", "admitting", "failed", "restarting")
"""States of a node in which no client of it runs."""


def console_command(
    directory: NetworkDirectory, network: Network, provider: Provider, node: Node, *, execute: str | None
) -> Command:
    """Opens the console, or with `execute` only prints what this JavaScript evaluates to.

    Raises:
        NotRunningError: the node's client does not run, so that it has no console.
    """
    (status,) = [one for one in asyncio.run(provider.status(network)) if one.name == node.name]
    if status.state in WITHOUT_CLIENT:
        why = f" ({status.error})" if status.error else ""
        start = f"start it: quorumkit node start {node.name}{directory.as_option}"
        raise NotRunningError(
            f"{node.name}: {status.state}, so its client has no console{why}",
            hint=start if status.state == "stopped" else None,
        )
    return provider.console(node, execute=execute)
