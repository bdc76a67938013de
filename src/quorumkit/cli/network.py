"""Commands about a whole network."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from quorumkit.cli.options import directory_argument, json_option, spec_options
from quorumkit.cli.output import ProgressLine, done, is_terminal, print_json, print_table, say
from quorumkit.consensus import address_to_vote_for, consensus_of
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import engine_of
from quorumkit.errors import NotRunningError, UsageError
from quorumkit.files import remove_tree
from quorumkit.identities import identities_of
from quorumkit.managers import manager_of
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network
from quorumkit.progress import Progress, silent
from quorumkit.providers import Provider, provider_of
from quorumkit.providers.twins import claim_start
from quorumkit.rpc.http import connect_patiently
from quorumkit.spec import NetworkSpec, parse_spec
from quorumkit.stages import verify as verifying
from quorumkit.stages.admission import admit_newcomers
from quorumkit.stages.known import known_network
from quorumkit.stages.moved import known_urls, moves, told_moves
from quorumkit.stages.pinning import check_programs
from quorumkit.stages.request import check_request
from quorumkit.stages.verify import TIMEOUT, Verification
from quorumkit.stages.verify_private import ask_tm_keys
from quorumkit.stages.wait import patience, wait_until_complete
from quorumkit.urls import shown_urls

_LOOK_EVERY = 1.0  # seconds between two looks at nodes that have not agreed yet


@click.command()
@directory_argument
@spec_options
@json_option
def init(directory: NetworkDirectory, as_json: bool, **asked: Any) -> None:
    """Make a network directory: spec, keys, genesis, every node's files. Starts nothing.

    On one that is there already, makes what is missing and touches nothing else.

    \b
    quorumkit init -n 5 mynet
    quorumkit init -n 4 --observers 2 --period 5 bank
    """
    spec = _spec_for(directory, asked)
    identities = identities_of(directory, spec, _runtime(directory, spec, asked))
    with ProgressLine(quiet=as_json) as progress:
        network = identities.init(progress)
    if network is None:
        if as_json:
            print_json({"network": spec.name, "directory": str(directory.path.absolute()), "nodes": []})
            return
        done(f"{spec.name}: {spec.nodes.total} nodes that will make their own keys, in {directory.path}")
        say(f"start it: quorumkit up {directory.path}")
        _tell_plain_compose(directory, spec)
        return
    if as_json:
        print_json(_described(directory, network))
        return
    done(f"{_summary(network.spec)}, in {directory.path}")
    for node in network.nodes:
        say(f"{node.name}  {node.role}\n  enode    {node.enode}\n  account  {node.identity.account}")
        if (address := address_to_vote_for(network.spec.consensus.kind, node.identity)) != node.identity.account:
            say(f"  validator address  {address or '-'}")
        if node.identity.tm_key:
            say(f"  TM key   {node.identity.tm_key}")
    say(f"start it: quorumkit up {directory.path}")
    _tell_plain_compose(directory, spec)


@click.command()
@directory_argument
@spec_options
@click.option("--verify", "and_verify", is_flag=True, help="Then verify it, as `quorumkit verify` does.")
@click.option("--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="How long to wait for all nodes.")
@json_option
def up(directory: NetworkDirectory, as_json: bool, and_verify: bool, timeout: float | None, **asked: Any) -> None:
    """Start a network, and make it first where there is none.

    Returns when every node sees all its peers and blocks advance. Does no harm to a network that runs.

    \b
    quorumkit up -n 5 --verify
    quorumkit up mynet --json
    """
    spec = _spec_for(directory, asked)
    runtime = _runtime(directory, spec, asked)
    before = known_urls(directory) if directory.exists() else {}
    if directory.exists():
        claim_start(directory)
    with ProgressLine(quiet=as_json) as progress:
        timeout = timeout or patience(spec.nodes.total)
        check = partial(check_programs, directory, spec, binary=asked["engine_binary"], tm_binary=asked["tm_binary"])
        identities = identities_of(directory, spec, runtime)
        identities.prepare(progress)
        runtime.acquire(progress)
        is_new = not directory.exists()
        changed = [] if is_new else check()
        network = asyncio.run(identities.form(progress, timeout))
        if is_new:
            check()  # notes them
        statuses, verification = asyncio.run(_start(runtime, network, progress, timeout, and_verify=and_verify))
    moved = moves(before, statuses, spec)
    if as_json:
        more: dict[str, Any] = {"moved": [move.to_json() for move in moved]} if moved else {}
        more |= {"changed": changed} if changed else {}
        more |= {"verify": verification.to_json()} if verification else {}
        print_json(_status_json(network.spec, statuses) | more)
    else:
        done(f"{_summary(network.spec)}: running")
        for line in [*changed, *told_moves(moved)]:
            say(line)
        print_table(
            ["NODE", "ROLE", "STATE", "BLOCK", "PEERS", "RPC"],
            [[s.name, s.role, s.state, _or_dash(s.block), _or_dash(s.peers), s.rpc_url] for s in statuses],
        )
        if verification:
            _tell_verification(verification)
    if verification and not verification.ok:
        raise click.exceptions.Exit(1)


@click.command()
@directory_argument
@click.option(
    "--rpc",
    "urls",
    metavar="URL",
    multiple=True,
    help="Instead of DIR: a node's JSON-RPC; once for each, the first sends. Those not up yet are waited for.",
)
@click.option(
    "--health",
    "health_urls",
    metavar="URL",
    multiple=True,
    help="With --rpc, in the same order: each node program's --health, which tells its transaction manager's key.",
)
@click.option("--timeout", type=click.FloatRange(min=1), default=TIMEOUT, show_default=True,
              metavar="SECONDS")  # fmt: skip
@json_option
def verify(
    directory: NetworkDirectory, urls: tuple[str, ...], health_urls: tuple[str, ...], as_json: bool, timeout: float
) -> None:
    """Prove that a network works: a contract created through node 1 is read from every node.

    Deploys `storage`, sets 42, reads it from all at the same block, and compares that block's hash on all. Where there
    are transaction managers, a private contract from node 1 for node 2 must be read by these two alone. Exits with 1
    when a node answers anything else. Works beside any load, and leaves the accounts' own transactions alone.

    \b
    quorumkit verify mynet
    quorumkit verify --rpc http://node1:8545 --rpc http://node2:8545
    """
    with ProgressLine(quiet=as_json) as progress:
        if urls or health_urls:
            verification = asyncio.run(_verify_urls(urls, health_urls, progress, timeout))
        else:
            network = known_network(directory)
            verification = asyncio.run(_verify(provider_of(directory, network.spec), network, progress, timeout))
    if as_json:
        print_json(verification.to_json())
    else:
        _tell_verification(verification)
    if not verification.ok:
        raise click.exceptions.Exit(1)


@click.command()
@directory_argument
@click.option("-w", "--watch", is_flag=True, help="Show it again at each change, until Ctrl-C.")
@json_option
def status(directory: NetworkDirectory, as_json: bool, watch: bool) -> None:
    """Show every node: state, role, block, peers, RPC URL, process id.

    \b
    quorumkit status
    quorumkit status mynet --watch
    quorumkit status --json
    """
    spec = directory.read_spec()
    runtime = provider_of(directory, spec)
    if watch:
        try:
            asyncio.run(_watch(runtime, directory, spec, as_json))
        except KeyboardInterrupt:  # that is how it ends; whoever called it still sees that it did
            raise click.exceptions.Exit(128 + signal.SIGINT) from None
    else:
        _show_statuses(spec, asyncio.run(_statuses(runtime, directory, spec)), as_json)


@click.command()
@directory_argument
@json_option
def down(directory: NetworkDirectory, as_json: bool) -> None:
    """Stop a network. Its chain and keys stay; `quorumkit up` goes on where it was.

    \b
    quorumkit down mynet
    """
    spec = directory.read_spec()
    with ProgressLine(quiet=as_json) as progress:
        ran = asyncio.run(provider_of(directory, spec).stop(progress))
    if as_json:
        print_json({"network": spec.name, "stopped": ran})
    else:
        done(f"{spec.name}: stopped" if ran else f"{spec.name}: was not running")


@click.command()
@click.argument("path", metavar="DIR", type=click.Path(path_type=Path), required=False)
@click.option("-d", "--dir", "named", type=click.Path(path_type=Path), help="The same as DIR, which has no default.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def destroy(path: Path | None, named: Path | None, as_json: bool, yes: bool) -> None:
    """Stop a network and remove its directory: keys, chain, everything.

    \b
    quorumkit destroy mynet --yes
    """
    if path is None or named is not None:
        if (path is None) == (named is None):
            raise UsageError("which network?", hint="name it once: quorumkit destroy mynet")
        path = named
    assert path is not None
    directory = NetworkDirectory(path)
    spec = directory.read_spec()
    if not yes:
        if as_json or not is_terminal(sys.stdin):
            raise UsageError("this removes all keys and the chain for good", hint="say so with --yes")
        click.confirm(f"Remove {path} with the keys and the chain of {spec.nodes.total} nodes, for good?", abort=True)
    with ProgressLine(quiet=as_json) as progress:
        runtime = provider_of(directory, spec)
        asyncio.run(runtime.stop(progress))
        asyncio.run(runtime.discard(progress))
        progress("removing files")
        remove_tree(path.resolve())
        if path.is_symlink():
            path.unlink()
    if as_json:
        print_json({"network": spec.name, "destroyed": True})
    else:
        done(f"{spec.name}: destroyed, {path} is gone")


def _tell_plain_compose(directory: NetworkDirectory, spec: NetworkSpec) -> None:
    """What Compose by itself needs is an image of that name."""
    if spec.runtime == "compose":
        image = "" if spec.compose.image else f"quorumkit image build --dir {directory.path}, then "
        say(f"or with Compose alone: {image}docker compose up -d in {directory.path}")


def _spec_for(directory: NetworkDirectory, asked: dict[str, Any]) -> NetworkSpec:
    """The spec of the network that is there, or of the new one that was asked for."""
    paths = {
        "nodes.validators": asked["validators"],
        "nodes.observers": asked["observers"],
        "chain_id": asked["chain_id"],
        "consensus.period": asked["period"],
        "genesis.free_gas": asked["free_gas"],
        "name": asked["name"],
        "runtime": asked["runtime"],
        "engine.kind": asked["engine"],
        "consensus.kind": asked["consensus"],
        "identities": asked["identities"],
        "transaction_manager.kind": asked["transaction_manager"],
    }
    manager_binary = {"transaction_manager.binary": str(_absolute(asked["tm_binary"])) if asked["tm_binary"] else None}
    if directory.exists():
        spec = directory.read_spec()
        check_request(spec, paths, directory)
        if asked["tm_binary"]:  # for this time only, as a client's is; what the spec could not say is no more possible
            parse_spec(_completed(spec.model_dump(exclude_unset=True), manager_binary), source="the options given")
        return spec
    value = _completed({"name": _name_from(directory.path)}, paths | manager_binary)
    spec = parse_spec(value, source="the options given")
    # Programs are checked before anything is made, and kept for the commands that come after.
    if spec.transaction_manager is not None and spec.transaction_manager.binary is not None:
        manager_of(spec.transaction_manager.kind).find(override=Path(spec.transaction_manager.binary))
    if asked["engine_binary"] is None:
        return spec
    binary = _absolute(asked["engine_binary"])
    engine_of(spec.engine.kind).find(spec.engine.version, override=binary)
    return spec.model_copy(update={"engine": spec.engine.model_copy(update={"binary": str(binary)})})


def _completed(value: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A spec's plain mapping with what was asked for, by dotted paths; None is what was not asked."""
    for path, wanted in asked.items():
        if wanted is not None:
            *parents, last = path.split(".")
            part = value
            for parent in parents:
                if part.get(parent) is None:
                    part[parent] = {}
                part = part[parent]
            part[last] = wanted
    return value


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _name_from(path: Path) -> str:
    """A network name made of a directory's name, as near as the rules for names allow."""
    name = re.sub(r"[^a-z0-9]+", "-", path.absolute().resolve().name.lower()).strip("-")[:40].strip("-")
    return name or "quorum"


def _runtime(directory: NetworkDirectory, spec: NetworkSpec, asked: dict[str, Any]) -> Provider:
    return provider_of(directory, spec, binary=asked["engine_binary"], tm_binary=asked["tm_binary"])


async def _start(
    runtime: Provider, network: Network, progress: Progress, timeout: float, *, and_verify: bool
) -> tuple[list[NodeStatus], Verification | None]:
    started = False
    try:
        started = await runtime.start(network, progress)
        return await _complete(runtime, network, progress, timeout, and_verify=and_verify)
    except asyncio.CancelledError:  # Ctrl-C
        if started:
            progress("interrupted: stopping what was started")
            await runtime.stop(progress)
        raise


async def _complete(
    runtime: Provider, network: Network, progress: Progress, timeout: float, *, and_verify: bool
) -> tuple[list[NodeStatus], Verification | None]:
    """Waits for the network to be whole. Verification begins when all are connected, so that its transactions do not
    wait for a block after the first."""
    connected = asyncio.Event()

    async def verify_once_connected() -> Verification:
        await connected.wait()
        return await _verify(runtime, network, silent)

    verification = asyncio.create_task(verify_once_connected()) if and_verify else None
    admission = asyncio.create_task(admit_newcomers(runtime, network))
    try:
        statuses = await wait_until_complete(runtime, network, progress, timeout=timeout, connected=connected)
        if verification is None:
            return statuses, None
        progress("reading a contract from every node")
        return statuses, await verification
    finally:
        others = [task for task in (admission, verification) if task is not None]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _verify(runtime: Provider, network: Network, progress: Progress, timeout: float = TIMEOUT) -> Verification:
    if not await runtime.is_running():
        raise NotRunningError(f"{network.spec.name}: not running", hint="start it: quorumkit up")
    return await verifying.verify(
        {node.name: partial(runtime.connect, node) for node in network.nodes},
        progress,
        timeout=timeout,
        tm_keys={node.name: node.identity.tm_key for node in network.nodes if node.identity.tm_key},
    )


async def _verify_urls(
    urls: Sequence[str], health_urls: Sequence[str], progress: Progress, timeout: float
) -> Verification:
    for option, given, port in (("--rpc", urls, 8545), ("--health", health_urls, 9545)):
        wrong = [url for url in given if not re.match(r"https?://[^/]", url)]
        if wrong or len(set(given)) != len(given):
            raise UsageError(
                f"{option}: {wrong[0]!r} is not a URL" if wrong else f"{option}: a URL was given twice",
                hint=f"for example {option} http://node1:{port} {option} http://node2:{port}",
            )
    if health_urls and len(health_urls) != len(urls):
        raise UsageError(
            f"--health: {len(health_urls)} URLs for {len(urls)} of --rpc",
            hint="give one for each, in the same order, or none",
        )
    progress("waiting for the nodes to answer")
    names = shown_urls(urls)
    keys = await ask_tm_keys(dict(zip(names.values(), health_urls, strict=False)), timeout=timeout)
    nodes = {names[url]: partial(connect_patiently, url, timeout=timeout) for url in urls}
    return await verifying.verify(nodes, progress, timeout=timeout, tm_keys=keys)


async def _statuses(runtime: Provider, directory: NetworkDirectory, spec: NetworkSpec) -> list[NodeStatus]:
    """Every node; of a network whose nodes have not agreed yet, what they wait for."""
    if not directory.is_network(spec):
        statuses = await runtime.look()
        if any(status.state != "stopped" for status in statuses):
            return statuses
    return await runtime.status(directory.load_what_is_there())


async def _watch(runtime: Provider, directory: NetworkDirectory, spec: NetworkSpec, as_json: bool) -> None:
    shown: list[NodeStatus] = []
    while not directory.is_network(spec):
        statuses = await _statuses(runtime, directory, spec)
        if statuses != shown:
            shown = statuses
            _show_statuses(spec, statuses, as_json, watched=True)
        await asyncio.sleep(_LOOK_EVERY)
    async for statuses in runtime.watch(directory.load_what_is_there()):
        _show_statuses(spec, statuses, as_json, watched=True)


def _show_statuses(spec: NetworkSpec, statuses: Sequence[NodeStatus], as_json: bool, *, watched: bool = False) -> None:
    """In JSON as one line where more will follow."""
    if as_json:
        told = _status_json(spec, statuses)
        print_json(told, one_line=watched)
        return
    if watched and is_terminal(sys.stdout):
        click.clear()
    running = sum(status.ready for status in statuses)
    say(f"{_summary(spec)}: {running} of {len(statuses)} running{'  (Ctrl-C ends)' if watched else ''}")
    _print_statuses(statuses)


def _print_statuses(statuses: Sequence[NodeStatus]) -> None:
    print_table(
        ["NODE", "STATE", "ROLE", "BLOCK", "PEERS", "RPC", "PID", "VALIDATOR ADDRESS"],
        [
            [s.name, s.state, s.role, _or_dash(s.block), f"{_or_dash(s.peers)}/{s.expected_peers}", s.rpc_url,
             _or_dash(s.pid), _or_dash(s.validator_address)]
            for s in statuses
        ],
    )  # fmt: skip
    for s in statuses:
        for text in filter(None, [s.error, s.trouble]):
            say(f"{s.name}: {text}")


def _tell_verification(verification: Verification) -> None:
    count = len(verification.reads)
    if verification.ok:
        done(
            f"verified in {verification.seconds:.1f} s: contract {verification.contract} holds {verification.value} "
            f"on {f'all {count} nodes' if count > 1 else 'its one node'} at block {verification.block}, "
            "with the same hash"
        )
        if verification.private:
            parties = " and ".join(verification.private.parties)
            done(f"a private contract reads {verification.value} on {parties}, and nothing on any other node")
        return
    say(f"NOT verified after {verification.seconds:.1f} s")
    if verification.private and not verification.private.ok:
        say(f"  the private contract of {' and '.join(verification.private.parties)}: {verification.private.reads}")
    for name, value in verification.reads.items():
        if name in verification.errors:
            say(f"  {name}: {verification.errors[name]}")
        elif value is None:
            say(f"  {name}: has not reached the block")
        elif value != verification.value:
            say(f"  {name}: reads {value}, not {verification.value}")
    if not verification.hashes_equal and not verification.errors:
        say(f"  the nodes do not agree on block {verification.block}")


def _summary(spec: NetworkSpec) -> str:
    validators = f"{spec.nodes.validators} validator{'s' if spec.nodes.validators != 1 else ''}"
    observers = f", {spec.nodes.observers} observer{'s' if spec.nodes.observers != 1 else ''}"
    pace = "" if consensus_of(spec.consensus.kind).blocks_on_demand else f" every {spec.consensus.period} s"
    return (
        f"{spec.name}: {validators}{observers if spec.nodes.observers else ''}, {spec.engine.kind} "
        f"{spec.engine.version}, {spec.consensus.kind}{pace}, chain id {spec.chain_id}"
    )


def _status_json(spec: NetworkSpec, statuses: Sequence[NodeStatus]) -> dict[str, Any]:
    return {
        "network": spec.name,
        "engine": f"{spec.engine.kind} {spec.engine.version}",
        "consensus": spec.consensus.kind,
        "nodes": [s.to_json() for s in statuses],
    }


def _described(directory: NetworkDirectory, network: Network) -> dict[str, Any]:
    return {
        "network": network.spec.name,
        "directory": str(directory.path.absolute()),
        "chain_id": network.spec.chain_id,
        "nodes": [
            {
                "name": node.name,
                "ordinal": node.ordinal,
                "role": node.role,
                "enode": node.enode,
                "account": node.identity.account,
                "validator_address": address_to_vote_for(network.spec.consensus.kind, node.identity),
                "tm_public_key": node.identity.tm_key,
                "rpc_url": node.endpoints.rpc_url,
            }
            for node in network.nodes
        ],
    }


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)
