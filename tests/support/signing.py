"""The node program as a node's signer sees it, and a signer that runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from quorumkit.engines.bft.signer import serve
from quorumkit.identity.store import KEYSTORE


class SigningNode:
    """A node with keys in that directory."""

    def __init__(self, directory: Path, *, chain_id: int) -> None:
        self.directory = directory
        (keystore,) = (directory / KEYSTORE).iterdir()
        self.account = "0x" + json.loads(keystore.read_bytes())["address"]
        self.chain_id = chain_id
        self.said: list[str] = []
        self._listening = asyncio.Event()

    def say(self, level: str, text: str) -> None:
        self.said.append(f"{level} {text}")

    def ready(self) -> None:
        self._listening.set()

    def publish(self, name: str, value: Any) -> None: ...

    def record(self) -> Any:
        return SimpleNamespace(identity=SimpleNamespace(account=self.account), chain_id=self.chain_id)

    @contextlib.asynccontextmanager
    async def signing(self) -> AsyncIterator[None]:
        """Its signer runs inside the block. Raises what that raises."""
        self._listening.clear()
        signer = asyncio.create_task(serve(self))
        ready = asyncio.create_task(self._listening.wait())
        try:
            await asyncio.wait([signer, ready], return_when=asyncio.FIRST_COMPLETED)
            if signer.done():
                signer.result()
            yield
        finally:
            ready.cancel()
            signer.cancel()
            await asyncio.gather(signer, ready, return_exceptions=True)
