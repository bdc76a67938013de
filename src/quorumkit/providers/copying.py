"""Copying a file out of a node's directory, on this machine or by a command that reads it where it lies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from quorumkit.errors import NodeError, RuntimeUnavailableError, UsageError
from quorumkit.files import PARTIAL

_CHUNK = 1 << 20


def checked(name: str) -> PurePosixPath:
    """A path below a node's directory.

    Raises:
        UsageError: it leads out of it.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UsageError(f"{name!r} is no file of a node's directory", hint="for example node.json")
    return path


def copy_local(directory: Path, name: str, to: Path) -> None:
    """From a directory of this machine. No link is followed: what writes there may be a container, and what its link
    points at would be read with the rights of whoever copies.

    Raises:
        NodeError: there is no such file.
        OSError: it cannot be read, or `to` not be written.
    """
    path = checked(name)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Not blocking, should it be a pipe with nobody at its other end.
        source = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise NodeError(f"{directory / path}: {error.strerror}") from None
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(source).st_mode):
        os.close(source)
        raise NodeError(f"{directory / path}: not a file")
    with os.fdopen(source, "rb") as reader, _written(to) as writer:
        while data := reader.read(_CHUNK):
            writer.write(data)


def reading(name: str, *, directory: str = "/node") -> list[str]:
    """The command that writes a file's size in a line and then its content, to be run beside a node; for `copy_by`. Of
    one that grows meanwhile, what it was at first."""
    script = 'size=$(busybox stat -L -c %s "$0") && echo "$size" && busybox head -c "$size" "$0"'
    return ["sh", "-c", script, f"{directory}/{checked(name)}"]


async def copy_by(command: Sequence[str], to: Path, *, what: str, directory: Path | None = None) -> None:
    """The output of a command that runs `reading`, into `to`.

    Raises:
        NodeError: there is no such file, or it did not come whole.
        RuntimeUnavailableError: the command is missing.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, cwd=directory,
        )  # fmt: skip
    except OSError:
        raise RuntimeUnavailableError(f"{command[0]} is not on PATH") from None
    assert process.stdout is not None and process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    try:
        size = (await process.stdout.readline()).strip()
        with _written(to) as writer:
            count = 0
            while data := await process.stdout.read(_CHUNK):
                count += len(data)
                await asyncio.to_thread(writer.write, data)
            await process.wait()
            if process.returncode != 0 or not size.isdigit():
                lines = [
                    line
                    for line in (await errors).decode("utf-8", "replace").strip().splitlines()
                    if not line.startswith("command terminated with")  # kubectl's, after the command's own
                ]
                raise NodeError(f"{what}: cannot be copied: {lines[-1] if lines else 'no reason given'}")
            if count != int(size):
                raise NodeError(f"{what}: cut off after {count} of {int(size)} bytes")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        await asyncio.gather(errors, return_exceptions=True)


@contextlib.contextmanager
def _written(to: Path) -> Iterator[IO[bytes]]:
    """A file that only its owner reads, and that has its name once it is whole."""
    descriptor, temporary = tempfile.mkstemp(dir=to.parent, prefix=f".{to.name}.", suffix=PARTIAL)
    try:
        with os.fdopen(descriptor, "wb") as writer:
            yield writer
            writer.flush()
            os.fsync(writer.fileno())
        Path(temporary).replace(to)
    finally:
        Path(temporary).unlink(missing_ok=True)
