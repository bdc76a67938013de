"""JSON-RPC over unix sockets, against a server that can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from quorumkit.errors import RpcError
from quorumkit.rpc import IpcRpc
from quorumkit.rpc.base import result_of
from quorumkit.rpc.sockets import short_socket_path

Handler = Callable[[dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(path: Path, handle: Handler) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                await handle(json.loads(line), writer)
        writer.close()

    with short_socket_path(path) as name:
        listener = await asyncio.start_unix_server(serve, name)
    try:
        yield
    finally:
        listener.close()


def say(writer: asyncio.StreamWriter, value: Any) -> None:
    writer.write(json.dumps(value).encode() + b"\n")


async def echo(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    say(writer, {"id": request["id"], "result": request["params"]})


def run(path: Path, handle: Handler, client: Callable[[IpcRpc], Awaitable[Any]], timeout: float = 20) -> Any:
    """What `client` returns on a connection to that server."""

    async def both() -> Any:
        async with server(path, handle), asyncio.timeout(timeout), await IpcRpc.connect(path, where="node1") as rpc:
            return await client(rpc)

    return asyncio.run(both())


def test_a_call_returns_the_result(tmp_path: Path) -> None:
    assert run(tmp_path / "s", echo, lambda rpc: rpc.call("eth_x", 1, "two", None)) == [1, "two", None]


@pytest.mark.parametrize("depth", [1, 10, 40])
def test_a_socket_in_a_deep_directory_is_reached(depth: int, tmp_path: Path) -> None:
    directory = tmp_path.joinpath(*["some-directory"] * depth)
    directory.mkdir(parents=True)
    assert run(directory / "geth.ipc", echo, lambda rpc: rpc.call("eth_x", 7)) == [7]


def test_a_deep_socket_that_is_not_there_is_told(tmp_path: Path) -> None:
    directory = tmp_path.joinpath(*["some-directory"] * 12)
    for _ in range(2):  # without the directory, and with it
        with pytest.raises(RpcError, match="node1: not reachable over its socket"):
            asyncio.run(IpcRpc.connect(directory / "geth.ipc", where="node1"))
        directory.mkdir(parents=True, exist_ok=True)


def test_answers_in_any_order_reach_their_callers(tmp_path: Path) -> None:
    held: list[dict[str, Any]] = []

    async def backwards(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        held.append(request)
        if len(held) == 5:
            for one in reversed(held):
                say(writer, {"id": one["id"], "result": one["params"][0]})

    async def client(rpc: IpcRpc) -> list[Any]:
        return await asyncio.gather(*(rpc.call("eth_x", number) for number in range(5)))

    assert run(tmp_path / "s", backwards, client) == [0, 1, 2, 3, 4]


def test_an_error_is_told_with_node_and_method(tmp_path: Path) -> None:
    async def refuse(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        say(writer, {"id": request["id"], "error": {"code": -32601, "message": "the method does not exist"}})

    with pytest.raises(RpcError, match="node1: personal_x: the method does not exist"):
        run(tmp_path / "s", refuse, lambda rpc: rpc.call("personal_x"))


def test_a_silent_client_is_given_up(tmp_path: Path) -> None:
    async def nothing(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        pass

    with pytest.raises(RpcError, match=r"node1: eth_x: no answer in 0\.05 s"):
        run(tmp_path / "s", nothing, lambda rpc: rpc.call("eth_x", timeout=0.05))


async def hang_up(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.close()


def test_a_lost_connection_ends_every_call(tmp_path: Path) -> None:
    async def client(rpc: IpcRpc) -> list[Any]:
        return await asyncio.gather(*(rpc.call("eth_x") for _ in range(3)), return_exceptions=True)

    errors = run(tmp_path / "s", hang_up, client)
    assert len(errors) == 3
    assert all(isinstance(error, RpcError) and "connection" in str(error) for error in errors)


def test_a_call_after_the_loss_fails_at_once(tmp_path: Path) -> None:
    async def client(rpc: IpcRpc) -> None:
        with pytest.raises(RpcError):
            await rpc.call("eth_x")
        await rpc.closed()
        await rpc.call("eth_x")

    with pytest.raises(RpcError, match="the connection is closed"):
        run(tmp_path / "s", hang_up, client)


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b"\xff\xfe\n", b"{\n", b'{"id": [1], "result": 1}\n', b'{"id": {}, "result": 1}\n',
     b'{"params": {"subscription": []}}\n', b'{"params": {"subscription": {}, "result": 1}}\n'],
)  # fmt: skip
def test_nonsense_from_the_other_side_ends_the_connection_with_an_error(line: bytes, tmp_path: Path) -> None:
    async def babble(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(line)

    with pytest.raises(RpcError, match="connection lost"):
        run(tmp_path / "s", babble, lambda rpc: rpc.call("eth_x"))


@pytest.mark.parametrize("extra", [[], 5, None, "x", {}, {"id": 999}, {"id": None}, {"params": 5}, {"params": {}}])
def test_messages_nobody_waits_for_are_passed_over(extra: Any, tmp_path: Path) -> None:
    async def chatty(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        say(writer, extra)
        await echo(request, writer)

    assert run(tmp_path / "s", chatty, lambda rpc: rpc.call("eth_x", 1)) == [1]


def notification(subscription: str, result: Any) -> dict[str, Any]:
    return {"method": "eth_subscription", "params": {"subscription": subscription, "result": result}}


async def first_items(rpc: IpcRpc, count: int) -> list[Any]:
    items = []
    async with contextlib.aclosing(rpc.subscribe("newHeads")) as notifications:
        async for item in notifications:
            items.append(item)
            if len(items) == count:
                break
    return items


def test_notifications_that_come_before_the_answer_are_not_lost(tmp_path: Path) -> None:
    async def hasty(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        for number in (1, 2):
            say(writer, notification("0xa", number))
        say(writer, {"id": request["id"], "result": "0xa"})
        say(writer, notification("0xa", 3))

    assert run(tmp_path / "s", hasty, lambda rpc: first_items(rpc, 3)) == [1, 2, 3]


def test_subscriptions_are_told_apart(tmp_path: Path) -> None:
    async def two(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        name = f"0x{request['id']}"
        say(writer, {"id": request["id"], "result": name})
        if request["id"] == 2:
            for number in range(3):
                for which in (1, 2):
                    say(writer, notification(f"0x{which}", (which, number)))

    async def client(rpc: IpcRpc) -> list[Any]:
        return list(await asyncio.gather(first_items(rpc, 3), first_items(rpc, 3)))

    one, other = run(tmp_path / "s", two, client)
    assert one == [[1, 0], [1, 1], [1, 2]]
    assert other == [[2, 0], [2, 1], [2, 2]]


def test_a_subscription_ends_with_an_error_when_the_connection_does(tmp_path: Path) -> None:
    async def one_and_out(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        say(writer, {"id": request["id"], "result": "0xa"})
        say(writer, notification("0xa", 1))
        writer.close()

    with pytest.raises(RpcError, match="node1: connection lost"):
        run(tmp_path / "s", one_and_out, lambda rpc: first_items(rpc, 2))


def test_a_refused_subscription_is_told(tmp_path: Path) -> None:
    async def refuse(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        say(writer, {"id": request["id"], "error": {"message": "no such namespace"}})

    with pytest.raises(RpcError, match="eth_subscribe: no such namespace"):
        run(tmp_path / "s", refuse, lambda rpc: first_items(rpc, 1))


def test_heads_begin_with_the_present_block(tmp_path: Path) -> None:
    async def chain(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if request["method"] == "eth_subscribe":
            say(writer, {"id": request["id"], "result": "0xa"})
        else:
            say(writer, {"id": request["id"], "result": "0x10"})
            say(writer, notification("0xa", {"number": "0x11"}))

    async def client(rpc: IpcRpc) -> list[int]:
        numbers = []
        async with contextlib.aclosing(rpc.heads()) as heads:
            async for number in heads:
                numbers.append(number)
                if len(numbers) == 2:
                    return numbers
        return numbers

    assert run(tmp_path / "s", chain, client) == [16, 17]


def test_a_head_that_came_before_the_subscription_took_effect_is_seen(tmp_path: Path) -> None:
    """Where blocks come on demand there is no other to tell of it."""
    height = iter(["0x10", "0x11"])

    async def chain(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        answer = "0xa" if request["method"] == "eth_subscribe" else next(height)
        say(writer, {"id": request["id"], "result": answer})

    async def client(rpc: IpcRpc) -> list[int]:
        async with contextlib.aclosing(rpc.heads()) as heads:
            return [await anext(heads), await anext(heads)]

    assert run(tmp_path / "s", chain, client) == [16, 17]


def test_large_answers_are_taken(tmp_path: Path) -> None:
    async def large(request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        say(writer, {"id": request["id"], "result": "x" * 5_000_000})

    assert len(run(tmp_path / "s", large, lambda rpc: rpc.call("debug_x"))) == 5_000_000


@pytest.mark.parametrize("answer", [[], 5, None, "x"])
def test_what_is_no_answer_is_told(answer: Any) -> None:
    with pytest.raises(RpcError, match="not a JSON-RPC answer"):
        result_of(answer, "eth_x", "node1")


@pytest.mark.parametrize("error", ["words", {"code": 1}, ["x"], 5])
def test_errors_in_any_form_are_errors(error: Any) -> None:
    with pytest.raises(RpcError, match="node1: eth_x: "):
        result_of({"error": error, "result": None}, "eth_x", "node1")
