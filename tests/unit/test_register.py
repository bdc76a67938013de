"""The register of what networks hold of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorumkit.providers.register import open_register


def network(tmp_path: Path, name: str) -> Path:
    directory = tmp_path / name
    directory.mkdir()
    (directory / "quorumkit.yaml").write_text("name: bank\n")
    return directory


def test_what_one_network_holds_the_others_see(tmp_path: Path) -> None:
    one, other = network(tmp_path, "one"), network(tmp_path, "other")
    with open_register(one) as register:
        assert register.others == []
        register.mine.subnet = "172.28.0.0/24"
        register.mine.ports["rpc"] = range(8545, 8550)
    with open_register(other) as register:
        assert register.mine.subnet is None
        assert [(held.subnet, held.ports["rpc"]) for held in register.others] == [
            ("172.28.0.0/24", range(8545, 8550))
        ]  # fmt: skip
    with open_register(one) as register:
        assert register.mine.subnet == "172.28.0.0/24"


def test_a_network_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    one = network(tmp_path, "one")
    with open_register(one) as register:
        register.mine.subnet = "172.28.0.0/24"
    (one / "quorumkit.yaml").unlink()
    with open_register(network(tmp_path, "other")) as register:
        assert register.others == []


def test_a_failed_choice_is_not_noted(tmp_path: Path) -> None:
    one = network(tmp_path, "one")
    with pytest.raises(RuntimeError), open_register(one) as register:
        register.mine.subnet = "172.28.0.0/24"
        raise RuntimeError
    with open_register(one) as register:
        assert register.mine.subnet is None


@pytest.mark.parametrize("content", ["", "nonsense", "[]", "null", '{"/x": 5}', '{"/tmp": {"ports": 1}}'])
def test_nonsense_in_it_is_forgotten(content: str, tmp_path: Path, cache: Path) -> None:
    (cache / "holdings.json").write_text(content)
    with open_register(network(tmp_path, "one")) as register:
        register.mine.subnet = "172.28.0.0/24"
    with open_register(network(tmp_path, "other")) as register:
        assert [held.subnet for held in register.others] == ["172.28.0.0/24"]
