"""GoQuorum for tests: a binary that whoever runs them names."""

from __future__ import annotations

import os

import pytest

GOQUORUM = os.environ.get("QUORUMKIT_GOQUORUM")
"""Of version 24.4.1."""

needs_goquorum = pytest.mark.skipif(GOQUORUM is None, reason="QUORUMKIT_GOQUORUM names no GoQuorum binary")
