"""Lost nodes replaced while others run, and those who come after: on real sockets, without clients."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from exchange_samples import proven_of, spec_of
from exchange_stage import Field, Participant, form, until

from quorumkit.errors import NodeError, UsageError
from quorumkit.exchange.client import ExchangeClient
from quorumkit.exchange.protocol import Admission, PullAnswer, PullRequest, sign
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.store import ExchangeStore
from quorumkit.identity import generate_secrets, write_secrets
from quorumkit.identity.store import KEYSTORE, PASSWORD
from quorumkit.stages.replace import Collected, collect, outcome


def exchange_of(each: Participant) -> Any:
    assert each.exchange is not None
    return each.exchange


def keys_of(participants: Iterable[Participant]) -> set[str]:
    return {each.record.identity.enode_key for each in participants}


def peers_of(each: Participant) -> set[str]:
    """The enode keys of its peers, by its record."""
    return {peer.enode.key for peer in each.record.peers}


async def lose(stage: Field, ordinal: int, name: str = "") -> Participant:
    """The node comes back with an empty disk."""
    await stage.participants[ordinal - 1].die()
    new = stage.participant(ordinal, spec_of(stage.total), name=name or f"node{ordinal} with a new disk")
    stage.participants.append(new)
    new.start()
    await until(lambda: "quorumkit node replace" in new.waits_for, new.waits_for)
    return new


async def admit(stage: Field, name: str, signers: list[Participant]) -> Collected:
    by_name = {f"node{each.settings.ordinal}": each for each in signers}

    async def ask(other: str) -> dict[str, Any]:
        told: dict[str, Any] = (await exchange_of(by_name[other]).replace(name)).to_json()
        return told

    return await collect(ask, list(by_name))


@pytest.mark.parametrize(("total", "lost"), [(3, [2]), (10, [2, 5, 9])])
def test_who_comes_after_a_replacement_joins(play: Callable[..., None], total: int, lost: list[int]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        first = list(stage.participants)
        left = [each for each in first if each.settings.ordinal not in lost]
        new = [await lose(stage, ordinal) for ordinal in lost]  # all of them are away at once
        for each in new:
            told = await admit(stage, f"node{each.settings.ordinal}", left)
            assert told.complete, told
        await asyncio.gather(*(each.locked() for each in new))
        for ordinal in (total + 1, total + 2):
            late = stage.participant(ordinal, spec_of(total), name=f"late{ordinal}")
            stage.participants.append(late)
            late.start()
            async with asyncio.timeout(20):
                await late.locked()
            assert late.genesis == first[0].genesis
            await until(lambda late=late: keys_of(new) <= peers_of(late), f"{late.log}")  # type: ignore[misc]
            assert keys_of(each for each in first if each not in left).isdisjoint(peers_of(late))

    play(scene, total)


def test_operators_sign_one_by_one_and_the_last_one_brings_it_about(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        one, two, three, four = stage.participants[:4]
        lost = await lose(stage, 5)
        told = [(await exchange_of(each).replace("node5")).to_json() for each in (one, two)]
        assert [len(each["signed"]) for each in told] == [1, 2]
        said = "node5: 2 of 3 signatures (node1, node2); it takes effect when 1 more of node3, node4 have signed: "
        assert outcome(told[1]).startswith(said)
        # Each is restarted in between: what was signed is on the disk, and heard of by the others.
        await asyncio.gather(one.die(), two.die())
        assert not exchange_of(lost).locked.is_set()
        last = (await exchange_of(three).replace("node5")).to_json()
        if not last["replaced"]:  # the two were away before it had heard of both
            one.start()
            two.start()
            await asyncio.gather(one.locked(), two.locked())
            last = (await exchange_of(three).replace("node5")).to_json()
        assert last["replaced"]
        await lost.locked()
        with pytest.raises(NodeError, match="has the identity that is agreed on"):
            await exchange_of(four).replace("node5")

    play(scene, 5)


def test_nobody_signs_for_who_has_another_nodes_account(play: Callable[..., None]) -> None:
    """It could have no place, and its own would be given away for good."""

    async def scene(stage: Field) -> None:
        await form(stage)
        one, two, three = stage.participants
        await three.die()
        new = stage.participant(3, spec_of(3), name="node3 with node2's keystore")
        secrets = generate_secrets()
        new.directory.mkdir(mode=0o700)
        write_secrets(new.directory, secrets)
        for folder in (new.directory, two.directory):
            assert (folder / PASSWORD).exists()
        shutil.rmtree(new.directory / KEYSTORE)
        shutil.copytree(two.directory / KEYSTORE, new.directory / KEYSTORE)
        shutil.copy(two.directory / PASSWORD, new.directory / PASSWORD)
        stage.participants.append(new)
        new.start()
        # Either hears the other first, and refuses it.
        said = ("quorumkit node replace", "in common")
        await until(lambda: any(words in new.waits_for for words in said), new.waits_for)
        for each in (one, two):
            with pytest.raises(NodeError, match=r"account or a key (of another node|in common)"):
                await exchange_of(each).replace("node3")
            assert not exchange_of(each)._local.membership.admissions.signed

    play(scene)


def test_the_join_secret_alone_takes_over_nothing(play: Callable[..., None]) -> None:
    """A newcomer joins by the secret, and hands out admissions of its own to every place."""

    async def scene(stage: Field) -> None:
        await form(stage)
        ones = list(stage.participants)
        evil = stage.participant(4, spec_of(3), name="evil")
        stage.participants.append(evil)
        evil.start()
        await evil.locked()
        local = exchange_of(evil)._local
        lock = local.membership.lock
        for revision in (local.now(), 2**53 - 1):
            for ordinal in (1, 2, 3):
                forged = Admission.model_construct(
                    format=2, genesis=lock.genesis, ordinal=ordinal,
                    old=lock.documents[ordinal - 1].document.enode_key, enode_key=local.own.document.enode_key,
                    revision=revision, by=local.own.document.enode_key,
                )  # fmt: skip
                # Into what it hands out, past all rules of its own.
                local.membership.admissions._pending["", ordinal] = forged, sign(forged, local.nodekey())
            for each in ones:
                await exchange_of(each)._keeping._try_to_sync(4)
        for each in ones:
            assert each.said("refused [not_admitted]"), each.log
            assert each.record.role == "validator"
            assert keys_of(ones) - keys_of([each]) <= peers_of(each)

    play(scene)


def test_a_replaced_node_that_still_runs_is_refused_and_says_so(play: Callable[..., None]) -> None:
    """Its key was stolen, say: its right operator has a new one stand at its name."""

    async def scene(stage: Field) -> None:
        await form(stage)
        one, two, three, four = stage.participants
        new = await lose(stage, 4)
        told = await admit(stage, "node4", [one, two, three])
        assert told.complete
        await new.locked()
        thief = four
        thief.settings = replace(four.settings, bind=replace(four.settings.bind, port=stage.ports[5]))
        thief.start()
        await until(lambda: thief.said("refuses this node: ", "was replaced"), f"{thief.log[-5:]}")
        with contextlib.suppress(NodeError):
            await exchange_of(thief).replace("node3")
        assert one.record.role == "validator"
        assert keys_of([thief]).isdisjoint(peers_of(one))
        assert exchange_of(one)._local.membership.holder(3) == three.record.identity.enode_key

    play(scene, 4)


def test_a_place_that_moved_while_its_clock_was_ahead_moves_again(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        one, two, three = stage.participants
        two.clock_off = 50.0  # as far ahead as it is not refused for
        await form(stage)
        await two.die()
        two.clock_off = 0.0
        two.settings = replace(two.settings, p2p_port=30999)
        two.start()
        await two.locked()
        for each in (one, three):
            await until(
                lambda each=each: 30999 in [peer.enode.place.port for peer in each.record.peers],  # type: ignore[misc]
                f"{each.log}",
            )

    play(scene)


def test_a_clock_that_is_set_back_makes_nobody_a_stranger(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        one, two, three = stage.participants
        two.clock_off = 7200.0
        for each in (one, two, three):
            each.start()
        await until(lambda: "refuses this node: clock" in two.waits_for, two.waits_for)
        two.clock_off = 0.0  # NTP has come
        await asyncio.gather(*(each.locked() for each in stage.participants))

    play(scene)


def test_peers_that_fail_in_ways_nobody_expected_end_nothing(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the lock and after it: it is told with its traceback, and the rest goes on."""
    broken = [True]
    whole = ExchangeClient.pull

    async def pull(self: ExchangeClient, to: Any, request: Any) -> Any:
        if broken[0] and request.to == 3:
            raise RecursionError("nobody thought of that\x1b[31m")
        return await whole(self, to, request)

    monkeypatch.setattr(ExchangeClient, "pull", pull)

    async def scene(stage: Field) -> None:
        one, two, three = stage.participants
        one.start()
        two.start()
        await until(lambda: one.said("ERROR", "the exchange with node3", "nobody thought of that?[31m"), f"{one.log}")
        assert one.said("ERROR", "Traceback")
        broken[0] = False
        three.start()
        await asyncio.gather(*(each.locked() for each in stage.participants))
        broken[0] = True
        one.log.clear()
        await exchange_of(one)._keeping.sync_all()
        assert one.said("ERROR", "the exchange with node3")
        assert all(each.task is not None and not each.task.done() for each in stage.participants)

    play(scene)


def test_a_word_is_on_the_disk_before_anybody_hears_it(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And until then the node has committed to nothing that it could not stand by after a restart."""
    heard: list[list[Any]] = []
    whole = ExchangeStore.write_commitment

    async def scene(stage: Field) -> None:
        def write_commitment(self: ExchangeStore, word: Any) -> None:
            for each in stage.participants:
                agreement = exchange_of(each)._local.agreement
                if exchange_of(each)._local.store is self:
                    heard.append([*agreement.gathered.commitments_of([each.settings.ordinal])])
                    assert agreement.committed == word.genesis
            whole(self, word)

        monkeypatch.setattr(ExchangeStore, "write_commitment", write_commitment)
        await form(stage)
        assert heard == [[], [], []]

    play(scene)


def test_who_is_asked_for_another_says_so_and_takes_nothing(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        one, two, _ = stage.participants
        local = exchange_of(two)._local
        request = PullRequest(sender=local.own.signed, to=3, terms=local.terms, stage="members")
        with pytest.raises(Refusal) as refused:
            await exchange_of(one).answer(request, source="127.0.0.1")
        assert refused.value.code == "misdirected"

    play(scene)


def test_a_name_that_leads_to_another_node_is_told_and_that_one_is_not_taken_for_it(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        one, two, three = stage.participants
        hosts = list(stage.names.hosts)
        one.settings = replace(one.settings, names=replace(stage.names, hosts=(hosts[0], hosts[1], hosts[1])))
        with pytest.raises(UsageError):
            one.start()  # a list that names a node twice is seen at once; a name that leads elsewhere is not
        local = replace(one.settings, names=replace(stage.names, hosts=(hosts[0], hosts[2], hosts[1])))
        one.settings = local
        for each in stage.participants:
            each.start()
        await until(lambda: one.said("refused [misdirected]") or "misdirected" in one.waits_for, f"{one.log}")
        agreement = exchange_of(one)._local.agreement
        answer = PullAnswer(sender=exchange_of(two)._local.own.signed)
        with pytest.raises(Refusal) as refused:
            exchange_of(one)._collecting.merge(3, answer)
        assert refused.value.code == "misdirected"
        await three.die()
        assert agreement.ordinal == 1

    play(scene)


def test_latecomers_that_never_answer_hold_up_no_restart_and_no_replacement(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the join secret can be many of them, at names of his own that nobody ever answers for."""
    given_up = threading.Event()
    look_up = socket.getaddrinfo

    def slowly(host: Any, *arguments: Any, **more: Any) -> Any:
        if str(host).startswith("slow"):
            given_up.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return look_up(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async def scene(stage: Field) -> None:
        await form(stage)
        one, two = stage.participants[:2]
        silent = await asyncio.start_server(silence, "127.0.0.1")
        port = silent.sockets[0].getsockname()[1]
        members = exchange_of(one)._local.membership
        for ordinal in range(4, 40):
            host = f"slow{ordinal}.example" if ordinal % 3 else "127.0.0.1"
            members.offer(proven_of(ordinal, spec=spec_of(3), host=host, exchange_port=port), source="x")
        exchange_of(one)._keeping.members_changed()
        await until(lambda: len(exchange_of(two)._local.membership.current) == 39, f"{two.log}")
        await lose(stage, 3)
        async with asyncio.timeout(12):
            for each in (one, two):
                await each.die()
                each.start()
                await each.locked()
            assert (await admit(stage, "node3", [one, two])).complete
        silent.close()

    def released(stage: Field) -> Any:
        async def whole() -> None:
            try:
                await scene(stage)
            finally:
                given_up.set()

        return whole()

    play(released)
