"""Checks that what is about to be released agrees with itself, and that it installs and runs.

    .venv/bin/python scripts/release.py                # before the tag is set
    .venv/bin/python scripts/release.py --tag v0.1.0   # for the tag that was set

The version of the package, of the chart and of the changelog, the tag, and the client in the chart's appVersion must
agree, and nothing may be left under *Unreleased*. A wheel and a source distribution are made in `dist/`, and each is
installed into a clean environment, where it makes a network. Nothing is published. Needs a package index.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from ruamel.yaml import YAML

from quorumkit import __version__
from quorumkit.engines import recipe_of

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"

_HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>.*))?$", re.MULTILINE)


def disagreements(
    version: str,
    *,
    chart_version: str,
    app_version: str,
    changelog: str,
    tags: Sequence[str],
    client: str = recipe_of("geth").default_version,
) -> list[str]:
    """What does not agree, one line each. `tags` are those of the commit; none is no disagreement."""
    found = []
    if chart_version != version:
        found.append(f"charts/quorumkit/Chart.yaml: version is {chart_version}, the package's is {version}")
    if app_version != (expected := f"{version}-geth{client}"):
        found.append(f"charts/quorumkit/Chart.yaml: appVersion is {app_version}, and should be {expected}")
    found += _of_changelog(version, changelog)
    wrong = [tag for tag in tags if tag.startswith("v") and tag != f"v{version}"]
    found += [f"the tag {tag} is not v{version}" for tag in wrong]
    return found


def _of_changelog(version: str, text: str) -> list[str]:
    headings = list(_HEADING.finditer(text))
    sections = {
        heading["version"]: text[heading.end() : after.start() if after else None]
        for heading, after in zip(headings, [*headings[1:], None], strict=True)
    }
    dates = {heading["version"]: heading["date"] for heading in headings}
    found = []
    if re.search(r"^- ", sections.get("Unreleased", ""), re.MULTILINE):
        found.append("CHANGELOG.md: there are entries under Unreleased")
    if version not in sections:
        return [*found, f"CHANGELOG.md: there is no section [{version}]"]
    if not re.search(r"^- ", sections[version], re.MULTILINE):
        found.append(f"CHANGELOG.md: the section [{version}] is empty")
    try:
        date.fromisoformat(dates[version] or "")
    except ValueError:
        found.append(f"CHANGELOG.md: the section [{version}] has no date, as in `## [{version}] - 2025-01-31`")
    return found


def build(folder: Path) -> tuple[Path, Path]:
    """A wheel and a source distribution of this checkout.

    Raises:
        subprocess.CalledProcessError: it cannot be built.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder.absolute())]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=600)
    (wheel,), (source,) = folder.glob(f"*-{__version__}-*.whl"), folder.glob(f"*-{__version__}.tar.gz")
    return wheel, source


def wheel_of(source: Path, folder: Path) -> Path:
    """The wheel that a source distribution gives.

    Raises:
        subprocess.CalledProcessError: it cannot be built.
    """
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, source], check=True, timeout=600)
    (wheel,) = folder.glob("*.whl")
    return wheel


def contents(wheel: Path) -> dict[str, int]:
    """Its files with their checksums, without those that pip wrote about it."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.CRC for entry in archive.infolist() if ".dist-info/" not in entry.filename}


def check_installed(package: Path, folder: Path) -> None:
    """Installs a wheel or a source distribution into a clean environment below `folder`, and uses it there.

    Raises:
        subprocess.CalledProcessError: a command failed; what it said is in `stderr`.
        RuntimeError: a command said something else than it should.
    """
    _run([sys.executable, "-m", "venv", str(folder / "venv")], folder)
    bin_ = folder / "venv/bin"
    _run([str(bin_ / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(package)], folder)
    program = str(bin_ / "quorumkit")
    script = "from quorumkit.contracts import console_script, storage_contract as s; print(s().bytecode[:2])"
    for command, part in (
        ([program, "--version"], f"quorumkit {__version__}"),
        ([program, "init", "-n", "2", "--observers", "1", "bank"], "node3  observer"),
        ([program, "doctor", "--json"], '"ok"'),
        ([str(bin_ / "python"), "-P", "-c", script], "0x"),
    ):
        said = _run(command, folder)
        if part not in said:
            raise RuntimeError(f"{' '.join(command)}: no {part!r} in what it said:\n{said}")


def _run(command: Sequence[str], folder: Path) -> str:
    """Away from the source, and with nothing that could lead there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=folder, env=environment, timeout=600
    )  # fmt: skip
    return done.stdout


def _tags() -> list[str]:
    done = subprocess.run(["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", help="the tag that is to be of this version; those of the commit are looked at anyway")
    arguments = parser.parse_args()
    chart = YAML(typ="safe", pure=True).load((ROOT / "charts/quorumkit/Chart.yaml").read_text(encoding="utf-8"))
    found = disagreements(
        __version__,
        chart_version=str(chart["version"]),
        app_version=str(chart["appVersion"]),
        changelog=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        tags=[*_tags(), *([arguments.tag] if arguments.tag else [])],
    )
    if found:
        sys.exit("\n".join(f"error: {line}" for line in found))
    print(f"{__version__}: package, chart, changelog and tag agree", flush=True)
    for old in DIST.glob(f"quorumkit-{__version__}*"):
        old.unlink()
    try:
        for package in build(DIST):
            with tempfile.TemporaryDirectory(prefix="qk") as folder:
                check_installed(package, Path(folder))
            print(f"{package.relative_to(ROOT)} installs and runs", flush=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"error: {' '.join(map(str, error.cmd))}: exit code {error.returncode}\n{error.stderr or ''}")
    except RuntimeError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
