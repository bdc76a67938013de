"""Payloads on disk: what has been acknowledged survives a crash of the process and of the machine.

One SQLite file (write-ahead log, synchronous = FULL). Payloads stay encrypted as they came. A single thread writes;
what arrives while it waits for the disk goes into the next transaction together, so many requests share one sync.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from quorumkit.errors import CorruptFileError, NewerFormatError
from quorumkit.files import SECRET_MODE, private_directory
from quorumkit.tm.errors import PayloadNotFoundError, StoreError
from quorumkit.tm.wire import EncryptedPayload, decode_payload, encode_payload

_APPLICATION_ID = 0x514B544D  # "QKTM"
_FORMAT = 1
_PAGE = 100
"""Payloads read at once when all are gone through."""

_SCHEMA = f"""
BEGIN;
CREATE TABLE payload (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    awaits_parties INTEGER NOT NULL, -- 1: stored for a transaction yet to be signed, no party has it
    encoded BLOB NOT NULL
);
CREATE TABLE recovered (url TEXT PRIMARY KEY) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""

_Statement = tuple[str, tuple[object, ...]]


class Store:
    """The payload store. Its methods are called from one event loop."""

    def __init__(self, path: Path) -> None:
        """Opens the store, making it where there is none.

        Raises CorruptFileError (another program's file), NewerFormatError, StoreError.
        """
        self._path = path
        try:
            private_directory(path.parent)
            # SQLite gives the log files the mode of the database, so all are private from the first byte.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, SECRET_MODE))
            self._writer = _connect(path)
            _prepare(self._writer, path)
            self._reader = _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path}: the payload store cannot be opened: {error}") from error
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tm-store")
        self._waiting: list[tuple[_Statement, asyncio.Future[None]]] = []
        self._flush: asyncio.Task[None] | None = None

    async def put(self, payload: EncryptedPayload, *, awaits_parties: bool = False) -> None:
        """Returns when the payload is on the disk. One that is there already stays as it is. Raises StoreError."""
        await self._write(
            "INSERT OR IGNORE INTO payload (hash, awaits_parties, encoded) VALUES (?, ?, ?)",
            (payload.hash, int(awaits_parties), encode_payload(payload)),
        )

    async def complete(self, payload: EncryptedPayload) -> None:
        """Replaces a payload that awaited its parties by the one they have been sent. Raises StoreError."""
        await self._write(
            "UPDATE payload SET awaits_parties = 0, encoded = ? WHERE hash = ?",
            (encode_payload(payload), payload.hash),
        )

    def get(self, payload_hash: bytes) -> EncryptedPayload | None:
        """The payload with this hash, None if it is not here or awaits its parties. Raises StoreError."""
        return self._get(payload_hash, awaits_parties=False)

    def require(self, payload_hash: bytes) -> EncryptedPayload:
        """The same. Raises PayloadNotFoundError where `get` gives None, StoreError."""
        stored = self.get(payload_hash)
        if stored is None:
            raise PayloadNotFoundError("no such payload")
        return stored

    def get_awaiting_parties(self, payload_hash: bytes) -> EncryptedPayload | None:
        """The payload with this hash if it awaits its parties. Raises StoreError."""
        return self._get(payload_hash, awaits_parties=True)

    def all(self) -> Iterator[EncryptedPayload]:
        """Every payload that has its parties, oldest first, a few in memory at a time. Raises StoreError."""
        last = 0
        while rows := self._select(
            "SELECT id, encoded FROM payload WHERE id > ? AND awaits_parties = 0 ORDER BY id LIMIT ?", (last, _PAGE)
        ):
            for last, encoded in rows:  # noqa: B007  the next page starts after the last one
                yield decode_payload(encoded)

    def recovered_from(self, url: str) -> bool:
        """Whether the transaction manager at `url` has resent, to this store, what it had for this node."""
        return bool(self._select("SELECT 1 FROM recovered WHERE url = ?", (url,)))

    async def mark_recovered_from(self, url: str) -> None:
        """Raises StoreError."""
        await self._write("INSERT OR IGNORE INTO recovered (url) VALUES (?)", (url,))

    async def forget_recovery(self) -> None:
        """All other transaction managers are to be asked again. Raises StoreError."""
        await self._write("DELETE FROM recovered", ())

    async def close(self) -> None:
        """Waits for what is being written."""
        if self._flush is not None:
            await self._flush
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()

    def _get(self, payload_hash: bytes, *, awaits_parties: bool) -> EncryptedPayload | None:
        rows = self._select(
            "SELECT encoded FROM payload WHERE hash = ? AND awaits_parties = ?", (payload_hash, int(awaits_parties))
        )
        return decode_payload(rows[0][0]) if rows else None

    def _select(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        # A read by key takes microseconds and does not wait for the writer, so the event loop can do it itself.
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: cannot be read: {error}") from error

    async def _write(self, sql: str, values: tuple[object, ...]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((sql, values), done))
        if self._flush is None:
            self._flush = asyncio.create_task(self._flush_all())
        await done

    async def _flush_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            statements = [statement for statement, _ in batch]
            failure = await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, statements)
            for _, done in batch:
                if done.done():  # whoever asked has gone
                    continue
                if failure is None:
                    done.set_result(None)
                else:
                    done.set_exception(failure)
        self._flush = None

    def _commit(self, statements: Sequence[_Statement]) -> StoreError | None:
        try:
            with self._writer:
                for sql, values in statements:
                    self._writer.execute(sql, values)
        except sqlite3.Error as error:
            return StoreError(f"{self._path}: cannot be written: {error}")
        return None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -1024")  # KiB
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    def pragma(name: str) -> int:
        return int(connection.execute(f"PRAGMA {name}").fetchone()[0])

    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if empty:
        connection.executescript(_SCHEMA)
    elif pragma("application_id") != _APPLICATION_ID:
        raise CorruptFileError(
            f"{path}: another program's database, not a payload store of this transaction manager",
            hint="name a new file in tm.conf: storage; the other parties resend what this node is a party to",
        )
    elif pragma("user_version") > _FORMAT:
        raise NewerFormatError(f"{path}: written by a newer version of Quorumkit")
