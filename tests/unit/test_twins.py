"""Copies of a network directory: of the same keys only one network runs, and what both stand on stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from samples import fixed_addresses, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import CorruptFileError, NodeError
from quorumkit.files import to_json
from quorumkit.identities.generated import generate
from quorumkit.mark import MARK_NAME, ensure_mark, read_mark
from quorumkit.progress import silent
from quorumkit.providers.local_each import ProgramEachProvider
from quorumkit.providers.program import NodeProgram
from quorumkit.providers.register import open_register
from quorumkit.providers.twins import check_no_twin_needs_them, claim_start, twins_of


def program_of(directory: NetworkDirectory) -> NodeProgram:
    return NodeProgram(directory.state, [], network=directory.path)


@pytest.fixture
def running(generated: NetworkDirectory) -> Iterator[NetworkDirectory]:
    """A network whose node program runs, as far as can be seen from outside."""
    claim_start(generated)
    code = "import time; print('up', flush=True); time.sleep(600)"
    words = [sys.executable, "-c", code, "node", "run", "--state", str(generated.state)]
    # Its socket and log too: when the system's clock is set, a process was created at another time.
    (generated.state / "control.sock").touch()
    with program_of(generated).log_path.open("ab") as log, subprocess.Popen(words, stdout=log) as process:
        created = psutil.Process(process.pid).create_time()
        (generated.state / "supervisor.json").write_bytes(to_json({"pid": process.pid, "created": created}))
        while not log.tell() and process.poll() is None:  # before that, its command line may not be there yet
            time.sleep(0.01)
            log.seek(0, os.SEEK_END)
        yield generated
        process.kill()


def copied(directory: NetworkDirectory, path: Path) -> NetworkDirectory:
    shutil.copytree(directory.path, path)
    return NetworkDirectory(path)


def test_a_network_has_one_mark_for_ever(generated: NetworkDirectory, tmp_path: Path) -> None:
    mark = read_mark(generated.path)
    assert mark
    generate(generated, spec_of(3, 1), fixed_addresses, silent)
    assert ensure_mark(generated.path) == read_mark(generated.path) == mark
    other = NetworkDirectory(tmp_path / "other")
    generate(other, spec_of(3, 1), fixed_addresses, silent)
    assert read_mark(other.path) != mark


@pytest.mark.parametrize("content", [b"", b"bank\n", b"\xff\xfe", b"0123456789abcdeg\n"])
def test_a_damaged_mark_is_no_new_one(generated: NetworkDirectory, content: bytes) -> None:
    (generated.path / MARK_NAME).write_bytes(content)
    with pytest.raises(CorruptFileError, match=MARK_NAME):
        ensure_mark(generated.path)


def test_the_process_that_a_copied_file_names_is_not_the_copys(running: NetworkDirectory, tmp_path: Path) -> None:
    """`down` on a copy ended the network it was copied from."""
    copy = copied(running, tmp_path / "copy")
    assert program_of(running).process() is not None
    assert program_of(copy).process() is None


def test_a_directory_that_was_moved_while_its_network_ran_still_has_its_process(
    running: NetworkDirectory, tmp_path: Path
) -> None:
    moved = NetworkDirectory(running.path.rename(tmp_path / "moved"))
    assert program_of(moved).process() is not None


@pytest.mark.parametrize("note", [b'{"pid": 999999999, "created": 1.0}', None], ids=["an old one's", "gone"])
def test_a_program_is_found_when_a_backup_was_put_back_over_its_directory(
    generated: NetworkDirectory, tmp_path: Path, note: bytes | None
) -> None:
    """`down` said that it was stopped, and a second program was started over the same keys."""
    program = program_of(generated)
    generated.state.mkdir(exist_ok=True)
    code = "import time; print('up', flush=True); time.sleep(600)"
    words = [sys.executable, "-c", code, "node", "run", "--state", str(generated.state)]
    with program.log_path.open("ab") as log, subprocess.Popen(words, stdout=log) as process:
        (generated.state / "control.sock").touch()
        program.log_path.unlink()
        program.log_path.touch()
        if note:
            (generated.state / "supervisor.json").write_bytes(note)
        found = program.process()
        moved = NetworkDirectory(generated.path.rename(tmp_path / "moved"))
        generate(generated, spec_of(3, 1), fixed_addresses, silent)
        others = program_of(generated).process()
        process.kill()
    assert found and found.pid == process.pid
    assert others is None, "of a network that was made where this one was"
    assert program_of(moved).process() is None


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "from before there were marks"])
def test_a_copy_does_not_start_while_the_network_runs(
    running: NetworkDirectory, tmp_path: Path, *, marked: bool
) -> None:
    if not marked:
        (running.path / MARK_NAME).unlink()
    copy = copied(running, tmp_path / "copy")
    with pytest.raises(NodeError, match=f"holds the same keys as {running.path}, which runs"):
        claim_start(copy)
    claim_start(running)  # it may be started again itself


def test_a_copy_starts_when_the_network_is_down(generated: NetworkDirectory, tmp_path: Path) -> None:
    claim_start(generated)
    claim_start(copied(generated, tmp_path / "copy"))


def test_of_two_that_start_at_once_one_is_refused(generated: NetworkDirectory, tmp_path: Path) -> None:
    copy = copied(generated, tmp_path / "copy")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        with open_register(generated.path) as register:
            register.mine.starting = process.pid, psutil.Process(process.pid).create_time()
        with pytest.raises(NodeError, match="holds the same keys"):
            claim_start(copy)
        process.kill()
    claim_start(copy)


def test_networks_made_apart_do_not_hinder_each_other(running: NetworkDirectory, tmp_path: Path) -> None:
    other = NetworkDirectory(tmp_path / "other")
    generate(other, spec_of(3, 1), fixed_addresses, silent)
    claim_start(other)
    assert twins_of(other) == []
    check_no_twin_needs_them(other, "volumes", ["bank_node1"])


def test_what_a_copy_stands_on_is_not_removed(generated: NetworkDirectory, tmp_path: Path) -> None:
    claim_start(generated)
    copy = copied(generated, tmp_path / "copy")
    with pytest.raises(NodeError, match=f"{generated.path} holds the same network") as refused:
        check_no_twin_needs_them(copy, "volumes", ["bank_node1"])
    assert refused.value.hint and f"rm -r {copy.path}" in refused.value.hint
    shutil.rmtree(generated.path)
    check_no_twin_needs_them(copy, "volumes", ["bank_node1"])


def test_what_nodes_left_running_that_the_spec_has_no_more_is_stopped(tmp_path: Path) -> None:
    """`down` and `destroy` left the program of an observer that was taken out of the spec while it ran."""
    spec = spec_of(2, identities="exchanged")
    directory = NetworkDirectory(tmp_path / "bank")
    state = directory.node("node3") / ".state"
    state.mkdir(parents=True)
    words = [sys.executable, "-c", "import time; time.sleep(600)", "node", "run", "--state", str(state)]
    with subprocess.Popen(words) as process:
        created = psutil.Process(process.pid).create_time()
        (state / "supervisor.json").write_bytes(to_json({"pid": process.pid, "created": created}))
        runtime = ProgramEachProvider(directory, spec)
        try:
            assert asyncio.run(runtime.is_running())
            assert asyncio.run(runtime.stop(silent))
            assert not psutil.pid_exists(process.pid)
        finally:
            process.kill()
    assert not asyncio.run(runtime.is_running())
