"""Between CometBFT, which agrees, and geth, which executes."""
