"""Engines: which client implements a node, each behind one small protocol."""

from quorumkit.engines.base import Binary, Engine, engine_of

__all__ = ["Binary", "Engine", "engine_of"]
