"""The network in a directory, as it is known here."""

from __future__ import annotations

import asyncio

from quorumkit.directory import NetworkDirectory
from quorumkit.identities import identities_of
from quorumkit.plan import Network
from quorumkit.providers import provider_of


def known_network(directory: NetworkDirectory) -> Network:
    """The network; one whose nodes made their own keys and were started by hand is asked who they are.

    Raises:
        NotRunningError: the nodes have not agreed on a network yet.
    """
    spec = directory.read_spec()
    if not directory.is_network(spec):
        identities = identities_of(directory, spec, provider_of(directory, spec))
        if network := asyncio.run(identities.learn()):
            return network
    return directory.load()
