"""What the node program knows of a node, as it tells it to whoever asks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from quorumkit.consensus import address_to_vote_for
from quorumkit.record import NodeRecord

State = Literal[
    "stopped", "exchanging", "admitting", "starting", "waiting", "syncing", "running", "stalled", "restarting",
    "failed", "removed", "unknown",
]  # fmt: skip
"""stopped: by request, or nothing runs it. exchanging: not agreed with the others yet, see `error` for whom it waits
for. admitting: the running members have not taken it in yet. starting: the client is not up yet.
waiting: up, without peers. syncing: up, with peers, no new block yet. running: blocks come. stalled: no block for too
long, or consensus says that none can come, see `error`. restarting: it died and is started again in a moment. failed:
it cannot run, see `error`. removed: its client is up, and the other members took it off their list for good. unknown:
nothing could be learned."""


@dataclass
class NodeStatus:
    """One node, now."""

    name: str
    ordinal: int = 0
    role: str = ""
    state: State = "stopped"
    block: int | None = None
    block_hash: str | None = None
    peers: int | None = None
    expected_peers: int = 0
    rpc_url: str = ""
    enode: str = ""
    account: str = ""
    validator_address: str | None = None
    """What validators name it by when they vote it in or out, where they do."""
    tm_key: str | None = None
    """Its transaction manager's public key in base64, where it has one."""
    further_keys: dict[str, str] = field(default_factory=dict)
    """The public halves in hex of what else its client has, by name."""
    pid: int | None = None
    """Of its client."""
    processes: dict[str, int] = field(default_factory=dict)
    """The pids of all its processes that run here, by name."""
    restarts: int = 0
    error: str | None = None
    trouble: str | None = None
    """What goes wrong in its care while it runs on; its log has the traceback."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What its driver and the tasks beside its client publish while it runs, by name: numbers, in the units of their
    names, words for people, and numbers by what they are of."""

    def describe(self, record: NodeRecord) -> None:
        """Takes over what a node's record says of it."""
        self.name, self.ordinal, self.role = record.name, record.ordinal, record.role
        self.expected_peers = len(record.peers)
        self.rpc_url, self.enode, self.account = (
            record.endpoints.rpc_url,
            str(record.node.enode),
            record.identity.account,
        )
        self.validator_address = address_to_vote_for(record.consensus.kind, record.identity)
        self.tm_key = record.identity.tm_key
        self.further_keys = dict(record.identity.further_keys)

    @property
    def started(self) -> bool:
        """Its client is up and answers."""
        return self.state in ("waiting", "syncing", "running", "stalled", "removed")

    @property
    def ready(self) -> bool:
        """In step with its peers: fit to be asked."""
        return self.state == "running"

    @property
    def connected(self) -> bool:
        """Its client answers, and sees every static peer."""
        return self.peers is not None and self.peers >= self.expected_peers

    @property
    def complete(self) -> bool:
        """Ready, and connected to every static peer."""
        return self.ready and (self.peers or 0) >= self.expected_peers

    def line(self) -> str:
        """What it does, and what it waits for, in one line."""
        text = f"{self.name}: {self.state}, block {self.block if self.block is not None else '-'}, "
        text += f"{self.peers or 0} of {self.expected_peers} peers"
        return "; ".join(filter(None, [text, self.error, self.trouble]))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> NodeStatus:
        known = {each.name for each in fields(cls)}
        return cls(**{name: item for name, item in value.items() if name in known})
