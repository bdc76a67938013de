"""CometBFT's RPC socket, as far as a node program asks it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class FakeComet:
    """Answers by what it is set to, and keeps what it is asked."""

    def __init__(self) -> None:
        self.connected: set[str] = set()
        self.where = "1/0/3"
        self.voted = [True, True, False, False]
        self.addresses = ["AA", "BB", "CC", "DD"]
        self.power = 1
        self.catching_up = False
        self.block_age = 0.0
        self.dialled: list[dict[str, Any]] = []
        self.asked: list[str] = []

    @contextlib.asynccontextmanager
    async def listening(self, socket: Path) -> AsyncIterator[None]:
        socket.parent.mkdir(parents=True, exist_ok=True)
        async with await asyncio.start_unix_server(self._serve, socket):
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        parts = urlsplit(request)
        method = parts.path.removeprefix("/")
        self.asked.append(method)
        parameters = {name: json.loads(value) for name, value in parse_qsl(parts.query)}
        answer = {"jsonrpc": "2.0", "id": -1, **self._answer(method, parameters)}
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + json.dumps(answer).encode())
        await writer.drain()
        writer.close()

    def _block_time(self) -> str:
        """With nanoseconds, as CometBFT has it."""
        then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=self.block_age)
        return then.strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"

    def _answer(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "net_info":
                return {"result": {"peers": [{"node_info": {"id": each}} for each in sorted(self.connected)]}}
            case "dial_peers":
                self.dialled.append(parameters)
                return {"result": {"log": "Dialing peers in progress. See /net_info for details"}}
            case "status":
                return {
                    "result": {
                        "sync_info": {
                            "catching_up": self.catching_up,
                            "latest_block_height": str(int(self.where.split("/")[0]) - 1),
                            "latest_block_time": self._block_time(),
                        },
                        "validator_info": {"voting_power": str(self.power)},
                    }
                }
            case "validators":
                return {"result": {"validators": [{"address": each} for each in self.addresses]}}
            case "consensus_state":
                votes = ["Vote{}" if voted else "nil-Vote" for voted in self.voted]
                number = int(self.where.split("/")[1])
                return {
                    "result": {
                        "round_state": {
                            "height/round/step": self.where,
                            "proposal_block_hash": "",
                            "height_vote_set": [{"round": number, "prevotes": votes, "precommits": votes}],
                            "proposer": {"address": self.addresses[0], "index": 0},
                        }
                    }
                }
            case _:
                return {"error": {"code": -32601, "message": "Method not found"}}
