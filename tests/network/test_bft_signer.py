"""Accounts of current geth, which asks the signer. There is no consensus, so what geth takes stays in its pool."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from quorumkit.engines import Binary
from quorumkit.errors import RpcError
from quorumkit.identity import generate_secrets, write_secrets
from quorumkit.rpc import IpcRpc
from support.signing import SigningNode

pytestmark = pytest.mark.network

CHAIN = 1337
OTHER = "0x" + "22" * 20
BLOBS = {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}


@pytest.fixture(scope="module")
def bft_geth(bft: Binary) -> str:
    return str(bft.path)


@pytest.fixture
def node(bft_geth: str, tmp_path: Path) -> SigningNode:
    """A node with keys, whose account has some ether, in a directory too deep for a socket's address."""
    directory = tmp_path.joinpath(*["a-directory-with-a-long-name"] * 6, "node1")
    directory.parent.mkdir(parents=True)
    write_secrets(directory, generate_secrets())
    node = SigningNode(directory, chain_id=CHAIN)
    blocks = "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul berlin london"
    genesis = {
        "config": {
            "chainId": CHAIN, **{f"{name}Block": 0 for name in blocks.split()}, "terminalTotalDifficulty": 0,
            "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "blobSchedule": {"cancun": BLOBS, "prague": BLOBS},
        },
        "difficulty": "0x0", "gasLimit": hex(60_000_000), "baseFeePerGas": "0x0",
        "alloc": {node.account: {"balance": hex(10**18)}},
    }  # fmt: skip
    (directory / "genesis.json").write_text(json.dumps(genesis))
    subprocess.run(
        [bft_geth, "init", "--datadir", "data", "genesis.json"], cwd=directory, check=True, capture_output=True
    )
    return node


@contextlib.asynccontextmanager
async def running(geth: str, node: SigningNode) -> AsyncIterator[IpcRpc]:
    """Its geth runs inside the block, and is asked over its own socket. The signer must be there already."""
    flags = "--datadir data --ipcpath data/geth.ipc --signer signer.ipc --nodiscover --port 0 --maxpeers 0"
    process = await asyncio.create_subprocess_exec(
        geth, *flags.split(), "--authrpc.port", "0", "--nat", "none", cwd=node.directory,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    log: list[str] = []
    while line := (await process.stderr.readline()).decode():
        log.append(line)
        if "IPC endpoint opened" in line:
            break
    else:
        pytest.fail("".join(log))
    rest = asyncio.create_task(process.stderr.read())
    try:
        async with await IpcRpc.connect(node.directory / "data/geth.ipc") as rpc:
            yield rpc
    finally:
        process.terminate()
        await process.wait()
        await rest


def test_accounts_sign_and_send_as_they_did(bft_geth: str, node: SigningNode) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), node.signing(), running(bft_geth, node) as rpc:
            assert await rpc.call("eth_accounts") == [node.account]
            signature = await rpc.call("eth_sign", node.account, "0x1234")
            assert Account.recover_message(encode_defunct(hexstr="0x1234"), signature=signature).lower() == node.account

            kinds: list[dict[str, Any]] = [
                {},
                {"gasPrice": "0x7"},
                {"gasPrice": "0x7", "accessList": [{"address": OTHER, "storageKeys": []}]},
            ]
            sent = [
                await rpc.call("eth_sendTransaction", {"from": node.account, "to": OTHER, **kind}) for kind in kinds
            ]
            sent.append(await rpc.call("eth_sendTransaction", {"from": node.account, "data": "0x00", "gas": "0x186a0"}))
            found = [await rpc.call("eth_getTransactionByHash", hash_) for hash_ in sent]
            assert [(one["type"], one["nonce"], one["from"], one["to"]) for one in found] == [
                ("0x2", "0x0", node.account, OTHER), ("0x0", "0x1", node.account, OTHER),
                ("0x1", "0x2", node.account, OTHER), ("0x2", "0x3", node.account, None),
            ]  # fmt: skip
            console = await asyncio.create_subprocess_exec(
                bft_geth, "attach", "--exec", f"eth.sendTransaction({{from: eth.accounts[0], to: '{OTHER}'}})",
                "data/geth.ipc", cwd=node.directory, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            output, _ = await console.communicate()
            found.append(await rpc.call("eth_getTransactionByHash", json.loads(output)))
            assert found[-1]["nonce"] == "0x4"

            # Many at once, whose nonces geth gives.
            transfer = {"from": node.account, "to": OTHER, "gas": "0x5208"}
            await asyncio.gather(*(rpc.call("eth_sendTransaction", transfer) for _ in range(200)))
            assert await rpc.call("eth_getTransactionCount", node.account, "pending") == hex(205)

            signing = {"from": node.account, "to": OTHER, "gas": "0x5208", "gasPrice": "0x1", "nonce": "0x0"}
            raw = (await rpc.call("eth_signTransaction", signing))["raw"]
            assert Account.recover_transaction(raw).lower() == node.account
            with pytest.raises(RpcError, match="unknown account"):
                await rpc.call("eth_sendTransaction", {**transfer, "from": OTHER})
            blob = {"blobs": ["0x" + "00" * 131072], "maxFeePerBlobGas": "0x1", "maxFeePerGas": "0x1"}
            with pytest.raises(RpcError, match="this chain has no blob transactions"):
                await rpc.call(
                    "eth_signTransaction", {**transfer, **blob, "maxPriorityFeePerGas": "0x0", "nonce": "0x0"}
                )
        assert node.said == []

    asyncio.run(run())


def test_a_signer_that_was_away_is_found_again(bft_geth: str, node: SigningNode) -> None:
    """geth gets an answer or an error each time, and never waits."""

    async def run() -> None:
        async with asyncio.timeout(60), contextlib.AsyncExitStack() as stack:
            async with node.signing():
                rpc = await stack.enter_async_context(running(bft_geth, node))
                first = await rpc.call("eth_sign", node.account, "0x12")
            with pytest.raises(RpcError, match="no such file"):
                await rpc.call("eth_sign", node.account, "0x12")
            for _ in range(3):
                async with node.signing():
                    assert await rpc.call("eth_sign", node.account, "0x12") == first
                    assert await rpc.call("eth_accounts") == [node.account]

    asyncio.run(run())
