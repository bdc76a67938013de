"""The validator contract, run by a virtual machine that is not the client's: its rules, and what a hostile minority
gets by any sequence of calls."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from eth_abi import decode  # type: ignore[attr-defined]
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quorumkit.engines.bft.validators import ADDRESS, LARGEST, POWER, Validator, artifact, calls
from quorumkit.engines.bft.validators.events import log_filter, may_have_updates, updates
from quorumkit.engines.bft.validators.genesis import genesis_account
from quorumkit.identity.keystore import keccak256
from support.evm import GAS_OF_A_TRANSACTION, Evm, Outcome

WEEK = 7 * 24 * 3600
VOTES_EACH = 16
SOURCES = Path(str(files("quorumkit.engines.bft.validators")))


def account(index: int) -> str:
    return f"0x{0xACC0000 + index:040x}"


def key(index: int) -> bytes:
    return hashlib.sha256(f"key {index}".encode()).digest()


class Network:
    """A contract whose first set has validators 0 to `size` - 1; the account and key of each follow from its number."""

    def __init__(self, size: int) -> None:
        self.evm = Evm({ADDRESS: genesis_account([Validator(account(index), key(index)) for index in range(size)])})

    def send(self, sender: int, data: str, *, gas: int = GAS_OF_A_TRANSACTION) -> Outcome:
        return self.evm.send(account(sender), ADDRESS, data, gas=gas)

    def vote(self, sender: int, about: int, wanted: bytes) -> Outcome:
        return self.send(sender, calls.vote(account(about), wanted))

    def change(self, voters: list[int], about: int, wanted: bytes) -> list[tuple[bytes, int]]:
        """All of them vote, and only the last vote changes the set; in a block of its own."""
        self.evm.next_block()
        for voter in voters[:-1]:
            outcome = self.vote(voter, about, wanted)
            assert outcome.ok, calls.reason(outcome.output)
            assert updates(outcome.logs) == []
        outcome = self.vote(voters[-1], about, wanted)
        assert outcome.ok, calls.reason(outcome.output)
        return updates(outcome.logs)

    def validators(self) -> dict[str, bytes]:
        return {each.account.lower(): each.key for each in calls.read_validators(self.read(calls.validators()))}

    def votes(self) -> set[tuple[str, str, bytes]]:
        listed = calls.read_votes(self.read(calls.votes()))
        found = {(vote.voter.lower(), vote.account.lower(), vote.key) for vote in listed}
        assert len(found) == len(listed)
        return found

    def number(self, function: str, *words: str) -> int:
        return int(
            self.read(artifact()["selectors"][function] + "".join(word.removeprefix("0x") for word in words)), 16
        )

    def read(self, data: str) -> str:
        return self.evm.read(ADDRESS, data)


def refused(outcome: Outcome) -> str | None:
    assert not outcome.ok
    return calls.reason(outcome.output)


@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_what_stands_in_genesis_is_what_the_contract_reads(size: int) -> None:
    network = Network(size)

    assert network.validators() == {account(index): key(index) for index in range(size)}
    assert network.number("count()") == size
    assert calls.read_number(network.read(calls.threshold())) == size // 2 + 1
    assert network.votes() == set()
    for index in range(size):
        assert network.number("keyOf(address)", account(index)[2:].rjust(64, "0")) == int.from_bytes(key(index), "big")
        assert network.number("accountOf(bytes32)", key(index).hex()) == int(account(index), 16)
    assert network.number("keyOf(address)", account(size)[2:].rjust(64, "0")) == 0


def test_the_programs_numbers_are_the_contracts() -> None:
    network = Network(1)

    assert network.number("POWER()") == POWER
    assert network.number("LARGEST()") == LARGEST
    assert network.number("VOTE_LASTS()") == WEEK
    assert network.number("VOTES_EACH()") == VOTES_EACH


@pytest.mark.parametrize(("size", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_more_than_half_of_the_validators_admit(size: int, needed: int) -> None:
    network = Network(size)

    assert network.change(list(range(needed)), 50, key(50)) == [(key(50), POWER)]

    assert network.validators() == {account(index): key(index) for index in [*range(size), 50]}
    assert network.number("threshold()") == (size + 1) // 2 + 1


def test_one_who_is_admitted_votes_and_one_who_is_removed_does_not() -> None:
    network = Network(4)
    network.change([0, 1, 2], 50, key(50))

    assert network.change([50, 0, 1], 3, calls.NO_KEY) == [(key(3), 0)]

    assert refused(network.vote(3, 51, key(51))) == "NotAValidator"
    assert account(3) not in network.validators()


def test_a_stranger_does_not_vote() -> None:
    network = Network(4)

    assert refused(network.vote(9, 9, key(9))) == "NotAValidator"
    assert network.votes() == set()


def test_one_validator_has_one_vote_about_an_account() -> None:
    network = Network(4)
    for _ in range(5):
        assert network.vote(0, 50, key(50)).ok
    assert network.votes() == {(account(0), account(50), key(50))}
    assert network.vote(0, 50, key(51)).ok

    assert network.votes() == {(account(0), account(50), key(51))}
    assert updates(network.vote(1, 50, key(50)).logs) == []
    assert updates(network.vote(2, 50, key(50)).logs) == []


def test_a_vote_can_be_taken_back() -> None:
    network = Network(3)
    network.vote(0, 50, key(50))

    assert network.send(0, calls.withdraw(account(50))).ok

    assert network.votes() == set()
    assert updates(network.vote(1, 50, key(50)).logs) == []
    assert refused(network.send(0, calls.withdraw(account(50)))) == "NoSuchVote"
    assert refused(network.send(9, calls.withdraw(account(50)))) == "NoSuchVote"


def test_a_vote_counts_for_a_week_and_is_renewed_by_the_same() -> None:
    network = Network(3)
    network.vote(0, 50, key(50))
    network.evm.next_block(WEEK - 1)
    assert network.number("votesFor(address,bytes32)", account(50)[2:].rjust(64, "0"), key(50).hex()) == 1
    network.evm.next_block()
    assert network.votes() == set()
    assert updates(network.vote(1, 50, key(50)).logs) == []

    assert updates(network.vote(0, 50, key(50)).logs) == [(key(50), POWER)]


def test_votes_of_one_who_was_removed_do_not_count_when_he_is_back() -> None:
    network = Network(5)
    network.vote(4, 50, key(50))
    network.change([0, 1, 2], 4, calls.NO_KEY)
    assert network.votes() == set()
    network.change([0, 1, 2], 4, key(4))
    assert network.votes() == set()

    network.evm.next_block()
    assert updates(network.vote(0, 50, key(50)).logs) == []
    assert updates(network.vote(1, 50, key(50)).logs) == []
    assert updates(network.vote(2, 50, key(50)).logs) == [(key(50), POWER)]


def test_votes_that_admitted_one_do_not_bring_him_back_when_he_was_removed() -> None:
    network = Network(5)
    network.change([0, 1, 2], 50, key(50))
    network.change([2, 3, 4, 0], 50, calls.NO_KEY)
    network.evm.next_block()

    assert network.votes() == set()
    assert updates(network.vote(3, 50, key(50)).logs) == []


@pytest.mark.parametrize("size", [1, 4])
def test_the_last_one_stays_and_four_stay_four(size: int) -> None:
    network = Network(size)

    assert refused(network.vote(0, 0, calls.NO_KEY)) == "TooFewValidators"


@pytest.mark.parametrize("size", [2, 3])
def test_a_small_set_may_become_smaller(size: int) -> None:
    network = Network(size)

    network.change(list(range(2)), size - 1, calls.NO_KEY)

    assert network.number("count()") == size - 1


def test_votes_to_remove_that_were_cast_when_there_were_enough_do_nothing_when_there_are_not() -> None:
    network = Network(6)
    for voter in (0, 1, 2):
        network.vote(voter, 5, calls.NO_KEY)
        network.vote(voter, 4, calls.NO_KEY)
        network.vote(voter, 3, calls.NO_KEY)
    assert network.change([3], 5, calls.NO_KEY) == [(key(5), 0)]
    network.evm.next_block()
    assert network.change([1], 4, calls.NO_KEY) == [(key(4), 0)]
    network.evm.next_block()

    assert refused(network.vote(1, 3, calls.NO_KEY)) == "TooFewValidators"
    assert network.number("count()") == 4


def test_another_key_replaces_the_one_that_a_validator_has() -> None:
    network = Network(4)

    assert network.change([0, 1, 2], 3, key(33)) == [(key(3), 0), (key(33), POWER)]

    assert network.validators() == {account(0): key(0), account(1): key(1), account(2): key(2), account(3): key(33)}
    assert network.number("accountOf(bytes32)", key(3).hex()) == 0
    assert network.number("accountOf(bytes32)", key(33).hex()) == int(account(3), 16)
    network.evm.next_block()
    assert network.change([0, 1, 2], 50, key(3)) == [(key(3), POWER)], "the key that was replaced is free"


def test_the_last_one_keeps_his_key() -> None:
    """A node that follows the chain would know nobody of the next set."""
    assert refused(Network(1).vote(0, 0, key(9))) == "TooFewValidators"


def test_no_key_and_no_account_twice() -> None:
    network = Network(4)

    assert refused(network.vote(0, 50, key(1))) == "KeyInUse"
    assert refused(network.vote(0, 2, key(1))) == "KeyInUse"
    assert refused(network.vote(0, 1, key(1))) == "SameKey"
    assert refused(network.vote(0, 50, calls.NO_KEY)) == "NotAValidator"
    assert refused(network.send(0, calls.vote("0x" + "00" * 20, key(50)))) == "NoAccount"


def test_of_two_accounts_that_are_to_have_one_key_the_first_gets_it() -> None:
    network = Network(4)
    for voter in (0, 1):
        network.vote(voter, 50, key(50))
        network.vote(voter, 51, key(50))
    network.evm.next_block()
    assert updates(network.vote(2, 50, key(50)).logs) == [(key(50), POWER)]
    network.evm.next_block()

    assert refused(network.vote(2, 51, key(50))) == "KeyInUse"


def test_a_second_change_in_a_block_waits_for_the_next_vote() -> None:
    network = Network(4)
    for voter in (0, 1):
        network.vote(voter, 50, key(50))
        network.vote(voter, 3, key(33))
    assert updates(network.vote(2, 50, key(50)).logs) == [(key(50), POWER)]

    assert updates(network.vote(2, 3, key(33)).logs) == []
    assert len(network.votes()) == 3
    network.evm.next_block()

    assert updates(network.vote(2, 3, key(33)).logs) == [(key(3), 0), (key(33), POWER)]


def test_a_validator_has_so_many_votes_and_void_ones_make_room() -> None:
    network = Network(4)
    for about in range(VOTES_EACH):
        assert network.vote(0, 50 + about, key(50 + about)).ok
    assert refused(network.vote(0, 90, key(90))) == "TooManyVotes"
    assert network.vote(0, 50, key(91)).ok, "one about the same account takes no room"
    assert len(network.votes()) == VOTES_EACH

    network.evm.next_block(WEEK)

    assert network.vote(0, 90, key(90)).ok
    assert network.votes() == {(account(0), account(90), key(90))}


def test_the_set_has_a_largest_size() -> None:
    assert refused(Network(LARGEST).vote(0, 120, key(120))) == "TooManyValidators"
    with pytest.raises(ValueError, match="1 to 100"):
        genesis_account([Validator(account(index), key(index)) for index in range(LARGEST + 1)])


def test_the_gas_that_a_vote_demands_is_enough_for_the_dearest_change() -> None:
    """A client estimates the gas of the vote that it sees to be the second; when the block is made it is the last."""
    size = 5
    network = Network(size)
    demanded = 500_000 + 50_000 * size
    for about in range(VOTES_EACH):
        assert network.vote(0, 30 + about, key(30 + about)).ok
    network.evm.next_block(WEEK)  # so the last voter has them all to delete
    for voter in range(1, size):
        for about in range(VOTES_EACH - 1):
            assert network.vote(voter, 100 * voter + about, key(100 * voter + about)).ok
        network.vote(voter, 50 if voter < 3 else 51, key(50))

    assert refused(network.send(0, calls.vote(account(50), key(50)), gas=demanded)) == "NotEnoughGas"
    before = network.evm.gas_of_last
    used = network.vote(0, 50, key(50)).gas_used

    assert key(50) in network.validators().values()
    assert used < demanded
    count_all = network.number("votesFor(address,bytes32)", account(51)[2:].rjust(64, "0"), key(50).hex())
    assert count_all == 2
    assert network.evm.gas_of_last / (size + 1) < 50_000, "each further validator"
    assert before < 10_000, "to be refused costs little"
    assert 500_000 + 50_000 * LARGEST < GAS_OF_A_TRANSACTION - 100_000, "EIP-7825"


def test_it_takes_no_ether() -> None:
    network = Network(4)
    network.evm = Evm(
        {
            ADDRESS: genesis_account([Validator(account(0), key(0))]),
            account(0): {"balance": hex(10**18)},
        }
    )

    assert not network.evm.send(account(0), ADDRESS, "0x", value=1).ok
    assert not network.evm.send(account(0), ADDRESS, calls.vote(account(1), key(1)), value=1).ok


def test_its_answers_are_what_another_decoder_makes_of_them() -> None:
    network = Network(4)
    network.vote(1, 50, key(50))

    (listed,) = decode(["(address,bytes32)[]"], bytes.fromhex(network.read(calls.validators())[2:]))
    assert listed == tuple((account(index), key(index)) for index in range(4))
    (votes,) = decode(["(address,address,bytes32,uint256)[]"], bytes.fromhex(network.read(calls.votes())[2:]))
    assert votes == ((account(1), account(50), key(50), network.evm.timestamp + WEEK),)


class Votes(RuleBasedStateMachine):
    """Any sequence of calls, by anyone, against a model that counts in the plainest way."""

    people = 9

    @initialize(size=st.integers(1, 6))
    def begin(self, size: int) -> None:
        self.network = Network(size)
        self.members = {index: key(index) for index in range(size)}
        self.standing: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.heard = dict.fromkeys(self.members.values(), POWER)
        self.ever_four = size >= 4
        self.changed_in = 0

    @rule(sender=st.integers(0, people), about=st.integers(0, people), which=st.integers(0, people), none=st.booleans())
    def vote(self, sender: int, about: int, which: int, none: bool) -> None:
        wanted = calls.NO_KEY if none else key(which)
        before = dict(self.members)
        outcome = self.network.vote(sender, about, wanted)
        assert outcome.ok == self._may(sender, about, wanted)
        if not outcome.ok:
            return
        self.standing[sender, about] = (wanted, self.network.evm.timestamp + WEEK)
        for each, power in updates(outcome.logs):
            assert self.heard.get(each, 0) != power, "each update says something new"
            self.heard[each] = power
        self.heard = {each: power for each, power in self.heard.items() if power}
        agree = sum(1 for voter in before if self._wants(voter, about) == wanted)
        if agree * 2 > len(before) and self.changed_in < self.network.evm.number:
            self.changed_in = self.network.evm.number
            self.members = {index: each for index, each in before.items() if index != about}
            if wanted != calls.NO_KEY:
                self.members[about] = wanted
            self.standing = {pair: vote for pair, vote in self.standing.items() if about not in pair}
            assert len(updates(outcome.logs)) == (2 if about in before and wanted != calls.NO_KEY else 1)
            assert 3 * len(set(before.values()) & set(self.members.values())) > len(before)
        else:
            assert updates(outcome.logs) == []

    @rule(sender=st.integers(0, people), about=st.integers(0, people))
    def withdraw(self, sender: int, about: int) -> None:
        stands = sender in self.members and self._wants(sender, about) is not None
        assert self.network.send(sender, calls.withdraw(account(about))).ok == stands
        self.standing.pop((sender, about), None)

    @rule(after=st.sampled_from([1, 1, 1, 60, WEEK - 1, WEEK]))
    def next_block(self, after: int) -> None:
        self.network.evm.next_block(after)

    @invariant()
    def is_what_was_decided(self) -> None:
        if not hasattr(self, "network"):
            return
        held = self.network.validators()
        assert held == {account(index): each for index, each in self.members.items()}
        assert held, "the set is never empty"
        assert self.heard == dict.fromkeys(held.values(), POWER), "events say what storage says"
        self.ever_four = self.ever_four or len(held) >= 4
        assert len(held) >= 4 or not self.ever_four
        assert self.network.votes() == {
            (account(voter), account(about), wanted)
            for (voter, about), (wanted, _) in self.standing.items()
            if voter in self.members and self._wants(voter, about) is not None
        }

    def _wants(self, voter: int, about: int) -> bytes | None:
        wanted, until = self.standing.get((voter, about), (None, 0))
        return wanted if until > self.network.evm.timestamp else None

    def _may(self, sender: int, about: int, wanted: bytes) -> bool:
        if sender not in self.members:
            return False
        if wanted == calls.NO_KEY:
            return about in self.members and len(self.members) not in {1, 4}
        return wanted not in self.members.values() and (about not in self.members or len(self.members) > 1)


TestVotes = Votes.TestCase
TestVotes.settings = settings(max_examples=8, stateful_step_count=30, deadline=None)


def test_a_log_says_whose_power_changes_and_the_bloom_whether_to_ask() -> None:
    network = Network(3)
    network.vote(0, 50, key(50))
    (voted, changed) = network.vote(1, 50, key(50)).logs

    assert updates([changed, voted, {**changed, "address": account(1)}]) == [(key(50), POWER)]
    bloom = [0] * 256
    for item in [changed["address"], *changed["topics"]]:
        digest = keccak256(bytes.fromhex(item[2:]))
        for index in (0, 2, 4):
            bit = int.from_bytes(digest[index : index + 2], "big") % 2048
            bloom[255 - bit // 8] |= 1 << bit % 8
    assert may_have_updates("0x" + bytes(bloom).hex())
    assert not may_have_updates("0x" + "00" * 256)
    with pytest.raises(ValueError, match="bloom"):
        may_have_updates("0x00")
    assert log_filter("0xab")["topics"] == changed["topics"][:1]


def test_a_log_of_another_form_is_not_taken_for_an_update() -> None:
    network = Network(1)
    (_, changed) = network.vote(0, 50, key(50)).logs

    for wrong in ({"topics": changed["topics"][:2]}, {"data": "0x"}, {"data": changed["data"] + "00"}):
        with pytest.raises(ValueError, match=r"form|unpack"):
            updates([{**changed, **wrong}])


@pytest.mark.parametrize("answer", ["0x", "0x00", "0x" + "00" * 64, "0x" + f"{32:064x}{1:064x}{1:064x}", "nonsense"])
def test_an_answer_that_is_none_of_the_contracts_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        calls.read_validators(answer)


@pytest.mark.parametrize(
    "first",
    [
        [],
        [Validator(account(0), key(0)), Validator(account(0), key(1))],
        [Validator(account(0), key(0)), Validator(account(1), key(0))],
        [Validator("0x" + "00" * 20, key(0))],
        [Validator(account(0), calls.NO_KEY)],
        [Validator(account(0), key(0)[:31])],
    ],
)
def test_a_first_set_that_no_rule_allows_is_refused(first: list[Validator]) -> None:
    with pytest.raises(ValueError, match="validator"):
        genesis_account(first)


def test_the_code_in_genesis_ends_with_the_hash_of_what_names_the_source() -> None:
    """Source, by its Keccak-256 hash in the compiler's metadata; that, by its IPFS hash at the end of the code
    (Solidity documentation, "Contract Metadata")."""
    metadata = artifact()["metadata"].encode()
    named = json.loads(metadata)
    source = (SOURCES / "Validators.sol").read_bytes()

    assert named["sources"]["Validators.sol"]["keccak256"] == "0x" + keccak256(source).hex()
    assert named["settings"]["evmVersion"] == artifact()["settings"]["evmVersion"]
    assert genesis_account([Validator(account(0), key(0))])["code"] == artifact()["deployedBytecode"]
    assert _ipfs(metadata) in bytes.fromhex(artifact()["deployedBytecode"][2:])[-53:]


def test_the_artifact_is_what_the_compiler_makes_of_the_source(tmp_path: Path) -> None:
    if shutil.which("npx") is None:
        pytest.skip("there is no Node.js")
    compiler = artifact()["compiler"].partition("+")[0]
    made = subprocess.run(
        ["npx", "--yes", "--package", f"solc@{compiler}", "--", "node", "compile.mjs", str(tmp_path / "made.json")],
        cwd=SOURCES, env=os.environ | {"npm_config_update_notifier": "false"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    if made.returncode and "solc" in made.stderr and "npm error" in made.stderr:
        pytest.skip(f"solc {compiler} cannot be had: {made.stderr.strip().splitlines()[-1]}")

    assert made.returncode == 0, made.stderr
    assert (tmp_path / "made.json").read_bytes() == (SOURCES / "Validators.json").read_bytes()


def _ipfs(contents: bytes) -> bytes:
    """The multihash of a file of one block: sha2-256 of a dag-pb node that holds it as a UnixFS file."""
    size = _varint(len(contents))
    file = b"\x08\x02\x12" + size + contents + b"\x18" + size
    return b"\x12\x20" + hashlib.sha256(b"\x0a" + _varint(len(file)) + file).digest()


def _varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def test_the_page_about_it_names_it_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/validators.md").read_text(encoding="utf-8")
    named = {name.rstrip("`") for name in re.findall(r"`(\w+\(\))` (?:is )?`0x[0-9a-f]{8}`", page.replace("\n", " "))}

    assert named == {"validators()", "votes()", "count()", "threshold()"}
    for name in named:
        assert re.search(rf"`{re.escape(name)}`\s+(is )?`{artifact()['selectors'][name]}`", page), name
    for entry in artifact()["abi"]:
        assert f"`{entry['name']}(" in page
    assert set(re.findall(r"0x[0-9a-fA-F]{40}\b", page)) == {ADDRESS}
