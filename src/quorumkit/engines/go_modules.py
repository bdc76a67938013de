"""The Go modules that a binary was built from, as the Go linker wrote them into it. Pure, and without a Go toolchain.

Format: the comments in Go's debug/buildinfo/buildinfo.go and runtime/debug/mod.go (ParseBuildInfo), Go 1.18 and later.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

_MAGIC = b"\xff Go buildinf:"
_ALIGNED = 16
_HEADER = 32
_INLINE = 2
"""A flag: the strings follow the header, as since Go 1.18."""
_SENTINEL = 16
"""Bytes around the module text, by which the runtime finds it."""
_LONGEST = 1 << 20


@dataclass(frozen=True)
class GoModule:
    """One module, as it was compiled."""

    path: str
    version: str
    """With its `v`; `(devel)` where it was built from a directory."""


def go_modules(binary: Path) -> list[GoModule]:
    """Every module in a binary, its main one first, and Go's own library as `stdlib`; none where it is no Go binary, or
    of a Go before 1.18."""
    if binary.stat().st_size == 0:
        return []
    with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(_MAGIC)
        while place >= 0:
            if found := _read(content, place):
                return found
            place = content.find(_MAGIC, place + 1)
    return []


def _read(content: mmap.mmap, place: int) -> list[GoModule]:
    if place % _ALIGNED or place + _HEADER > len(content) or not content[place + len(_MAGIC) + 1] & _INLINE:
        return []
    version, after = _text(content, place + _HEADER)
    modules, _ = _text(content, after)
    if not version.startswith(b"go") or len(modules) < 2 * _SENTINEL:
        return []
    text = modules[_SENTINEL:-_SENTINEL].decode("utf-8", "replace")
    library = GoModule("stdlib", version.decode("ascii", "replace").removeprefix("go").split(" ")[0])
    found = parse_modules(text)
    return [*found[:1], library, *found[1:]]


def _text(content: mmap.mmap, place: int) -> tuple[bytes, int]:
    """A string after its length (a varint), and where it ends."""
    length, shift = 0, 0
    while place < len(content) and shift < 63:
        byte = content[place]
        place, length, shift = place + 1, length | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            break
    if length > _LONGEST or place + length > len(content):
        return b"", place
    return content[place : place + length], place + length


def parse_modules(text: str) -> list[GoModule]:
    """The modules in such a text; what a module was replaced by is in its place."""
    found: list[GoModule] = []
    for line in text.splitlines():
        kind, *fields = line.split("\t")
        if kind in ("mod", "dep") and len(fields) >= 2:
            found.append(GoModule(fields[0], fields[1]))
        elif kind == "=>" and len(fields) >= 2 and found:
            found[-1] = GoModule(fields[0], fields[1])
    return found
