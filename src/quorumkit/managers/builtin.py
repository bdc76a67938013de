"""Quorumkit's own transaction manager, `quorumkit.tm`, as what stands beside a client."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.managers.base import TM_SOCKET, manager_process, tm_url

if TYPE_CHECKING:
    from quorumkit.plan import Network, Node
    from quorumkit.process_spec import ProcessSpec
    from quorumkit.spec import TransactionManagerSpec


class Builtin:
    """See `Manager`."""

    kind = "builtin"
    config = "tm/tm.conf"
    ready_within = 30.0

    def find(self, *, override: Path | None) -> Path | None:
        return None

    def check_place(self, directory: Path) -> None:
        """Anywhere: it reaches its socket by a short name however deep the directory lies."""

    def files(self, network: Network, node: Node) -> dict[str, bytes]:
        """In Constellation's format; every other manager's key is fixed in it, so nobody can claim one."""
        from quorumkit.tm.config_render import render_tm_conf

        own, bind = node.endpoints.tm, node.endpoints.tm_bind
        if own is None or bind is None:
            raise ValueError(f"{node.name} has a transaction manager and no endpoint for it")
        others = [
            (other.endpoints.tm, other.identity.tm_key)
            for other in network.members
            if other is not node and other.endpoints.tm and other.identity.tm_key
        ]
        content = render_tm_conf(
            url=tm_url(own),
            port=bind.port,
            interface=bind.host,
            socket=TM_SOCKET.name,
            # Key by URL: one that has sent the one without the other must not shift the others' keys.
            other_nodes=[tm_url(endpoint) for endpoint, _ in others],
            other_keys=[key for _, key in others],
        )
        return {self.config: content}

    def keep(self, present: bytes, rendered: bytes, *, source: Path) -> bytes:
        from quorumkit.tm.config_render import keep_fields

        return keep_fields(present, rendered, source=source)

    def process(self, program: Path | None, *, apart: bool = False) -> ProcessSpec:
        command = [sys.executable, "-P", "-m", "quorumkit.tm", self.config]
        return manager_process(command, ready_within=self.ready_within, apart=apart)

    def image(self, spec: TransactionManagerSpec) -> str | None:
        return None

    def container(self) -> dict[str, Any]:
        return {}
