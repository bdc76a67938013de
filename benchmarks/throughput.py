"""How many transactions a network of four validators puts into blocks, and how soon: `bft` beside `clique`.

    .venv/bin/python benchmarks/throughput.py [--count 10000] [--rounds 1]

For each consensus kind one network of processes, one block a second, the same gas limit, and the load on the same
processor. All transactions are signed before the first is sent, with a price that both take. They go out by raw
JSON-RPC in batches of 50, from 60 accounts: as fast as the nodes take them (a burst), or so many a second. One counts
once it is in a block that is final with `bft`, and in the newest block with `clique`, where nothing is final.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from measuring import Load, Table, options, quorumkit, rounds_of
from quorumkit.contracts import storage_contract
from quorumkit.directory import NetworkDirectory
from quorumkit.engines.bft.signer.key import AccountKey
from quorumkit.engines.bft.signer.transactions import Transaction, sign
from quorumkit.stages.transactions import contract_address

CHAIN_ID = 1337
SENDERS = 60
BATCH = 50
PRICE = 2_000  # wei per gas
PATIENCE = 60.0
"""Seconds for what is left of a load, once all is sent: what is in no block by then counts as lost."""
KINDS = {"bft": "finalized", "clique": "latest"}
"""By consensus kind, the block whose transactions count."""


@dataclass
class Case:
    """One load."""

    name: str
    calls: bool = False
    """Of a contract that keeps a number, instead of transfers."""
    to_one: bool = False
    """All to the first node, instead of a quarter to each."""
    rate: float | None = None
    """A second; None for a burst."""


@dataclass
class Outcome:
    sent: int
    included: int = 0
    seconds: float = 0.0
    """From the first sent to the last that counts."""
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.included / self.seconds if self.seconds else 0.0

    def at(self, part: float) -> float:
        """The latency that so large a part stays below, in seconds."""
        return sorted(self.latencies)[int(part * (len(self.latencies) - 1))] if self.latencies else float("nan")


class Bench:
    """A network that runs."""

    def __init__(self, kind: str, urls: list[str], session: aiohttp.ClientSession) -> None:
        self._tag = KINDS[kind]
        self._urls = urls
        self._session = session
        self._keys = [AccountKey(number.to_bytes(32, "big")) for number in range(1, SENDERS + 1)]
        self._nonces = [0] * SENDERS
        self._contract = b""

    async def measure(self, case: Case, count: int) -> Outcome:
        if case.calls and not self._contract:
            await self._deploy()
        signed = [self._signed(number, case) for number in range(count)]
        sent: dict[str, float] = {}
        seen: dict[str, float] = {}
        newest = await self._number()
        watching = asyncio.create_task(self._watch(newest, seen))
        began = time.monotonic()
        await self._send(signed, case, sent, began)
        deadline = time.monotonic() + PATIENCE
        while len(seen.keys() & sent.keys()) < count and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        times = {name: seen[name] - sent[name] for name in sent if name in seen}
        last = max((seen[name] for name in times), default=began)
        return Outcome(count, len(times), last - began, list(times.values()))

    def _signed(self, number: int, case: Case) -> tuple[str, str]:
        """Raw, and its hash."""
        sender = number % SENDERS
        nonce, self._nonces[sender] = self._nonces[sender], self._nonces[sender] + 1
        if case.calls:
            to, gas, data = self._contract, 60_000, bytes.fromhex(storage_contract().set_data(number + 1)[2:])
        else:
            to, gas, data = (0xA000 + sender).to_bytes(20, "big"), 21_000, b""
        transaction = Transaction(CHAIN_ID, nonce, gas, to, 0, data, gas_price=PRICE)
        made = sign(transaction, self._keys[sender])
        return made["raw"], made["tx"]["hash"]

    async def _send(self, signed: list[tuple[str, str]], case: Case, sent: dict[str, float], began: float) -> None:
        # A sender's transactions go to one node, in order.
        nodes = 1 if case.to_one else len(self._urls)
        if case.rate is None:
            shares = [signed[share::nodes] for share in range(nodes)]
            await asyncio.gather(
                *(self._feed(url, share, sent) for url, share in zip(self._urls, shares, strict=False))
            )
            return
        step = max(1, int(case.rate / 20))
        tasks = []
        for first in range(0, len(signed), step):
            await asyncio.sleep(max(0.0, began + first / case.rate - time.monotonic()))
            batch = signed[first : first + step]
            for share in range(nodes):
                own = [each for place, each in enumerate(batch, first) if place % nodes == share]
                tasks.append(asyncio.create_task(self._feed(self._urls[share], own, sent)))
        await asyncio.gather(*tasks)

    async def _feed(self, url: str, signed: list[tuple[str, str]], sent: dict[str, float]) -> None:
        for first in range(0, len(signed), BATCH):
            batch = signed[first : first + BATCH]
            now = time.monotonic()
            sent.update(dict.fromkeys((name for _, name in batch), now))
            answers = await self._ask(url, [("eth_sendRawTransaction", [raw]) for raw, _ in batch])
            if failed := [answer["error"]["message"] for answer in answers if "error" in answer]:
                print(f"refused: {failed[0]}", file=sys.stderr)

    async def _watch(self, newest: int, seen: dict[str, float]) -> None:
        while True:
            number = await self._number()
            now = time.monotonic()
            while newest < number:
                newest += 1
                (answer,) = await self._ask(self._urls[-1], [("eth_getBlockByNumber", [hex(newest), False])])
                for name in answer["result"]["transactions"]:
                    seen.setdefault(name, now)
            await asyncio.sleep(0.02)

    async def _number(self) -> int:
        (answer,) = await self._ask(self._urls[-1], [("eth_getBlockByNumber", [self._tag, False])])
        return int(answer["result"]["number"], 16) if answer.get("result") else 0

    async def _deploy(self) -> None:
        code = bytes.fromhex(storage_contract().deploy_data(0)[2:])
        transaction = Transaction(CHAIN_ID, self._nonces[0], 300_000, b"", 0, code, gas_price=PRICE)
        made = sign(transaction, self._keys[0])
        address = contract_address("0x" + self._keys[0].address.hex(), self._nonces[0])
        self._nonces[0] += 1
        seen: dict[str, float] = {}
        watching = asyncio.create_task(self._watch(await self._number(), seen))
        await self._ask(self._urls[0], [("eth_sendRawTransaction", [made["raw"]])])
        while made["tx"]["hash"] not in seen:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        watching.cancel()
        self._contract = bytes.fromhex(address.removeprefix("0x"))

    async def _ask(self, url: str, calls: list[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
        questions = [
            {"jsonrpc": "2.0", "id": place, "method": method, "params": params}
            for place, (method, params) in enumerate(calls)
        ]
        async with self._session.post(url, json=questions) as response:
            answers: list[dict[str, Any]] = await response.json(content_type=None)
            return answers


def spec_of(kind: str) -> str:
    keys = [AccountKey(number.to_bytes(32, "big")) for number in range(1, SENDERS + 1)]
    alloc = "\n".join(f'    "0x{key.address.hex()}": 1000 ether' for key in keys)
    return (
        f"name: bench\nchain_id: {CHAIN_ID}\nnodes: {{validators: 4}}\nconsensus: {{kind: {kind}, period: 1}}\n"
        f"genesis:\n  gas_limit: 1000000000\n  alloc:\n{alloc}\n"
    )


async def measured(kind: str, cases: list[Case], count: int, rounds: int) -> list[list[Outcome]]:
    """By case, the outcome of each round."""
    with tempfile.TemporaryDirectory(prefix="quorumkit-bench-") as folder:
        directory = Path(folder) / "bench"
        directory.mkdir()
        (directory / "quorumkit.yaml").write_text(spec_of(kind), encoding="utf-8")
        try:
            await asyncio.to_thread(quorumkit, "up", directory, "--verify", "--json")
            urls = [node.endpoints.rpc_url for node in NetworkDirectory(directory).load().nodes]
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
                bench = Bench(kind, urls, session)
                return [
                    [
                        await bench.measure(case, count if case.rate is None else int(case.rate * 15))
                        for _ in range(rounds)
                    ]
                    for case in cases
                ]
        finally:
            await asyncio.to_thread(quorumkit, "down", directory)


def shown(outcomes: list[Outcome]) -> str:
    best = max(outcomes, key=lambda outcome: outcome.per_second)
    lost = sum(outcome.sent - outcome.included for outcome in outcomes)
    text = f"{best.per_second:.0f}/s, {best.at(0.5):.2f} / {best.at(0.95):.2f} s"
    return f"{text}, {lost} not in a block" if lost else text


def main() -> None:
    parser = options(__doc__, rounds=1)
    parser.add_argument("--count", type=int, help="transactions of a burst; 10000 where not given")
    arguments = parser.parse_args()
    count = arguments.count or (200 if arguments.quick else 10_000)
    cases = [Case(f"burst of {count} transfers, to one node", to_one=True)]
    if not arguments.quick:
        cases += [
            Case(f"burst of {count} transfers, over all"),
            Case(f"burst of {count} `storage` calls, over all", calls=True),
            Case("transfers, 300 a second over all", rate=300),
            Case("transfers, 1000 a second over all", rate=1000),
        ]
    load = Load()
    found = {kind: asyncio.run(measured(kind, cases, count, rounds_of(arguments))) for kind in KINDS}
    table = Table(
        "load",
        "rounds",
        "machine's load",
        "`bft`: in blocks a second, p50 / p95",
        "`clique`: the same",
        "`bft` / `clique`",
    )
    for case, bft, clique in zip(cases, found["bft"], found["clique"], strict=True):
        ratio = max(each.per_second for each in bft) / max(*(each.per_second for each in clique), 1e-9)
        table.row(case.name, rounds_of(arguments), load, shown(bft), shown(clique), f"{ratio:.2f}")


if __name__ == "__main__":
    main()
