"""Identities that one command makes for all nodes, with all their files, before anything runs.

Killed at any point, the next run finishes the work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from quorumkit.directory import NetworkDirectory, recorded_validators
from quorumkit.directory_lock import locked
from quorumkit.drift import check_drift, differences
from quorumkit.errors import CorruptFileError, GenesisMismatchError
from quorumkit.files import (
    private_directory,
    read_json,
    remove_leftovers,
    staged_directory,
    sync_trees,
    write_atomic,
    write_if_changed,
)
from quorumkit.identity import (
    FurtherKeys,
    PublicIdentity,
    check_identity,
    generate_secrets,
    load_identity,
    write_secrets,
)
from quorumkit.mark import ensure_mark
from quorumkit.plan import Network, NodeEndpoints, node_name, node_names, plan
from quorumkit.progress import Progress
from quorumkit.providers import Provider
from quorumkit.record import RECORD_NAME, read_record
from quorumkit.render import keeping, render_genesis, render_node
from quorumkit.spec import NetworkSpec
from quorumkit.spec_file import ensure_spec

Addressing = Callable[[NetworkSpec, list[NodeEndpoints | None]], list[NodeEndpoints]]
"""A provider's way to give every node its endpoints; it is given the ones that nodes have already."""


class Generated:
    """See `Identities`."""

    exchanged = False

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, provider: Provider) -> None:
        self._directory = directory
        self._spec = spec
        self._provider = provider
        self._network: Network | None = None

    def init(self, progress: Progress) -> Network:
        network = generate(self._directory, self._spec, self._provider.addresses, progress)
        self._provider.render(network)
        return network

    def prepare(self, progress: Progress) -> None:
        self._network = self.init(progress)

    async def form(self, progress: Progress, timeout: float) -> Network:
        """The network is there already; nothing is started."""
        return self._network or self._directory.load()

    async def learn(self) -> Network:
        return self._directory.load()


def generate(directory: NetworkDirectory, spec: NetworkSpec, addressing: Addressing, progress: Progress) -> Network:
    """Writes what is missing of the network: spec, keys, genesis, and each node's files.

    Keys that are there are kept and checked; what is rendered is written again where it differs.

    Raises:
        CorruptFileError: a key or the genesis on disk is not what it should be.
        GenesisMismatchError: the spec no longer gives the genesis that a chain was started from.
        PortError: see the provider's addressing.
    """
    with locked(directory):
        remove_leftovers(directory.path)
        ensure_spec(directory, spec)
        _check_spec(directory, spec)
        ensure_mark(directory.path)
        identities = _identities(directory, spec, progress)
        records = [_endpoints_on_disk(directory.node(name)) for name in node_names(spec)]
        network = plan(spec, identities, addressing(spec, records))
        _write_genesis(directory, network)
        for node in network.nodes:
            remove_leftovers(directory.node(node.name))
            for name, content in render_node(network, node).items():
                path = directory.node(node.name) / name
                write_if_changed(path, content, keep=keeping(network, name, path))
    return network


def _check_spec(directory: NetworkDirectory, spec: NetworkSpec) -> None:
    """Before anything is written: where there is a chain, the spec must still give its genesis."""
    recipe = spec.recipe
    if directory.genesis.exists() and any(recipe.has_chain(node) for node in directory.nodes.glob("node*")):
        check_drift(spec, _read_genesis(directory.genesis), validators=recorded_validators(directory))


def _read_genesis(path: Path) -> Any:
    return read_json(
        path,
        what="genesis",
        hint="remove it: the next `quorumkit up` writes it again from the spec and the keys",
    )


def _identities(directory: NetworkDirectory, spec: NetworkSpec, progress: Progress) -> list[PublicIdentity]:
    """Every node's identity, by ordinal; new keys where there is no node yet."""
    private_directory(directory.nodes)
    remove_leftovers(directory.nodes)
    ordinals = range(1, spec.nodes.total + 1)
    missing = [ordinal for ordinal in ordinals if not directory.node(node_name(ordinal)).exists()]
    if missing and directory.genesis.exists():
        # The genesis names its validators: one whose keys are gone cannot be replaced by making new ones.
        # A validator that the spec only now asks for is no peer of anybody yet, and changes the genesis.
        known = _peers_of(directory, [node_name(ordinal) for ordinal in ordinals if ordinal not in missing])
        lost = [node_name(o) for o in missing if o <= spec.nodes.validators and node_name(o) in known]
        if lost:
            raise CorruptFileError(
                f"{directory.nodes}: {', '.join(lost)} {'is' if len(lost) == 1 else 'are'} gone, "
                "and the genesis names the validator's account",
                hint="put the directory back from a backup, or make a new network",
            )
    made = _make_nodes(directory, missing, spec, progress)
    further = spec.recipe.further_keys
    return [made.get(ordinal) or _identity_on_disk(directory.node(node_name(ordinal)), further) for ordinal in ordinals]


def _peers_of(directory: NetworkDirectory, names: Iterable[str]) -> set[str]:
    """The names of all nodes that the records of these nodes speak of."""
    present = [directory.node(name) for name in names if (directory.node(name) / RECORD_NAME).exists()]
    return {peer.name for node in present for peer in read_record(node).peers}


def _make_nodes(
    directory: NetworkDirectory, ordinals: Sequence[int], spec: NetworkSpec, progress: Progress
) -> dict[int, PublicIdentity]:
    """New keys for these nodes, by ordinal. The nodes appear when all their keys are on the disk."""
    made: dict[int, PublicIdentity] = {}
    total = spec.nodes.total
    make = partial(
        _make_node, transaction_manager=spec.transaction_manager is not None, further=spec.recipe.further_keys
    )
    with ExitStack() as staging:
        stages = {n: staging.enter_context(staged_directory(directory.node(node_name(n)))) for n in ordinals}
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for ordinal, identity in zip(ordinals, pool.map(make, stages.values()), strict=True):
                made[ordinal] = identity
                progress("making keys", total - len(ordinals) + len(made), total)
        sync_trees(stages.values())
    return made


def _make_node(stage: Path, *, transaction_manager: bool, further: FurtherKeys | None) -> PublicIdentity:
    secrets = generate_secrets(transaction_manager=transaction_manager, further=further)
    write_secrets(stage, secrets, staged=True)
    return secrets.identity


def _identity_on_disk(directory: Path, further: FurtherKeys | None) -> PublicIdentity:
    if not (directory / RECORD_NAME).exists():
        return load_identity(directory, further)
    identity = read_record(directory).identity
    check_identity(directory, identity, further)
    return identity


def _endpoints_on_disk(directory: Path) -> NodeEndpoints | None:
    return read_record(directory).endpoints if (directory / RECORD_NAME).exists() else None


def _write_genesis(directory: NetworkDirectory, network: Network) -> None:
    content = render_genesis(network)
    if directory.genesis.exists():
        if directory.genesis.read_bytes() == content:
            return
        present = _read_genesis(directory.genesis)
        recipe = network.spec.recipe
        if any(recipe.has_chain(directory.node(node.name)) for node in network.nodes):
            where = ", ".join(differences(present, json.loads(content))) or "its layout"
            raise GenesisMismatchError(
                f"{directory.genesis}: {directory.spec.name} or the keys give another genesis than the one the chain "
                f"was started from; they differ in {where}",
                hint="undo the change, or make a new network: a chain cannot change its genesis",
            )
    write_atomic(directory.genesis, content)
