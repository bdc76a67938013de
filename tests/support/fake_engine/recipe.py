"""How a node of the fake engine is made and run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quorumkit.engines.base import NONE_BESIDE, NeutralGenesis, Recipe
from quorumkit.errors import EngineError, RestartNeededError
from quorumkit.identity import FurtherKeys
from quorumkit.plan import Network, Node
from quorumkit.process_spec import Carrier, LoggedLine, PartSpec, ProcessSpec, SignOfLife, TaskSpec
from quorumkit.record import NodeRecord

PROGRAM = Path(__file__).with_name("process.py")


def process(name: str, *after: str, python: str, **fields: Any) -> ProcessSpec:
    """One that says when it is ready."""
    spec = ProcessSpec(
        name,
        (python, "-I", "-S", str(PROGRAM), name),
        after=after,
        ready=LoggedLine(f"{name} is ready".__eq__),
        reload=signal.SIGHUP,
        log_prefix=f"{name}: ",
        why_it_ends=RECIPE.why_it_ends,
    )
    return replace(spec, **fields)


def task(name: str, *after: str, **fields: Any) -> TaskSpec:
    """One that the node program carries. It notes what the processes note, and heeds `NAME.does` as they do: `unready`,
    `stubborn`, `dies`, and also `fails` (of what nobody expected), `restarts` (has its group started again), and
    `returns`."""

    async def run(carrier: Carrier) -> None:
        def note(event: str) -> None:
            with (carrier.directory / "events").open("a") as events:
                events.write(f"{event} {name}\n")

        path = carrier.directory / f"{name}.does"
        does = path.read_text().split() if path.exists() else []
        note("start")
        if "dies" in does:
            raise EngineError("it dies", hint="let it")
        if "fails" in does:
            raise ValueError("no such value")
        if "restarts" in does:
            path.unlink()
            raise RestartNeededError("it must begin anew")
        if "returns" in does:
            return
        carrier.say("INFO", "hello")
        carrier.publish("answers", 42)
        if "unready" not in does:
            carrier.ready()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if "stubborn" not in does:
                    note("end")
                    raise

    return replace(TaskSpec(name, run, after=after), **fields)


class FakeRecipe:
    kind = "fake"
    program = "python3"
    default_version = "1.0.0"
    first_version: str | None = None
    last_version: str | None = None
    further_keys: FurtherKeys | None = None
    most_validators: int | None = None
    genesis_fields: tuple[str, ...] = ()
    later_forks: tuple[str, ...] = ()
    spec_defaults: Mapping[str, Mapping[str, Any]] = {}
    consensus: tuple[str, ...] = ("clique",)
    gas_is_always_free = True
    private_transactions = False
    comes_in_image = False
    api_modules: tuple[str, ...] = ("eth", "net", "web3", "txpool", "fake")
    our_flags = ""
    fields_instead: Mapping[str, str] = {}
    package = "pkg:generic/fake"
    ipc = Path("client.ipc")
    chain = Path("data/chain")
    console_failure = ""

    def ports(self, consensus: str) -> Mapping[str, Any]:
        return {}

    def genesis(self, neutral: NeutralGenesis) -> dict[str, Any]:
        # What is after the merge has a block 0 that nobody here derives.
        return {"config": {"chainId": neutral.chain_id, "shanghaiTime": 0}}

    def node_files(self, network: Network, node: Node) -> dict[str, bytes]:
        return {"peers": " ".join(peer.name for peer in network.peers_of(node)).encode()}

    def keeps_names(self, consensus: str) -> bool:
        return True

    def has_chain(self, directory: Path) -> bool:
        return (directory / self.chain).exists()

    def chain_damage(self, directory: Path) -> str | None:
        return None

    def why_not_anew(self, directory: Path, record: NodeRecord, *, had_chain: bool) -> str | None:
        return None

    def clear_unfinished(self, directory: Path) -> None:
        pass

    def setup_commands(self, binary: Path, record: NodeRecord, genesis: str) -> list[list[str]]:
        return [["cp", genesis, str(self.chain)]]

    def needs_admission(self, record: NodeRecord) -> bool:
        return record.role == "observer"

    def processes(
        self,
        binary: Path,
        record: NodeRecord,
        *,
        admission: str | None = None,
        beside: Mapping[str, Path] = NONE_BESIDE,
    ) -> Sequence[PartSpec]:
        python = str(binary)
        environment = {"ADMISSION": admission} if admission else {}
        sign = SignOfLife(self.ipc, "fake_status")
        return [
            process("client", "store", python=python, environment=environment, sign_of_life=sign),
            process("engine", python=python),
            process("store", "engine", python=python, starts_alone=True),
            task("signer"),
        ]

    def why_it_ends(self, line: str) -> str | None:
        return line.removeprefix("Fatal: ") if line.startswith("Fatal: ") else None

    def console_command(self, binary: Path, *, script: str | None, execute: str | None) -> list[str]:
        return [str(binary)]


RECIPE: Recipe = FakeRecipe()
