"""A node of a network that shares nothing agrees with the others on the genesis, and keeps step with its members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from quorumkit.errors import QuorumkitError
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.trouble import Troubles, kept_up
from quorumkit.plan import node_name

if TYPE_CHECKING:
    import asyncio

    from quorumkit.exchange.run import Exchange
    from quorumkit.exchange.settings import ExchangeSettings
    from quorumkit.node.node import Node


class Exchanging(Protocol):
    """An exchange, as far as its being kept up goes."""

    locked: asyncio.Event

    async def run(self) -> None: ...


def exchange_of(node: Node, settings: ExchangeSettings, log: LogSink) -> Exchange:
    """The node's. Its client starts only once that is locked.

    Raises:
        UsageError: a setting is wrong.
    """
    from quorumkit.exchange.run import Exchange

    exchange = Exchange(
        settings,
        node.directory,
        say=lambda level, text: log.line(own_line(level, text)),
        set_waiting=node.set_waiting,
        files_changed=node.reload,
        client=node,
        troubles=node.troubles,
    )
    node.gate = exchange
    node.status.name, node.status.ordinal = node_name(settings.ordinal), settings.ordinal
    return exchange


async def keep_exchanging(exchange: Exchanging, troubles: Troubles) -> None:
    """Until the set is locked an error of the exchange is the node program's: it has nothing else to do. After that,
    and where nobody expected it, the node goes on and the exchange is begun again.

    Raises:
        QuorumkitError: see `Exchange.run`.
    """
    refused: list[QuorumkitError] = []

    async def run() -> None:
        try:
            await exchange.run()
        except QuorumkitError as error:
            if exchange.locked.is_set():
                raise
            refused.append(error)

    await kept_up(run, "the exchange", troubles)
    if refused:
        raise refused[0]
