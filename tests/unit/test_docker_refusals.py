"""What the container engine's refusals mean, in its own words as they were seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quorumkit.container_engine import compose_command, refusal, run
from quorumkit.errors import RuntimeUnavailableError

SEEN = [
    ("permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "
     '"http://%2Fvar%2Frun%2Fdocker.sock/v1.41/containers/json": dial unix /var/run/docker.sock: connect: permission '
     "denied", "no permission", "`docker` group"),
    ("Cannot connect to the Docker daemon at unix:///nowhere.sock. Is the docker daemon running?",
     "daemon does not run", "systemctl start docker"),
    ("failed to create network x_quorum: Error response from daemon: Pool overlaps with other one on this address "
     "space", "subnet is in use", "compose.subnet"),
    ("Error response from daemon: No such image: quorumkit/node:1", "image is missing", "quorumkit image build"),
    ("Error response from daemon: pull access denied for quorumkit/node, repository does not exist",
     "image is missing", "quorumkit image build"),
    ("Error response from daemon: driver failed programming external connectivity on endpoint x: Bind for "
     "127.0.0.1:8545 failed: port is already allocated", "127.0.0.1:8545", "others are chosen"),
    ("Error starting userland proxy: listen tcp4 127.0.0.1:8545: bind: address already in use",
     "127.0.0.1:8545", "others are chosen"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "message", "hint"), SEEN)
def test_a_known_refusal_is_told_with_a_way_out(said: str, message: str, hint: str) -> None:
    error = refusal(["docker", "compose", "up"], f" Network x  Creating\n{said}\n")
    assert message in error.message
    assert error.hint is not None and hint in error.hint
    assert "\n" not in error.message


def test_any_other_is_told_in_its_own_words_by_its_last_line_of_error() -> None:
    error = refusal(["docker", "compose", "up"], "Container x  Creating\nError: odd thing\nContainer y  Created\n")
    assert error.message == "docker compose: Error: odd thing"
    assert refusal(["docker", "ps"], "").message == "docker ps: no reason given"


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(RuntimeUnavailableError, match="no-such-docker is not on PATH") as error:
        run(["no-such-docker", "ps"])
    assert "quorumkit doctor" in str(error.value.hint)


def test_a_command_that_does_not_answer() -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"sleep 60: no answer in 0\.1 s"):
        run(["sleep", "60"], timeout=0.1)


def test_a_failed_commands_own_words_are_told() -> None:
    with pytest.raises(RuntimeUnavailableError, match="daemon does not run"):
        run(["sh", "-c", "echo 'Cannot connect to the Docker daemon at x' >&2; exit 1"])


def test_the_plugin_is_preferred(programs: Callable[..., None]) -> None:
    programs("docker", "exit 0")
    programs("docker-compose", "exit 0")
    assert compose_command() == ("docker", "compose")


def test_the_standalone_is_taken_where_there_is_no_plugin(programs: Callable[..., None]) -> None:
    programs("docker", "exit 1")
    programs("docker-compose", "exit 0")
    assert compose_command() == ("docker-compose",)


@pytest.mark.parametrize(("names", "message"), [([], "Docker is not on PATH"), (["docker"], "no Compose plugin")])
def test_neither_is_told(names: list[str], message: str, programs: Callable[..., None]) -> None:
    for name in names:
        programs(name, 1)
    with pytest.raises(RuntimeUnavailableError, match=message) as error:
        compose_command()
    assert "docker-compose" in str(error.value.hint)
