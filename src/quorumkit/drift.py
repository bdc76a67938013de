"""Which fields of a spec no longer give the genesis that a chain was started from. Pure.

A chain cannot change its genesis. Which field decides which part of one is found by trying: the genesis is planned
with another value of the field, and what then differs is the field's. So no engine's or consensus kind's genesis format
is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from quorumkit.addresses import Endpoint
from quorumkit.engines import kinds
from quorumkit.errors import GenesisMismatchError, SpecError
from quorumkit.identity import PublicIdentity
from quorumkit.plan import NodeEndpoints, plan
from quorumkit.spec import GenesisSpec, NetworkSpec, OneOf, parse_spec

_ALLOC = "alloc"
_ANYWHERE = Endpoint("0.0.0.0", 1)  # noqa: S104 - where nodes listen stands in no genesis
_ENDPOINTS = NodeEndpoints(p2p=_ANYWHERE, p2p_bind=_ANYWHERE, rpc_bind=_ANYWHERE, rpc_url="")


@dataclass(frozen=True)
class Drift:
    """One field of the spec that changed."""

    field: str
    """Its path in the spec, such as `consensus.period`."""
    value: Any
    """What it is now."""
    places: tuple[str, ...]
    """The parts of the genesis that it decides and that differ, such as `config.clique.period`."""

    def __str__(self) -> str:
        value = "" if isinstance(self.value, dict) else f" {self.value}"
        return (
            f"{self.field}:{value} gives another genesis than the one the chain was started from; "
            f"they differ in {', '.join(self.places)}"
        )


def drift_of(spec: NetworkSpec, genesis: Mapping[str, Any], *, validators: int | None = None) -> list[Drift]:
    """The fields of the spec that would change that genesis; keys are not looked at.

    `validators` is how many the genesis names, where that is known.
    """
    if validators is not None and validators != spec.nodes.validators:
        return [Drift("nodes.validators", spec.nodes.validators, _identity_places(spec))]
    expected = _genesis(spec)
    ours = set(_identity_places(spec))
    places = [place for place in differences(expected, dict(genesis)) if place not in ours and not _is_alloc(place)]
    found: list[Drift] = []
    if places:
        for field, value, other in _variations(spec):
            decided = set(differences(expected, _genesis(other)))
            mine = tuple(place for place in places if place in decided)
            places = [place for place in places if place not in mine]
            if mine and found and found[-1].field == field:
                found[-1] = Drift(field, value, (*found[-1].places, *mine))
            elif mine:
                found.append(Drift(field, value, mine))
    found += [Drift("the rules of this version", "", tuple(places))] if places else []
    return found + _alloc_drift(spec, genesis)


def check_drift(spec: NetworkSpec, genesis: Mapping[str, Any], *, validators: int | None = None) -> None:
    """Raises:
    GenesisMismatchError: the spec would change that genesis; the message names the fields.
    """
    if found := drift_of(spec, genesis, validators=validators):
        hint = "undo the change, or make a new network: a chain cannot change its genesis"
        if found[0].field == "nodes.validators":
            hint = f"{hint}. Add nodes as nodes.observers, and vote them in"
        raise GenesisMismatchError("; ".join(map(str, found)), hint=hint)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """The paths at which two JSON values differ, such as `config.clique.period`."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in sorted(one.keys() | other.keys()):
            found += differences(one.get(key), other.get(key), f"{path}.{key}" if path else key)
        return found
    return [] if one == other else [path]


def _genesis(spec: NetworkSpec, *, first: int = 1) -> dict[str, Any]:
    """What the spec gives with some keys or other; `first` numbers them."""
    numbers = range(first, first + spec.nodes.validators)
    names = further.names if (further := spec.recipe.further_keys) else ()
    identities = [  # keys that nobody has
        PublicIdentity(f"{n:0128x}", f"0x{n:040x}", further_keys=dict.fromkeys(names, f"{n:064x}")) for n in numbers
    ]
    alone = spec.model_copy(update={"nodes": spec.nodes.model_copy(update={"observers": 0})})
    return plan(alone, identities, [_ENDPOINTS] * len(identities)).genesis


def _identity_places(spec: NetworkSpec) -> tuple[str, ...]:
    """The parts of a genesis that keys decide, balances aside."""
    far = 2**32
    changed = differences(_genesis(spec), _genesis(spec, first=far))
    return tuple(place for place in changed if not _is_alloc(place))


def _is_alloc(place: str) -> bool:
    return place.partition(".")[0] == _ALLOC


def _alloc_drift(spec: NetworkSpec, genesis: Mapping[str, Any]) -> list[Drift]:
    """Accounts that are not in the spec are the validators'."""
    # As this engine writes them.
    expected, present = _genesis(spec).get(_ALLOC, {}), genesis.get(_ALLOC, {})
    if not isinstance(expected, dict) or not isinstance(present, dict):
        return []
    said = {account.lower().removeprefix("0x") for account in spec.genesis.alloc}
    present = {str(account).lower().removeprefix("0x"): entry for account, entry in present.items()}
    expected = {str(account).lower().removeprefix("0x"): entry for account, entry in expected.items()}
    found = []
    if wrong := sorted(account for account in said if present.get(account) != expected.get(account)):
        found.append(Drift("genesis.alloc", spec.genesis.alloc, tuple(f"{_ALLOC}.{account}" for account in wrong)))
    own = [entry for account, entry in expected.items() if account not in said]
    others = {account: entry for account, entry in present.items() if account not in said}
    accounts = sorted(others)
    if len(others) in (0, spec.nodes.validators) and own[:1] != [*others.values()][:1]:
        places = tuple(f"{_ALLOC}.{account}" for account in accounts[:3]) or (_ALLOC,)
        found.append(Drift("genesis.node_balance", spec.genesis.node_balance, places))
    elif len(others) != len(own):
        extra = [account for account in accounts if others[account] not in own] or accounts
        places = tuple(f"{_ALLOC}.{account}" for account in extra) or (_ALLOC,)
        found.append(Drift("genesis.alloc", spec.genesis.alloc, places))
    return found


def _variations(spec: NetworkSpec) -> Iterator[tuple[str, Any, NetworkSpec]]:
    """Each field that may decide a genesis, its value, and specs in which nothing but it is another."""
    yield from _varied(spec, ("chain_id",), [spec.chain_id + 1, spec.chain_id - 1])
    for field, value in spec.consensus.own_fields.items():
        if field != "kind":
            yield from _varied(spec, ("consensus", field), _other_values(spec.consensus, field, value))
    for field in GenesisSpec.model_fields:
        if field not in ("alloc", "node_balance"):
            value = getattr(spec.genesis, field)
            others = _other_values(spec.genesis, field, value)
            if field == "fork_times":
                others = [{}, dict.fromkeys(spec.recipe.later_forks, 1)]
            yield from _varied(spec, ("genesis", field), others)
    yield from _varied(spec, ("consensus", "kind"), _other_values(spec.consensus, "kind", spec.consensus.kind))
    yield from _varied(spec, ("engine", "kind"), [kind for kind in kinds() if kind != spec.engine.kind])


def _varied(spec: NetworkSpec, path: tuple[str, ...], values: list[Any]) -> Iterator[tuple[str, Any, NetworkSpec]]:
    for other in values:
        written = spec.model_dump(exclude_unset=True)
        part = written
        for step in path[:-1]:
            part = part.setdefault(step, {})
        present: Any = spec
        for step in path:
            present = getattr(present, step)
        part[path[-1]] = other
        if path == ("engine", "kind"):  # what follows from the kind follows from the other one
            written = {key: written[key] for key in ("name", "nodes", "chain_id", "genesis") if key in written}
            written["engine"] = {"kind": other}
        try:
            yield ".".join(path), present, parse_spec(written)
        except SpecError:
            continue


def _other_values(model: Any, field: str, value: Any) -> list[Any]:
    described = type(model).model_fields[field]
    if get_origin(described.annotation) is Literal:
        return [other for other in get_args(described.annotation) if other != value]
    for registry in described.metadata:
        if isinstance(registry, OneOf):
            return [other for other in registry.values() if other != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, value + 1000]
    return [1, "1", True]
