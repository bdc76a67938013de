"""How a node that has no blocks comes into step: by CometBFT's state sync where the others are far ahead, else block by
block.

For state sync CometBFT must be told one block to trust. No member is believed: each that answers must show a header
of that height which its validators signed, beginning at the validators of the genesis block, and all must show the same
one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.engines.bft.bridge.remembered import REMEMBERED, Remembered
from quorumkit.engines.bft.files import LIGHT_PORT
from quorumkit.engines.bft.keys import VALIDATOR
from quorumkit.engines.bft.light import (
    InvalidLightBlock,
    LightBlock,
    Powers,
    UnknownValidators,
    genesis_validators,
    parse,
    verify,
)
from quorumkit.engines.bft.members import place_of
from quorumkit.engines.bft.paths import CONFIG, GENESIS
from quorumkit.engines.bft.validators import CONSENSUS_POWER
from quorumkit.engines.geth.recipe import toml_lines
from quorumkit.errors import QuorumkitError, RpcError
from quorumkit.files import write_if_changed

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

FAR_AHEAD = 500
"""Blocks that others must be ahead: fewer are there sooner one by one (about 70 a second) than state sync begins."""
BEHIND_HEAD = 100
"""How far below the others' head the trusted block lies: below the snapshots that they offer, so that their blocks are
verified forwards, and in all their stores."""
_TRUST_PERIOD = "168h0m0s"
_DISCOVERY = "5s"  # the least that CometBFT takes (config/config.go)
_MOST_SERVERS = 4
_WITHIN = 3.0  # seconds, for one answer of a member
_SHOWN_WITHIN = 3.0  # seconds, for all that show a block; those who are slower are done without
_TWO_SHOWN_WITHIN = 10.0  # seconds, as long as there are no two
_LARGEST_ANSWER = 8 * 2**20  # bytes
_MOST_STEPS = 64  # blocks between, where the validators have changed much


class TwoChains(QuorumkitError):
    """Members show different blocks of one height, and each is signed by enough of its validators."""


@dataclass(frozen=True)
class Height:
    """What a member's CometBFT says of its store."""

    latest: int
    earliest: int


@dataclass(frozen=True)
class Shown:
    """A member and the verified block that it showed."""

    url: str
    """Where its light-client data is had."""
    block: LightBlock


Ask = Callable[[str, str, Mapping[str, Any]], Awaitable[Any]]
"""The result of one method of a member: by its URL, the method and its parameters. Raises RpcError."""


def trusted_height(heights: Mapping[str, Height]) -> int | None:
    """The height of the block to trust, by what the members say; None where they are not far ahead, or fewer than two
    answer, which is what state sync takes. The middle one of what they say counts: a few who lie change nothing."""
    if len(heights) < 2:
        return None
    head = statistics.median_low(height.latest for height in heights.values())
    return head - BEHIND_HEAD if head >= FAR_AHEAD else None


def state_sync_settings(shown: Sequence[Shown]) -> dict[str, Any] | None:
    """CometBFT's `[statesync]` (config/config.go); None where fewer than two members showed a verified block.

    Raises:
        TwoChains: they showed different ones.
    """
    if len({each.block.hash for each in shown}) > 1:
        first = shown[0]
        other = next(each for each in shown if each.block.hash != first.block.hash)
        raise TwoChains(
            f"{first.url} and {other.url} show different blocks of height {first.block.height}, "
            "both signed by their validators",
            hint="more than a third of the validators signed twice, or keys of removed ones are in other hands: "
            "find out which chain is the network's",
        )
    if len(shown) < 2:
        return None
    block = shown[0].block
    return {
        "enable": True,
        "rpc_servers": ",".join(each.url for each in shown[:_MOST_SERVERS]),
        "trust_height": block.height,
        "trust_hash": block.hash.hex().upper(),
        "trust_period": _TRUST_PERIOD,
        "discovery_time": _DISCOVERY,
    }


def with_state_sync(config: bytes, settings: Mapping[str, Any] | None) -> bytes:
    """`config.toml` with that `[statesync]` as its last table, in place of one that this wrote before; with None,
    without."""
    begin = b"\n[statesync]\n"
    config = config.partition(begin)[0]
    if settings is None:
        return config
    return config + begin + toml_lines(settings).encode()


def has_no_blocks(directory: Path) -> bool:
    """Whether a node, by its directory, has yet to get its first block. One that has blocks must not be told to fetch a
    state: CometBFT does not by itself, but geth would, where it was killed and fell back, and take no block until then.
    """
    return Remembered(directory / REMEMBERED).is_empty


async def find_state_sync(
    genesis: Mapping[str, Any], urls: Sequence[str], ask: Ask, *, named: Powers | None = None
) -> dict[str, Any] | None:
    """What `state_sync_settings` are for a node without blocks, by what the members at `urls` show; None where it is to
    begin at the first block. `genesis` is CometBFT's genesis.json. One who does not answer, or slowly, holds nobody up
    for more than some seconds.

    `named` are the members that the node's own files name, all of which count as validators. They serve where nothing
    leads from those of the genesis block to the present ones, for they are gone and members no longer have the blocks
    between.
    """
    heights = await _heights(genesis["chain_id"], urls, ask)
    height = trusted_height(heights)
    if height is None:
        return None
    able = [url for url, has in heights.items() if has.earliest <= height < has.latest]
    # So that not all who join ask the same ones.
    random.shuffle(able)
    roots = [genesis_validators(genesis), *([named] if named else [])]
    members = [Member(url, genesis["chain_id"], ask) for url in able]
    return state_sync_settings(
        await _gathered([_show(member, roots, heights[member.url].earliest, height) for member in members])
    )


async def prepare(directory: Path, record: NodeRecord, say: Callable[[str, str], None], ask: Ask | None = None) -> None:
    """Before a node's parts start: writes into the files of CometBFT and geth how they come into step. geth fetches a
    state only where it is told to; it goes back to executing all blocks by itself, and at the next start by its file.

    Raises:
        TwoChains: see there.
    """
    settings = None
    if has_no_blocks(directory):
        genesis = json.loads((directory / GENESIS).read_bytes())
        named = {
            bytes.fromhex(peer.further_keys[VALIDATOR]): CONSENSUS_POWER
            for peer in record.peers
            if VALIDATOR in peer.further_keys
        }
        settings = await find_state_sync(genesis, light_urls(record), ask or ask_by_http, named=named)
    if settings is not None:
        say(
            "INFO",
            f"others are far ahead: it starts from a block that they signed, above height {settings['trust_height']}",
        )
    config, client = directory / CONFIG, directory / "geth.toml"
    try:
        write_if_changed(config, with_state_sync(config.read_bytes(), settings))
        write_if_changed(client, with_sync_mode(client.read_bytes(), snap=settings is not None))
    except OSError as error:
        say("WARN", f"{error.filename}: {error.strerror}: the node takes all blocks one by one")


def with_sync_mode(config: bytes, *, snap: bool) -> bytes:
    """`geth.toml` as it was rendered, with that way to get blocks from peers."""
    modes = (b'SyncMode = "full"', b'SyncMode = "snap"')
    return config.replace(modes[not snap], modes[snap])


def light_urls(record: NodeRecord) -> list[str]:
    """Where the node's peers tell those who join. One whose port the record does not tell is left out."""
    return [f"http://{place}" for peer in record.peers if (place := place_of(peer, LIGHT_PORT)) is not None]


async def ask_by_http(url: str, method: str, params: Mapping[str, Any]) -> Any:
    """An `Ask` of members that are reached over the network.

    Raises:
        RpcError: no answer, or an error.
    """
    import aiohttp

    from quorumkit.rpc.base import parse_answer, result_of

    question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WITHIN)) as session,
            session.post(url, json=question, allow_redirects=False) as response,
        ):
            text = b""
            async for part in response.content.iter_chunked(65536):
                text += part
                if len(text) > _LARGEST_ANSWER:
                    raise RpcError(f"{url}: {method}: an answer beyond measure")
            answer = parse_answer(text)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise RpcError(f"{url}: {method}: {error or type(error).__name__}") from None
    return result_of(answer, method, url)


async def _heights(chain_id: str, urls: Sequence[str], ask: Ask) -> dict[str, Height]:
    async def one(url: str) -> Height | None:
        try:
            async with asyncio.timeout(_WITHIN):
                status = await ask(url, "status", {})
            info = status["sync_info"]
            if status["node_info"]["network"] != chain_id:
                return None
            return Height(int(info["latest_block_height"]), max(1, int(info["earliest_block_height"])))
        except (RpcError, TimeoutError, KeyError, TypeError, ValueError):
            return None

    answers = await asyncio.gather(*map(one, urls))
    return {url: height for url, height in zip(urls, answers, strict=True) if height is not None}


@dataclass(frozen=True)
class Member:
    """One that is asked for blocks of the chain."""

    url: str
    chain_id: str
    ask: Ask

    async def block(self, height: int) -> LightBlock:
        """As it shows it: nothing is verified.

        Raises:
            RpcError: it does not answer, or has it no more.
            InvalidLightBlock: it is none.
        """
        params = {"height": str(height)}
        commit, validators = await asyncio.gather(
            self.ask(self.url, "commit", params),
            self.ask(self.url, "validators", {**params, "page": "1", "per_page": "100"}),
        )
        block = parse(commit, validators)
        if block.height != height:
            raise InvalidLightBlock("another height than was asked for")
        return block


async def _gathered(showing: Sequence[Coroutine[Any, Any, Shown | None]]) -> list[Shown]:
    """What was shown in time, in the order of those who were asked."""
    if not showing:
        return []
    tasks = [asyncio.create_task(each) for each in showing]
    try:
        await asyncio.wait(tasks, timeout=_SHOWN_WITHIN)
        while len(shown := _shown(tasks)) < 2:
            left = [task for task in tasks if not task.done()]
            if (
                not left
                or not (await asyncio.wait(left, timeout=_TWO_SHOWN_WITHIN, return_when=asyncio.FIRST_COMPLETED))[0]
            ):
                break
        return shown
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _shown(tasks: Sequence[asyncio.Task[Shown | None]]) -> list[Shown]:
    return [each for task in tasks if task.done() and (each := task.result()) is not None]


async def _show(member: Member, roots: Sequence[Powers], earliest: int, height: int) -> Shown | None:
    """The block of that height as one member has it, if it is verified from one of these sets of validators."""
    for known in roots:
        with contextlib.suppress(RpcError, InvalidLightBlock, UnknownValidators, KeyError, TypeError):
            return Shown(member.url, await _verified(member, known, earliest, height))
    return None


async def _verified(member: Member, known: Powers, earliest: int, height: int) -> LightBlock:
    """Where too few signers are known it goes by blocks between, each of which makes its validators known
    (light/client.go, verifySkipping)."""
    reached = earliest - 1
    pending = [await member.block(height)]
    for _ in range(_MOST_STEPS):
        block = pending[-1]
        try:
            verify(block, known, chain_id=member.chain_id, now=time.time())
        except UnknownValidators:
            between = (reached + block.height) // 2
            if between <= reached:
                raise
            pending.append(await member.block(between))
            continue
        known, reached = block.validators, block.height
        pending.pop()
        if not pending:
            return block
    raise UnknownValidators("the validators have changed too often")
