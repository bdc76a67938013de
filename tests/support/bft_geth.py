"""Real processes of current geth without a consensus client: what a test makes of them by the Engine API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from Crypto.Hash import keccak

from support.ports import free_ports

CHAIN_ID = 1337
FUNDED = PrivateKey(b"\x01" * 32)

_SYSTEM_CONTRACTS = {
    # EIP-4788, EIP-2935, EIP-7002, EIP-7251
    "0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02": (
        "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff8106"
        "90815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
    ),
    "0x0000F90827F1C53a10cb7A02335B175320002935": (
        "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff814303"
        "11604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
    ),
    "0x00000961Ef480Eb55e80D19ad83579A64c007002": (
        "3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffffffffff"
        "ffffffffffffffffffffffffffff146101f457600182026001905f5b5f821115606857810190830284830290049160010191"
        "90604d565b909390049250505036603814608857366101f457346101f4575f5260205ff35b34106101f45760015460010160"
        "0155600354806003026004013381556001015f35815560010160203590553360601b5f5260385f601437604c5fa060010160"
        "0355005b6003546002548082038060101160df575060105b5f5b8181146101835782810160030260040181604c0281546060"
        "1b8152601401816001015481526020019060020154807fffffffffffffffffffffffffffffffff0000000000000000000000"
        "0000000000168252906010019060401c908160381c81600701538160301c81600601538160281c81600501538160201c8160"
        "0401538160181c81600301538160101c81600201538160081c81600101535360010160e1565b910180921461019557906002"
        "556101a0565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        "ffffff14156101cd57505f5b6001546002828201116101e25750505f6101e8565b01600290035b5f555f600155604c025ff3"
        "5b5f5ffd"
    ),
    "0x0000BBdDc7CE488642fb579F8B00f3a590007251": (
        "3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffffffffffffffffff"
        "ffffffffffffffffffffffffffff1461019a57600182026001905f5b5f821115606857810190830284830290049160010191"
        "90604d565b9093900492505050366060146088573661019a573461019a575f5260205ff35b341061019a5760015460010160"
        "0155600354806004026004013381556001015f358155600101602035815560010160403590553360601b5f5260605f601437"
        "60745fa0600101600355005b6003546002548082038060021160e7575060025b5f5b81811461012957828101600402600401"
        "81607402815460601b815260140181600101548152602001816002015481526020019060030154905260010160e9565b9101"
        "80921461013b5790600255610146565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffff"
        "ffffffffffffffffffffffffff141561017357505f5b6001546001828201116101885750505f61018e565b01600190035b5f"
        "555f6001556074025ff35b5f5ffd"
    ),
}


def address_of(key: PrivateKey) -> str:
    return "0x" + keccak.new(digest_bits=256, data=key.public_key.format(compressed=False)[1:]).hexdigest()[-40:]


def genesis(*, alloc: dict[str, Any] | None = None) -> dict[str, Any]:
    """All forks to osaka from block 0, gas free."""
    blobs = {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}
    blocks = (
        "homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul", "berlin",
        "london",
    )  # fmt: skip
    return {
        "config": {f"{name}Block": 0 for name in blocks}
        | {f"{name}Time": 0 for name in ("shanghai", "cancun", "prague", "osaka")}
        | {
            "chainId": CHAIN_ID,
            "terminalTotalDifficulty": 0,
            "blobSchedule": {"cancun": blobs, "prague": blobs},
            "depositContractAddress": "0x" + "00" * 20,
        },
        "alloc": {address: {"balance": "0x0", "nonce": "0x1", "code": "0x" + code}
                  for address, code in _SYSTEM_CONTRACTS.items()}
        | {address_of(FUNDED): {"balance": hex(10**24)}}
        | (alloc or {}),
        "difficulty": "0x0",
        "gasLimit": hex(10**9),
        "baseFeePerGas": "0x0",
    }  # fmt: skip


class RealGeth:
    """One process, and its data directory."""

    def __init__(
        self, binary: Path, directory: Path, *, scheme: str = "path", flags: Sequence[str] = (),
        alloc: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.binary, self.directory = binary, directory
        self.ipc = directory / "geth.ipc"
        self.log = directory / "geth.log"
        self.peers: list[RealGeth] = []
        self._key = PrivateKey()
        self._ports = free_ports(2)
        state = ["hash", "--gcmode", "archive"] if scheme == "hash" else ["path"]
        self._flags = ["--state.scheme", *state, *([] if scheme == "hash" else ["--cache.gc", "0"]), *flags]
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "geth").mkdir(parents=True)
        (directory / "geth" / "nodekey").write_text(self._key.to_hex())
        (directory / "genesis.json").write_text(json.dumps(genesis(alloc=alloc)))
        scheme_flag = ["--state.scheme", state[0]]
        subprocess.run(
            [binary, "init", "--datadir", directory, *scheme_flag, directory / "genesis.json"],
            check=True, capture_output=True,
        )  # fmt: skip

    @property
    def enode(self) -> str:
        public = self._key.public_key.format(compressed=False)[1:].hex()
        return f"enode://{public}@127.0.0.1:{self._ports[0]}"

    def start(self) -> None:
        nodes = json.dumps([peer.enode for peer in self.peers])
        (self.directory / "geth.toml").write_text(f"[Node.P2P]\nStaticNodes = {nodes}\n")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self.binary, "--config", self.directory / "geth.toml", "--datadir", self.directory,
                    "--networkid", str(CHAIN_ID), "--syncmode", "full", "--nodiscover", "--nat", "none",
                    "--port", str(self._ports[0]), "--authrpc.port", str(self._ports[1]), "--ipcpath", self.ipc,
                    "--cache", "128", "--miner.gasprice", "1", "--miner.gaslimit", str(10**9), "--miner.recommit", "1s",
                    "--txpool.pricelimit", "1", "--blobpool.datacap", "1", "--txpool.globalslots", "20000",
                    "--txpool.accountslots", "20000", "--txpool.globalqueue", "20000", "--txpool.accountqueue", "20000",
                    "--verbosity", "3", *self._flags,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {"GOMAXPROCS": "2"},
            )  # fmt: skip

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    async def answering(self, timeout: float = 30) -> None:
        """Until its socket takes connections."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                _, writer = await asyncio.open_unix_connection(str(self.ipc))
            except OSError:
                assert time.monotonic() < deadline, self.log.read_text()[-3000:]
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
