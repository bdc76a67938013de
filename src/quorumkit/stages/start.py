"""Starting a network, and making it first where there is none: `quorumkit up`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from quorumkit.directory import NetworkDirectory
from quorumkit.identities import Identities
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network
from quorumkit.progress import Progress, silent
from quorumkit.providers import Provider
from quorumkit.providers.twins import claim_start
from quorumkit.spec import NetworkSpec
from quorumkit.stages.admit import admit_newcomers
from quorumkit.stages.moved import Move, moved_urls, recorded_urls
from quorumkit.stages.verify import Verification
from quorumkit.stages.verify_network import verify_network
from quorumkit.stages.wait import patience, wait_until_complete

CheckPrograms = Callable[[], list[str]]
"""Compares the programs that are about to run with those of the last start; returns what changed, in lines."""


@dataclass(frozen=True)
class Started:
    """A network that is complete."""

    network: Network
    statuses: list[NodeStatus]
    verification: Verification | None = None
    changed: list[str] = field(default_factory=list)
    """Programs that are others than at the last start, a line each."""
    moved: list[Move] = field(default_factory=list)
    """JSON-RPC URLs that are not what they were."""


def start_network(
    directory: NetworkDirectory,
    spec: NetworkSpec,
    identities: Identities,
    provider: Provider,
    progress: Progress,
    *,
    check_programs: CheckPrograms,
    verify: bool = False,
    timeout: float | None = None,
) -> Started:
    """Returns when every node sees all its peers and blocks advance; does no harm to a network that runs. Ctrl-C stops
    what this call started.

    Not asynchronous, for getting a client is not: it may build one, and Ctrl-C ends that at once. `timeout` is in
    seconds, and has a default that grows with the number of nodes.

    Raises:
        NodeError: a node cannot run, or a copy of this directory runs.
        WaitTimeoutError: the network was not complete in time.
        QuorumkitError: see `Identities` and `Provider.acquire`.
    """
    timeout = timeout or patience(spec.nodes.total)
    before = recorded_urls(directory) if directory.exists() else {}
    if directory.exists():
        claim_start(directory)
    identities.prepare(progress)
    provider.acquire(progress)
    is_new = not directory.exists()
    changed = [] if is_new else check_programs()

    async def form_and_start() -> tuple[Network, list[NodeStatus], Verification | None]:
        network = await identities.form(progress, timeout)
        if is_new:
            check_programs()  # notes them
        return network, *await _start(directory, provider, network, progress, timeout, verify=verify)

    # One run: Ctrl-C in the last step of a coroutine that ends is lost.
    network, statuses, verification = asyncio.run(form_and_start())
    return Started(network, statuses, verification, changed, moved_urls(before, statuses, spec))


async def _start(
    directory: NetworkDirectory, provider: Provider, network: Network, progress: Progress, timeout: float,
    *, verify: bool,
) -> tuple[list[NodeStatus], Verification | None]:  # fmt: skip
    started = False
    try:
        started = await provider.start(network, progress)
        return await _complete(directory, provider, network, progress, timeout, verify=verify)
    except asyncio.CancelledError:  # Ctrl-C
        if started:
            progress("interrupted: stopping what was started")
            await provider.stop(progress)
        raise


async def _complete(
    directory: NetworkDirectory, provider: Provider, network: Network, progress: Progress, timeout: float,
    *, verify: bool,
) -> tuple[list[NodeStatus], Verification | None]:  # fmt: skip
    """Waits until the network is complete. Verification begins when all are connected, so that its transactions do not
    wait for a block after the first."""
    connected = asyncio.Event()

    async def verify_once_connected() -> Verification:
        await connected.wait()
        return await verify_network(directory, network, provider, silent)

    verification = asyncio.create_task(verify_once_connected()) if verify else None
    admission = asyncio.create_task(admit_newcomers(provider, network))
    try:
        statuses = await wait_until_complete(
            provider, network, progress, timeout=timeout, connected=connected, directory=directory
        )
        if verification is None:
            return statuses, None
        progress("reading a contract from every node")
        return statuses, await verification
    finally:
        others = [task for task in (admission, verification) if task is not None]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
