"""An Ethereum virtual machine that is not the client's (py-evm), to try a contract in: each call is a transaction of
its own, in the block and at the time that the test says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth.constants import BLANK_ROOT_HASH, ZERO_HASH32
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.state import PragueState
from eth.vm.message import Message

GAS_OF_A_TRANSACTION = 1 << 24  # EIP-7825


def address(text: str) -> Any:
    return bytes.fromhex(text.removeprefix("0x"))


@dataclass(frozen=True)
class Outcome:
    ok: bool
    output: str
    """What it returned, or the data of its error; 0x-hex."""
    logs: list[dict[str, Any]]
    """As JSON-RPC gives them."""
    gas_used: int
    """By the code, before refunds."""


class Evm:
    def __init__(self, alloc: Mapping[str, Mapping[str, Any]]) -> None:
        self.number, self.timestamp = 1, 1_700_000_000
        self.gas_of_last = 0
        """By the code, before refunds."""
        self._state = PragueState(AtomicDB(), self._block(), BLANK_ROOT_HASH)
        for account, value in alloc.items():
            place = address(account)
            self._state.set_code(place, address(value.get("code", "0x")))
            self._state.set_nonce(place, int(value.get("nonce", "0x0"), 16))
            self._state.set_balance(place, int(value.get("balance", "0x0"), 16))
            for slot, word in value.get("storage", {}).items():
                self._state.set_storage(place, int(slot, 16), int(word, 16))
        self._state.persist()

    def send(self, sender: str, to: str, data: str, *, gas: int = GAS_OF_A_TRANSACTION, value: int = 0) -> Outcome:
        """What a failed one has done to the state is undone, as in a block."""
        state, target = self._state, address(to)
        state.execution_context = self._block()
        message = Message(gas, target, address(sender), value, address(data), state.get_code(target))
        context = state.get_transaction_context_class()(gas_price=0, origin=address(sender))
        done = state.computation_class.apply_message(state, message, context)
        logs = [] if done.is_error else done.get_log_entries()
        self.gas_of_last = done.get_gas_used()
        state.lock_changes()  # what was read is cold again, and refunds begin anew
        state.persist()
        return Outcome(
            not done.is_error,
            "0x" + bytes(done.output).hex(),
            [
                {
                    "address": "0x" + emitter.hex(),
                    "topics": [f"0x{topic:064x}" for topic in topics],
                    "data": "0x" + bytes(contents).hex(),
                    "logIndex": hex(index),
                }
                for index, (emitter, topics, contents) in enumerate(logs)
            ],
            self.gas_of_last,
        )

    def read(self, to: str, data: str) -> str:
        """`eth_call`.

        Raises:
            AssertionError: it failed.
        """
        before = self._state.make_state_root()
        answer = self.send("0x" + "00" * 20, to, data, gas=50_000_000)
        assert answer.ok, answer.output
        assert self._state.make_state_root() == before
        return answer.output

    def next_block(self, after: int = 1) -> None:
        """`after` seconds."""
        self.number, self.timestamp = self.number + 1, self.timestamp + after

    def _block(self) -> ExecutionContext:
        return ExecutionContext(
            coinbase=address("00" * 20),
            timestamp=self.timestamp,
            block_number=self.number,  # type: ignore[arg-type] # a NewType of int
            difficulty=0,
            mix_hash=ZERO_HASH32,
            gas_limit=1_000_000_000,
            prev_hashes=(),
            chain_id=1337,
            base_fee_per_gas=0,
            excess_blob_gas=0,
        )
