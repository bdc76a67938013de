"""The payload store: what it keeps, in which order it answers, and what it refuses to open."""

from __future__ import annotations

import asyncio
import sqlite3
import stat

import pytest

from quorumkit.errors import CorruptFileError, NewerFormatError
from quorumkit.tm import store as store_module
from quorumkit.tm.errors import StoreError
from quorumkit.tm.store import Store
from quorumkit.tm.wire import EncryptedPayload


def payload(number: int) -> EncryptedPayload:
    return EncryptedPayload(b"s" * 32, number.to_bytes(20, "big"), b"n" * 24, (b"b" * 48,), b"r" * 24, (b"k" * 32,))


def run(path, work):
    async def opened():
        store = Store(path)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "payloads.sqlite"


def test_what_was_put_is_there_after_reopening(path):
    async def put(store):
        await asyncio.gather(*(store.put(payload(number)) for number in range(300)))

    async def read(store):
        assert store.get(b"x" * 64) is None
        assert all(store.get(payload(number).hash) == payload(number) for number in range(300))
        assert list(store.all()) == [payload(number) for number in range(300)]

    run(path, put)
    run(path, read)


def test_many_puts_share_a_commit(path):
    async def put(store):
        commits = []
        commit = store._commit

        def counted(statements):
            commits.append(len(statements))
            return commit(statements)

        store._commit = counted
        await asyncio.gather(*(store.put(payload(number)) for number in range(100)))
        return commits

    commits = run(path, put)
    assert sum(commits) == 100
    assert len(commits) <= 3


def test_the_first_of_two_with_one_hash_stays(path):
    async def put(store):
        await store.put(payload(1))
        other = EncryptedPayload(b"x" * 32, payload(1).cipher_text, b"n" * 24, (b"b" * 48,), b"r" * 24)
        await store.put(other)
        return store.get(payload(1).hash)

    assert run(path, put) == payload(1)


def test_a_payload_awaiting_its_parties_is_not_there_yet(path):
    async def work(store):
        await store.put(payload(1), awaits_parties=True)
        assert store.get(payload(1).hash) is None
        assert list(store.all()) == []
        assert store.get_awaiting_parties(payload(1).hash) == payload(1)
        await store.complete(payload(1))
        assert store.get(payload(1).hash) == payload(1)
        assert store.get_awaiting_parties(payload(1).hash) is None

    run(path, work)


def test_recovery_is_remembered_until_forgotten(path):
    async def mark(store):
        assert not store.recovered_from("http://b:1/")
        await store.mark_recovered_from("http://b:1/")
        await store.mark_recovered_from("http://b:1/")

    async def forget(store):
        assert store.recovered_from("http://b:1/")
        await store.forget_recovery()
        assert not store.recovered_from("http://b:1/")

    run(path, mark)
    run(path, forget)


def test_a_failed_commit_fails_every_put_in_it(path):
    async def put(store):
        store._writer.execute("DROP TABLE payload")
        outcomes = await asyncio.gather(*(store.put(payload(number)) for number in range(5)), return_exceptions=True)
        assert all(isinstance(outcome, StoreError) for outcome in outcomes)
        with pytest.raises(StoreError):
            store.get(payload(1).hash)

    run(path, put)


def test_a_put_whose_caller_went_away_is_kept_and_harms_no_other(path):
    async def put(store):
        gone = asyncio.create_task(store.put(payload(1)))
        stays = asyncio.create_task(store.put(payload(2)))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        return store.get(payload(1).hash), store.get(payload(2).hash)

    assert run(path, put) == (payload(1), payload(2))


def test_the_files_are_private(path):
    async def put(store):
        await store.put(payload(1))
        return {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}

    modes = run(path, put)
    assert "payloads.sqlite-wal" in modes
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_every_commit_is_synced(path):
    async def ask(store):
        synchronous = store._writer.execute("PRAGMA synchronous").fetchone()[0]
        return synchronous, store._writer.execute("PRAGMA journal_mode").fetchone()[0]

    assert run(path, ask) == (2, "wal")


def test_another_programs_database_is_refused(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE payload (key TEXT PRIMARY KEY, bytes BLOB)")
    with pytest.raises(CorruptFileError, match="another program's database"):
        Store(path)


def test_a_store_of_a_newer_version_is_refused(path, monkeypatch):
    async def nothing(_):
        pass

    run(path, nothing)
    monkeypatch.setattr(store_module, "_FORMAT", 0)
    with pytest.raises(NewerFormatError):
        Store(path)


def test_what_is_no_database_is_refused(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(path)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "file" / "payloads.sqlite")
