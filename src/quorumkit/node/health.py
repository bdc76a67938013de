"""The node program over HTTP, read only: `/healthz`, `/startz`, `/readyz`, `/status`, `/metrics`.

`/healthz` answers 200 while the program itself runs: restart it when it does not answer. `/startz` answers 200 once
every node it carries has agreed with the others (where it must) and its client is up, `/readyz` when every one is in
step with its peers, else 503; either way they say why, a line a node. `/readyz/NODE` asks for one node. `/status` is
what `quorumkit status` shows, in JSON. `/metrics` is in the Prometheus text format.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import psutil
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quorumkit.node.status import NodeStatus
from quorumkit.serving.guard import Bounds, Guard

Statuses = Callable[[], Iterable[NodeStatus]]

BOUNDS = Bounds(first_request=5.0, resting=75.0, field=8190, connections=128)


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
        yield from self._figures(labels)
        yield from self._processes()

    def _processes(self) -> Iterator[Metric]:
        """What each of the nodes' processes takes of the machine, and the node program for all of them."""
        labels = ["network", "node", "process"]
        cpu = CounterMetricFamily("quorumkit_process_cpu_seconds", "Processor time it has taken", labels=labels)
        memory = GaugeMetricFamily("quorumkit_process_resident_bytes", "Memory it has now", labels=labels)
        running = [("", "node program", os.getpid())]
        for status in self._statuses():
            running += [(status.name, name, pid) for name, pid in status.processes.items()]
        for node, name, pid in running:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                with process.oneshot():
                    times, resident = process.cpu_times(), process.memory_info().rss
                cpu.add_metric([self._network, node, name], times.user + times.system)
                memory.add_metric([self._network, node, name], float(resident))
        yield from (cpu, memory)

    def _figures(self, labels: list[str]) -> Iterator[Metric]:
        """What engines publish: whatever is a number, or numbers by what they are of."""
        families: dict[str, GaugeMetricFamily] = {}
        for status in self._statuses():
            values = [self._network, status.name, status.role]
            for name, figure in status.figures.items():
                by_what = figure if isinstance(figure, dict) else {None: figure}
                for what, number in by_what.items():
                    if not isinstance(number, int | float):
                        continue
                    own_labels = labels if what is None else [*labels, "of"]
                    text = name.replace("_", " ")
                    family = families.setdefault(
                        name, GaugeMetricFamily(f"quorumkit_{name}", text[:1].upper() + text[1:], labels=own_labels)
                    )
                    family.add_metric(values if what is None else [*values, what], float(number))
        yield from families.values()


class HealthServer:
    """Serves on one address until closed."""

    def __init__(self, network: str, statuses: Statuses, names: Callable[[], Collection[str]] = frozenset) -> None:
        """`names` are the host names it answers under, beside `localhost` and every literal address."""
        self._statuses = statuses
        self._names = names
        self._registry = CollectorRegistry()
        self._registry.register(_NodeMetrics(network, statuses))
        self._pages: dict[str, Callable[[], web.Response]] = {
            "/healthz": self._healthz,
            "/startz": self._startz,
            "/readyz": self._readyz,
            "/status": self._status,
            "/metrics": self._metrics,
        }
        self._open = contextlib.AsyncExitStack()

    async def listen(self, host: str, port: int) -> int:
        """Starts serving; port 0 takes any free one. Returns the port.

        Raises:
            OSError: the address cannot be had.
        """
        guard = Guard(self._handle, BOUNDS, self._names)
        return await self._open.enter_async_context(guard.listening(host=host, port=port))

    async def close(self) -> None:
        await self._open.aclose()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        name = request.path.removeprefix("/readyz/")
        page = self._pages.get(request.path)
        if page is None and name != request.path and name:
            page = functools.partial(self._readyz, name)
        if page is None:
            return _text(404, "there is nothing here")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        return page()

    def _healthz(self) -> web.Response:
        return _text(200, "ok")

    def _startz(self) -> web.Response:
        return _verdict(list(self._statuses()), lambda status: status.started)

    def _readyz(self, name: str | None = None) -> web.Response:
        statuses = [status for status in self._statuses() if name is None or status.name == name]
        if not statuses:
            return _text(404, "no such node here")
        return _verdict(statuses, lambda status: status.ready)

    def _status(self) -> web.Response:
        # On one line, so that answers of several nodes can be told apart when they are read together.
        return web.Response(text=json.dumps([status.to_json() for status in self._statuses()]) + "\n",
                            content_type="application/json")  # fmt: skip

    def _metrics(self) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": "text/plain; version=0.0.4"})


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")


def _verdict(statuses: Sequence[NodeStatus], good: Callable[[NodeStatus], bool]) -> web.Response:
    text = "".join(status.line() + "\n" for status in statuses)
    return web.Response(status=200 if all(map(good, statuses)) else 503, text=text)
