"""Quorumkit builds permissioned Ethereum networks of N nodes and keeps them running."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("quorumkit")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
