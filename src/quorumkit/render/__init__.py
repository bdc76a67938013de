"""From a network to the files of its nodes. Pure: paths and bytes, no I/O."""

from quorumkit.render.node_files import keeping, render_genesis, render_node

__all__ = ["keeping", "render_genesis", "render_node"]
