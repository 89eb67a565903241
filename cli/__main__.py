"""`python -m cli` is `weft`."""

from cli.main import main

main()
