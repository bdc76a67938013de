"""From a network to the files of its nodes. Pure: paths and bytes, no I/O."""

from quorumkit.render.node_files import render_genesis, render_node

__all__ = ["render_genesis", "render_node"]
