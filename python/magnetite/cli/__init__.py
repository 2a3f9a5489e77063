"""The command line: one file a verb."""

import click


@click.group()
@click.version_option(package_name="magnetite")
def main() -> None:
    """Train, export, index, search and judge text encoders."""
