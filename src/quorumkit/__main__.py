"""`python -m quorumkit` is the `quorumkit` command."""

from quorumkit.cli.main import main

if __name__ == "__main__":
    main()
