"""`magnetite search`: queries to documents."""

import json
import shutil
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from magnetite.index import Found


class _Conditions(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        try:
            said = json.loads(str(value))
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(said, dict):
            self.fail(f"expected a JSON object, got {value}", param, ctx)
        return said


_WHERE = 'Only documents whose metadata meets this, such as {"year": {"$gte": 2020}}.'


@click.command(
    epilog=examples(
        'magnetite search here "what do vaccines contain?" -k 3',
        """magnetite search here "vaccines" --where '{"year": {"$gte": 2020}}'""",
    )
)
@click.argument("folder", type=file_in)
@click.argument("queries", nargs=-1, required=True, metavar="QUERY...")
@click.option("-k", type=click.IntRange(min=1), default=5, show_default=True, help="How many.")
@click.option("--where", type=_Conditions(), help=_WHERE)
@model_option
@threads_option
@json_option
def command(
    folder: Path,
    queries: tuple[str, ...],
    k: int,
    where: dict[str, Any] | None,
    model: Path | None,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """Show the documents of FOLDER that answer each QUERY, best first.

    The encoder is the one that filled the folder; give --model where it has moved. Operators of
    --where: $eq $ne $gt $gte $lt $lte $in $nin $contains $exists $not, and $and, $or of conditions.
    """
    from magnetite.index import Collection

    encoder = None if model is None else load_encoder(model, threads)
    with Collection.open(folder, encoder, threads=threads, read_only=True) as collection:
        found = collection.search(queries, k, where=where)
    payload = [
        {"query": query, "hits": [{"score": hit.score} | asdict(hit.document) for hit in hits]}
        for query, hits in zip(queries, found, strict=True)
    ]
    text = "\n\n".join(show(query, hits) for query, hits in zip(queries, found, strict=True))
    answer(payload, text, as_json=as_json)


def show(query: str, hits: "list[Found]") -> str:
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
