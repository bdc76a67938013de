"""Runs inside the image build: gathers the files of the final image, and nothing that they don't need.

    python3 assemble.py CONTEXT TARGET

Takes Python's interpreter and library, the Python packages, the client and the programs beside it, busybox,
certificates, and the shared libraries that any of these is linked to. All files get one fixed time and one order, so
that the same input gives the same layer.
"""

from __future__ import annotations

import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
STDLIB = Path(f"/usr/lib/python{VERSION}")
SITE = Path(f"/usr/local/lib/python{VERSION}/dist-packages")
# Parts of the library that no server needs; `pip` and tests of the packages likewise.
NOT_OF_STDLIB = {"__pycache__", "curses", "dbm", "distutils", "doctest.py", "ensurepip", "idlelib", "lib2to3",
                 "pydoc_data", "test", "tkinter", "turtle.py", "turtledemo", "unittest", "venv",
                 "xmlrpc"}  # fmt: skip
NOT_LINKED = re.compile(r"(_(ctypes_test|curses.*|dbm|gdbm|test.*|tkinter|xx.*)|nis|readline)\.cpython-")
# Math, PublicKey and Signature are pycryptodome's: of that, a node needs a cipher and a hash.
NOT_OF_SITE = {"Math", "PublicKey", "SelfTest", "Signature", "__pycache__", "bin", "test", "tests"}
NOT_SUFFIXES = {".a", ".c", ".h", ".pxd", ".pyi", ".pyx"}
COMMANDS = """
    cat cp df du env find grep head hostname id ip kill less ls mkdir mv nc netstat nslookup ping ps pwd rm sed sh sleep
    sort stat tail top touch vi wc wget which
""".split()  # noqa: SIM905
USER = 10001
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def main(context: Path, target: Path) -> None:
    for folder in ("etc/ssl/certs", "node", "proc", "sys", "dev", "tmp", "usr/bin", "usr/local/bin", "usr/share/sbom"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for link, aim in (("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/bin")):
        (target / aim).mkdir(parents=True, exist_ok=True)
        (target / link).symlink_to(aim)
    python(context, target)
    commands(context, target)
    settings(target)
    libraries(target)
    bill_of_materials(context, target)
    compile_python(target)
    settle(target)


def python(context: Path, target: Path) -> None:
    copy(Path(f"/usr/bin/python{VERSION}"), target)
    (target / "usr/bin/python3").symlink_to(f"python{VERSION}")
    tree(STDLIB, target / STDLIB.relative_to("/"), NOT_OF_STDLIB | {path.name for path in STDLIB.glob("config-*")})
    site = target / SITE.relative_to("/")
    tree(context / "site", site, NOT_OF_SITE)
    # Wheels come with symbols, which are most of some of them.
    subprocess.run(["strip", "--strip-unneeded", *map(str, sorted(site.rglob("*.so")))], check=True)


def commands(context: Path, target: Path) -> None:
    copy(Path("/bin/busybox"), target, name="usr/bin/busybox")
    for command in COMMANDS:
        (target / "usr/bin" / command).symlink_to("busybox")
    for source in sorted((context / "programs").iterdir()):
        program = target / "usr/local/bin" / source.name
        shutil.copyfile(source, program)
        program.chmod(0o755)
    script = target / "usr/local/bin/quorumkit"
    script.write_text("#!/usr/bin/python3 -P\nfrom quorumkit.cli.main import main\n\nmain()\n")
    script.chmod(0o755)


def settings(target: Path) -> None:
    (target / "etc/passwd").write_text(
        f"root:x:0:0:root:/:/bin/sh\nquorumkit:x:{USER}:{USER}:Quorumkit node:/node:/bin/sh\n"
    )
    (target / "etc/group").write_text(f"root:x:0:\nquorumkit:x:{USER}:\n")
    (target / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    copy(Path("/etc/ssl/certs/ca-certificates.crt"), target)
    copy(Path("/etc/os-release"), target)
    (target / "tmp").chmod(0o1777)
    os.chown(target / "node", USER, USER)
    # A new volume takes this over, whoever its container runs as; nobody else is in there.
    (target / "node").chmod(0o777)


def libraries(target: Path) -> None:
    """Copies every shared library that a file in the image is linked to, as the loader finds it."""
    for path in [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]:
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        listed = subprocess.run(
            ["ldd", str(path)], capture_output=True, encoding="utf-8", errors="replace", check=False
        ).stdout
        for name in re.findall(r"(/\S+) \(0x", listed):
            library = Path(name)
            if not library.is_relative_to(target):
                # /lib is a link to /usr/lib in Debian, and in the image.
                copy(library, target, name=str(library).lstrip("/") if str(library).startswith("/usr")
                     else f"usr{library}")  # fmt: skip


def bill_of_materials(context: Path, target: Path) -> None:
    """Adds the Debian packages whose files are in the image to the CycloneDX document in the context."""
    document = json.loads((context / "sbom.json").read_bytes())
    present = {"/" + str(path.relative_to(target)) for path in target.rglob("*")}
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package}\t${Version}\t${Architecture}\n"],
        capture_output=True, encoding="utf-8", errors="replace", check=True,
    ).stdout  # fmt: skip
    for line in sorted(listed.splitlines()):
        name, version, architecture = line.split("\t")
        info = Path("/var/lib/dpkg/info")
        files = next((info / f for f in (f"{name}.list", f"{name}:{architecture}.list") if (info / f).exists()), None)
        owned = {file if file.startswith("/usr") else f"/usr{file}" for file in files.read_text().split("\n")
                 if file.rpartition("/")[2]} if files else set()  # fmt: skip
        # busybox's links are named like the programs that it stands for; no package owns the certificates' one file.
        if name == "ca-certificates" or any(is_copied(target / file.lstrip("/")) for file in owned & present):
            document["components"].append({
                "type": "library", "name": name, "version": version,
                "purl": f"pkg:deb/debian/{name}@{version}?arch={architecture}",
            })  # fmt: skip
    (target / "usr/share/sbom/quorumkit-node.cdx.json").write_text(
        json.dumps(document, indent=1, sort_keys=True) + "\n"
    )


def is_copied(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def compile_python(target: Path) -> None:
    """Byte code for the packages, so that a read-only container starts as fast as any; by hash, not by time."""
    for path in sorted(target.rglob("*.py")):
        inside = "/" + str(path.relative_to(target))
        py_compile.compile(str(path), dfile=inside, doraise=False, quiet=2,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)  # fmt: skip


def settle(target: Path) -> None:
    for path in [target, *target.rglob("*")]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def copy(source: Path, target: Path, *, name: str | None = None) -> None:
    aim = target / (name or str(source).lstrip("/"))
    aim.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.resolve(), aim)
    aim.chmod(source.resolve().stat().st_mode & 0o755)


def tree(source: Path, aim: Path, without: set[str]) -> None:
    def left_out(folder: str, names: list[str]) -> set[str]:
        return {
            name for name in names if name in without or Path(name).suffix in NOT_SUFFIXES or NOT_LINKED.match(name)
        }

    shutil.copytree(source, aim, ignore=left_out, dirs_exist_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
