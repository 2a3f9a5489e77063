"""`magnetite index`: a corpus to a searchable folder."""

import time
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
    from magnetite.evaluate import Corpus


_KIND = "flat looks at every vector, ivf at the nearest lists [default: by the corpus' size]."


@click.command(
    epilog=examples(
        "magnetite index corpus.jsonl.gz -o here",
        "magnetite index corpus.jsonl.gz -o here --model my-encoder",
    )
)
@click.argument("corpus", type=file_in)
@click.option("-o", "--out", type=path_out, required=True, help="The folder to write.")
@model_option
@click.option("--kind", type=click.Choice(["flat", "ivf"]), help=_KIND)
@click.option(
    "--storage",
    type=click.Choice(["f32", "f16", "int8"]),
    default="f32",
    show_default=True,
    help="Bytes a number: 4 (exact), 2 (within 0.05 %), or 1 (within 0.4 % of the largest).",
)
@threads_option
@json_option
def command(
    corpus: Path,
    out: Path,
    model: Path | None,
    kind: Literal["flat", "ivf"] | None,
    storage: Literal["f32", "f16", "int8"],
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """Encode the documents of CORPUS and build a folder that `magnetite search` searches.

    CORPUS is a .jsonl file with `_id`, `text` and, if present, `title` in each line, a BEIR folder
    that holds such a corpus.jsonl, or a text file with one document a line; .gz is read as it is.
    Run the same command again after an interruption: encoding goes on where it was.
    """
    from magnetite.cli.searchable import build

    documents = _corpus(corpus)
    encoder = load_encoder(model, threads)
    start = time.perf_counter()
    written = build(
        out, documents, encoder, model=model, kind=kind, storage=storage, threads=threads
    )
    seconds = time.perf_counter() - start
    payload = {
        "out": str(out),
        "documents": written.rows,
        "dim": written.dim,
        "resumed_rows": written.resumed,
        "model": model_name(model),
        "encoder": encoder.fingerprint,
        "seconds": round(seconds, 3),
    }
    said = f"{out}: {written.rows:,} documents in {seconds:.1f} s; encoder: {model_name(model)}"
    answer(payload, f'{said}\nNow try: magnetite search {out} "…"', as_json=as_json)


def _corpus(path: Path) -> "Corpus":
    from magnetite._core import FormatError
    from magnetite.evaluate import Corpus, read_corpus
    from magnetite.lines import found, text_lines

    if path.is_dir():
        return read_corpus(found(path / "corpus.jsonl"))
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return read_corpus(path)
    lines = list(text_lines(path))
    if not lines:
        raise FormatError(f"{path}: no documents; each line holds one")
    texts = [text for _, text in lines]
    return Corpus([str(number) for number, _ in lines], [""] * len(lines), texts)
