"""go-ethereum, as one process a node."""
