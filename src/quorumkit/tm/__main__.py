"""`python -m quorumkit.tm tm.conf`: the transaction manager with nothing else of Quorumkit in its memory."""

from __future__ import annotations

import sys
from pathlib import Path

from quorumkit.errors import QuorumkitError, UsageError
from quorumkit.tm.config import read_config
from quorumkit.tm.server import run


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    recover = "--recover" in arguments
    paths = [argument for argument in arguments if argument != "--recover"]
    try:
        if len(paths) != 1:
            raise UsageError("usage: python -m quorumkit.tm [--recover] TM.CONF")
        run(read_config(Path(paths[0])), recover=recover)
    except QuorumkitError as error:
        print(f"Error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"Hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
