"""Networks under Compose, run through the command line as a person would, and looked at from outside."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorumkit.record import NodeRecord, read_record
from support.clique import CLIQUE
from support.commands import COMMAND, Result, poll

PATIENCE = 240.0
"""Seconds that anything may take here: the machine may be busy with other things."""

OTHER_USER = 4242

Statuses = dict[str, dict[str, Any]]


def run(
    *command: str | Path, code: int | None = 0, env: dict[str, str] | None = None, cwd: Path | None = None
) -> Result:
    """Any command; it must end with that exit code, where one is given."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=3 * PATIENCE, check=False, cwd=cwd,
        env=os.environ | (env or {}), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert code is None or done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return Result(done.returncode, done.stdout, done.stderr)


def quorumkit(*arguments: str | Path, other_user: bool = False, **options: Any) -> Result:
    result = run(*(as_other_user() if other_user else []), *COMMAND, *arguments, **options)
    assert "Traceback" not in result.err, result.err
    return result


def as_other_user() -> list[str]:
    """Root's way to be somebody else, who may still read the interpreter wherever it lies."""
    readable = "+dac_read_search"
    who = ["--reuid", str(OTHER_USER), "--regid", str(OTHER_USER), "--clear-groups"]
    return ["setpriv", *who, "--inh-caps", readable, "--ambient-caps", readable]


def docker(*arguments: str | Path, **options: Any) -> str:
    return run("docker", *arguments, **options).out


def eventually(check: Callable[[], Any], what: str, *, pause: float = 0.2) -> Any:
    """What `check` returns, once it is true."""
    return poll(check, what, timeout=PATIENCE, pause=pause)


@dataclass
class Project:
    """A network directory, and short ways to ask about it."""

    path: Path
    name: str

    def init(self, nodes: int, *arguments: str, **options: Any) -> Result:
        """On Clique, where the arguments name no other client."""
        words = [*(() if "--engine" in arguments else CLIQUE), "-n", str(nodes), "--runtime", "compose"]
        return quorumkit("init", *words, "--name", self.name, *arguments, self.path, **options)

    def up(self, *arguments: str, **options: Any) -> Result:
        return quorumkit("up", *arguments, self.path, **options)

    def compose(self, command: str, *arguments: str) -> Result:
        """Compose by hand, in the directory."""
        return run(*command.split(), *arguments, cwd=self.path)

    def on_node(self, command: str, *arguments: str, code: int | None = 0, **options: Any) -> Result:
        """A command that takes the network by `--dir`."""
        return quorumkit(*command.split(), "--dir", self.path, *arguments, code=code, **options)

    def status(self) -> Statuses:
        return by_name(quorumkit("status", self.path, "--json").json)

    def until(self, check: Callable[[Statuses], bool], what: str) -> Statuses:
        """The nodes' statuses once they fulfil that, as `status --watch` tells it."""
        statuses: Statuses = {}
        with subprocess.Popen([*COMMAND, "status", self.path, "--watch", "--json"],
                              stdout=subprocess.PIPE, text=True) as watching:  # fmt: skip
            late = threading.Timer(PATIENCE, watching.kill)
            late.start()
            try:
                assert watching.stdout is not None
                for line in watching.stdout:
                    statuses = by_name(json.loads(line))
                    if check(statuses):
                        return statuses
            finally:
                late.cancel()
                watching.kill()
        raise AssertionError(f"not in {PATIENCE:g} s: {what}; last: {statuses}")

    def until_complete(self) -> Statuses:
        return self.until(complete, "all nodes run and see each other")

    def verify(self) -> dict[str, Any]:
        answer: dict[str, Any] = quorumkit("verify", self.path, "--json").json
        assert answer["ok"] is True, answer
        assert set(answer["reads"].values()) == {42}
        return answer

    def node(self, number: int) -> Path:
        return self.path / f"nodes/node{number}"

    def record(self, number: int) -> NodeRecord:
        return read_record(self.node(number))

    def ask(self, number: int, method: str, *params: Any) -> Any:
        """JSON-RPC over the port that is published for the node."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(
            self.record(number).endpoints.rpc_url, body, {"Content-Type": "application/json"}
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["result"]

    def height(self, number: int = 1) -> int:
        return int(self.ask(number, "eth_blockNumber"), 16)

    def block_hash(self, number: int, height: int) -> str:
        """Empty where the node does not have it yet."""
        block = self.ask(number, "eth_getBlockByNumber", hex(height), False)
        return str(block["hash"]) if block else ""

    def containers(self) -> list[str]:
        return docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}").split()

    def container(self, number: int) -> dict[str, Any]:
        """`docker inspect` of a node's container."""
        found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}",
                       "--filter", f"label=com.docker.compose.service=node{number}").split()  # fmt: skip
        inspected: dict[str, Any] = json.loads(docker("inspect", *found))[0]
        return inspected

    @contextlib.contextmanager
    def moved(self, number: int) -> Iterator[None]:
        """A node's container comes back with another address inside the block, and nobody else is restarted by it. Its
        old address goes to somebody else, as it does where others come and go."""
        network = f"{self.name}_quorum"
        container = self.container(number)
        before = container["NetworkSettings"]["Networks"][network]["IPAddress"]
        others = [other for other in range(1, 5) if other != number]
        starts = {other: self.container(other)["State"]["StartedAt"] for other in others}
        docker("stop", container["Id"])
        docker("network", "disconnect", network, container["Id"])
        somebody = docker("run", "--detach", "--network", network, "--entrypoint", "sleep",
                          container["Config"]["Image"], "600").strip()  # fmt: skip
        try:
            docker("network", "connect", "--alias", f"node{number}", network, container["Id"])
            docker("start", container["Id"])
            assert self.container(number)["NetworkSettings"]["Networks"][network]["IPAddress"] != before
            self.until_complete()
            yield
            assert {other: self.container(other)["State"]["StartedAt"] for other in others} == starts
        finally:
            docker("rm", "--force", somebody)

    def leave_nothing(self) -> None:
        """Whatever state it is in."""
        quorumkit("destroy", self.path, "--yes", code=None)
        if left := self.containers():
            docker("rm", "--force", *left, code=None)
        docker("network", "rm", f"{self.name}_quorum", code=None)


@dataclass
class Built:
    """The node image that all these networks run."""

    tag: str
    size: int
    base: str
    anew: bool
    """Whether this test run built it without any cache."""


@dataclass
class Bank:
    """Five nodes that run, and what `up` said while it started them."""

    project: Project
    started: Result


def by_name(answer: dict[str, Any]) -> Statuses:
    return {node["name"]: node for node in answer["nodes"]}


def complete(statuses: Statuses) -> bool:
    return all(node["state"] == "running" and node["peers"] == node["expected_peers"] for node in statuses.values())
