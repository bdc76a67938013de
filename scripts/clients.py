"""Builds every client that is built, so that nothing that runs one later has to wait for it. Safe to repeat; quick when
done.

    .venv/bin/python scripts/clients.py
"""

from __future__ import annotations

import sys
import time

from quorumkit.engines import acquirer_of, recipes
from quorumkit.errors import EngineError
from quorumkit.progress import silent


def main() -> int:
    for recipe in recipes():
        if recipe.comes_in_image:
            continue
        began = time.monotonic()
        try:
            binary = acquirer_of(recipe.kind, recipe.consensus[0]).acquire(recipe.default_version, progress=silent)
        except EngineError as error:
            print(f"error: {error.message}\n{error.hint}", file=sys.stderr)
            return 1
        programs = [f"{recipe.kind} {binary.version}", *(f"{n} {each.version}" for n, each in binary.beside.items())]
        print(f"{' and '.join(programs)}: {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
