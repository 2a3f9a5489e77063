"""`magnetite search`: queries to documents."""

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from magnetite.cli.shell import (
    answer,
    examples,
    file_in,
    json_option,
    load_encoder,
    model_option,
    threads_option,
)

if TYPE_CHECKING:
    from magnetite.cli.searchable import Hit


@click.command(epilog=examples('magnetite search here "what do vaccines contain?" -k 3'))
@click.argument("folder", type=file_in)
@click.argument("queries", nargs=-1, required=True, metavar="QUERY...")
@click.option("-k", type=click.IntRange(min=1), default=5, show_default=True, help="How many.")
@model_option
@threads_option
@json_option
def command(
    folder: Path,
    queries: tuple[str, ...],
    k: int,
    model: Path | None,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """Show the documents of FOLDER that answer each QUERY, best first.

    The encoder is the one that filled the folder; give --model where it has moved.
    """
    from magnetite.cli.searchable import Searchable

    searchable = Searchable(folder)
    encoder = load_encoder(model or searchable.model(), threads)
    found = searchable.search(queries, k, encoder, threads=threads)
    payload = [
        {"query": query, "hits": [hit.as_json() for hit in hits]}
        for query, hits in zip(queries, found, strict=True)
    ]
    text = "\n\n".join(show(query, hits) for query, hits in zip(queries, found, strict=True))
    answer(payload, text, as_json=as_json)


def show(query: str, hits: "list[Hit]") -> str:
    """Return the query and its hits for a terminal."""
    width = min(shutil.get_terminal_size().columns, 100)
    lines = [click.style(query, bold=True)]
    for rank, hit in enumerate(hits, start=1):
        document = hit.document
        text = " ".join(document.text.split())
        title = " ".join(document.title.split()) or textwrap.shorten(text, 80, placeholder="…")
        lines.append(f"{rank:>3}  {hit.score:.4f}  {title}  [{document.id}]")
        if document.title:
            short = textwrap.shorten(text, 2 * (width - 13), placeholder=" …")
            lines += textwrap.wrap(
                short, width, initial_indent=" " * 13, subsequent_indent=" " * 13
            )
    return "\n".join(lines)
