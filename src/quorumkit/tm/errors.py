"""What can go wrong in the transaction manager.

`status` is the HTTP status a request that runs into the error is answered with. GoQuorum 24.4.1 takes 404 for
"not a party to this payload" and ends its process (exit code 112) when a payload it asks for keeps failing otherwise.
"""

from __future__ import annotations

from typing import ClassVar

from quorumkit.errors import QuorumkitError, UsageError


class TmConfigError(UsageError):
    """tm.conf is wrong; the message names the file and the field."""


class TmKeyError(QuorumkitError):
    """A key file cannot be used: missing, not in the format, or locked with another password."""


class TmError(QuorumkitError):
    """A request to the transaction manager that was not done."""

    status: ClassVar[int] = 500


class WireError(TmError):
    """Bytes from a peer that are not in the protocol's encoding."""

    status = 400


class BadRequestError(TmError):
    """A request that lacks something or asks for what this transaction manager does not offer."""

    status = 400


class UnprovenError(TmError):
    """A request for what the holder of a key alone may have, from somebody who has not proved to be that."""

    status = 401


class RefusedError(TmError):
    """A request from somebody who is not in the network's list."""

    status = 403


class PayloadNotFoundError(TmError):
    """No such payload here, or none that this node is a party to. The two are not told apart on purpose."""

    status = 404


class TooLargeError(TmError):
    """A request body over the limit."""

    status = 413


class SlowBodyError(TmError):
    """A request body that did not arrive in time."""

    status = 408


class OverloadedError(TmError):
    """More request bodies are on their way in than there is room for."""

    status = 503


class UnknownPartyError(TmError):
    """A TM public key that no transaction manager of the network holds."""

    status = 400


class PartyUnreachableError(TmError):
    """A party did not take the payload, so nothing was sent: the message names it."""

    status = 503


class StoreError(TmError):
    """The payload store could not be read or written."""

    status = 500
