"""A network is removed with all that is its own; what links lead to is removed with consent only, and named else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click
import pytest

from quorumkit.cli import destroy as command
from quorumkit.cli.main import run
from quorumkit.directory import NetworkDirectory
from quorumkit.progress import silent
from quorumkit.stages.destroy import destroy_network, linked_places
from support.fake_provider import FakeProvider

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def bank(generated: NetworkDirectory, monkeypatch: pytest.MonkeyPatch) -> NetworkDirectory:
    """`bank`, below where the command stands."""
    monkeypatch.chdir(generated.path.parent)
    return NetworkDirectory(Path("bank"))


def moved(path: Path, to: Path) -> Path:
    """What is there stands elsewhere from now on, and a link leads there."""
    to.parent.mkdir(parents=True, exist_ok=True)
    path.rename(to)
    path.symlink_to(to.absolute())
    return to.resolve()


def answering(monkeypatch: pytest.MonkeyPatch, *answers: bool) -> list[str]:
    """A person at the terminal; what was asked."""
    asked: list[str] = []
    left = list(answers)

    def confirm(question: str, *, abort: bool = False, **options: Any) -> bool:
        asked.append(question)
        answer = left.pop(0)
        if abort and not answer:
            raise click.Abort
        return answer

    monkeypatch.setattr(command, "is_terminal", lambda stream: True)
    monkeypatch.setattr(click, "confirm", confirm)
    return asked


def test_a_network_without_links_has_nothing_elsewhere(bank: NetworkDirectory) -> None:
    (bank.nodes / "node1/inside").symlink_to("password")
    (bank.nodes / "node1/dangling").symlink_to("/nowhere/at/all")
    (bank.nodes / "node1/above").symlink_to("../../..")
    (bank.path / "geth").symlink_to("/bin/sh")
    assert linked_places(bank) == []


def test_links_are_found_wherever_they_stand(bank: NetworkDirectory, tmp_path: Path) -> None:
    two = moved(bank.node("node2"), tmp_path / "disk/two")
    key = moved(two / "password", tmp_path / "vault/password")
    nodes = moved(bank.nodes, tmp_path / "disk/all")
    found = linked_places(bank)
    assert [place.target for place in found] == [nodes, two, key]
    assert found[0].link == bank.nodes


def test_what_links_lead_to_stays_and_is_named(bank: NetworkDirectory, tmp_path: Path, capsys: Capture) -> None:
    place = moved(bank.node("node2"), tmp_path / "disk/two")
    assert run(["destroy", "bank", "--yes"]) == 0
    assert not bank.path.exists()
    assert (place / "password").exists()
    out = capsys.readouterr().out
    assert f"{place} is still there, with the keys that may be in it: bank/nodes/node2 was only a link to it" in out


def test_a_place_that_nobody_agreed_to_stays(bank: NetworkDirectory, tmp_path: Path) -> None:
    """A link that came between the question and the answer."""
    agreed = linked_places(bank)
    place = moved(bank.node("node2"), tmp_path / "disk/two")
    provider = FakeProvider(bank.load())
    left = asyncio.run(destroy_network(bank, provider, silent, linked=agreed))
    assert [one.target for one in left] == [place]
    assert (place / "password").exists()


def test_a_join_secret_elsewhere_is_named_too(bank: NetworkDirectory, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (bank.path / "join-secret").symlink_to(tmp_path / "secret")
    assert [place.target for place in linked_places(bank)] == [tmp_path / "secret"]


def test_json_names_what_is_left(bank: NetworkDirectory, tmp_path: Path, capsys: Capture) -> None:
    place = moved(bank.node("node2"), tmp_path / "disk/two")
    assert run(["destroy", "bank", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"network": "bank", "destroyed": True, "left": [str(place)]}


def test_with_consent_it_goes_too(bank: NetworkDirectory, tmp_path: Path, capsys: Capture) -> None:
    two = moved(bank.node("node2"), tmp_path / "disk/two")
    key = moved(two / "password", tmp_path / "vault/password")
    assert run(["destroy", "bank", "--yes", "--linked"]) == 0
    assert not two.exists()
    assert not key.exists()
    assert key.parent.exists()
    assert capsys.readouterr().out == "bank: destroyed, bank is gone\n"


@pytest.mark.parametrize("linked", [True, False])
def test_a_person_is_asked_twice(
    linked: bool, bank: NetworkDirectory, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moved(bank.node("node2"), tmp_path / "disk/two")
    asked = answering(monkeypatch, True, linked)
    assert run(["destroy", "bank"]) == 0
    first, second = asked
    assert first == "Remove bank with the keys and the chain of 4 nodes, for good?"
    assert "links" in second
    assert f"bank/nodes/node2 leads to {place}" in capsys.readouterr().out
    assert not bank.path.exists()
    assert place.exists() is not linked


def test_a_person_who_says_no_keeps_everything(
    bank: NetworkDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = moved(bank.node("node2"), tmp_path / "disk/two")
    asked = answering(monkeypatch, False)
    assert run(["destroy", "bank"]) == 130
    assert len(asked) == 1
    assert bank.exists()
    assert (place / "password").exists()


def test_where_nobody_is_asked_nothing_goes_without_yes(bank: NetworkDirectory, capsys: Capture) -> None:
    assert run(["destroy", "bank", "--json"]) == 2
    assert run(["destroy"]) == 2
    assert run(["destroy", "bank", "-d", "bank", "--yes"]) == 2
    assert bank.exists()


def test_interrupted_in_the_middle_the_next_call_goes_on(
    bank: NetworkDirectory, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from quorumkit.stages import destroy as destroying

    removed: list[Path] = []
    really = destroying._remove

    def remove(path: Path) -> None:
        if len(removed) == 3:
            raise KeyboardInterrupt
        really(path)
        removed.append(path)

    monkeypatch.setattr(destroying, "_remove", remove)
    assert run(["destroy", "bank", "--yes"]) == 130
    assert bank.exists()
    monkeypatch.undo()
    monkeypatch.chdir(bank.path.absolute().parent if bank.path.is_absolute() else removed[0].parent.parent)
    assert run(["destroy", "bank", "--yes"]) == 0
    assert not bank.path.exists()


def test_a_foreign_place_that_holds_the_network_is_no_part_of_it(bank: NetworkDirectory, tmp_path: Path) -> None:
    (bank.nodes / "node1/home").symlink_to(tmp_path)
    assert run(["destroy", "bank", "--yes", "--linked"]) == 0
    assert tmp_path.exists()
    assert not (tmp_path / "bank").exists()
