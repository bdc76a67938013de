"""JSON-RPC 2.0 to a client: over its unix socket (with subscriptions) or over HTTP."""

from quorumkit.rpc.base import Rpc
from quorumkit.rpc.http import HttpRpc
from quorumkit.rpc.ipc import IpcRpc

__all__ = ["HttpRpc", "IpcRpc", "Rpc"]
