"""The whole loop on real sockets, without clients: from empty directories to the lock, and what comes after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import stat
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exchange_stage import PATIENCE, Client, Field, Participant, form, until

from quorumkit.addresses import Endpoint
from quorumkit.errors import CorruptFileError, NodeError, QuorumkitError
from quorumkit.exchange import waiting
from quorumkit.exchange.names import Names
from quorumkit.exchange.settings import TlsFiles
from quorumkit.record import TmRecord
from quorumkit.spec import NetworkSpec, parse_spec
from support.certificates import authority, certify


def test_empty_directories_become_nodes_of_one_network(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        assert len({each.genesis for each in stage.participants}) == 1
        for each in stage.participants:
            assert [peer.name for peer in each.record.peers] == [
                other.directory.name for other in stage.participants if other is not each
            ]
            for file in each.directory.rglob("*"):
                if file.is_file() and file.name not in {"genesis.json", "geth.toml", "node.json"}:
                    assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    play(scene, 5)


def test_one_node_is_a_network_too(play: Callable[..., None]) -> None:
    play(form, 1)


def test_each_says_whom_it_waits_for_and_the_last_one_completes_it(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        one, two, three = stage.participants
        one.start()
        two.start()
        await until(lambda: "identity of node3 (connection refused)" in one.waits_for, one.waits_for)
        await until(lambda: "identity of node3" in two.waits_for, two.waits_for)
        assert one.said("waits for the identity of", "node3")
        three.start()
        await asyncio.gather(*(each.locked() for each in stage.participants))

    play(scene)


def test_one_that_dies_at_any_moment_resumes(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        one, two, three = stage.participants
        one.start()
        three.start()
        for pause in (0.0, 0.01, 0.02, 0.05, 0.1):
            two.start()
            await asyncio.sleep(pause)
            await two.die()
        two.start()
        await asyncio.gather(*(each.locked() for each in stage.participants))
        assert len({each.genesis for each in stage.participants}) == 1

    play(scene)


def test_after_the_lock_a_restart_needs_nobody(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        genesis = stage.participants[0].genesis
        await asyncio.gather(*(each.die() for each in stage.participants))
        (stage.participants[1].directory / "node.json").unlink()
        stage.participants[1].start()
        await stage.participants[1].locked()
        assert stage.participants[1].genesis == genesis
        assert len(stage.participants[1].record.peers) == 2

    play(scene)


def test_settings_that_give_another_genesis_are_refused_after_the_lock(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        one = stage.participants[0]
        await one.die()
        one.settings = replace(one.settings, spec=one.settings.spec.model_copy(update={"chain_id": 7}))
        one.start()
        with pytest.raises(NodeError, match="another genesis"):
            await one.locked()

    play(scene)


@pytest.mark.parametrize(
    ("change", "code"),
    [("chain_id", "chain_id"), ("period", "spec"), ("secret", "wrong_secret"), ("clock", "clock")],
)
def test_a_misfit_is_told_apart_and_the_honest_ones_form(play: Callable[..., None], change: str, code: str) -> None:
    """A second node2, set up wrongly, stands beside the right one."""

    async def scene(stage: Field) -> None:
        spec = stage.participants[0].settings.spec
        if change == "chain_id":
            spec = spec.model_copy(update={"chain_id": 7})
        if change == "period":
            spec = spec.model_copy(update={"consensus": spec.consensus.model_copy(update={"period": 9})})
        misfit = stage.participant(2, spec, at=4, name="misfit")
        if change == "secret":
            other = stage.folder / "other-secret"
            other.write_text("another join secret, as long")
            misfit.settings = replace(misfit.settings, secret=other)
        if change == "clock":
            misfit.clock_off = 3600.0
        stage.participants.append(misfit)
        misfit.start()
        one, two, three = stage.participants[:3]
        one.start()
        three.start()
        await until(lambda: one.said(f"refused [{code}]") and three.said(f"refused [{code}]"), f"{one.log} {three.log}")
        await until(lambda: "refuses this node" in misfit.waits_for, misfit.waits_for)
        assert misfit.said("refuses this node"), misfit.log
        two.start()
        await asyncio.gather(*(each.locked() for each in (one, two, three)))
        assert misfit.exchange is not None
        assert not misfit.exchange.locked.is_set()

    play(scene)


def test_of_two_nodes_with_one_ordinal_the_one_at_that_name_stays(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        one, two, three = stage.participants
        second = stage.participant(2, one.settings.spec, at=4, name="second")
        stage.participants.append(second)
        second.start()
        one.start()
        three.start()
        await until(lambda: "node2" in one.waits_for, one.waits_for)
        two.start()
        await asyncio.gather(*(each.locked() for each in (one, two, three)))
        key = two.record.identity.enode_key
        assert all(key in str(each.record.peers) for each in (one, three))
        await until(lambda: second.said("refuses this node"), f"{second.log}")
        assert any(each.said("refused [ordinal_taken]") or each.said("refused [identity_changed]") for each in
                   (one, two, three)), one.log  # fmt: skip

    play(scene)


def test_a_sixth_node_joins_as_an_observer(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        late = stage.participant(4, stage.participants[0].settings.spec, name="late")
        stage.participants.append(late)
        late.start()
        await late.locked()
        assert late.record.role == "observer"
        assert late.genesis == stage.participants[0].genesis
        for each in stage.participants[:3]:
            await until(lambda each=each: "node4" in {peer.name for peer in each.record.peers}, f"{each.log}")  # type: ignore[misc]
        await asyncio.gather(*(each.die() for each in stage.participants))
        late.start()
        await late.locked()

    play(scene)


def test_a_lost_disk_is_refused_until_it_is_replaced(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        one, two, three = stage.participants
        genesis, old = one.genesis, three.record.identity.enode_key
        await three.die()
        with pytest.raises(NodeError, match="does not answer"):
            await one.exchange.replace("node3")  # type: ignore[union-attr]
        lost = stage.participant(3, three.settings.spec, name="node3 with a new disk")
        stage.participants.append(lost)
        lost.start()
        await until(lambda: "quorumkit node replace" in lost.waits_for, lost.waits_for)
        await until(lambda: one.said("refused [identity_changed]"), f"{one.log}")
        await asyncio.sleep(0.3)
        assert not lost.exchange.locked.is_set()  # type: ignore[union-attr]
        with pytest.raises(NodeError, match="has the identity that is agreed on"):
            await one.exchange.replace("node2")  # type: ignore[union-attr]
        first = await one.exchange.replace("node3")  # type: ignore[union-attr]
        assert first.to_json() == {
            "name": "node3", "enode_key": first.identity.enode_key, "account": first.identity.account,
            "replaced": False, "signed": ["node1"], "missing": ["node2", "node3"], "needed": 2, "counts": True,
        }  # fmt: skip
        again = await one.exchange.replace("node3")  # type: ignore[union-attr]
        assert again == first
        await asyncio.sleep(0.3)
        assert not lost.exchange.locked.is_set()  # type: ignore[union-attr]
        second = await two.exchange.replace("node3")  # type: ignore[union-attr]
        assert second.standing.complete
        identity = second.identity
        await lost.locked()
        assert lost.record.role == "observer"
        assert lost.genesis == genesis
        for each in (one, two):
            await until(lambda each=each: identity.enode_key in str(each.record.peers), f"{each.log}")  # type: ignore[misc]
            assert old not in str(each.record.peers)
        await asyncio.gather(*(each.die() for each in stage.participants))
        lost.start()
        one.start()
        await asyncio.gather(lost.locked(), one.locked())
        assert identity.enode_key in str(one.record.peers)

    play(scene)


def test_a_moved_node_is_found_again_by_its_name(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        hosts = [f"host{ordinal}.invalid" for ordinal in (1, 2, 3)]
        stage.hosts.write_text("".join(f"127.0.0.1 {host}\n" for host in hosts))
        names = Names(1, tuple(Endpoint(host, port) for host, port in zip(hosts, stage.ports, strict=False)))
        for each, host in zip(stage.participants, hosts, strict=True):
            each.settings = replace(each.settings, names=names, host=host)
        await form(stage)
        one = stage.participants[0]
        assert "@127.0.0.1:30002" in str(one.record.peers[0].enode)
        stage.hosts.write_text("127.0.0.1 host1.invalid host3.invalid\n127.0.0.5 host2.invalid\n")
        await until(lambda: "@127.0.0.5:30002" in str(one.record.peers[0].enode), f"{one.log}")
        assert "127.0.0.5:30002" in (one.directory / "geth.toml").read_text()
        assert one.said("node2 moved from 127.0.0.1 to 127.0.0.5")
        stage.hosts.write_text("127.0.0.1 host1.invalid host3.invalid\n")
        await asyncio.sleep(0.5)
        assert "@127.0.0.5:30002" in str(one.record.peers[0].enode), "a name that fails for a while moves nobody"

    play(scene)


@pytest.mark.parametrize("kind", ["clique", "raft"])
def test_an_observer_that_was_scaled_away_is_missed_no_more_and_one_that_comes_back_is_a_peer_again(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    answer = socket.EAI_AGAIN

    def no_address(host: str, *_: Any, **__: Any) -> Any:
        raise socket.gaierror(answer, f"no {host}")

    monkeypatch.setattr(waiting, "RESOLVE_EVERY", 0.05)
    monkeypatch.setattr(waiting, "ABSENT_AFTER", 0.3)

    async def scene(stage: Field) -> None:
        nonlocal answer
        hosts = [f"host{ordinal}.invalid" for ordinal in (1, 2, 3, 4)]
        everyone = "".join(f"127.0.0.1 {host}\n" for host in hosts)
        stage.hosts.write_text(everyone)
        names = Names(1, tuple(Endpoint(host, port) for host, port in zip(hosts, stage.ports, strict=False)))
        spec = quorum_of(3, "raft") if kind == "raft" else stage.participants[0].settings.spec
        for each, host in zip(stage.participants, hosts, strict=False):
            each.settings = replace(each.settings, spec=spec, names=names, host=host,
                                    ports={"raft": 32000} if kind == "raft" else {},
                                    tm_bind=Endpoint("127.0.0.1", 33000) if kind == "raft" else None)  # fmt: skip
            each.client = Client() if kind == "raft" else None
        await form(stage)
        late = stage.participant(4, spec)
        late.settings = replace(late.settings, names=names, host=hosts[3])
        late.client = Client() if kind == "raft" else None
        stage.participants.append(late)
        late.start()
        await late.locked()
        one = stage.participants[0]

        def peers() -> list[str]:
            return [peer.name for peer in one.record.peers]

        await until(lambda: peers() == ["node2", "node3", "node4"], f"{one.log}")
        await late.die()
        monkeypatch.setattr(socket, "getaddrinfo", no_address)
        stage.hosts.write_text(f"127.0.0.1 {hosts[0]}\n127.0.0.1 {hosts[1]}\n")
        await asyncio.sleep(0.6)
        assert peers() == ["node2", "node3", "node4"], "nobody could be asked, so nobody is known to be gone"
        answer = socket.EAI_NONAME
        await until(lambda: peers() == ["node2", "node3"], f"{one.log}")
        assert sum("node4 has no name any more" in line for line in one.log) == 1
        assert not one.said("node3 has no name"), "a node of the genesis is missed"
        stage.hosts.write_text(everyone)
        await until(lambda: peers() == ["node2", "node3", "node4"], f"{one.log}")

    play(scene)


def test_damaged_files_are_named(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        one = stage.participants[0]
        await one.die()
        for name in ("exchange/lock.json", "exchange/commitment.json", "exchange/members.json", "data/geth/nodekey"):
            file = one.directory / name
            whole = file.read_bytes() if file.exists() else None
            for damage in (b"", (whole or b"{}")[: len(whole or b"{}") // 2], b"{}", b"[]"):
                file.write_bytes(damage)
                with pytest.raises(QuorumkitError) as failure:
                    one.start()
                    await one.locked()
                assert name.rpartition("/")[2] in failure.value.message
                assert failure.value.hint
            file.write_bytes(whole) if whole else file.unlink()
        (one.directory / "data/geth/nodekey").unlink()
        with pytest.raises(QuorumkitError, match="nodekey is missing"):
            one.start()
            await one.locked()

    play(scene)


def test_secrets_are_in_no_log_and_in_no_message(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        await form(stage)
        one = stage.participants[0]
        told = "\n".join([*one.log, str(one.record), one.genesis.decode()])
        for secret in (one.directory / "data/geth/nodekey", one.directory / "password", stage.secret):
            assert secret.read_text().strip() not in told
        for file in (one.directory / "exchange").iterdir():
            text = file.read_text()
            assert (one.directory / "data/geth/nodekey").read_text().strip() not in text
            assert (one.directory / "password").read_text().strip() not in text

    play(scene)


def test_a_first_start_that_was_killed_while_making_keys_is_made_anew(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        one = stage.participants[0]
        (one.directory / "data/keystore").mkdir(parents=True)
        (one.directory / "password").write_text("half")
        (one.directory / "data/keystore/UTC--half").write_text("{")
        await form(stage)
        assert len(list((one.directory / "data/keystore").iterdir())) == 1
        with contextlib.suppress(FileNotFoundError):
            assert (one.directory / "password").read_text() != "half"

    play(scene)


def tls_files(ca: Path, name: str, address: str = "127.0.0.1") -> TlsFiles:
    certify(ca, ca, name, address=address)
    return TlsFiles(ca / f"{name}.pem", ca / f"{name}.key", ca / "ca.pem")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
def test_with_tls_a_node_needs_a_certificate_for_its_name_from_the_same_authority(play: Callable[..., None]) -> None:
    async def scene(stage: Field) -> None:
        ours, theirs = authority(stage.folder / "ours"), authority(stage.folder / "theirs")
        one, two, three = stage.participants
        for each in (one, two):
            each.settings = replace(each.settings, tls=tls_files(ours, each.directory.name))
        wrong = tls_files(ours, "elsewhere", "127.0.0.99")
        three.settings = replace(three.settings, tls=wrong)
        for each in stage.participants:
            each.start()
        await until(lambda: "node3 (certificate not accepted" in one.waits_for, one.waits_for)
        await three.die()
        three.settings = replace(three.settings, tls=replace(tls_files(theirs, "node3"), authority=ours / "ca.pem"))
        three.start()
        await asyncio.sleep(1)
        assert not one.exchange.locked.is_set()  # type: ignore[union-attr]
        await three.die()
        three.settings = replace(three.settings, tls=None)
        three.start()
        await asyncio.sleep(1)
        assert not one.exchange.locked.is_set()  # type: ignore[union-attr]
        await three.die()
        three.settings = replace(three.settings, tls=tls_files(ours, "node3"))
        three.start()
        await asyncio.gather(*(each.locked() for each in stage.participants))

    play(scene)


def quorum_of(total: int = 3, consensus: str = "qbft") -> NetworkSpec:
    engine, nodes = {"kind": "goquorum"}, {"validators": total}
    return parse_spec({"name": "bank", "nodes": nodes, "engine": engine, "consensus": {"kind": consensus}})


def test_transaction_managers_learn_of_each_other_and_of_who_comes_later(
    tmp_path: Path, free_ports: Callable[[int], list[int]]
) -> None:
    stage = Field(tmp_path, free_ports)
    participants = [stage.participant(ordinal, quorum_of()) for ordinal in (1, 2, 3)]
    late = stage.participant(4, quorum_of())

    def listed(one: Participant) -> dict[str, str]:
        conf = tomllib.loads((one.directory / "tm/tm.conf").read_text())
        return dict(zip(conf["othernodes"], conf["otherkeys"], strict=True))

    def key_of(one: Participant) -> str:
        return (one.directory / "tm/tm.pub").read_text().strip()

    async def scene() -> None:
        for one in participants:
            one.start()
        for one in participants:
            await one.locked()
        everyone = {f"http://127.0.0.1:{33000 + n}/": key_of(one) for n, one in enumerate(participants, start=1)}
        for n, one in enumerate(participants, start=1):
            own = f"http://127.0.0.1:{33000 + n}/"
            assert listed(one) == {url: key for url, key in everyone.items() if url != own}
            assert one.record.tm == TmRecord(kind="builtin", apart=False)
            assert (one.record.identity.tm_key, f"http://{one.record.endpoints.tm}/") == (key_of(one), own)
        late.start()
        await late.locked()
        assert listed(late) == everyone
        for one in participants:
            await eventually(lambda one=one: key_of(late) in listed(one).values())  # type: ignore[misc]
            allowed = json.loads((one.directory / "data/permissioned-nodes.json").read_bytes())
            assert sum(late.record.identity.enode_key in enode for enode in allowed) == 1
        await asyncio.gather(*(one.die() for one in (*participants, late)))

    asyncio.run(within(scene()))


def test_rafts_members_are_known_by_name_in_one_order(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> None:
    """Their names lead nowhere yet: the client looks them up, again and again."""
    stage = Field(tmp_path, free_ports)
    participants = [stage.participant(ordinal, quorum_of(3, "raft")) for ordinal in (3, 1, 2)]
    for one in participants:
        one.settings = replace(one.settings, host=f"node{one.settings.ordinal}.invalid")
    names = Names(1, tuple(Endpoint(f"node{n}.invalid", stage.ports[n - 1]) for n in (1, 2, 3)))

    async def scene() -> None:
        for one in participants:
            one.start()
        for one in participants:
            await one.locked()
            # Told by name from now on, as in a network that has names.
            await one.die()
            one.settings = replace(one.settings, names=names)
            one.start()
            await one.locked()
        lists = {(one.directory / "data/static-nodes.json").read_text() for one in participants}
        (text,) = lists
        for one in participants:  # only keys count there, and names would be looked up at every connection
            allowed = json.loads((one.directory / "data/permissioned-nodes.json").read_bytes())
            assert {enode.partition("@")[2].partition(":")[0] for enode in allowed} == {"0.0.0.0"}
        places = [enode.partition("@")[2] for enode in json.loads(text)]
        assert places == [f"node{n}.invalid:{30000 + n}?discport=0&raftport={32000 + n}" for n in (1, 2, 3)]
        await asyncio.gather(*(one.die() for one in participants))

    asyncio.run(within(scene()))


def test_a_lost_tm_key_is_told_and_no_other_is_made(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> None:
    stage = Field(tmp_path, free_ports)
    one = stage.participant(1, quorum_of(1))

    async def scene() -> None:
        one.start()
        await one.locked()
        await one.die()
        for name in ("tm.key", "tm.pub"):
            (one.directory / "tm" / name).unlink()
        one.start()
        with pytest.raises(CorruptFileError, match=r"tm/tm\.key: .*missing"):
            await one.locked()

    asyncio.run(within(scene()))


async def within(scene: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        await scene


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - of files that other tasks write
        await asyncio.sleep(0.05)


def test_a_latecomer_whose_client_must_be_taken_in_asks_until_the_leader_does(
    tmp_path: Path, free_ports: Callable[[int], list[int]]
) -> None:
    stage = Field(tmp_path, free_ports)
    participants = [stage.participant(ordinal, quorum_of(3, "raft")) for ordinal in (1, 2, 3)]
    clients = [Client(leads=False, admission="as a voter") for _ in participants]
    late, lates = stage.participant(4, quorum_of(3, "raft")), Client()
    for one, client in zip([*participants, late], [*clients, lates], strict=True):
        one.client = client

    async def scene() -> None:
        for one in participants:
            one.start()
        for one in participants:
            await one.locked()
        late.start()
        await late.locked()
        await eventually(lambda: any(one.said("cannot take in node4", "does not lead") for one in participants))
        assert lates.admission is None
        clients[1].leads = True
        await eventually(lambda: lates.admission is not None)
        assert clients[1].took_in == [str(late.record.node.enode)]
        assert clients[1].may_put_out == set()  # nobody was replaced
        assert late.record.role == "observer"
        await asyncio.gather(*(one.die() for one in (*participants, late)))

    asyncio.run(within(scene()))


async def started(participant: Participant) -> None:
    participant.start()
