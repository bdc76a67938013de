"""The node program: prepares a node's data directory, runs its client, heals it, reports, and stops it cleanly."""
