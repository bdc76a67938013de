"""Builds the node image from what is here already: this package, its locked packages, the client's static binary
and those of the programs beside it.

The build itself needs the network for nothing but the base image and Debian packages.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit import __version__
from quorumkit.cache import cache_directory
from quorumkit.container_engine import docker, inspect_image, refusal
from quorumkit.engines import Binary, Recipe
from quorumkit.engines.go_modules import GoModule, go_modules
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.files import remove_tree, to_json
from quorumkit.image.base import settle_base
from quorumkit.progress import Progress

if TYPE_CHECKING:
    from packaging.requirements import Requirement

BASE = "debian:bookworm-slim"
PYTHON = "3.11"
"""The Python of the base image's Debian release."""

INPUTS_LABEL = "org.quorumkit.inputs"
_PROXIES = [name for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") for name in (proxy, proxy.lower())]
"""What a build takes over from the environment, for apt; Docker keeps it out of the image (predefined ARGs)."""
_BASE_LABEL = "org.quorumkit.base"
_IMAGE_PYTHON = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
"""What markers are evaluated for: the image's Python, not the one that runs this."""
_LEFT_OUT = {"pip", "pygments"}
"""pip fetches what an image has already; pygments colours source code for rich, which no node shows."""
_REPOSITORY = "quorumkit/node"
_NEWEST_GLIBC = 36  # Debian 12's is 2.36


@dataclass(frozen=True)
class Image:
    """An image that is in the container engine's store."""

    tag: str
    id: str
    inputs: str
    """Digest of all that it was built from."""
    base: str
    size: int
    """Bytes."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def image_tag(engine: str, engine_version: str) -> str:
    """The name that `image build` gives, and that rendered files use."""
    return f"{_REPOSITORY}:{__version__.replace('+', '-')}-{engine}{engine_version}"


def find_image(tag: str) -> Image | None:
    """The image of that name in the local store.

    Raises:
        RuntimeUnavailableError: the container engine cannot be asked.
    """
    found = inspect_image(tag)
    if found is None:
        return None
    labels = found["Config"].get("Labels") or {}
    return Image(tag, found["Id"], labels.get(INPUTS_LABEL, ""), labels.get(_BASE_LABEL, BASE), int(found["Size"]))


def build_image(
    tag: str, engine: Recipe, binary: Binary, progress: Progress, *, base: str | None = None, again: bool = False
) -> Image:
    """The image of that name, built where it is missing or was built from something else. It is built in `base`; else
    in what the present one was built in, so that a mirror needs to be named once.

    Raises:
        RuntimeUnavailableError: a package could not be fetched, or the build failed.
    """
    present = find_image(tag)
    is_named = base is not None
    base = base or (present.base if present else BASE)
    inputs = inputs_digest(binary, base)
    if present and present.inputs == inputs and not again:
        return present
    settled = settle_base(base, progress, accept=is_named)
    site = _locked_packages(progress)
    with tempfile.TemporaryDirectory(prefix="quorumkit-image-") as folder:
        context = Path(folder)
        shutil.copytree(site, context / "site")
        _copy_own_package(context / "site")
        (context / "programs").mkdir()
        for name, program in {engine.program: binary, **binary.beside}.items():
            shutil.copyfile(program.path, context / "programs" / name)
        for name in ("Dockerfile", "assemble.py"):
            (context / name).write_bytes(files(__package__).joinpath("context", name).read_bytes())
        (context / "sbom.json").write_bytes(to_json(_bill_of_materials(context / "site", engine, binary)))
        labels = {
            INPUTS_LABEL: inputs,
            "org.opencontainers.image.title": "Quorumkit node",
            "org.opencontainers.image.version": __version__,
            "org.opencontainers.image.licenses": "MIT AND Apache-2.0 AND GPL-3.0-only AND LGPL-3.0-only",
            "org.quorumkit.engine": _programs(engine, binary),
            _BASE_LABEL: base,
            "org.opencontainers.image.base.name": base,
            "org.opencontainers.image.base.digest": settled.digest or settled.id,
        }
        arguments = {"BASE": base, "CLIENT": engine.program}
        _build(context, tag, arguments, labels, progress, again=again)
    image = find_image(tag)
    if image is None:
        raise RuntimeUnavailableError(f"{tag}: built, and yet not there", hint="see `docker images`")
    if present and present.id != image.id:
        # The one that had the name goes, unless it has another name or containers.
        with contextlib.suppress(RuntimeUnavailableError):
            docker("image", "prune", "--force", "--filter", f"label={INPUTS_LABEL}={present.inputs}")
    return image


def inputs_digest(binary: Binary, base: str) -> str:
    """A digest of all that decides an image's content."""
    digest = hashlib.sha256(f"{base}\n{binary.sha256}\n{__version__}\n".encode())
    for name, program in sorted(binary.beside.items()):
        digest.update(f"{name} {program.sha256}\n".encode())
    for path in sorted(_own_files(), key=str):
        content = hashlib.sha256((_package_root() / path).read_bytes()).hexdigest()
        digest.update(f"{path} {content}\n".encode())
    return digest.hexdigest()


def _programs(engine: Recipe, binary: Binary) -> str:
    """All that run in it, with their versions, the client first."""
    beside = [f"{name} {program.version}" for name, program in sorted(binary.beside.items())]
    return " and ".join([f"{engine.kind} {binary.version}", *beside])


def _build(
    context: Path, tag: str, arguments: dict[str, str], labels: dict[str, str], progress: Progress, *, again: bool
) -> None:
    command = ["docker", "build", "--tag", tag]
    command += [each for name, value in arguments.items() for each in ("--build-arg", f"{name}={value}")]
    command += [argument for name, value in labels.items() for argument in ("--label", f"{name}={value}")]
    command += [argument for name in _PROXIES if os.environ.get(name) for argument in ("--build-arg", name)]
    command += ["--no-cache"] if again else []
    what = f"building the image {tag}"
    progress(what)
    said: list[str] = []
    try:
        with subprocess.Popen(
            [*command, str(context)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace", env=os.environ | {"BUILDKIT_PROGRESS": "plain"},
        ) as process:  # fmt: skip
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    said = [*said[-40:], line]
                    # "Step 3/9 : RUN …" of the classic builder, "#7 [assemble 2/4] RUN …" of BuildKit
                    if step := re.match(r"(?:Step |#\d+ \[[a-z]* *)(\d+)/(\d+)", line):
                        progress(what, int(step[1]), int(step[2]))
            except BaseException:
                process.terminate()
                raise
    except FileNotFoundError:
        raise RuntimeUnavailableError(
            "docker is not on PATH", hint="install Docker Engine; see `quorumkit doctor`"
        ) from None
    if process.returncode != 0:
        raise refusal(command, "".join(said))


def _locked_packages(progress: Progress) -> Path:
    """A directory of the packages of requirements.lock that a node needs, unpacked for the image's Python; kept in the
    user's cache.

    Raises:
        RuntimeUnavailableError: they cannot be fetched.
    """
    lock = files(__package__).joinpath("requirements.lock").read_text(encoding="utf-8")
    wanted = needed_requirements(lock)
    digest = hashlib.sha256(f"{PYTHON} {platform.machine()}\n{wanted}".encode()).hexdigest()[:16]
    site = cache_directory() / "image" / f"site-{digest}"
    if site.is_dir():
        return site
    progress("fetching the image's Python packages (once)")
    partial = site.with_name(f"{site.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    requirements = partial / "requirements.txt"
    requirements.write_text(wanted, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--no-compile", "--target", str(partial)]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--requirement", str(requirements)]
    command += [argument for abi in ("cp311", "abi3", "none") for argument in ("--abi", abi)]
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(_NEWEST_GLIBC, 4, -1)]
    command += [argument for tag in [*tags, f"manylinux2014_{machine}"] for argument in ("--platform", tag)]
    fetched = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False, stdin=subprocess.DEVNULL
    )
    if fetched.returncode != 0:
        remove_tree(partial)
        reason = (fetched.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise RuntimeUnavailableError(
            f"the image's Python packages could not be fetched: {reason}", hint="see whether pip reaches its index"
        )
    requirements.unlink()
    partial.replace(site)
    return site


def needed_requirements(lock: str) -> str:
    """The entries of a lock file that a node needs: not those that only build or install this package."""
    from packaging.utils import NormalizedName, canonicalize_name

    entries = {
        canonicalize_name(match[1]): match[0]
        for match in re.finditer(r"^([A-Za-z0-9._-]+)==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    }
    needed: set[NormalizedName] = set()
    queue: list[tuple[str, set[str]]] = [("quorumkit", set())]
    while queue:
        distribution, extras = queue.pop()
        for requirement in _requirements_of(distribution):
            name = canonicalize_name(requirement.name)
            marker = requirement.marker
            if name in needed or name in _LEFT_OUT:
                continue
            if marker and not any(marker.evaluate(_IMAGE_PYTHON | {"extra": extra}) for extra in ("", *extras)):
                continue
            needed.add(name)
            queue.append((name, requirement.extras))
    return "".join(entries[name] for name in sorted(needed) if name in entries)


def _requirements_of(distribution: str) -> list[Requirement]:
    """What an installed package asks for; nothing of one that only another Python needs."""
    from packaging.requirements import Requirement

    try:
        return [Requirement(text) for text in metadata.requires(distribution) or []]
    except metadata.PackageNotFoundError:
        return []


def _package_root() -> Path:
    with as_file(files("quorumkit")) as root:
        return root


def _own_files() -> list[Path]:
    root = _package_root()
    return [
        path.relative_to(root)
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    ]


def _copy_own_package(site: Path) -> None:
    """This package as it runs now, with the metadata that tells its version."""
    root = _package_root()
    for path in _own_files():
        aim = site / "quorumkit" / path
        aim.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, aim)
    description = site / f"quorumkit-{__version__}.dist-info"
    description.mkdir()
    (description / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: quorumkit\nVersion: {__version__}\n", encoding="utf-8"
    )


def _bill_of_materials(site: Path, engine: Recipe, binary: Binary) -> dict[str, Any]:
    """A CycloneDX 1.5 document of what this side puts into the image; the build adds its Debian packages."""
    client = _application(engine.package.rpartition("/")[2], f"{engine.package}@v{binary.version}", binary)
    components = [client]
    # The first module of a program is the program itself.
    modules = {(each.path, each.version): each for each in go_modules(binary.path)[1:]}
    for name, program in sorted(binary.beside.items()):
        main, *others = go_modules(program.path) or [GoModule(name, f"v{program.version}")]
        components.append(_application(name, f"pkg:golang/{main.path}@v{program.version}", program))
        modules |= {(each.path, each.version): each for each in others}
    components += [_module(module) for module in modules.values()]
    for distribution in sorted(metadata.distributions(path=[str(site)]), key=lambda found: found.name.lower()):
        name = distribution.name.lower()
        components.append(
            {
                "type": "library",
                "name": name,
                "version": distribution.version,
                "purl": f"pkg:pypi/{name}@{distribution.version}",
            }
        )
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


def _application(name: str, package: str, binary: Binary) -> dict[str, Any]:
    return {
        "type": "application",
        "name": name,
        "version": binary.version,
        "purl": package,
        "hashes": [{"alg": "SHA-256", "content": binary.sha256}],
    }


def _module(module: GoModule) -> dict[str, Any]:
    return {
        "type": "library",
        "name": module.path,
        "version": module.version,
        "purl": f"pkg:golang/{module.path}@{module.version}",
    }
