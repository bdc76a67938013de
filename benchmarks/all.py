"""Runs every benchmark, one after the other, and prints the rows that README.md has of them.

    make bench                                  # as often as a figure wants it: leave the machine alone meanwhile
    .venv/bin/python benchmarks/all.py --quick  # one small round of each: do they still run?

A benchmark that lacks something here says so in one line. Exits with 1 where one failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from measuring import SKIPPED

HERE = Path(__file__).resolve().parent
NOT_RUN = {"all.py", "measuring.py", "stale.py"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the smallest size of each")
    parser.add_argument("names", nargs="*", help="only these, such as `up`")
    arguments = parser.parse_args()
    known = sorted(path.stem for path in HERE.glob("*.py") if path.name not in NOT_RUN)
    if unknown := set(arguments.names) - set(known):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    failed = []
    for name in arguments.names or known:
        print(f"## {name}", flush=True)
        began = time.monotonic()
        command = [sys.executable, str(HERE / f"{name}.py"), *(["--quick"] if arguments.quick else [])]
        # What it prints is shown as it comes; a row can take minutes.
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        took = f"{name}: {time.monotonic() - began:.0f} s"
        if process.returncode != 0:
            failed.append(name)
            print(f"\n{took}, failed with exit code {process.returncode}\n", flush=True)
        elif any(line.startswith(SKIPPED) for line in lines):
            print(f"{took}, not run\n", flush=True)
        else:
            print(f"\n{took}\n", flush=True)
    if failed:
        sys.exit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
