"""One command at a time writes a network directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, NotANetworkError
from quorumkit.files import PARTIAL, private_directory

_LOCK_PATIENCE = 30.0  # seconds


@contextmanager
def locked(directory: NetworkDirectory) -> Iterator[None]:
    """Keeps two commands from writing one network directory at once.

    Raises:
        NotANetworkError: the directory holds something else.
        NodeError: another command kept it for 30 s.
    """
    from filelock import FileLock, Timeout

    path = directory.path
    if path.exists() and not directory.exists():
        if not path.is_dir():
            raise NotANetworkError(f"{path}: not a directory", hint="name another one")
        ours = {directory.state.name, directory.nodes.name}
        foreign = sorted(
            entry.name for entry in path.iterdir() if entry.name not in ours and not entry.name.endswith(PARTIAL)
        )
        # Looked at again: another command may have made it a network in between, and the spec comes first.
        if foreign and not directory.exists():
            raise NotANetworkError(
                f"{path}: not a network, and not empty ({', '.join(foreign[:3])}{' …' if len(foreign) > 3 else ''})",
                hint="name a new or an empty directory",
            )
    path.mkdir(parents=True, exist_ok=True)
    private_directory(directory.state)
    try:
        with FileLock(directory.state / "directory.lock", timeout=_LOCK_PATIENCE):
            yield
    except Timeout:
        raise NodeError(f"{path}: another quorumkit command is writing it", hint="wait for it, or end it") from None
