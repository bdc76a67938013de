"""Verifying nodes that are known by URLs only, wherever they run: `quorumkit verify --rpc`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from quorumkit.errors import UsageError
from quorumkit.progress import Progress
from quorumkit.rpc.http import connect_patiently
from quorumkit.stages.verify import TIMEOUT, Verification, verify
from quorumkit.stages.verify_private import ask_tm_keys
from quorumkit.urls import shown_urls


async def verify_urls(
    urls: Sequence[str], health_urls: Sequence[str], progress: Progress, timeout: float = TIMEOUT
) -> Verification:
    """See `verify`; the first of `urls` sends. With `health_urls`, those of the same nodes' health, private
    transactions too. Nodes that are not up yet are waited for; `timeout` is in seconds, for each step.

    Raises:
        UsageError: these are no URLs, or not one of each for every node.
        RpcError, WaitTimeoutError: see `verify`.
    """
    for option, given, port in (("--rpc", urls, 8545), ("--health", health_urls, 9545)):
        wrong = [url for url in given if not re.match(r"https?://[^/]", url)]
        if wrong or len(set(given)) != len(given):
            raise UsageError(
                f"{option}: {wrong[0]!r} is not a URL" if wrong else f"{option}: a URL was given twice",
                hint=f"for example {option} http://node1:{port} {option} http://node2:{port}",
            )
    if health_urls and len(health_urls) != len(urls):
        raise UsageError(
            f"--health: {len(health_urls)} URLs for {len(urls)} of --rpc",
            hint="give one for each, in the same order, or none",
        )
    progress("waiting for the nodes to answer")
    names = shown_urls(urls)
    keys = await ask_tm_keys(dict(zip(names.values(), health_urls, strict=False)), timeout=timeout)
    nodes = {names[url]: partial(connect_patiently, url, timeout=timeout) for url in urls}
    return await verify(nodes, progress, timeout=timeout, tm_keys=keys)
