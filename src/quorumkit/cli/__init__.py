"""The `quorumkit` command: one module a group of commands; what they do stands elsewhere."""
