"""Engines: which client implements a node, each behind one small protocol."""

from quorumkit.engines.base import Binary, Engine, Standing, engine_of

__all__ = ["Binary", "Engine", "Standing", "engine_of"]
