"""Signed headers of a chain that CometBFT 0.40.0 made: four validators, then a fifth, one that stopped, three removed;
and what a node that joins makes of them."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from quorumkit.addresses import Enode
from quorumkit.engines.bft import joining, light
from quorumkit.engines.bft.bridge.remembered import REMEMBERED, Remembered
from quorumkit.engines.bft.joining import Height, Shown, find_state_sync, state_sync_settings, trusted_height
from quorumkit.engines.bft.light import InvalidLightBlock, Signed, UnknownValidators, genesis_validators, parse, verify
from quorumkit.errors import RpcError
from quorumkit.record import PeerRecord

RECORDED = json.loads((Path(__file__).parent / "bft_light_blocks.json").read_bytes())
CHAIN = RECORDED["genesis"]["chain_id"]
GENESIS = {
    "chain_id": CHAIN,
    "validators": [
        {"pub_key": {"type": "tendermint/PubKeyEd25519", "value": entry["key"]}, "power": str(entry["power"])}
        for entry in RECORDED["genesis"]["validators"]
    ],
}
FIRST = genesis_validators(GENESIS)


def recorded(height: int) -> tuple[dict[str, Any], dict[str, Any]]:
    block = copy.deepcopy(RECORDED["blocks"][str(height)])
    return block["commit"], block["validators"]


def accept(commit: Any, validators: Any, known: Mapping[bytes, int] = FIRST) -> Signed:
    return verify(parse(commit, validators), known, chain_id=CHAIN, now=2e9)


@pytest.mark.parametrize(
    ("height", "by"),
    [
        (1, Signed(4, 4, 4, 4)),
        (9, Signed(5, 5, 4, 4)),  # one was admitted
        (14, Signed(4, 5, 3, 4)),  # one is stopped, and it took a second round
        (26, Signed(3, 3, 2, 4)),
    ],
)
def test_a_block_that_enough_signed_is_accepted(height: int, by: Signed) -> None:
    assert accept(*recorded(height)) == by


def test_one_whose_signers_are_not_known_is_reached_by_one_between() -> None:
    with pytest.raises(UnknownValidators, match="1 of 4"):
        accept(*recorded(33))
    assert accept(*recorded(33), known=parse(*recorded(26)).validators) == Signed(2, 2, 2, 3)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in _paths(each, (*path, name))]
    if isinstance(value, list):
        return [found for index, each in enumerate(value) for found in _paths(each, (*path, index))]
    return [path]


def _changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if value.isdecimal():
        return str(int(value) + 1)
    other = "B" if value[:1] in "Aa0123456789" else "A"
    return other + value[1:] if value else "AA"


COUNTS_FOR_NOTHING = {("commit", "canonical"), ("validators", "count")}
BOTH = {"commit": RECORDED["blocks"]["14"]["commit"], "validators": RECORDED["blocks"]["14"]["validators"]}
MUTATED = [
    path
    for path in _paths(BOTH)
    if path not in COUNTS_FOR_NOTHING
    and path[-1] not in {"proposer_priority", "address"}
    # What stands at the place of one who was absent says nothing.
    and not (path[:4] == ("commit", "signed_header", "commit", "signatures") and path[4] == 1)
]


@pytest.mark.parametrize("path", MUTATED, ids=lambda path: ".".join(map(str, path)))
def test_whatever_is_changed_in_it_it_is_refused(path: tuple[Any, ...]) -> None:
    both = copy.deepcopy(BOTH)
    place: Any = both
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = _changed(place[path[-1]])

    with pytest.raises(InvalidLightBlock):
        accept(both["commit"], both["validators"])


def test_two_thirds_are_not_enough() -> None:
    commit, validators = recorded(26)
    commit["signed_header"]["commit"]["signatures"][0]["block_id_flag"] = 1

    with pytest.raises(InvalidLightBlock, match="2 of 3"):
        accept(commit, validators)


def test_a_vote_for_no_block_does_not_count() -> None:
    commit, validators = recorded(26)
    commit["signed_header"]["commit"]["signatures"][0]["block_id_flag"] = 3

    with pytest.raises(InvalidLightBlock, match="2 of 3"):
        accept(commit, validators)


def test_a_block_of_a_set_that_somebody_made_up_is_signed_by_nobody_known() -> None:
    """He has keys enough, and signs all that has to be: only they are nobody's."""
    commit, validators = recorded(1)
    keys = [SigningKey.generate() for _ in validators["validators"]]
    for entry, key in zip(validators["validators"], keys, strict=True):
        entry["pub_key"]["value"] = base64.b64encode(bytes(key.verify_key)).decode()
    powers = {bytes(key.verify_key): 1 for key in keys}
    header, made = commit["signed_header"]["header"], commit["signed_header"]["commit"]
    header["validators_hash"] = light._validators_hash(powers).hex()
    made["block_id"]["hash"] = light._header_hash(header).hex()
    for entry, key in zip(made["signatures"], keys, strict=True):
        entry["validator_address"] = light.address_of(bytes(key.verify_key)).hex()
        message = light._vote(CHAIN, made, light._timestamp(entry["timestamp"]))
        entry["signature"] = base64.b64encode(key.sign(message).signature).decode()

    assert accept(commit, validators, powers) == Signed(4, 4, 4, 4)
    with pytest.raises(UnknownValidators):
        accept(commit, validators)


def test_one_from_the_future_or_of_another_chain_is_refused() -> None:
    block = parse(*recorded(1))

    with pytest.raises(InvalidLightBlock, match="ahead"):
        verify(block, FIRST, chain_id=CHAIN, now=block.time - 60)
    with pytest.raises(InvalidLightBlock, match="another chain"):
        verify(block, FIRST, chain_id="quorumkit-1338-0123456789abcdef", now=2e9)


@pytest.mark.parametrize("nonsense", [None, [], {}, "x", 1, {"signed_header": None}, {"signed_header": {"header": []}}])
def test_nonsense_is_refused(nonsense: Any) -> None:
    commit, validators = recorded(1)

    with pytest.raises(InvalidLightBlock):
        parse(nonsense if isinstance(nonsense, dict) else {"signed_header": nonsense}, validators)
    with pytest.raises(InvalidLightBlock):
        parse(commit, nonsense if isinstance(nonsense, dict) else {"validators": nonsense})


def test_the_height_to_trust_is_by_the_middle_one() -> None:
    assert trusted_height({}) is None
    assert trusted_height({"a": Height(9000, 1)}) is None, "state sync takes two servers"
    assert trusted_height({"a": Height(400, 1), "b": Height(400, 1)}) is None, "block by block is sooner there"
    assert trusted_height({"a": Height(9000, 1), "b": Height(9001, 1), "liar": Height(10**12, 1)}) == 8901
    assert trusted_height({"a": Height(9000, 1), "b": Height(9001, 1), "liar": Height(0, 1)}) == 8900


def test_settings_are_what_the_configuration_takes() -> None:
    block = parse(*recorded(26))
    settings = state_sync_settings([Shown("http://a:1", block), Shown("http://b:2", block)])
    config = b'moniker = "x"\n\n[p2p]\npex = false\n'

    written = joining.with_state_sync(config, settings)

    assert tomllib.loads(written.decode())["statesync"] == settings
    assert settings is not None
    assert settings["rpc_servers"] == "http://a:1,http://b:2"
    assert settings["trust_hash"] == RECORDED["blocks"]["26"]["commit"]["signed_header"]["commit"]["block_id"]["hash"]
    assert joining.with_state_sync(written, settings) == written
    assert joining.with_state_sync(written, None) == config
    assert state_sync_settings([Shown("http://a:1", block)]) is None


def test_two_chains_are_told() -> None:
    with pytest.raises(joining.TwoChains, match="different blocks"):
        state_sync_settings([Shown("http://a", parse(*recorded(26))), Shown("http://b", parse(*recorded(33)))])


class Members:
    """Answers as CometBFT's RPC does, from what was recorded; some are dead, and some change their answers."""

    def __init__(self, heights: Mapping[str, tuple[int, int]]) -> None:
        self.heights = heights
        self.liars: dict[str, Any] = {}
        self.asked: list[tuple[str, str]] = []

    async def ask(self, url: str, method: str, params: Mapping[str, Any]) -> Any:
        self.asked.append((method, params.get("height", "")))
        if url not in self.heights:
            raise RpcError(f"{url}: no answer")
        if url in self.liars:
            return self.liars[url](method, params)
        latest, earliest = self.heights[url]
        if method == "status":
            return {
                "node_info": {"network": CHAIN},
                "sync_info": {"latest_block_height": str(latest), "earliest_block_height": str(earliest)},
            }
        if (block := RECORDED["blocks"].get(params["height"])) is None or int(params["height"]) < earliest:
            raise RpcError(f"{url}: height {params['height']} is not available")
        return block[method]


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "FAR_AHEAD", 30)
    monkeypatch.setattr(joining, "BEHIND_HEAD", 1)


def find(members: Members, *urls: str, named: Mapping[bytes, int] | None = None) -> dict[str, Any] | None:
    return asyncio.run(find_state_sync(GENESIS, urls, members.ask, named=named))


@pytest.mark.usefixtures("near")
def test_it_begins_at_the_validators_of_genesis_and_goes_by_blocks_between() -> None:
    members = Members({"http://a": (34, 1), "http://b": (34, 20)})

    settings = find(members, "http://a", "http://b", "http://dead")

    assert settings is not None
    assert settings["trust_height"] == 33
    assert set(settings["rpc_servers"].split(",")) == {"http://a", "http://b"}
    assert {("commit", "16"), ("commit", "26"), ("commit", "33")} <= set(members.asked)


@pytest.mark.usefixtures("near")
def test_where_nothing_leads_from_genesis_to_now_the_validators_that_its_files_name_serve() -> None:
    members = Members({"http://a": (34, 31), "http://b": (34, 31)})

    assert find(members, "http://a", "http://b") is None
    assert find(members, "http://a", "http://b", named=parse(*recorded(33)).validators) is not None
    assert find(members, "http://a", "http://b", named={bytes(32): 1}) is None


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize(
    "lie",
    [
        lambda method, params: None,
        lambda method, params: [],
        lambda method, params: {"sync_info": {"latest_block_height": "x"}, "node_info": {"network": CHAIN}},
        lambda method, params: RECORDED["blocks"]["34"][method] if method != "status" else _status(34),
        lambda method, params: RECORDED["blocks"]["34"]["commit"] if method != "status" else _status(34),
        lambda method, params: _status(10**12),
        lambda method, params: _status(-5),
    ],
)
def test_one_who_lies_among_three_changes_nothing(lie: Any) -> None:
    members = Members({"http://a": (34, 1), "http://b": (34, 1), "http://liar": (34, 1)})
    members.liars["http://liar"] = lie

    settings = find(members, "http://a", "http://b", "http://liar")

    assert settings is not None
    assert set(settings["rpc_servers"].split(",")) == {"http://a", "http://b"}


def _status(height: int) -> dict[str, Any]:
    return {
        "node_info": {"network": CHAIN},
        "sync_info": {"latest_block_height": str(height), "earliest_block_height": "1"},
    }


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("at", ["status", "commit"])
def test_one_who_never_answers_holds_nobody_up(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_WITHIN", 0.1)
    monkeypatch.setattr(joining, "_SHOWN_WITHIN", 0.1)
    members = Members({"http://a": (34, 1), "http://b": (34, 1), "http://slow": (34, 1)})

    async def ask(url: str, method: str, params: Mapping[str, Any]) -> Any:
        if url == "http://slow" and method == at:
            await asyncio.Event().wait()
        return await members.ask(url, method, params)

    settings = asyncio.run(find_state_sync(GENESIS, ["http://a", "http://slow", "http://b"], ask))

    assert settings is not None
    assert set(settings["rpc_servers"].split(",")) == {"http://a", "http://b"}


@pytest.mark.usefixtures("near")
def test_two_slow_ones_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_SHOWN_WITHIN", 0.01)
    members = Members({"http://a": (34, 1), "http://b": (34, 1)})

    async def ask(url: str, method: str, params: Mapping[str, Any]) -> Any:
        await asyncio.sleep(0.05 if method == "commit" else 0)
        return await members.ask(url, method, params)

    assert asyncio.run(find_state_sync(GENESIS, ["http://a", "http://b"], ask)) is not None


class Record:
    """Of it, what is read here."""

    peers = (
        PeerRecord(name="a", enode=Enode.parse(f"enode://{'ab' * 64}@a.example:30303?discport=0&light=7001")),
        PeerRecord(
            name="b",
            enode=Enode.parse(f"enode://{'ab' * 64}@[::1]:30303?light=7002"),
            further_keys={"validator": "00" * 32},
        ),
        PeerRecord(name="old", enode=Enode.parse(f"enode://{'ab' * 64}@10.0.0.1:30303")),
    )


def node(directory: Path) -> Path:
    (directory / "cometbft/config").mkdir(parents=True)
    (directory / "cometbft/config/genesis.json").write_text(json.dumps(GENESIS))
    (directory / "cometbft/config/config.toml").write_text('moniker = "x"\n')
    (directory / "geth.toml").write_text('[Eth]\nSyncMode = "full"\n')
    return directory


def with_blocks(directory: Path) -> None:
    """What a bridge and its CometBFT leave there."""
    (directory / "cometbft/data/blockstore.db").mkdir(parents=True)
    Remembered(directory / REMEMBERED).commit(34, "0x" + "12" * 32)


def prepare(directory: Path, members: Members) -> list[str]:
    said: list[str] = []
    record: Any = Record()
    asyncio.run(joining.prepare(directory, record, lambda level, text: said.append(f"{level} {text}"), members.ask))
    return said


@pytest.mark.usefixtures("near")
def test_a_node_without_blocks_starts_from_a_block_of_others_and_one_with_blocks_by_itself(tmp_path: Path) -> None:
    directory = node(tmp_path)
    config, client = directory / "cometbft/config/config.toml", directory / "geth.toml"
    members = Members({"http://a.example:7001": (34, 1), "http://[::1]:7002": (34, 1)})

    assert prepare(directory, members) == [
        "INFO others are far ahead: it starts from a block that they signed, above height 33"
    ]
    state_sync = tomllib.loads(config.read_text())["statesync"]
    assert set(state_sync["rpc_servers"].split(",")) == {"http://a.example:7001", "http://[::1]:7002"}
    assert tomllib.loads(client.read_text()) == {"Eth": {"SyncMode": "snap"}}

    with_blocks(directory)
    members.asked.clear()
    assert prepare(directory, members) == []
    assert members.asked == [], "nobody is asked"
    assert config.read_text() == 'moniker = "x"\n'
    assert tomllib.loads(client.read_text()) == {"Eth": {"SyncMode": "full"}}


@pytest.mark.usefixtures("near")
def test_where_nobody_answers_it_begins_at_the_first_block(tmp_path: Path) -> None:
    directory = node(tmp_path)

    assert prepare(directory, Members({})) == []

    assert "statesync" not in (directory / "cometbft/config/config.toml").read_text()
    assert tomllib.loads((directory / "geth.toml").read_text()) == {"Eth": {"SyncMode": "full"}}


@pytest.mark.usefixtures("near")
def test_files_that_cannot_be_written_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> bool:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(joining, "write_if_changed", refuse)
    members = Members({"http://a.example:7001": (34, 1), "http://[::1]:7002": (34, 1)})

    assert "Read-only file system" in prepare(node(tmp_path), members)[-1]
