"""The network in a directory, as it is known here."""

from __future__ import annotations

import asyncio

from quorumkit.directory import NetworkDirectory
from quorumkit.plan import Network
from quorumkit.providers import runtime_of
from quorumkit.providers.base import FormingRuntime


def known_network(directory: NetworkDirectory) -> Network:
    """The network; one whose nodes made their own keys and were started by hand is asked who they are.

    Raises:
        NotRunningError: the nodes have not agreed on a network yet.
    """
    spec = directory.read_spec()
    if not directory.is_network(spec):
        runtime = runtime_of(directory, spec)
        if isinstance(runtime, FormingRuntime) and (network := asyncio.run(runtime.learn())):
            return network
    return directory.load()
