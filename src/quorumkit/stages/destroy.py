"""Removing a network for good, with its keys and its chain: `quorumkit destroy`.

Parts of a network's directory may be links to other disks. What stands there holds keys too, and is removed only where
a person agreed to that; else it is named, so that nobody takes the keys for gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quorumkit.directory import NetworkDirectory
from quorumkit.files import remove_tree
from quorumkit.progress import Progress
from quorumkit.providers import Provider
from quorumkit.providers.join_secret import JOIN_SECRET


@dataclass(frozen=True)
class LinkedPlace:
    """Something of the network that lies outside its directory."""

    link: Path
    """In the directory, or in another linked place."""
    target: Path
    """Where it leads; resolved."""


def linked_places(directory: NetworkDirectory) -> list[LinkedPlace]:
    """Where links among the nodes' files and the join secret lead out of the directory. Links in what they lead to are
    followed too; what holds a link stands before what that leads to."""
    home = directory.path.resolve()
    places: list[LinkedPlace] = []
    left = [directory.nodes, directory.path / JOIN_SECRET]
    while left:
        for link in _links_below(left.pop(0)):
            target = link.resolve()
            found = any(target.is_relative_to(place.target) for place in places)
            # What holds the network's own directory is not a part of it.
            if not target.exists() or found or target.is_relative_to(home) or home.is_relative_to(target):
                continue
            places.append(LinkedPlace(link, target))
            left.append(target)
    return places


async def destroy_network(
    directory: NetworkDirectory, provider: Provider, progress: Progress, *, linked: Sequence[LinkedPlace] = ()
) -> list[LinkedPlace]:
    """Stops it, and removes what it has: with the provider, and its directory. `linked` are the linked places that are
    to go too; returns those that are left.

    Interrupted anywhere, the next call goes on: the spec goes last.

    Raises:
        QuorumkitError: it cannot be stopped, or what the provider keeps of it cannot be removed.
        OSError: a file cannot be removed.
    """
    await provider.stop(progress)
    await provider.discard(progress)
    progress("removing files")
    left = [place for place in linked_places(directory) if place not in linked]
    for place in reversed(linked):  # a link in one of them leads to the next
        _remove(place.target)
    home = directory.path.resolve()
    for path in sorted(home.iterdir(), key=lambda path: path.name == directory.spec.name):
        _remove(path)
    remove_tree(home)
    if directory.path.is_symlink():
        directory.path.unlink()
    return [place for place in left if place.target.exists()]


def _links_below(path: Path) -> Iterator[Path]:
    """The links at that path and below it, none of them followed."""
    if path.is_symlink():
        yield path
        return
    for folder, folders, files in os.walk(path):
        yield from (Path(folder) / name for name in sorted([*folders, *files]) if (Path(folder) / name).is_symlink())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
