"""`magnetite index`: a corpus to a collection."""

import time
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from magnetite.cli.shell import (
    answer,
    examples,
    file_in,
    json_option,
    load_encoder,
    model_name,
    model_option,
    path_out,
    threads_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magnetite.index import Collection, Document

_KIND = "flat looks at every vector, ivf at the nearest lists [default: by the corpus' size]."
_STORAGE = "Bytes a number: 4 (exact, the default), 2 (within 0.05 %), or 1 (0.4 % of the largest)."
#: Vectors that came or went, as a part of all, before they are built together again.
_STALE = 0.2


@click.command(
    epilog=examples(
        "magnetite index corpus.jsonl.gz -o here",
        "magnetite index corpus.jsonl.gz -o here --model my-encoder",
        "magnetite index corpus.jsonl.gz -o here --delete-missing   # later, with other lines",
    )
)
@click.argument("corpus", type=file_in)
@click.option("-o", "--out", type=path_out, required=True, help="The collection's folder.")
@model_option
@click.option("--kind", type=click.Choice(["flat", "ivf"]), help=_KIND)
@click.option("--storage", type=click.Choice(["f32", "f16", "int8"]), help=_STORAGE)
@click.option("--delete-missing", is_flag=True, help="Delete documents that CORPUS has not.")
@threads_option
@json_option
def command(
    corpus: Path,
    out: Path,
    model: Path | None,
    kind: Literal["flat", "ivf"] | None,
    storage: Literal["f32", "f16", "int8"] | None,
    threads: int | None,
    *,
    delete_missing: bool,
    as_json: bool,
) -> None:
    """Encode the documents of CORPUS into a collection that `magnetite search` searches.

    CORPUS is a .jsonl file with `_id`, `text` and, if present, `title` in each line, a BEIR folder
    that holds such a corpus.jsonl, or a text file with one document a line; .gz is read as it is.
    Other fields of a line are kept as metadata, for `magnetite search --where`.

    Where there is a collection, documents of the same id are replaced; only text that changed is
    encoded. Run the same command again after an interruption: it goes on where it was.
    """
    from magnetite.cli.corpus import documents_of
    from magnetite.encode.encoder import BUILTIN
    from magnetite.index.collection import DOCUMENTS

    start = time.perf_counter()
    documents = _begun(documents_of(corpus))  # a file without any makes no collection
    is_new = not (out / DOCUMENTS).exists()
    if not is_new and (kind or storage):
        raise click.UsageError(f"--kind and --storage are for a new collection; {out} is there")
    with _opened(out, model, kind, storage, threads, is_new=is_new) as collection:
        changes = collection.upsert(documents)
        deleted = 0
        if delete_missing:
            given = {document.id for document in documents_of(corpus)}
            deleted = collection.delete([name for name in collection.ids() if name not in given])
        if collection.changed > _STALE * len(collection):
            collection.compact()
        count, encoder = len(collection), collection.encoder
    seconds = time.perf_counter() - start
    place = encoder.artifact.directory
    name = model_name(None if place == BUILTIN else place)
    payload = {
        "out": str(out),
        "documents": count,
        **asdict(changes),
        "deleted": deleted,
        "dim": encoder.dim,
        "model": name,
        "encoder": encoder.fingerprint,
        "seconds": round(seconds, 3),
    }
    said = (
        f"{out}: {count:,} documents ({changes.added:,} added, {changes.updated:,} updated, "
        f"{deleted:,} deleted) in {seconds:.1f} s; {changes.encoded:,} encoded by {name}"
    )
    answer(payload, f'{said}\nNow try: magnetite search {out} "…"', as_json=as_json)


def _opened(
    out: Path,
    model: Path | None,
    kind: Literal["flat", "ivf"] | None,
    storage: Literal["f32", "f16", "int8"] | None,
    threads: int | None,
    *,
    is_new: bool,
) -> "Collection":
    from magnetite.index import Collection

    if is_new:
        filler = load_encoder(model, threads)
        return Collection.create(out, filler, kind=kind, storage=storage or "f32", threads=threads)
    encoder = None if model is None else load_encoder(model, threads)
    return Collection.open(out, encoder, threads=threads)


def _begun(documents: "Iterator[Document]") -> "Iterator[Document]":
    """Return the same, its first one read."""
    return chain([next(documents)], documents)
