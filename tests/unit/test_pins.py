"""What comes from outside by a name stays what it was, or is told: images, programs, base images, Go modules."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from samples import spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.engines import Binary, binaries, recipe_of
from quorumkit.engines.go_modules import GoModule, go_modules, parse_modules
from quorumkit.errors import CorruptFileError, EngineError, RuntimeUnavailableError
from quorumkit.image.base import registry_digest, settle_base
from quorumkit.pins import PINS_NAME, Pin, check_pins
from quorumkit.progress import silent
from quorumkit.stages.pinning import check_programs

IMAGE = "quorumengineering/tessera:24.4.2"


def image(digest: str, name: str = IMAGE) -> dict[str, Pin]:
    return {"transaction_manager.image": Pin(name, digest, is_image=True)}


def test_an_image_that_changed_under_its_name_is_refused_until_it_is_accepted(tmp_path: Path) -> None:
    assert check_pins(tmp_path, image("sha256:1")) == []
    assert check_pins(tmp_path, image("sha256:1")) == []
    with pytest.raises(EngineError, match=f"^transaction_manager.image: {IMAGE} is another image .* sha256:1$") as told:
        check_pins(tmp_path, image("sha256:2"))
    assert told.value.hint and f"remove its entry from {tmp_path / PINS_NAME}" in told.value.hint
    with pytest.raises(EngineError):  # nor does asking twice help
        check_pins(tmp_path, image("sha256:2"))
    pins = json.loads((tmp_path / PINS_NAME).read_bytes())
    del pins["pins"]["transaction_manager.image"]
    (tmp_path / PINS_NAME).write_text(json.dumps(pins))
    assert check_pins(tmp_path, image("sha256:2")) == []


def test_another_name_in_the_spec_is_a_persons_own_change(tmp_path: Path) -> None:
    check_pins(tmp_path, image("sha256:1"))
    assert check_pins(tmp_path, image("sha256:2", name="registry.example/tessera:1")) == []


def test_pins_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / PINS_NAME).write_text('{"pins": ["x"]}')
    with pytest.raises(CorruptFileError, match=PINS_NAME):
        check_pins(tmp_path, image("sha256:1"))


def test_a_program_that_a_person_replaced_is_told_once(tmp_path: Path) -> None:
    program, directory = tmp_path / "geth", NetworkDirectory(tmp_path)
    spec = spec_of(1, engine={"binary": str(program)})
    program.write_bytes(b"one")
    assert check_programs(directory, spec) == []
    program.write_bytes(b"two")
    [told] = check_programs(directory, spec)
    assert told.startswith(f"engine.binary: {program} has changed since the last start: SHA-256 3fc4ccfe745870e2")
    assert check_programs(directory, spec) == []


def test_images_whose_containers_are_run_are_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {"some/node:1": "sha256:1", "some/tessera:1": "sha256:2"}

    def docker(*words: str) -> str:
        if words[-1] not in ids:
            raise RuntimeUnavailableError("no such image")
        return json.dumps([{"Id": ids[words[-1]]}])

    monkeypatch.setattr("quorumkit.stages.pinning.docker", docker)
    monkeypatch.setattr("quorumkit.stages.pinning.acquirer_of", lambda kind, consensus: Acquirer())
    spec = spec_of(
        1, runtime="compose", compose={"image": "some/node:1"}, engine={"kind": "goquorum"},
        transaction_manager={"kind": "tessera", "image": "some/tessera:1"},
    )  # fmt: skip
    assert check_programs(NetworkDirectory(tmp_path), spec) == []
    pins = json.loads((tmp_path / PINS_NAME).read_bytes())["pins"]
    assert set(pins) == {"engine.image", "compose.image", "transaction_manager.image"}
    del ids["some/node:1"]  # one that is not here is for whoever starts it to report
    assert check_programs(NetworkDirectory(tmp_path), spec) == []
    ids["some/tessera:1"] = "sha256:3"
    with pytest.raises(EngineError, match=r"transaction_manager\.image"):
        check_programs(NetworkDirectory(tmp_path), spec)


class Acquirer:
    """Takes its client out of an image."""

    def source_image(self, version: str, image: str | None) -> str:
        return "some/client:1"

    def find(self, version: str, **options: Any) -> Binary:
        return Binary(path=Path("client"), version=version, sha256="ab")


def test_a_client_that_was_written_to_in_the_cache_is_not_taken(cache: Path) -> None:
    path = binaries._kept_path(recipe_of("goquorum"), "24.4.1", "some:image")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"good")
    good = "770e607624d689265ca6c44884d0807d9b054d23c473c106c72be9de08b7376c"
    record = {"version": "24.4.1", "sha256": good, "size": 4}
    path.with_suffix(".json").write_text(json.dumps(record))
    assert binaries.find_kept(recipe_of("goquorum"), "24.4.1", "some:image")
    path.write_bytes(b"evil")
    assert binaries.find_kept(recipe_of("goquorum"), "24.4.1", "some:image") is None


def test_an_image_that_holds_another_client_than_the_first_time_is_refused_before_it_runs(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, ran = tmp_path / "client", tmp_path / "ran"

    def docker(*words: str, timeout: float = 0) -> str:
        if words[0] == "cp":
            shutil.copyfile(client, words[2])
        return "container\n"

    def take() -> Binary:
        return binaries.take_from_image(
            "some:image", "/geth", recipe_of("goquorum"), "1.2.3",
            name="GoQuorum", version_line=re.compile(r"Version: (?P<version>\S+)"), progress=silent,
        )  # fmt: skip

    monkeypatch.setattr("quorumkit.container_engine.docker", docker)
    client.write_text("#!/bin/sh\necho Version: 1.2.3\n")
    kept = take().path
    kept.unlink()
    take()
    client.write_text(f"#!/bin/sh\ntouch {ran}\necho Version: 1.2.3\n")
    kept.unlink()
    with pytest.raises(EngineError, match="some:image holds another GoQuorum than the first time") as refused:
        take()
    assert not ran.exists() and not kept.exists()
    assert refused.value.hint and f"remove {kept.with_suffix('.json')}" in refused.value.hint
    kept.with_suffix(".json").unlink()
    take()


def test_a_base_image_that_moved_is_refused_until_it_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {"Id": "sha256:1", "RepoDigests": ["debian@sha256:aa"]}
    monkeypatch.setattr("quorumkit.container_engine.docker", lambda *words, **options: json.dumps([found]))
    assert settle_base("debian:bookworm-slim", silent, accept=False).digest == "sha256:aa"
    found["Id"] = "sha256:2"
    with pytest.raises(
        RuntimeUnavailableError, match="is another one than before: sha256:2, and it was sha256:1"
    ) as no:
        settle_base("debian:bookworm-slim", silent, accept=False)
    assert no.value.hint and "quorumkit image build --base debian:bookworm-slim" in no.value.hint
    settle_base("debian:bookworm-slim", silent, accept=True)
    assert settle_base("debian:bookworm-slim", silent, accept=False).id == "sha256:2"
    assert settle_base("mirror.example/debian:12", silent, accept=False).id == "sha256:2"


@pytest.mark.parametrize(("name", "digest"), [
    ("debian:bookworm-slim", "sha256:aa"),
    ("mirror.example:5000/debian:12", "sha256:bb"),
    ("mirror.example:5000/debian", "sha256:bb"),
    ("other.example/debian:12", None),
])  # fmt: skip
def test_the_digest_is_that_of_the_registry_that_is_named(name: str, digest: str | None) -> None:
    inspected = {"RepoDigests": ["debian@sha256:aa", "mirror.example:5000/debian@sha256:bb"]}
    assert registry_digest(inspected, name) == digest
    assert registry_digest({"RepoDigests": None}, name) is None


def test_what_a_module_was_replaced_by_is_in_its_place() -> None:
    lines = [
        "path\tcmd/geth",
        "mod\texample/geth\tv1.2.3\th1:x=",
        "dep\ta\tv1\th1:y=",
        "dep\tb\tv2",
        "=>\tc\tv3\th1:z=",
    ]
    text = "\n".join([*lines, "build\t-x=y", ""])
    assert parse_modules(text) == [GoModule("example/geth", "v1.2.3"), GoModule("a", "v1"), GoModule("c", "v3")]


def go_binary(text: bytes, *, version: bytes = b"go1.26.8") -> bytes:
    """As much of one as is read: the header where Go's own code is quoted first, then the true one."""
    sentinel = bytes(16)
    modules = sentinel + text + sentinel
    body = bytes([len(version)]) + version + bytes([len(modules) & 0x7F | 0x80, len(modules) >> 7]) + modules
    quoted = b"x\xff Go buildinf:".ljust(64, b"\0")
    return quoted + b"\xff Go buildinf:\x08\x02".ljust(32, b"\0") + body


def test_the_modules_are_read_out_of_a_binary(tmp_path: Path) -> None:
    path = tmp_path / "geth"
    path.write_bytes(go_binary(b"mod\texample/geth\tv1.2.3\th1:x=\n" + b"dep\ta\tv1\th1:y=\n" * 9))
    found = go_modules(path)
    assert found[:2] == [GoModule("example/geth", "v1.2.3"), GoModule("stdlib", "1.26.8")]
    assert len(found) == 11
    for damaged in (b"", b"\xff Go buildinf:", go_binary(b"")[:90], b"\x7fELF" * 100):
        path.write_bytes(damaged)
        assert go_modules(path) == []
