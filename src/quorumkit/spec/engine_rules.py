"""What a spec asks of its client that the client cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quorumkit.client_settings import arguments_problem
from quorumkit.engines import Recipe, recipes, recipes_of

if TYPE_CHECKING:
    from quorumkit.spec.network import NetworkSpec


def engine_problem(spec: NetworkSpec) -> str | None:
    """What is wrong with it, if anything is: what its client's recipe says that it has not."""
    engine, recipe = spec.engine, spec.recipe
    kind, wanted = engine.kind, spec.consensus.kind
    if wanted not in recipe.consensus:
        has = ", ".join(dict.fromkeys(each for other in recipes_of(kind) for each in other.consensus))
        others = _and([other.kind for other in recipes() if wanted in other.consensus])
        return f"consensus.kind: {kind} has no {wanted} (it has {has}); engine.kind {others} has"
    if problem := _version_problem(spec, recipe) or arguments_problem(engine.client_arguments, recipe):
        return problem
    if spec.transaction_manager is not None and not recipe.private_transactions:
        others = _and([other.kind for other in recipes() if other.private_transactions])
        return f"transaction_manager: {kind} has no private transactions; engine.kind {others} has"
    said_free = spec.genesis.free_gas or "free_gas" not in spec.genesis.model_fields_set
    if recipe.gas_is_always_free and not said_free:
        return f"genesis.free_gas: with {kind} gas is always free; leave it out"
    if engine.image is not None and not recipe.comes_in_image:
        return f"engine.image: {kind} is built, not taken out of an image; engine.binary names one"
    return _genesis_problem(spec, recipe)


def _version_problem(spec: NetworkSpec, recipe: Recipe) -> str | None:
    kind, version, consensus = spec.engine.kind, spec.engine.version, spec.consensus.kind
    first, last = recipe.first_version, recipe.last_version
    if last is not None and _numbers(version) > _numbers(last):
        return f"engine.version: {kind} {version} seals no blocks of its own; {last} is the last that does"
    if first is not None and _numbers(version) < _numbers(first):
        others = _and([each for other in recipes_of(kind) if other is not recipe for each in other.consensus])
        instead = f" (consensus.kind {others} has older ones)" if others else ""
        return f"engine.version: {kind} {version} cannot run {consensus}; {first} is the first that can{instead}"
    return None


def _genesis_problem(spec: NetworkSpec, recipe: Recipe) -> str | None:
    genesis, most, validators = spec.genesis, recipe.most_validators, spec.nodes.validators
    if most is not None and validators > most:
        kind = spec.consensus.kind
        return f"nodes.validators: {kind} takes {most} at most, not {validators}; the others can be observers"
    for field in ("base_fee", "gas_price", "fork_times"):
        if getattr(genesis, field) and field not in recipe.genesis_fields:
            others = _and([each for other in recipes() if field in other.genesis_fields for each in other.consensus])
            return f"genesis.{field}: with {spec.consensus.kind} there is none; consensus.kind {others} has it"
    if genesis.free_gas and (genesis.base_fee or genesis.gas_price):
        named = "base_fee" if genesis.base_fee else "gas_price"
        return f"genesis.{named}: gas that is free has no price; leave genesis.free_gas out"
    if unknown := [fork for fork in genesis.fork_times if fork not in recipe.later_forks]:
        known = ", ".join(recipe.later_forks)
        return f"genesis.fork_times.{unknown[0]}: {spec.engine.kind} knows no such fork (known: {known})"
    return None


def _and(names: list[str]) -> str:
    return " and ".join(dict.fromkeys(names))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
