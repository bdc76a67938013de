"""Makes the samples beside these tests importable."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import ports

sys.path.insert(0, str(Path(__file__).parent))

from exchange_stage import PATIENCE, Field, Participant


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    return ports.free_ports


@pytest.fixture
def play(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Callable[..., None]:
    def run(scene: Callable[[Field], Any], total: int = 3) -> None:
        async def whole() -> None:
            stage = Field(tmp_path, free_ports, total)
            started: list[Participant] = stage.participants
            try:
                async with asyncio.timeout(2 * PATIENCE):
                    await scene(stage)
            finally:
                await asyncio.gather(*(each.die() for each in started if each.task))

        asyncio.run(whole())

    return run
