"""No file and no output of a command is read in the encoding of whoever happens to start the program."""

from __future__ import annotations

import re
from pathlib import Path

import quorumkit

BY_LOCALE = re.compile(r"\b(text|universal_newlines)=True")
"""Of files, ruff finds it (PLW1514)."""


def test_everything_says_its_encoding() -> None:
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in Path(quorumkit.__file__).parent.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if BY_LOCALE.search(line)
    ]
    assert found == []
