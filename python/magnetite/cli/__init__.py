"""The command line: one file a verb, imported when its verb is called."""

from importlib import import_module

import click

_VERBS = {  # verb -> what `magnetite --help` says of it; its module holds `command`
    "train": "Train an encoder by one of the recipes and seal it.",
    "export": "Seal a sentence-transformers folder or hub id as an artifact.",
    "verify": "Check an artifact, an index or a collection.",
    "encode": "Turn the texts of a file into vectors.",
    "index": "Fill or update a collection from a corpus.",
    "search": "Show the documents that answer a query.",
    "eval": "Judge encoders on a BEIR folder or a similarity file.",
    "cur": "Search by a slow judge, for a fixed number of its calls.",
    "serve": "Answer over HTTP: vectors, searches, and a page to try them.",
    "bench": "Time vector search beside other libraries, on your vectors.",
    "demo": "Do all of it on real text: SciFact, offline.",
}

_BEGIN = """\b
Two commands to see it work:
  magnetite index corpus.jsonl -o here
  magnetite search here "what do vaccines contain?"
"""


class _Verbs(click.Group):
    """Verbs found by name; what a user can mend ends as one line, not as a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            ctx.fail(f"no verb {cmd_name!r}; there are {', '.join(_VERBS)}")
        command: click.Command = import_module(f"magnetite.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx  # click would import every verb here for its one line
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise  # click ends quietly where the reader of a pipe has gone
        except (ValueError, OSError, ImportError) as error:
            if ctx.params["traceback"]:
                raise
            raise click.ClickException(_said(error)) from error


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


@click.group(
    cls=_Verbs,
    epilog=_BEGIN,
    subcommand_metavar="VERB ...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="magnetite", message="magnetite %(version)s")
@click.option("--traceback", is_flag=True, help="Show where an error came from.")
def main(*, traceback: bool) -> None:
    """Train text encoders, seal them, and search with them."""
