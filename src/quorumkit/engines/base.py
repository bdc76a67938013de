"""What every engine answers: its recipe (pure), its driver (speaks to what runs) and its acquirer (has the binary)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from quorumkit.finding import Finding
    from quorumkit.identity import FurtherKeys, PublicIdentity
    from quorumkit.plan import Network, Node
    from quorumkit.process_spec import PartSpec
    from quorumkit.progress import Progress
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc


NONE_BESIDE: Mapping[str, Path] = MappingProxyType({})


@dataclass(frozen=True)
class Binary:
    """A client binary that was found or built, and checked."""

    path: Path
    version: str
    sha256: str
    beside: Mapping[str, Binary] = field(default_factory=dict, hash=False)
    """The further programs that its engine runs, by name."""


@dataclass(frozen=True)
class Standing:
    """A node's part in making blocks, as its client tells it at the head of its chain."""

    validates: bool
    """Whether it is one of those who make blocks, in whatever way it came to it."""
    validators: int
    """How many they are."""
    members: int | None = None
    """How many nodes consensus connects, where it keeps a list of them itself."""
    trouble: str | None = None
    """Why the node cannot keep step although its client is up, where consensus knows."""
    removed: bool = False
    """Whether the members took it off their list, for good."""


@dataclass(frozen=True)
class NamedPort:
    """One that every node has, on the host where its peers dial it."""

    number: int
    """Where a node listens that has an address of its own: in a container, in a pod."""
    block: range
    """Where nodes that share an address have theirs."""
    about: str
    """What goes there: the help of the option `--NAME-port`."""
    enode_field: str | None = None
    """What an enode URL calls it, where the other nodes learn of it from there."""


@dataclass(frozen=True)
class NeutralGenesis:
    """What the first block holds, whichever client is to read it."""

    chain_id: int
    gas_limit: int
    free_gas: bool
    """Whether a transaction need not pay for its gas, ever."""
    base_fee: int
    """Wei per gas in the first block (EIP-1559)."""
    fork_times: Mapping[str, int]
    """Seconds since 1970 from which on a fork's rules hold, by its name, beyond those that hold from the start."""
    balances: Mapping[str, int]
    """In wei, by lower-case account."""
    validators: tuple[PublicIdentity, ...]
    """By ordinal."""
    consensus_fields: Mapping[str, Any]
    """What the consensus kind decides (`Consensus.genesis_fields`)."""


class Recipe(Protocol):
    """How a node of this kind is made and run. All of it is pure, but that some of it looks at the node's files.

    Paths in commands are relative to the node's directory, where clients run: so they stay short enough for a unix
    socket however deep the network directory lies.
    """

    kind: str
    default_version: str
    first_version: str | None
    """The first version that can run such a network, where there is one."""
    last_version: str | None
    """The last version that can."""
    consensus: tuple[str, ...]
    """The consensus kinds this client can run, the default first."""
    gas_is_always_free: bool
    """Whether gas is free whatever the spec says."""
    further_keys: FurtherKeys | None
    """What it needs beyond nodekey, account and transaction manager's key."""
    most_validators: int | None
    """How many its consensus takes; None where the spec alone bounds them."""
    genesis_fields: tuple[str, ...]
    """The fields of the spec's `genesis` that it has beyond those that all have."""
    later_forks: tuple[str, ...]
    """The names of forks that may begin at a time to be named."""
    spec_defaults: Mapping[str, Mapping[str, Any]]
    """Defaults of the spec's fields that are this engine's own, by the spec's part and the field."""
    private_transactions: bool
    """Whether a transaction manager stands beside the client."""
    comes_in_image: bool
    """Whether the client's binary is taken out of an image, where nobody names one; else it is built."""
    api_modules: tuple[str, ...]
    """The API modules that the client has (geth's rpc.API namespaces), those first that change nothing."""
    our_flags: str
    """The client's flags that Quorumkit sets, or that would undo what it sets: a regular expression of them without
    their dashes."""
    fields_instead: Mapping[str, str]
    """The field of the spec that says what such a flag would, by flag or by family of flags (all before its dot)."""
    package: str
    """Its package URL without a version (purl specification), for bills of materials."""
    program: str
    """The file name of the client's program, which is on PATH in the node image."""
    chain: Path
    """The directory of the client's chain."""
    ipc: Path
    """The client's JSON-RPC unix socket."""
    console_failure: str
    """The line that the console prints where what `console_command` had it execute failed: it exits with 0."""

    def ports(self, consensus: str) -> Mapping[str, NamedPort]:
        """What a node needs with that consensus kind beyond the ports for its peers and for JSON-RPC, by name. The same
        name means the same everywhere."""
        ...

    def genesis(self, neutral: NeutralGenesis) -> dict[str, Any]:
        """The genesis in this client's format; pure."""
        ...

    def node_files(self, network: Network, node: Node) -> dict[str, bytes]:
        """The client's configuration files, by path below the node's directory; pure, and no secrets."""
        ...

    def keeps_names(self, consensus: str) -> bool:
        """Whether enodes may keep host names with that consensus kind: the client looks them up again by itself. Else
        it is given literal addresses, and told when one changes (`add_peer`)."""
        ...

    def has_chain(self, directory: Path) -> bool:
        """Whether the client has a chain in that node directory already."""
        ...

    def chain_damage(self, directory: Path) -> str | None:
        """What can be seen to be wrong with the chain's files, so that the client would begin a new one over them."""
        ...

    def why_not_anew(self, directory: Path, record: NodeRecord, *, had_chain: bool) -> str | None:
        """Why a node that has no chain cannot begin from the genesis and take its blocks from its peers, if so;
        `had_chain` says whether it is known to have had one."""
        ...

    def clear_unfinished(self, directory: Path) -> None:
        """Removes what a client that was killed left half written, would not start with, and makes anew by itself.

        Raises:
            OSError: it cannot be read or removed.
        """
        ...

    def setup_commands(self, binary: Path, record: NodeRecord, genesis: str) -> list[list[str]]:
        """What is run once, one after the other, before the client runs for the first time, and each time its chain is
        gone: the first makes the chain's first block from the genesis file at that path. Each ends by itself."""
        ...

    def needs_admission(self, record: NodeRecord) -> bool:
        """Whether running members must take the node in (`admit`) before its client can start for the first time."""
        ...

    def processes(
        self,
        binary: Path,
        record: NodeRecord,
        *,
        admission: str | None = None,
        beside: Mapping[str, Path] = NONE_BESIDE,
    ) -> Sequence[PartSpec]:
        """What the node consists of while it runs, its client first (a process), and without its transaction manager;
        `admission` is what `Driver.admit` answered, where it was needed, `beside` are the further programs
        (`Binary.beside`)."""
        ...

    def why_it_ends(self, line: str) -> str | None:
        """What a line of the client's log says of why it ends, if it does, also of one of the `setup_commands`."""
        ...

    def console_command(self, binary: Path, *, script: str | None, execute: str | None) -> list[str]:
        """The client's own JavaScript console on the running node; `script` is loaded first, `execute` is evaluated
        and printed instead of a prompt."""
        ...


class Report(Protocol):
    """What a driver tells a node of its running client, and what it learns of the node in turn. The node makes its
    state out of it."""

    @property
    def expected_peers(self) -> int:
        """How many peers the node should be connected to."""
        ...

    @property
    def head(self) -> str | None:
        """The hash of the newest block that was seen."""
        ...

    @property
    def is_stalled(self) -> bool:
        """Whether no block came for too long."""
        ...

    def see_first_head(self, number: int, block_hash: str) -> None:
        """The newest block that the client had when it was first asked."""
        ...

    def see_head(self, number: int, block_hash: str) -> None:
        """A new head."""
        ...

    def see_peers(self, count: int) -> None:
        """How many peers the client is connected to now."""
        ...

    def account_opened(self) -> None:
        """The client can sign for its account, where it has one that must be opened."""
        ...

    def stand(self, standing: Standing) -> None:
        """The node's part in making blocks, now."""
        ...

    def silent(self) -> None:
        """The client does not answer, and may still when it is asked again."""
        ...

    def refuse(self, reason: str) -> None:
        """The client cannot do what the node is for: its processes are ended, and that is told."""
        ...

    def say(self, level: str, text: str) -> None:
        """A line for the node's log."""
        ...

    def publish(self, name: str, value: Any) -> None:
        """A figure for the node's status and its metrics (`NodeStatus.figures`), in place of the one before."""
        ...

    def standing_still(self) -> AbstractContextManager[None]:
        """While the driver has the client look at other branches: then its head moves, and that is no progress."""
        ...

    async def peers_reach(self, count: int) -> None:
        """Returns when the client is connected to so many."""
        ...

    async def next_head(self, within: float) -> None:
        """Returns at the next head, or after so many seconds without one."""
        ...


class Care(Protocol):
    """What is done for the running processes of one node, from one start of them to their end."""

    async def attend(self, rpc: Rpc) -> None:
        """For as long as that connection, which `Driver.connect` made, is open. One that ends while the processes run
        on is made again, and this is called again.

        Raises:
            RpcError: the client is slow, or gone.
        """
        ...

    def take(self, record: NodeRecord) -> None:
        """The node's files were written again: the running client is given what it should have now."""
        ...


class Driver(Protocol):
    """Speaks to a node's processes while they run."""

    async def connect(self, directory: Path, record: NodeRecord) -> Rpc:
        """A connection to the client of that node directory.

        Raises:
            RpcError: it does not listen.
        """
        ...

    def care(self, directory: Path, record: NodeRecord, report: Report) -> Care:
        """For one start of that node's processes."""
        ...

    async def admit(self, rpc: Rpc, enode: str, replaced: Collection[str] | None = None) -> str:
        """Has a running member take in the node of that enode URL, if it is no member yet; what that node's client must
        be told of it (`Recipe.processes`), for good. Asking twice does no harm.

        Whose place it takes must be one of the `replaced` (enode keys); without them, whoever has it.

        Raises:
            NodeError: this member cannot do it, or not now; or another member has that place.
            RpcError: it cannot be asked.
        """
        ...


class Acquirer(Protocol):
    """Has the client's binary."""

    build_room: int | None
    """Bytes of disk that a build takes; None where nothing is built."""

    def findings(self) -> list[Finding]:
        """What this machine has and lacks for having the client: one or more things, each with what to do. Nothing is
        changed."""
        ...

    def find(self, version: str, *, override: Path | None = None, image: str | None = None) -> Binary | None:
        """The checked binary, if there is one already: the one named, else the one that was built or taken out of that
        image before.

        Raises:
            EngineError: the one named is missing, not executable, or another program or version.
        """
        ...

    def source_image(self, version: str, named: str | None) -> str | None:
        """The image that the binary is taken out of, where nobody names a binary; `named` is the spec's. None where it
        is built instead."""
        ...

    def acquire(
        self, version: str, *, override: Path | None = None, image: str | None = None, progress: Progress
    ) -> Binary:
        """Like `find`, and builds the binary, or takes it out of the image, where there is none yet.

        Raises:
            EngineError: it cannot be had here; the hint says what is missing.
        """
        ...
