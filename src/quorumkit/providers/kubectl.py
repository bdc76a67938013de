"""The command lines of Kubernetes and Helm, and what their refusals mean.

Command lines and not a client library: Helm has none for Python, and kubectl brings the person's own context, log-in
plug-ins, proxies and port forwarding with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quorumkit.errors import RpcError, RuntimeUnavailableError
from quorumkit.providers.timing import FORWARD_PATIENCE
from quorumkit.rpc import HttpRpc

_INSTALL = {
    "kubectl": "install kubectl: https://kubernetes.io/docs/tasks/tools/",
    "helm": "install Helm 3: https://helm.sh/docs/intro/install/",
}
_UNREACHABLE = re.compile(
    r"connection refused|unable to connect to the server|cluster unreachable|no configuration has been provided"
    r"|the connection to the server|i/o timeout|no such host|invalid configuration|context .* does not exist",
    re.IGNORECASE,
)
_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ")


@dataclass(frozen=True)
class Cluster:
    """One namespace, as a context of the kubeconfig leads to it."""

    context: str | None
    namespace: str | None

    def kubectl(self, *arguments: str) -> list[str]:
        context = ["--context", self.context] if self.context else []
        namespace = ["--namespace", self.namespace] if self.namespace else []
        return ["kubectl", *context, *namespace, *arguments]

    def helm(self, *arguments: str) -> list[str]:
        context = ["--kube-context", self.context] if self.context else []
        namespace = ["--namespace", self.namespace] if self.namespace else []
        return ["helm", *context, *namespace, *arguments]

    async def get(self, *arguments: str) -> Any:
        """`kubectl get`, as JSON; none where a single thing is not there."""
        output = await run(self.kubectl("get", "--ignore-not-found", "--output=json", *arguments))
        return json.loads(output) if output.strip() else None


async def run(command: Sequence[str], *, stdin: bytes | None = None) -> str:
    """The standard output of one command; Ctrl-C ends it.

    Raises:
        RuntimeUnavailableError: it is missing, or it failed; the message is in its own words.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError:
        raise _missing(command[0]) from None
    try:
        output, said = await process.communicate(stdin)
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode != 0:
        raise refusal(command, said.decode("utf-8", "replace"))
    return output.decode("utf-8", "replace")


def refusal(command: Sequence[str], said: str) -> RuntimeUnavailableError:
    """What a failed command said, as one sentence and a way out."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("W1", "I1", "E1"))]
    text = lines[-1] if lines else "no reason given"
    if match := re.search(r"error calling fail: (.*)", said):  # what the chart itself refuses
        return RuntimeUnavailableError(match[1].strip(), hint="change quorumkit.yaml, or kubernetes.values in it")
    if "values don't meet the specifications of the schema" in said:
        wrong = "; ".join(line.removeprefix("- ") for line in lines if line.startswith("- "))
        return RuntimeUnavailableError(f"the chart's values: {wrong or text}", hint="change kubernetes.values")
    if _UNREACHABLE.search(said):
        return RuntimeUnavailableError(
            f"the cluster cannot be reached: {text.removeprefix('Error: ')}",
            hint="see `kubectl cluster-info`; KUBECONFIG, or kubernetes.context in quorumkit.yaml, names another",
        )
    if "forbidden" in said.lower():
        return RuntimeUnavailableError(
            f"the cluster does not allow it: {text.removeprefix('Error: ')}", hint="ask whoever runs the cluster"
        )
    return RuntimeUnavailableError(f"{command[0]}: {text.removeprefix('Error: ').removeprefix('error: ')}")


def _missing(program: str) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(f"{program} is not on PATH", hint=_INSTALL.get(program))


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


class ForwardedRpc(HttpRpc):
    """JSON-RPC to a pod, through a `kubectl port-forward` that ends with the connection."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, *, where: str) -> None:
        super().__init__(f"http://127.0.0.1:{port}", where=where)
        self._process = process

    @classmethod
    async def open(cls, cluster: Cluster, pod: str, port: int, *, where: str) -> ForwardedRpc:
        """Raises:
        RpcError: the pod cannot be reached.
        """
        command = cluster.kubectl("port-forward", f"pod/{pod}", f":{port}", "--address=127.0.0.1")
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError:
            raise _missing(command[0]) from None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(FORWARD_PATIENCE):
                line = await process.stdout.readline()
        except BaseException as error:
            await _end(process)
            if isinstance(error, TimeoutError):
                raise RpcError(f"{where}: {pod} was not reached in {FORWARD_PATIENCE:g} s") from None
            raise
        match = _FORWARDING.match(line)
        if match is None:
            await _end(process)
            raise RpcError(f"{where}: {line.decode('utf-8', 'replace').strip() or 'port-forward ended'}")
        return cls(process, int(match[1]), where=where)

    async def close(self) -> None:
        await super().close()
        await _end(self._process)
