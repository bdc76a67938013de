"""Makes a picture of a terminal from what a terminal showed.

tmux capture-pane -e -p > shown.ansi
.venv/bin/python scripts/picture.py shown.ansi docs/images/up.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

_FONTS = re.compile(r"\s*@font-face \{.*?\n    \}", re.DOTALL)
"""A viewer's own monospaced font is used; nothing is fetched from elsewhere."""


def main() -> None:
    shown, picture = map(Path, sys.argv[1:])
    text = Text.from_ansi(shown.read_text(encoding="utf-8").rstrip())
    width = max(line.cell_len for line in text.split())
    console = Console(record=True, width=width + 1, file=io.StringIO())
    console.print(text, soft_wrap=True)
    picture.write_text(_FONTS.sub("", console.export_svg(title="quorumkit")), encoding="utf-8")


if __name__ == "__main__":
    main()
