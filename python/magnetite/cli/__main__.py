"""`python -m magnetite.cli`: the same as `magnetite`."""

from magnetite.cli import main

main(prog_name="magnetite")
