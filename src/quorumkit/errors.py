"""What can go wrong, as a person would tell it.

Every error carries one sentence that says what is wrong and, where there is a way out, a hint that names it.
The exit code is part of the type: 2 when the request itself was wrong, 1 when a right request failed.
"""

from __future__ import annotations

from typing import ClassVar

from quorumkit.urls import hide_secrets


class QuorumkitError(Exception):
    """A right request that failed; `hint` says what to do next."""

    exit_code: ClassVar[int] = 1
    restarts_at_once: ClassVar[bool] = False
    """Whether a node's group that ends with it is started again at once, for it failed of nothing: it is the start that
    is wanted."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # Whatever they quote: an error goes to terminals, logs, the states of nodes and other programs.
        self.message = hide_secrets(message)
        self.hint = hide_secrets(hint) if hint else hint
        super().__init__(self.message)

    @property
    def kind(self) -> str:
        """The stable name of this error for machines, as `--json` prints it."""
        return type(self).__name__


class UsageError(QuorumkitError):
    """The request itself was wrong: an argument, an option, a combination of them."""

    exit_code = 2


class SpecError(UsageError):
    """The spec (quorumkit.yaml) is wrong; the message starts with the path of the field."""


class NotANetworkError(UsageError):
    """The directory named is not a network directory."""


class NewerFormatError(UsageError):
    """The directory was written by a newer version of Quorumkit."""


class CorruptFileError(QuorumkitError):
    """A file of the network directory cannot be what it should be."""


class GenesisMismatchError(QuorumkitError):
    """A chain exists that was started from another genesis."""


class PortError(QuorumkitError):
    """A port that was asked for is taken, or no free block of ports was found."""


class EngineError(QuorumkitError):
    """A client binary could not be had, or is not what it should be."""


class NodeError(QuorumkitError):
    """A node failed or is not in the state the request needs."""


class RestartNeededError(NodeError):
    """What a part of a running node cannot heal but by a new start of all of them."""

    restarts_at_once = True


class NotRunningError(QuorumkitError):
    """The network does not run, and the request needs it to."""


class RuntimeUnavailableError(QuorumkitError):
    """What a provider stands on (a container engine, a cluster) is missing or unusable."""


class RpcError(QuorumkitError):
    """A client answered a JSON-RPC request with an error, or did not answer."""

    code: int | None = None
    """Of the error that it answered with (JSON-RPC 2.0, section 5.1); None: it did not answer, or not so."""


class WaitTimeoutError(QuorumkitError):
    """Something waited for did not come in time."""
