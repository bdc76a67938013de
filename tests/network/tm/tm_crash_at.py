"""Runs a transaction manager that is killed, as by `kill -9`, at one step of its work.

    python tm_crash_at.py STEP tm.conf

STEP is one of:
    sender-before-push     the payload is sealed, nobody has it
    sender-after-push      the parties have it, the sender has not
    before-commit          the payload is about to be written
    after-commit           it is written, nobody has been told
    sender-before-answer   all have it, GoQuorum has not been told
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from quorumkit.tm.config import read_config
from quorumkit.tm.manager import TransactionManager
from quorumkit.tm.server import run
from quorumkit.tm.store import Store

PAYLOAD_WRITE = "INTO payload"


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str) -> None:
    push, send, commit = TransactionManager._push, TransactionManager.send, Store._commit

    async def push_then_die(self, sealed):
        await push(self, sealed)
        die()

    async def send_then_die(self, *arguments):
        await send(self, *arguments)
        die()

    def writes_payload(statements) -> bool:
        return any(PAYLOAD_WRITE in sql for sql, _ in statements)

    def commit_or_die(self, statements):
        if step == "before-commit" and writes_payload(statements):
            die()
        failure = commit(self, statements)
        if step == "after-commit" and writes_payload(statements):
            die()
        return failure

    if step == "sender-before-push":
        TransactionManager._push = die  # type: ignore[method-assign, assignment]
    elif step == "sender-after-push":
        TransactionManager._push = push_then_die  # type: ignore[method-assign]
    elif step == "sender-before-answer":
        TransactionManager.send = send_then_die  # type: ignore[method-assign]
    elif step in ("before-commit", "after-commit"):
        Store._commit = commit_or_die  # type: ignore[method-assign]
    else:
        raise SystemExit(f"no such step: {step}")


if __name__ == "__main__":
    arm(sys.argv[1])
    run(read_config(Path(sys.argv[2])))
