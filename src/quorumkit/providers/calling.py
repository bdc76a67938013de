"""Asking a node program that is reached by a command only: one in a container or a pod, whose control socket is on a
volume of its own. `quorumkit node call` passes the request on, inside."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quorumkit.errors import NotRunningError, RpcError, RuntimeUnavailableError
from quorumkit.providers.timing import CALL_PATIENCE


async def call_inside(
    prefix: Sequence[str], method: str, params: Sequence[Any], *, where: str, directory: Path | None = None
) -> Any:
    """What the node program answers. `prefix` is the command, to be run in `directory`, that runs another one beside
    it with our input.

    Raises:
        NotRunningError: its container or pod does not run, or cannot be reached.
        RpcError: the program refuses, or cannot be asked.
    """
    command = [*prefix, "quorumkit", "node", "call", method, "--json"]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            cwd=directory,
        )  # fmt: skip
    except OSError:
        raise RuntimeUnavailableError(f"{command[0]} is not on PATH") from None
    try:
        async with asyncio.timeout(CALL_PATIENCE):
            output, said = await process.communicate(json.dumps(list(params)).encode())
    except TimeoutError:
        raise RpcError(f"{where}: {method}: no answer in {CALL_PATIENCE:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
    return _result(output, said, method, where=where)


def _result(output: bytes, said: bytes, method: str, *, where: str) -> Any:
    text = output.decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        error = answer["error"]
        if error.get("kind") == NotRunningError.__name__:
            raise NotRunningError(f"{where}: its node program does not run")
        raise RpcError(str(error.get("message")), hint=error.get("hint"))
    if isinstance(answer, dict) and "result" in answer:
        return answer["result"]
    lines = said.decode("utf-8", "replace").strip().splitlines() or [text.strip() or "no reason given"]
    if "No such command" in lines[-1] or "no such command" in lines[-1].lower():
        raise RpcError(f"{where}: its image is older than this Quorumkit, and cannot be asked for {method}",
                       hint="quorumkit image build, then quorumkit up")  # fmt: skip
    raise NotRunningError(f"{where}: cannot be reached: {lines[-1]}", hint="see `quorumkit status`")
