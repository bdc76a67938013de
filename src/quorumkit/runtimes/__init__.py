"""Where a network runs: each runtime starts the node program its own way."""

from quorumkit.runtimes.base import Command, Runtime, runtime_of

__all__ = ["Command", "Runtime", "runtime_of"]
