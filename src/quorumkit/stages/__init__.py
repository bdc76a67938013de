"""What is done with networks: generate, verify, inspect."""
