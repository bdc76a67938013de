"""Current go-ethereum, which executes, and CometBFT, which agrees."""
