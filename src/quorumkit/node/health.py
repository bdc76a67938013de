"""The node program over HTTP, read only: `/healthz`, `/startz`, `/readyz`, `/status`, `/metrics`.

`/healthz` answers 200 while the program itself runs: restart it when it does not answer. `/startz` answers 200 once
every node it carries has agreed with the others (where it must) and its client is up, `/readyz` when every one is in
step with its peers, else 503; either way they say why, a line a node. `/readyz/NODE` asks for one node. `/status` is
what `quorumkit status` shows, in JSON. `/metrics` is in the Prometheus text format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quorumkit.node.status import NodeStatus

Statuses = Callable[[], Iterable[NodeStatus]]


class _NodeMetrics(Collector):
    def __init__(self, network: str, statuses: Statuses) -> None:
        self._network = network
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        labels = ["network", "node", "role"]
        ready = GaugeMetricFamily("quorumkit_node_ready", "1 when the node is in step with its peers", labels=labels)
        up = GaugeMetricFamily("quorumkit_client_up", "1 when the client's process runs", labels=labels)
        block = GaugeMetricFamily("quorumkit_block_number", "Number of the newest block", labels=labels)
        peers = GaugeMetricFamily("quorumkit_peers", "Connected peers", labels=labels)
        expected = GaugeMetricFamily("quorumkit_static_peers", "Peers that should be connected", labels=labels)
        restarts = CounterMetricFamily("quorumkit_client_restarts", "Starts after a death", labels=labels)
        for status in self._statuses():
            values = [self._network, status.name, status.role]
            ready.add_metric(values, float(status.ready))
            up.add_metric(values, float(status.pid is not None))
            peers.add_metric(values, float(status.peers or 0))
            expected.add_metric(values, float(status.expected_peers))
            restarts.add_metric(values, float(status.restarts))
            if status.block is not None:
                block.add_metric(values, float(status.block))
        yield from (ready, up, block, peers, expected, restarts)


class HealthServer:
    """Serves on one address until closed."""

    def __init__(self, network: str, statuses: Statuses) -> None:
        self._statuses = statuses
        self._registry = CollectorRegistry()
        self._registry.register(_NodeMetrics(network, statuses))
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/startz", self._startz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/readyz/{node}", self._readyz)
        app.router.add_get("/status", self._status)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def listen(self, host: str, port: int) -> int:
        """Starts serving; port 0 takes any free one. Returns the port.

        Raises:
            OSError: the address cannot be had.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _startz(self, request: web.Request) -> web.Response:
        return _verdict(list(self._statuses()), lambda status: status.started)

    async def _readyz(self, request: web.Request) -> web.Response:
        name = request.match_info.get("node")
        statuses = [status for status in self._statuses() if name is None or status.name == name]
        if not statuses:
            raise web.HTTPNotFound(text=f"no node {name} here\n")
        return _verdict(statuses, lambda status: status.ready)

    async def _status(self, request: web.Request) -> web.Response:
        # On one line, so that answers of several nodes can be told apart when they are read together.
        return web.Response(text=json.dumps([status.to_json() for status in self._statuses()]) + "\n",
                            content_type="application/json")  # fmt: skip

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": "text/plain; version=0.0.4"})


def _verdict(statuses: Sequence[NodeStatus], good: Callable[[NodeStatus], bool]) -> web.Response:
    text = "".join(status.line() + "\n" for status in statuses)
    return web.Response(status=200 if all(map(good, statuses)) else 503, text=text)
