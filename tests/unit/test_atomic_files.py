"""Files are whole or not there, whenever the writer dies."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.errors import CorruptFileError
from quorumkit.files import (
    private_directory,
    read_json,
    remove_leftovers,
    remove_tree,
    staged_directory,
    sync_trees,
    to_json,
    write_atomic,
    write_if_changed,
    write_new,
)

STEPS = ["mkstemp", "fchmod", "fsync", "replace"]


class Crash(BaseException):
    """Stands for what cannot be handled."""


def crash_at(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*args: object, **kwargs: object) -> None:
        raise Crash

    owner = {"mkstemp": tempfile, "fchmod": os, "fsync": os, "replace": Path}[step]
    monkeypatch.setattr(owner, step, crash)


@pytest.mark.parametrize("step", STEPS)
def test_an_error_at_any_step_leaves_the_old_content_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        crash_at(step, patch)
        with pytest.raises(Crash):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", STEPS)
def test_a_process_that_dies_at_any_step_leaves_the_old_content(step: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    child = os.fork()
    if child == 0:  # dies without any clean-up
        owner = {"mkstemp": tempfile, "fchmod": os, "fsync": os, "replace": Path}[step]
        setattr(owner, step, lambda *args, **kwargs: os._exit(9))
        try:
            write_atomic(path, b"new")
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_bytes() == b"old"
    remove_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_the_mode_asked_for_whatever_the_umask(mode: int, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "file", b"x", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_secret_is_private_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(os, "fchmod", lambda descriptor, mode: seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode)))
    write_atomic(tmp_path / "file", b"secret", mode=0o644)
    assert seen == [0o600]


def test_bytes_are_on_the_disk_before_the_name_points_at_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        order.append("fsync")
        sync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomic(tmp_path / "file", b"x")
    assert order[:2] == ["fsync", "replace"]


def test_what_has_not_changed_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_if_changed(path, b"one") is True
    before = path.stat()
    assert write_if_changed(path, b"one") is False
    assert path.stat().st_ino == before.st_ino
    assert write_if_changed(path, b"two") is True
    assert path.read_bytes() == b"two"


def test_a_staged_directory_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "node1"
    with staged_directory(target) as stage:
        (stage / "key").write_text("secret")
        assert not target.exists()
        assert stat.S_IMODE(stage.stat().st_mode) == 0o700
    assert (target / "key").read_text() == "secret"
    assert list(tmp_path.iterdir()) == [target]


def test_a_staging_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Crash), staged_directory(tmp_path / "node1") as stage:
        (stage / "key").write_text("secret")
        raise Crash
    assert list(tmp_path.iterdir()) == []


def test_a_staging_never_replaces_what_is_there(tmp_path: Path) -> None:
    target = tmp_path / "node1"
    target.mkdir()
    (target / "key").write_text("old")
    with pytest.raises(OSError), staged_directory(target) as stage:
        (stage / "key").write_text("new")
    assert (target / "key").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".node1.abc.partial").mkdir()
    (tmp_path / ".node1.abc.partial/key").write_text("secret")
    (tmp_path / "node1").mkdir()
    (tmp_path / ".keep").write_text("x")
    remove_leftovers(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".keep", "node1"]


def test_private_directories_are_private_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert stat.S_IMODE(private_directory(tmp_path / "a").stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_new_file_takes_no_others_place(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"old")
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "dangling").symlink_to(tmp_path / "made")
    for name in ("elsewhere", "link", "dangling"):
        with pytest.raises(FileExistsError):
            write_new(tmp_path / name, b"new", mode=0o600)
    assert elsewhere.read_bytes() == b"old"
    assert not (tmp_path / "made").exists()


def test_a_new_secret_is_private_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(os, "fchmod", lambda descriptor, mode: seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode)))
    before = os.umask(0)
    try:
        write_new(tmp_path / "file", b"secret", mode=0o600)
    finally:
        os.umask(before)
    assert seen == [0o600]


def test_all_files_of_all_trees_are_brought_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {tmp_path / tree / "deep" / name for tree in ("one", "two") for name in ("a", "b")}
    for path in wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    synced: set[Path] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(Path(f"/proc/self/fd/{descriptor}").readlink()))
    sync_trees([tmp_path / "one", tmp_path / "two"])
    assert synced == wanted


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{'a': 1}"])
def test_broken_json_is_told_with_the_file_and_what_it_should_be(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"genesis\.json: not a valid genesis") as caught:
        read_json(path, what="genesis", hint="do this")
    assert caught.value.hint == "do this"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_json_for_people_is_read_back_the_same(value: object) -> None:
    import json

    written = to_json(value)
    assert written.endswith(b"\n")
    assert json.loads(written) == value
