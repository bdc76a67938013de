"""Verifying a network of this machine's: `quorumkit verify DIR`."""

from __future__ import annotations

from functools import partial

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NotRunningError
from quorumkit.plan import Network
from quorumkit.progress import Progress
from quorumkit.providers import Provider
from quorumkit.stages.verify import TIMEOUT, Verification, verify


async def verify_network(
    directory: NetworkDirectory, network: Network, provider: Provider, progress: Progress, timeout: float = TIMEOUT
) -> Verification:
    """See `verify`; private transactions too, where the network has transaction managers. `timeout` is in seconds.

    Raises:
        NotRunningError: the network does not run.
        RpcError, WaitTimeoutError: see `verify`.
    """
    if not await provider.is_running():
        raise NotRunningError(
            f"{network.spec.name}: not running", hint=f"start it: quorumkit up{directory.as_argument}"
        )
    return await verify(
        {node.name: partial(provider.connect, node) for node in network.nodes},
        progress,
        timeout=timeout,
        tm_keys={node.name: node.identity.tm_key for node in network.nodes if node.identity.tm_key},
        look=f"`quorumkit status{directory.as_argument}` and `quorumkit logs NODE{directory.as_option}`",
    )
