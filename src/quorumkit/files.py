"""Files written so that a crash leaves the old content or the new, never a mixture, and secrets stay private."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from quorumkit.errors import CorruptFileError

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644
PRIVATE_DIRECTORY_MODE = 0o700
PARTIAL = ".partial"
"""How the names of files and directories end that are being made."""

_SYNCS_AT_ONCE = 16


def write_atomic(path: Path, content: bytes, *, mode: int = PUBLIC_MODE, durable: bool = True) -> None:
    """Replaces `path` by `content` in one step.

    The bytes are on the disk before the name points at them, unless `durable` is off (for what can be rendered again).
    The temporary file is created with mode 0600, so a secret is never readable in between. A process killed meanwhile
    leaves it behind as `.NAME.*.partial`; `remove_leftovers` clears those.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def write_new(path: Path, content: bytes, *, mode: int = PUBLIC_MODE) -> None:
    """Writes a file in a directory that nobody knows yet, such as a staged one; `sync_trees` puts it on the disk.

    Raises:
        FileExistsError: there is one of that name.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)


def write_if_changed(
    path: Path,
    content: bytes,
    *,
    mode: int = PUBLIC_MODE,
    keep: Callable[[bytes, bytes], bytes] | None = None,
) -> bool:
    """Writes what can be rendered again, only where it differs. Returns whether it wrote.

    `keep` makes of what is there, and of `content`, what is to be there. Raises what that raises.
    """
    try:
        present = path.read_bytes()
    except FileNotFoundError:
        pass
    else:
        content = keep(present, content) if keep else content
        if present == content:
            return False
    write_atomic(path, content, mode=mode, durable=False)
    return True


def private_directory(path: Path) -> Path:
    """Makes `path` (and its parents) a directory that only its owner can enter."""
    path.mkdir(mode=PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)
    return path


def read_json(path: Path, *, what: str, hint: str | None = None) -> Any:
    """The JSON value in `path`; a CorruptFileError names the file and what it was to be."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptFileError(f"{path}: not a valid {what} ({error})", hint=hint) from error


def sha256_of(path: Path) -> str:
    """A file's digest, in hex."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(value: Any) -> bytes:
    """JSON for people and for diffs: indented, keys in the order given, a newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


@contextlib.contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """A private directory beside `target` that becomes `target` in one step when the block ends well.

    A process killed inside the block leaves a hidden `.NAME.*.partial` directory, never a half-made `target`;
    `remove_leftovers` clears those.
    """
    stage = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=PARTIAL))
    try:
        yield stage
        stage.rename(target)
    except BaseException:
        remove_tree(stage)
        raise


def sync_trees(roots: Iterable[Path]) -> None:
    """Returns when the content of every file below `roots` is on the disk. All are asked for at once, so that the disk
    can write them together: one at a time, each would wait for a write of its own."""
    files = [Path(folder) / name for root in roots for folder, _, names in os.walk(root) for name in names]
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        for _ in pool.map(_sync, files):
            pass


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(parent: Path) -> None:
    """Removes what writers and stagings that were killed left in `parent`. None may be under way there."""
    for leftover in parent.glob(f".*{PARTIAL}"):
        if leftover.is_dir():
            remove_tree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Removes a directory and all in it; one that is not there is fine."""
    import shutil

    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
