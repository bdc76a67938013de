"""What an image is made from, without making one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from quorumkit.engines import Binary, recipe_of
from quorumkit.engines.go_modules import GoModule
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.image import build
from quorumkit.image.base import Base
from quorumkit.image.build import BASE, Image, image_tag, inputs_digest, needed_requirements
from quorumkit.progress import silent

LOCK = Path(__file__).parents[2] / "requirements.lock"
BINARY = Binary(Path("geth"), "1.13.15", "0" * 64)

SMALL_LOCK = """\
click==8.1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via quorumkit
colorama==0.4 ; sys_platform == 'win32' \\
    --hash=sha256:cc
hatchling==1.0 \\
    --hash=sha256:dd
pip==24.0 \\
    --hash=sha256:ee
Ruamel_Yaml==0.19 \\
    --hash=sha256:ff
tomli==2.0 \\
    --hash=sha256:11
uvloop==1.0 \\
    --hash=sha256:22
"""


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What installed packages ask for, by name."""
    asked = {
        "quorumkit": ["click>=8", "ruamel.yaml", "pip", "server[fast]"],
        "click": ['colorama; sys_platform == "win32"'],
        "ruamel-yaml": ['tomli; python_version < "3.12"', 'never; python_version < "3.11"'],
        "server": ['uvloop; extra == "fast"', 'slow; extra == "slow"'],
    }

    def requires(name: str) -> list[str]:
        if name not in asked:
            raise metadata.PackageNotFoundError(name)
        return asked[name]

    monkeypatch.setattr(metadata, "requires", requires)
    return asked


def names(requirements: str) -> list[str]:
    return re.findall(r"^(\S+)==", requirements, re.MULTILINE)


def test_what_a_node_needs_is_taken_and_nothing_else(packages: dict[str, list[str]]) -> None:
    # tomli is for the image's Python even where another one builds it; uvloop for an extra that was asked for.
    assert names(needed_requirements(SMALL_LOCK)) == ["click", "Ruamel_Yaml", "tomli", "uvloop"]


def test_entries_are_taken_whole_with_their_hashes(packages: dict[str, list[str]]) -> None:
    text = needed_requirements(SMALL_LOCK)
    assert "click==8.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n" in text
    assert "# via" not in text


def test_the_real_lock_gives_every_dependency_and_no_tool() -> None:
    taken = set(names(needed_requirements(LOCK.read_text())))
    assert {"aiohttp", "click", "coincurve", "cffi", "pydantic-core", "ruamel-yaml", "typing-extensions"} <= taken
    assert not taken & {"pip", "hatchling", "editables", "pytest", "ruff", "pygments"}


def test_the_digest_follows_base_and_client_and_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("a = 1\n")
    (package / "__pycache__").mkdir()
    monkeypatch.setattr(build, "_package_root", lambda: package)
    first = inputs_digest(BINARY, BASE)
    (package / "__pycache__/a.pyc").write_bytes(b"compiled")
    assert inputs_digest(BINARY, BASE) == first
    changed = [inputs_digest(BINARY, "debian:12"), inputs_digest(Binary(Path("geth"), "1.13.15", "1" * 64), BASE)]
    for sha256 in "0" * 64, "1" * 64:
        beside = {"cometbft": Binary(Path("cometbft"), "0.40.0", sha256)}
        changed.append(inputs_digest(replace(BINARY, beside=beside), BASE))
    (package / "a.py").write_text("a = 2\n")
    changed.append(inputs_digest(BINARY, BASE))
    (package / "a.py").rename(package / "b.py")
    changed.append(inputs_digest(BINARY, BASE))
    assert len({first, *changed}) == 7


def test_what_runs_beside_the_client_is_in_the_image_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built: dict[str, Any] = {}

    def look(context: Path, tag: str, arguments: object, labels: dict[str, str], *_: object, **__: object) -> None:
        built.update(
            programs={path.name: path.read_text() for path in (context / "programs").iterdir()},
            materials=json.loads((context / "sbom.json").read_bytes())["components"],
            engine=labels["org.quorumkit.engine"],
        )

    (tmp_path / "site").mkdir()
    monkeypatch.setattr(build, "settle_base", lambda name, progress, accept: Base(name, "sha256:1", None))
    monkeypatch.setattr(build, "_locked_packages", lambda progress: tmp_path / "site")
    monkeypatch.setattr(build, "find_image", lambda tag: Image(tag, "sha256:1", "", BASE, 1))
    monkeypatch.setattr(build, "docker", lambda *arguments: "")
    monkeypatch.setattr(build, "_build", look)
    monkeypatch.setattr(
        build,
        "go_modules",
        lambda path: [GoModule(f"example/{path.name}", "v1.0.0"), GoModule("stdlib", "1.26")],
    )
    for name in "geth", "cometbft":
        (tmp_path / name).write_text(f"program {name}")
    comet = Binary(tmp_path / "cometbft", "0.40.0", "c" * 64)
    client = Binary(tmp_path / "geth", "1.17.10", "a" * 64, {"cometbft": comet})
    build.build_image("tag", recipe_of("geth", "bft"), client, silent)
    assert built["programs"] == {"geth": "program geth", "cometbft": "program cometbft"}
    assert built["engine"] == "geth 1.17.10 and cometbft 0.40.0"
    materials = [(each["type"], each["purl"]) for each in built["materials"] if "golang" in each["purl"]]
    assert materials == [
        ("application", "pkg:golang/github.com/ethereum/go-ethereum@v1.17.10"),
        ("application", "pkg:golang/example/cometbft@v0.40.0"),
        ("library", "pkg:golang/stdlib@1.26"),
    ]
    assert built["materials"][1]["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]


def test_a_tag_is_one_that_docker_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "__version__", "1.2.0.dev3+g1234")
    assert image_tag("geth", "1.13.15") == "quorumkit/node:1.2.0.dev3-g1234-geth1.13.15"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sequence[str]]:
    """The bases that images were built in; nothing is built."""
    made: list[Sequence[str]] = []
    monkeypatch.setattr(build, "settle_base", lambda name, progress, accept: Base(name, "sha256:1", None))
    monkeypatch.setattr(build, "_locked_packages", lambda progress: tmp_path)
    monkeypatch.setattr(build, "_copy_own_package", lambda site: None)
    monkeypatch.setattr(
        build, "_build", lambda context, tag, arguments, labels, progress, again: made.append(arguments["BASE"])
    )
    (tmp_path / "geth").write_text("client")
    return made


def present(monkeypatch: pytest.MonkeyPatch, base: str, inputs: str) -> None:
    image = Image("tag", "sha256:1", inputs, base, 1)
    monkeypatch.setattr(build, "find_image", lambda tag: image)


def test_an_image_of_the_same_inputs_is_not_built_again(
    builds: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binary = Binary(tmp_path / "geth", "1.13.15", "0" * 64)
    present(monkeypatch, "mirror/debian:12", inputs_digest(binary, "mirror/debian:12"))
    build.build_image("tag", recipe_of("geth", "clique"), binary, silent)
    assert builds == []
    build.build_image("tag", recipe_of("geth", "clique"), binary, silent, base=BASE)
    build.build_image("tag", recipe_of("geth", "clique"), binary, silent, again=True)
    assert builds == [BASE, "mirror/debian:12"]


def test_a_base_that_was_named_once_is_kept_when_the_package_changes(
    builds: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    present(monkeypatch, "mirror/debian:12", "inputs of an older version")
    build.build_image("tag", recipe_of("geth", "clique"), Binary(tmp_path / "geth", "1.13.15", "0" * 64), silent)
    assert builds == ["mirror/debian:12"]


def test_an_image_that_is_not_there_is_none_and_no_daemon_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from quorumkit.container_engine import refusal

    def missing(*arguments: str) -> str:
        raise refusal(["docker", *arguments], "Error response from daemon: No such image: x:1")

    monkeypatch.setattr("quorumkit.container_engine.docker", missing)
    assert build.find_image("x:1") is None

    def dead(*arguments: str) -> str:
        raise refusal(["docker", *arguments], "Cannot connect to the Docker daemon. Is the docker daemon running?")

    monkeypatch.setattr("quorumkit.container_engine.docker", dead)
    with pytest.raises(RuntimeUnavailableError, match="does not run"):
        build.find_image("x:1")
