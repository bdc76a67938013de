"""How much a request may bring, and how long it may take. Sizes in bytes, times in seconds."""

from __future__ import annotations

MAX_PAYLOAD = 2 * 1024 * 1024
"""Of one private transaction. GoQuorum's own limit for a transaction is 128 KiB unless its genesis says otherwise."""

MAX_BODY = 3 * 1024 * 1024
"""Of any request: a payload in base64 and what goes with it."""

MAX_PARTY_INFO = 1024 * 1024
"""Of party information, which is about 130 bytes for every transaction manager."""

MAX_BODIES = 32 * 1024 * 1024
"""Of all bodies that are on their way into one API together."""

MAX_HEADER = 64 * 1024
"""Of one header field: `c11n-to` holds 45 bytes for every party."""

BODY_TIMEOUT = 10.0
"""From a request's header to the end of its body."""

FIRST_REQUEST_TIMEOUT = 10.0
"""From a connection to the end of its first request's header."""

KEEPALIVE = 75.0
"""How long a connection may rest between requests."""

MAX_CONNECTIONS = 1024
"""At once into one API. Beyond it the oldest ends that has asked nothing yet."""
