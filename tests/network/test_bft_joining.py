"""A node that has nothing joins members that are far ahead: CometBFT's own light client and state sync, by what members
tell it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from quorumkit.addresses import Endpoint
from quorumkit.engines import Binary
from quorumkit.engines.bft import joining
from quorumkit.engines.bft.bridge import application, pacing
from quorumkit.engines.bft.bridge.proposal import Times
from quorumkit.engines.bft.light_server import LightServer
from quorumkit.engines.bft.paths import RPC_SOCKET
from support.bft_network import BftNetwork, BftNode, until
from support.ports import free_ports

pytestmark = pytest.mark.network

FAR = 64


@pytest.fixture
def binaries(bft: Binary) -> dict[str, Any]:
    return {"geth": bft.path, "cometbft": bft.beside["cometbft"].path}


PACE = application.Application._until


@pytest.fixture
def hurrying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks come as fast as an observer can follow, with times ahead of the clock, which nobody minds."""

    async def soon(*_: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(application.Application, "_until", soon)
    monkeypatch.setattr(pacing, "acceptable", lambda parent, *_, seen: Times(parent + 1, 1 << 40))


@pytest.mark.usefixtures("hurrying")
def test_a_node_with_an_empty_disk_trusts_what_the_validators_signed(
    tmp_path: Path, binaries: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        network = BftNetwork(tmp_path, **binaries, validators=1, observers=2)
        # A proposer hears nobody while it makes a block: between two blocks it hands on those that an observer lacks.
        network.config["consensus"] = {"timeout_commit": "150ms"}
        network.write_files()
        *members, joiner = network.nodes
        try:
            await network.start(*members)
            await asyncio.gather(*(member.reached(FAR + 16, timeout=120) for member in members))
            # From here on at the network's pace; that the times are ahead of the clock goes on to be nobody's trouble.
            monkeypatch.setattr(application.Application, "_until", PACE)
            monkeypatch.setattr(joining, "FAR_AHEAD", FAR)
            monkeypatch.setattr(joining, "BEHIND_HEAD", FAR - 8)
            async with contextlib.AsyncExitStack() as serving:
                urls = [await serving.enter_async_context(light_of(member)) for member in members]
                settings = await joining.find_state_sync(network.consensus_genesis(), urls, joining.ask_by_http)
                assert settings is not None
                config = joiner.directory / "cometbft/config/config.toml"
                config.write_bytes(joining.with_state_sync(config.read_bytes(), settings))
                await joiner.start()

                async def in_step() -> bool:
                    with contextlib.suppress(OSError):
                        return await joiner.number() >= await members[0].number() - 1 > FAR
                    return False

                await until(in_step, what="in step")
            number = await joiner.number()
            assert (await joiner.block(number))["hash"] == (await members[0].block(number))["hash"]
            store = (await joiner.consensus("status"))["sync_info"]
            assert int(store["earliest_block_height"]) > settings["trust_height"], "it fetched no older blocks"
        finally:
            await network.stop()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def light_of(member: BftNode) -> AsyncIterator[str]:
    (port,) = free_ports(1)
    listens = asyncio.Event()
    serving = asyncio.create_task(
        LightServer(member.directory / RPC_SOCKET).serve(Endpoint("127.0.0.1", port), ready=listens.set)
    )
    try:
        await listens.wait()
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.cancel()
        await asyncio.wait({serving})
