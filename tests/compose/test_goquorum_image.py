"""GoQuorum's binary, taken out of an image; and its networks as containers, where there is a real binary."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from projects import Project, docker, run

from quorumkit.engines import acquirer_of, recipe_of
from quorumkit.errors import EngineError
from quorumkit.image.build import build_image
from quorumkit.progress import silent
from support.goquorum import GOQUORUM as BINARY

pytestmark = pytest.mark.compose

GOQUORUM = acquirer_of("goquorum")
VERSION = "24.4.1"


@pytest.fixture
def made(engine: None, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes images that hold a stand-in for the client, which says that it is of that version."""
    tags: list[str] = []

    def make(version: str, place: str = "/usr/local/bin/geth") -> str:
        context = tmp_path / f"context{len(tags)}"
        context.mkdir()
        (context / "geth").write_text(f"#!/bin/sh\nprintf 'Geth\\nQuorum Version: {version}\\n'\n")
        (context / "geth").chmod(0o755)
        (context / "Dockerfile").write_text(f"FROM scratch\nCOPY geth {place}\n")
        tags.append(f"qk{os.getpid()}-quorum:{len(tags)}")
        docker("build", "--quiet", "--tag", tags[-1], context)
        return tags[-1]

    yield make
    for tag in tags:
        run("docker", "rmi", tag, code=None)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUORUMKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def containers_of(image: str) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split()


def test_it_is_taken_once_and_kept(made: Callable[[str], str], cache: Path) -> None:
    image = made(VERSION)
    assert GOQUORUM.find(VERSION, image=image) is None
    taken = GOQUORUM.acquire(VERSION, image=image, progress=silent)
    assert taken.path.is_relative_to(cache) and os.access(taken.path, os.X_OK)
    assert json.loads(taken.path.with_suffix(".json").read_bytes())["image"] == image
    assert containers_of(image) == []
    docker("rmi", image)
    assert GOQUORUM.acquire(VERSION, image=image, progress=silent) == taken
    assert GOQUORUM.find(VERSION, image="qk-other:1") is None  # what another image holds may be another build


@pytest.mark.parametrize(
    ("version", "place", "told"),
    [
        ("23.4.0", "/usr/local/bin/geth", "GoQuorum 23.4.0, where the spec wants 24.4.1"),
        (VERSION, "/elsewhere", "could not be taken out of"),
    ],
)
def test_another_version_or_none_is_refused_and_nothing_is_left(
    made: Callable[..., str], cache: Path, version: str, place: str, told: str
) -> None:
    image = made(version, place)
    with pytest.raises(EngineError, match=told):
        GOQUORUM.acquire(VERSION, image=image, progress=silent)
    assert GOQUORUM.find(VERSION, image=image) is None
    assert containers_of(image) == []
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_an_image_that_cannot_be_had_is_told_with_a_way_out(engine: None, cache: Path) -> None:
    with pytest.raises(EngineError, match=r"could not be taken out of localhost:1/no/such:1") as caught:
        GOQUORUM.acquire(VERSION, image="localhost:1/no/such:1", progress=silent)
    assert "--engine-binary" in (caught.value.hint or "")


@pytest.fixture
def node_image(engine: None) -> Iterator[str]:
    """A node image of its own, so that nobody's is replaced."""
    if BINARY is None:
        pytest.skip("QUORUMKIT_GOQUORUM names no GoQuorum binary")
    tag = f"qk{os.getpid()}/node:goquorum"
    binary = GOQUORUM.find(VERSION, override=Path(BINARY))
    assert binary is not None
    build_image(tag, recipe_of("goquorum"), binary, silent)
    yield tag
    run("docker", "rmi", tag, code=None)


@pytest.mark.parametrize("consensus", ["raft", "qbft"])
def test_containers_that_run_take_in_another_node(
    node_image: str, new_project: Callable[[str], Project], consensus: str
) -> None:
    project = new_project(f"grows-{consensus}")
    project.init(3, "--engine", "goquorum", "--consensus", consensus, "--engine-binary", str(BINARY))
    spec = project.path / "quorumkit.yaml"
    spec.write_text(spec.read_text() + f"compose:\n  image: {node_image}\n")
    project.up("--verify")
    before = {number: docker("compose", "ps", "--quiet", f"node{number}", cwd=project.path) for number in (1, 2, 3)}
    spec.write_text(re.sub(r"observers: \d+", "observers: 1", spec.read_text()))
    project.up("--verify")
    assert before == {
        number: docker("compose", "ps", "--quiet", f"node{number}", cwd=project.path) for number in (1, 2, 3)
    }  # nobody was made anew
    assert len(project.verify()["reads"]) == 4
    project.compose("docker compose restart")
    project.until_complete()
    assert project.verify()["private"]["ok"] is True
    project.leave_nothing()  # before its image goes
