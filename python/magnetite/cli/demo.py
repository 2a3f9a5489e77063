"""`magnetite demo`: the main job on real text."""

from pathlib import Path

import click

from magnetite.cli.shell import answer, examples, json_option, path_out, threads_option


@click.command(epilog=examples("magnetite demo", "magnetite demo --no-learn"))
@click.option(
    "-o",
    "--out",
    type=path_out,
    default=Path("demo"),
    show_default=True,
    help="Folder for the report, the runs and the encoders.",
)
@click.option("--learn/--no-learn", default=True, help="Train as well [default: yes].")
@threads_option
@json_option
def command(out: Path, threads: int | None, *, learn: bool, as_json: bool) -> None:
    """Encode, index, search and judge SciFact with the built-in encoder; train it; judge again.

    SciFact ships with the package; nothing is fetched.
    """
    from magnetite.demo.run import run

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    report = run(out, say=say, threads=threads, learn=learn)
    if as_json:
        answer({} if report is None else report.as_json(), "", as_json=True)
