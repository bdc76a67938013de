"""What a spec asks of its client that the client cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quorumkit.engines import Recipe, kinds, recipe_of

if TYPE_CHECKING:
    from quorumkit.spec.network import NetworkSpec


def engine_problem(spec: NetworkSpec) -> str | None:
    """What is wrong with it, if anything is: what its client's recipe says that it has not."""
    engine, recipe = spec.engine, recipe_of(spec.engine.kind)
    kind, wanted = engine.kind, spec.consensus.kind
    if wanted not in recipe.consensus:
        others = _and([other.kind for other in _recipes() if wanted in other.consensus])
        return (
            f"consensus.kind: {kind} has no {wanted} (it has {', '.join(recipe.consensus)}); engine.kind {others} has"
        )
    last = recipe.last_that_seals
    if last is not None and _numbers(engine.version) > _numbers(last):
        return f"engine.version: {kind} {engine.version} seals no blocks of its own; {last} is the last that does"
    if spec.transaction_manager is not None and not recipe.private_transactions:
        others = _and([other.kind for other in _recipes() if other.private_transactions])
        return f"transaction_manager: {kind} has no private transactions; engine.kind {others} has"
    said_free = spec.genesis.free_gas or "free_gas" not in spec.genesis.model_fields_set
    if recipe.gas_is_always_free and not said_free:
        return f"genesis.free_gas: with {kind} gas is always free; leave it out"
    if engine.image is not None and not recipe.comes_in_image:
        return f"engine.image: {kind} is built, not taken out of an image; engine.binary names one"
    return None


def _recipes() -> list[Recipe]:
    return [recipe_of(kind) for kind in kinds()]


def _and(names: list[str]) -> str:
    return " and ".join(names)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
