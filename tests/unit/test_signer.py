"""The external signer of current geth: what it signs, compared with eth-account, what it refuses, and its socket."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_keyfile.keyfile import create_keyfile_json
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.engines.bft.paths import SIGNER_SOCKET as SOCKET
from quorumkit.engines.bft.signer.key import AccountKey
from quorumkit.engines.bft.signer.requests import LARGEST_REQUEST, Requests
from quorumkit.errors import CorruptFileError, NodeError, RpcError
from quorumkit.identity import generate_secrets, write_secrets
from quorumkit.identity.keystore import decrypt_key, encrypt_key
from quorumkit.identity.store import KEYSTORE, PASSWORD, load_account_key
from quorumkit.rpc import IpcRpc
from quorumkit.rpc.sockets import short_socket_path
from support.signing import SigningNode

CHAIN = 1337
KEY = AccountKey(b"\x11" * 32)
ADDRESS = "0x" + KEY.address.hex()
OTHER = "0x" + "22" * 20
PERSON = Account.from_key(b"\x11" * 32)


def ask(method: str, *params: Any, chain_id: int = CHAIN) -> Any:
    failures: list[Exception] = []
    request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    answer = json.loads(Requests(KEY, lambda: chain_id, failures.append).answer(json.dumps(request).encode()))
    assert answer["id"] == 7
    assert failures == []
    return answer.get("result", answer.get("error", {}).get("message"))


def arguments(**changes: Any) -> dict[str, Any]:
    """As geth sends those of a transaction with a base fee: what it does not have is null."""
    return {
        "from": PERSON.address, "to": OTHER, "gas": "0x5208", "gasPrice": None, "maxFeePerGas": "0x0",
        "maxPriorityFeePerGas": "0x0", "value": "0x0", "nonce": "0x0", "input": "0x", "accessList": [],
        "chainId": hex(CHAIN), **changes,
    }  # fmt: skip


LEGACY = {"maxFeePerGas": None, "maxPriorityFeePerGas": None, "gasPrice": "0x0"}

word = st.integers(0, 2**256 - 1)
small = st.integers(0, 2**64 - 2)
addresses = st.binary(min_size=20, max_size=20)
access_lists = st.lists(st.tuples(addresses, st.lists(st.binary(min_size=32, max_size=32), max_size=3)), max_size=3)


@given(
    kind=st.sampled_from([0, 1, 2]), chain_id=st.integers(1, 2**63 - 19), nonce=small, gas=small,
    to=st.none() | addresses, value=word, data=st.binary(max_size=300), price=word, tip=word, access_list=access_lists,
)  # fmt: skip
def test_transactions_are_signed_as_another_implementation_signs_them(
    kind: int, chain_id: int, nonce: int, gas: int, to: bytes | None, value: int, data: bytes, price: int, tip: int,
    access_list: list[tuple[bytes, list[bytes]]],
) -> None:  # fmt: skip
    listed = [
        {"address": "0x" + address.hex(), "storageKeys": ["0x" + key.hex() for key in keys]}
        for address, keys in access_list
    ]
    fees = {"maxFeePerGas": price, "maxPriorityFeePerGas": tip} if kind == 2 else {"gasPrice": price}
    common = {"nonce": nonce, "gas": gas, "value": value}
    signed = ask(
        "account_signTransaction",
        {
            **arguments(**LEGACY), **{name: hex(number) for name, number in (common | fees).items()},
            "to": "0x" + to.hex() if to else None, "input": "0x" + data.hex(), "chainId": hex(chain_id),
            **({"accessList": listed} if kind else {"accessList": None}),
            **({"gasPrice": None} if kind == 2 else {}),
        },
        chain_id=chain_id,
    )  # fmt: skip
    expected = PERSON.sign_transaction({
        **common, **fees, "chainId": chain_id, "data": data, "to": to or b"",
        **({"type": kind, "accessList": listed} if kind else {}),
    })  # fmt: skip
    assert signed["raw"] == "0x" + expected.raw_transaction.hex()
    tx = signed["tx"]
    assert tx["hash"] == "0x" + expected.hash.hex()
    # What geth reads is the JSON form, so it has to say the same.
    assert [int(tx[name], 16) for name in ("v", "r", "s")] == [expected.v, expected.r, expected.s]
    assert {name: int(tx[name], 16) for name in common | fees} == common | fees
    assert (int(tx["type"], 16), int(tx["chainId"], 16), tx["input"]) == (kind, chain_id, "0x" + data.hex())
    assert tx["to"] == ("0x" + to.hex() if to else None)
    assert tx.get("accessList") == (listed if kind else None)
    assert tx.get("yParity") == (tx["v"] if kind else None)


def test_a_legacy_transaction_is_bound_to_the_chain_though_nobody_names_it() -> None:
    signed = ask("account_signTransaction", arguments(**LEGACY, accessList=None, chainId=None))
    assert int(signed["tx"]["v"], 16) in {35 + 2 * CHAIN, 36 + 2 * CHAIN}


@given(st.binary(max_size=200))
def test_messages_are_signed_as_another_implementation_signs_them(message: bytes) -> None:
    expected = PERSON.sign_message(encode_defunct(message)).signature.hex()
    assert ask("account_signData", "text/plain", ADDRESS, "0x" + message.hex()) == "0x" + expected


def test_it_has_the_account_and_a_version() -> None:
    assert ask("account_list") == [ADDRESS]
    assert ask("account_version").startswith("quorumkit/")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"from": OTHER}, f"{OTHER} is not the node's account, which is {ADDRESS}"),
        ({"from": None}, "from: not bytes"),
        ({"to": "0x1234"}, "to: not an address"),
        ({"to": "node1"}, "to: not bytes in hex"),
        ({"chainId": "0x1"}, "the transaction is for chain 1, and this is chain 1337"),
        ({"blobVersionedHashes": ["0x01" + "00" * 31]}, "this chain has no blob transactions"),
        ({"blobs": []}, "this chain has no blob transactions"),
        ({"authorizationList": []}, "no transactions with authorizations"),
        ({"frames": []}, "a field that is not known here: frames"),
        ({"gasPrice": "0x1"}, "are both given"),
        ({"maxPriorityFeePerGas": None}, "maxPriorityFeePerGas: not a number"),
        ({"maxFeePerGas": None, "maxPriorityFeePerGas": None}, "gasPrice: not a number"),
        ({"nonce": "0xffffffffffffffff"}, "EIP-2681"),
        ({"nonce": "0x10000000000000000"}, "nonce: not a number of at most 64 bits"),
        ({"nonce": 1}, "nonce: not a number"),
        ({"value": "0x01"}, "value: not a number"),
        ({"gas": "-0x1"}, "gas: not a number"),
        ({"input": "0x123"}, "input: not bytes in hex"),
        ({"data": "0x12"}, "data and input are both given and differ"),
        ({"accessList": {}}, "accessList: not a list"),
        ({"accessList": [{"address": OTHER, "storageKeys": ["0x00"]}]}, "not 32 bytes"),
        ({"accessList": [{"storageKeys": []}]}, "accessList: address: not bytes"),
    ],
)
def test_what_is_not_to_be_signed_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    assert why in ask("account_signTransaction", arguments(**changes))


@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("account_signTransaction", [], "no transaction"),
        ("account_signTransaction", [7], "no object"),
        ("account_signData", [], "type, the account and the data"),
        ("account_signData", ["application/x-clique-header", ADDRESS, "0x00"], "no application/x-clique-header"),
        ("account_signData", ["data/typed", ADDRESS, "0x1901"], "no data/typed"),
        ("account_signData", ["data/validator", ADDRESS, "0x00"], "no data/validator"),
        ("account_signData", ["text/plain", OTHER, "0x00"], "is not the node's account"),
        ("account_signData", ["text/plain", ADDRESS, "hello"], "data: not bytes in hex"),
        ("account_signTypedData", [ADDRESS, {}], "no method account_signTypedData"),
        ("account_new", [], "no method account_new"),
    ],
)
def test_other_requests_are_refused_with_the_reason(method: str, params: list[Any], why: str) -> None:
    assert why in ask(method, *params)


names = st.sampled_from(["id", "method", "params", "from", "to", "chainId", "accessList", "address", "storageKeys"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=12,
    )
)
def test_whatever_is_asked_is_answered(nonsense: Any) -> None:
    failures: list[Exception] = []
    requests = Requests(KEY, lambda: CHAIN, failures.append)
    for request in (nonsense, {"id": 1, "method": "account_signTransaction", "params": nonsense},
                    {"id": 1, "method": "account_signTransaction", "params": [nonsense]},
                    {"id": 1, "method": "account_signTransaction", "params": [arguments(accessList=nonsense)]},
                    {"id": 1, "method": "account_signData", "params": ["text/plain", nonsense, nonsense]}):  # fmt: skip
        assert "id" in json.loads(requests.answer(json.dumps(request).encode()))
    assert failures == []


@pytest.mark.parametrize("line", [b"\xff\n", b"{\n", b"[" * 100_000 + b"\n", b"[]\n", b"7\n", b'{"id":{}}\n'])
def test_rubbish_is_answered_with_an_error(line: bytes) -> None:
    before = sys.getrecursionlimit()  # which a library that tests use sets to more than the stack holds
    sys.setrecursionlimit(1000)
    try:
        answer = Requests(KEY, lambda: CHAIN, lambda error: None).answer(line)
    finally:
        sys.setrecursionlimit(before)
    assert "error" in json.loads(answer)


def test_a_fault_is_told_and_answered() -> None:
    failures: list[Exception] = []

    def lost() -> int:
        raise OSError("gone")

    requests = Requests(KEY, lost, failures.append)
    request = {"id": 1, "method": "account_signTransaction", "params": [arguments()]}
    answer = requests.answer(json.dumps(request).encode())
    assert json.loads(answer)["error"]["message"] == "the node's signer failed (OSError)"
    assert [str(failure) for failure in failures] == ["gone"]


def test_the_key_is_shown_by_nothing() -> None:
    assert "11" * 32 not in repr(KEY) + str(vars(KEY))


# --- keystores


@pytest.mark.parametrize("kdf", ["scrypt", "ours"])
def test_a_keystore_of_anybody_is_decrypted(kdf: str) -> None:
    secret = b"\x42" * 32
    if kdf == "ours":
        keystore = encrypt_key(secret, "pässword", address="00" * 20)
    else:
        keystore = create_keyfile_json(secret, "pässword".encode(), kdf="scrypt", iterations=1024)
    assert decrypt_key(keystore, "pässword".encode()) == secret
    with pytest.raises(ValueError, match="could not decrypt key with given password"):
        decrypt_key(keystore, b"password")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "node1"
    write_secrets(directory, generate_secrets())
    return directory


def with_signer(directory: Path, client: Callable[[SigningNode], Awaitable[Any]]) -> Any:
    async def both() -> Any:
        node = SigningNode(directory, chain_id=CHAIN)
        async with asyncio.timeout(20), node.signing():
            return await client(node)

    return asyncio.run(both())


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A node's directory, too deep for a socket's address, with a socket in it that a killed one left."""
    path = tmp_path.joinpath(*["a-directory-with-a-long-name"] * 6)
    path.mkdir(parents=True)
    (path / PASSWORD).write_bytes((made / PASSWORD).read_bytes())
    (path / "data").mkdir()
    (path / KEYSTORE).mkdir()
    for keystore in (made / KEYSTORE).iterdir():
        (path / KEYSTORE / keystore.name).write_bytes(keystore.read_bytes())
    left = socket.socket(socket.AF_UNIX)
    with short_socket_path(path / SOCKET) as name:
        left.bind(name)
    left.close()
    return path


def test_its_socket_is_the_owners_and_goes_with_it(directory: Path) -> None:
    async def client(node: SigningNode) -> None:
        assert stat.S_IMODE((directory / SOCKET).stat().st_mode) == 0o600
        async with await IpcRpc.connect(directory / SOCKET) as rpc:
            assert await rpc.call("account_list") == [node.account]
            with pytest.raises(RpcError, match="is for chain 1337, and this is chain 9"):
                node.chain_id = 9  # its files were written again
                await rpc.call("account_signTransaction", arguments(**{"from": node.account}))

    with_signer(directory, client)
    assert not (directory / SOCKET).exists()


def test_many_ask_at_once(directory: Path) -> None:
    async def client(node: SigningNode) -> None:
        async with await IpcRpc.connect(directory / SOCKET) as rpc:
            signed = await asyncio.gather(*(
                rpc.call("account_signTransaction", arguments(**{"from": node.account, "nonce": hex(nonce)}))
                for nonce in range(500)
            ))  # fmt: skip
        assert [int(one["tx"]["nonce"], 16) for one in signed] == list(range(500))
        assert len({one["raw"] for one in signed}) == 500

    with_signer(directory, client)


def test_one_who_misbehaves_is_in_nobodys_way(directory: Path) -> None:
    """One sends half a request, one takes no answers, one sends bytes, one more than is read, and many come."""

    async def client(node: SigningNode) -> None:
        with short_socket_path(directory / SOCKET) as name:
            _, half = await asyncio.open_unix_connection(name)
            half.write(b'{"jsonrpc":"2.0","id":1,"method":')
            _, deaf = await asyncio.open_unix_connection(name)
            deaf.write(b'{"jsonrpc":"2.0","id":1,"method":"account_list"}\n' * 100_000)
            reader, bytes_ = await asyncio.open_unix_connection(name)
            bytes_.write(bytes(range(256)) * 100 + b"\n")
            assert "error" in json.loads(await reader.readline())
            reader, long = await asyncio.open_unix_connection(name)
            long.write(b'{"jsonrpc":"2.0","id":12,"method":"account_signTransaction","params":["')
            for _ in range(3):
                long.write(b"0" * LARGEST_REQUEST)
                await long.drain()
            long.write(b'"]}\n{"jsonrpc":"2.0","id":13,"method":"account_list","params":[]}\n')
            refused, answered = json.loads(await reader.readline()), json.loads(await reader.readline())
            assert (refused["id"], "larger than 1 MiB" in refused["error"]["message"]) == (12, True)
            assert (answered["id"], answered["result"]) == (13, [node.account])
            reader, long = await asyncio.open_unix_connection(name)
            long.write(b"0" * (LARGEST_REQUEST + 10) + b"\n")
            assert await reader.read() == b""
            async with await IpcRpc.connect(directory / SOCKET) as rpc:
                assert await rpc.call("account_list") == [node.account]
            crowd = [await asyncio.open_unix_connection(name) for _ in range(40)]
            assert await crowd[-1][0].read() == b""
            for _, writer in [*crowd, (reader, half), (reader, bytes_), (reader, long)]:
                writer.close()
        deaf.transport.abort()

    with_signer(directory, client)


def test_it_can_be_begun_again_where_one_runs_on(directory: Path) -> None:
    async def client() -> None:
        async with asyncio.timeout(20):
            node = SigningNode(directory, chain_id=CHAIN)
            async with node.signing():
                rpc = await IpcRpc.connect(directory / SOCKET)
            await rpc.closed()
            await rpc.close()
            async with node.signing(), await IpcRpc.connect(directory / SOCKET) as rpc:
                assert await rpc.call("account_list") == [node.account]

    asyncio.run(client())


def test_a_wrong_password_is_told(directory: Path) -> None:
    async def nobody(_: SigningNode) -> None: ...

    (directory / PASSWORD).write_bytes(b"\xffanother\n")
    with pytest.raises(NodeError, match="could not decrypt key with given password") as raised:
        with_signer(directory, nobody)
    assert raised.value.hint == "put the node's `password` file back from a backup"
    assert "another" not in raised.value.message
    (directory / PASSWORD).unlink()
    with pytest.raises(CorruptFileError, match="password is missing"):
        with_signer(directory, nobody)


def test_a_keystore_with_anothers_key_is_told(directory: Path) -> None:
    (path,) = (directory / KEYSTORE).iterdir()
    account = "0x" + json.loads(path.read_bytes())["address"]
    password = (directory / PASSWORD).read_text().strip()
    path.write_text(json.dumps(encrypt_key(b"\x33" * 32, password, address=account[2:])))
    with pytest.raises(NodeError, match=f"not the key of {account}"):
        load_account_key(directory, account)


def test_what_keeps_it_from_listening_is_told(directory: Path) -> None:
    async def nobody(_: SigningNode) -> None: ...

    (directory / SOCKET).unlink()
    (directory / SOCKET).mkdir()
    with pytest.raises(NodeError, match="the signer cannot listen there"):
        with_signer(directory, nobody)
