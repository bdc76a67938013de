"""Engines: which client implements a node, each behind one small protocol. This is their one list."""

from quorumkit.engines.base import Binary, Engine, Standing

__all__ = ["Binary", "Engine", "Standing", "engine_of"]


def engine_of(kind: str) -> Engine:
    """The engine of that name (the spec has checked that there is one)."""
    from quorumkit.engines.geth import Geth
    from quorumkit.engines.goquorum import GoQuorum

    engines: dict[str, Engine] = {"geth": Geth(), "goquorum": GoQuorum()}
    return engines[kind]
