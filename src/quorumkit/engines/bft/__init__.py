"""Byzantine fault tolerant consensus: unmodified go-ethereum executes, unmodified CometBFT agrees."""
