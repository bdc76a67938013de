"""GoQuorum, the fork of go-ethereum that brought private transactions."""
