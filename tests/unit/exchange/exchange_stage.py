"""Nodes without clients, on real sockets of this machine: where they stand, and how they are started and end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exchange_samples import spec_of

from quorumkit.addresses import Endpoint
from quorumkit.errors import NodeError
from quorumkit.exchange.names import Names, parse_peers
from quorumkit.exchange.run import Exchange
from quorumkit.exchange.settings import ExchangeSettings
from quorumkit.record import NodeRecord, read_record
from quorumkit.spec import NetworkSpec

PATIENCE = 60.0


@dataclass
class Participant:
    """A node without a client."""

    settings: ExchangeSettings
    directory: Path
    log: list[str] = field(default_factory=list)
    waits_for: str = ""
    clock_off: float = 0.0
    client: Client | None = None
    exchange: Exchange | None = None
    task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self.exchange = Exchange(
            self.settings,
            self.directory,
            say=lambda level, text: self.log.append(f"{level} {text}"),
            set_waiting=lambda text: setattr(self, "waits_for", text),
            files_changed=lambda: None,
            client=self.client,
            clock=lambda: time.time() + self.clock_off,
        )
        self.task = asyncio.create_task(self.exchange.run())

    async def die(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def locked(self) -> None:
        assert self.exchange is not None
        assert self.task is not None
        opening = asyncio.create_task(self.exchange.locked.wait())
        await asyncio.wait([opening, self.task], return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        if self.task.done():
            self.task.result()
        assert opening.done(), f"{self.directory.name}: {self.waits_for}; {self.log[-10:]}"

    @property
    def genesis(self) -> bytes:
        return (self.directory / "genesis.json").read_bytes()

    @property
    def record(self) -> NodeRecord:
        return read_record(self.directory)

    def said(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.log)


class Field:
    """Where participants of one network stand."""

    def __init__(self, folder: Path, free_ports: Callable[[int], list[int]], total: int = 3) -> None:
        self.folder = folder
        self.total = total
        self.ports = free_ports(total + 3)
        self.secret = folder / "join-secret"
        self.secret.write_text("a join secret of some length")
        self.hosts = folder / "hosts"
        self.names = Names(1, parse_peers(",".join(f"127.0.0.1:{port}" for port in self.ports[:total]), 1))
        self.participants = [self.participant(ordinal, spec_of(total)) for ordinal in range(1, total + 1)]

    def participant(self, ordinal: int, spec: NetworkSpec, *, at: int | None = None, name: str = "") -> Participant:
        port = self.ports[(at or ordinal) - 1]
        settings = ExchangeSettings(
            spec=spec,
            ordinal=ordinal,
            names=self.names,
            secret=self.secret,
            host="127.0.0.1",
            bind=Endpoint("127.0.0.1", port),
            p2p_bind=Endpoint("127.0.0.1", 30000 + ordinal),
            p2p_port=30000 + ordinal,
            rpc_bind=Endpoint("127.0.0.1", 31000 + ordinal),
            rpc_url="http://127.0.0.1:1",
            ports={"raft": 32000 + ordinal} if spec.consensus.kind == "raft" else {},
            tm_bind=Endpoint("127.0.0.1", 33000 + ordinal) if spec.transaction_manager else None,
            hosts_file=self.hosts,
        )
        return Participant(settings, self.folder / (name or f"node{ordinal}"))


async def until(check: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def form(stage: Field) -> None:
    for each in stage.participants:
        each.start()
    await asyncio.gather(*(each.locked() for each in stage.participants))


@dataclass
class Client:
    """A client that must be taken in, or takes others in."""

    leads: bool = False
    admission: str | None = None
    took_in: list[str] = field(default_factory=list)
    may_put_out: set[str] = field(default_factory=set)

    def needs_admission(self) -> bool:
        return self.admission is None

    async def admit(self, enode: str, replaced: Collection[str]) -> str:
        if not self.leads:
            raise NodeError("it does not lead the raft")
        self.took_in.append(enode)
        self.may_put_out = set(replaced)
        return str(3 + len(self.took_in))

    def admitted(self, admission: str) -> None:
        self.admission = admission
