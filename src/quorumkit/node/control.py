"""The node program's control socket: JSON-RPC 2.0, one value a line, on a unix socket that only its owner can open.

Methods: `node_status` (a list of NodeStatus), `node_start`, `node_stop`, `node_restart` (each takes a list of node
names), `node_reload` (the same: their files were written again), `node_carry` (a list of node directories, to run
beside the others), `node_admit` (the name of a member, and the enode URL of a node that it is to take in; answers what
that node's client is started with), `node_admitted` (that node's name, and that answer), `node_replace` (one name),
`supervisor_info`, `supervisor_shutdown`, and `status_subscribe`, whose notifications are the whole list of NodeStatus
at each change.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from quorumkit.errors import QuorumkitError
from quorumkit.rpc.sockets import short_socket_path

SOCKET_NAME = "control.sock"
_NOTIFY_EVERY = 0.02  # seconds; changes in between go out as one


class Controlled(Protocol):
    """What the control socket can ask for."""

    def status(self) -> list[dict[str, Any]]: ...

    def info(self) -> dict[str, Any]: ...

    def start_nodes(self, names: list[str]) -> None: ...

    async def stop_nodes(self, names: list[str]) -> None: ...

    def reload_nodes(self, names: list[str]) -> None: ...

    def carry_nodes(self, directories: list[str]) -> None: ...

    async def admit_node(self, name: str, enode: str) -> str: ...

    def admitted_node(self, name: str, admission: str) -> None: ...

    async def replace_node(self, name: str) -> dict[str, Any]: ...

    def shut_down(self) -> None: ...

    def next_change(self) -> asyncio.Event:
        """Set at the next change of a node's status. To be taken before the status is read, so that none is missed."""
        ...


class ControlServer:
    """Serves one supervisor."""

    def __init__(self, supervisor: Controlled, path: Path) -> None:
        self._supervisor = supervisor
        self._path = path
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._methods: dict[str, Callable[..., Awaitable[Any]]] = {
            "node_status": self._status,
            "node_start": self._start,
            "node_stop": self._stop,
            "node_restart": self._restart,
            "node_reload": self._reload,
            "node_carry": self._carry,
            "node_admit": self._admit,
            "node_admitted": self._admitted,
            "node_replace": self._replace,
            "supervisor_info": self._info,
            "supervisor_shutdown": self._shutdown,
        }

    async def listen(self) -> None:
        """Opens the socket; one left by a supervisor that was killed is replaced (the caller holds the lock)."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # from its first moment nobody else can open it
        try:
            with short_socket_path(self._path) as name:
                listener.bind(name)
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        watchers: list[asyncio.Task[None]] = []
        requests: set[asyncio.Task[None]] = set()
        try:
            while line := await reader.readline():
                request = json.loads(line)
                if request["method"] == "status_subscribe":
                    self._send(writer, {"id": request.get("id"), "result": "status"})
                    watchers.append(asyncio.create_task(self._watch(writer)))
                else:
                    answering = asyncio.create_task(self._answer(request, writer))
                    requests.add(answering)
                    answering.add_done_callback(requests.discard)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, asyncio.CancelledError):
            pass  # a client that went away or spoke nonsense, or the end of the program
        finally:
            for watcher in [*watchers, *requests]:
                watcher.cancel()
            writer.close()
            self._connections.discard(task)

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        answer: dict[str, Any] = {"id": request.get("id")}
        method = self._methods.get(str(request["method"]))
        try:
            if method is None:
                answer["error"] = {"code": -32601, "message": f"no method {request['method']}"}
            else:
                answer["result"] = await method(*request.get("params", []))
        except (TypeError, ValueError) as error:
            answer["error"] = {"code": -32602, "message": str(error)}
        except QuorumkitError as error:
            answer["error"] = {"code": -32000, "message": error.message}
        except Exception as error:
            # Whoever asked gets an answer at once, and does not wait until it gives up.
            traceback.print_exc()
            answer["error"] = {"code": -32603, "message": f"the node program failed: {type(error).__name__}: {error}"}
        with contextlib.suppress(OSError):
            self._send(writer, answer)
            await writer.drain()

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        # One that has nothing more to tell is seen to have ended.
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while True:
                change = self._supervisor.next_change()
                params = {"subscription": "status", "result": self._supervisor.status()}
                self._send(writer, {"method": "status_subscription", "params": params})
                await writer.drain()
                await change.wait()
                await asyncio.sleep(_NOTIFY_EVERY)

    @staticmethod
    def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        writer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def _status(self) -> list[dict[str, Any]]:
        return self._supervisor.status()

    async def _info(self) -> dict[str, Any]:
        return self._supervisor.info()

    async def _start(self, names: list[str]) -> None:
        self._supervisor.start_nodes(names)

    async def _stop(self, names: list[str]) -> None:
        await self._supervisor.stop_nodes(names)

    async def _restart(self, names: list[str]) -> None:
        await self._supervisor.stop_nodes(names)
        self._supervisor.start_nodes(names)

    async def _reload(self, names: list[str]) -> None:
        self._supervisor.reload_nodes(names)

    async def _carry(self, directories: list[str]) -> None:
        self._supervisor.carry_nodes(directories)

    async def _admit(self, name: str, enode: str) -> str:
        return await self._supervisor.admit_node(name, enode)

    async def _admitted(self, name: str, admission: str) -> None:
        self._supervisor.admitted_node(name, admission)

    async def _replace(self, name: str) -> dict[str, Any]:
        return await self._supervisor.replace_node(name)

    async def _shutdown(self) -> None:
        self._supervisor.shut_down()
