"""Quorumkit builds permissioned Ethereum networks of N nodes and keeps them running."""

__version__ = "0.1.0"
