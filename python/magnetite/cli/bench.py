"""`magnetite bench`: how fast this is on your data, beside other libraries."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from magnetite.cli.shell import examples, file_in, path_out

if TYPE_CHECKING:
    from magnetite.bench import Data, Row
    from magnetite.bench.text import Row as TextRow

_PROSE = Path(__file__).parents[4] / "shared" / "data" / "prose"  # beside a checkout
_HELP = {
    "against": "Libraries to compare with, of faiss, hnswlib, usearch and scann.",
    "vectors": "Rows to search, a .npy file [default: the prose set, else random centres].",
    "queries": "Queries, a .npy file [default: some of the vectors, held out].",
    "truth": "Right answers, places of the nearest rows, a .npy file [default: exact search].",
    "classes": "Kinds of work: exact search, lists and graphs over f32 or int8 originals.",
    "threads": "Numbers of threads; builds use the last.",
    "batches": "Queries a call; all: every query in one.",
    "recalls": "Part of the true neighbours to be found; speeds are compared at exactly that.",
    "quick": "Fewer settings of ours, one thread, one batch, fewer rounds.",
    "cache": "Folder that keeps the peers' built indexes for the next run.",
    "cached": "Leave out peers that the cache does not hold.",
    "json": "Write one JSON line a measurement.",
    "plot": "Draw recall against speed, as SVG or PNG.",
}


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


@click.group(epilog=examples("magnetite bench dense --against faiss,hnswlib,usearch"))
def command() -> None:
    """Compare speed at equal quality."""


@command.command(
    epilog=examples(
        "magnetite bench dense --against faiss,hnswlib,usearch --plot curves.svg",
        "magnetite bench dense --vectors mine.npy --queries asked.npy --cache /tmp/peers",
    )
)
@click.option(
    "--against", default="faiss,hnswlib,usearch", show_default=True, help=_HELP["against"]
)
@click.option("--vectors", type=file_in, help=_HELP["vectors"])
@click.option("--queries", type=file_in, help=_HELP["queries"])
@click.option("--truth", type=file_in, help=_HELP["truth"])
@click.option("--classes", default="exact,f32,int8", show_default=True, help=_HELP["classes"])
@click.option("--threads", default="1,2", show_default=True, help=_HELP["threads"])
@click.option("--batches", default="1,32,all", show_default=True, help=_HELP["batches"])
@click.option("--recalls", default="0.90,0.95,0.99", show_default=True, help=_HELP["recalls"])
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--quick", is_flag=True, help=_HELP["quick"])
@click.option("--cache", type=path_out, help=_HELP["cache"])
@click.option("--cached-only", is_flag=True, help=_HELP["cached"])
@click.option("--json", "json_out", type=path_out, help=_HELP["json"])
@click.option("--plot", "plot_out", type=path_out, help=_HELP["plot"])
def dense(
    against: str,
    vectors: Path | None,
    queries: Path | None,
    truth: Path | None,
    classes: str,
    threads: str,
    batches: str,
    recalls: str,
    rounds: int,
    cache: Path | None,
    json_out: Path | None,
    plot_out: Path | None,
    *,
    quick: bool,
    cached_only: bool,
) -> None:
    """Vector search: queries per second at the same recall, ours beside others'."""
    from magnetite.bench import Options, plots, run, summary

    options = Options(
        against=_listed(against),
        classes=_listed(classes),
        threads=(1,) if quick else tuple(int(word) for word in _listed(threads)),
        batches=(0,)
        if quick
        else tuple(0 if word == "all" else int(word) for word in _listed(batches)),
        recalls=tuple(float(word) for word in _listed(recalls)),
        rounds=3 if quick else rounds,
        quick=quick,
        cache=cache,
        cached_only=cached_only,
    )
    data = _data(vectors, queries, truth, options.threads[-1])
    click.echo(f"{data.name}: {data.vectors.shape[0]:,} x {data.vectors.shape[1]}", err=True)
    with ExitStack() as stack:
        out = None if json_out is None else stack.enter_context(json_out.open("w"))

        def keep(row: "Row") -> None:
            if out is not None:
                print(row.as_json(), file=out, flush=True)

        report = run(data, options, lambda line: click.echo(line, err=True), keep)
    if plot_out is not None:
        plots.write(report, plot_out)
    click.echo(summary(report.rows))


_TEXT_HELP = {
    "against": "Libraries to compare with, of tokenizers and sentence-transformers.",
    "tokenizer": "A tokenizer.json [default: the model's, else the built-in encoder's].",
    "model": "A sentence-transformers folder, or an artifact [default: the built-in encoder].",
    "most": "Texts to tokenize.",
    "encoded": "Texts to encode, spread over the file; fewer where they are long.",
}


@command.command(
    epilog=examples(
        "magnetite bench text notes.txt --against tokenizers",
        "magnetite bench text corpus.jsonl.gz --model ./all-MiniLM-L6-v2 --json rows.jsonl",
    )
)
@click.argument("texts", type=file_in)
@click.option(
    "--against",
    default="tokenizers,sentence-transformers",
    show_default=True,
    help=_TEXT_HELP["against"],
)
@click.option("--tokenizer", type=file_in, help=_TEXT_HELP["tokenizer"])
@click.option("-m", "--model", type=file_in, help=_TEXT_HELP["model"])
@click.option("--threads", default="1,2", show_default=True, help=_HELP["threads"])
@click.option("--most", type=click.IntRange(min=1), default=6_000, help=_TEXT_HELP["most"])
@click.option("--encoded", type=click.IntRange(min=1), default=400, help=_TEXT_HELP["encoded"])
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--json", "json_out", type=path_out, help=_HELP["json"])
def text(
    texts: Path,
    against: str,
    tokenizer: Path | None,
    model: Path | None,
    threads: str,
    most: int,
    encoded: int,
    rounds: int,
    json_out: Path | None,
) -> None:
    """Tokenization and encoding of TEXTS: ours beside others'.

    TEXTS has one text a line, of .jsonl the longest string of each; .gz is read as it is.
    """
    from magnetite.bench import encode
    from magnetite.bench.text import line, read, read_text, tokenize
    from magnetite.encode.encoder import BUILTIN

    model = model or BUILTIN
    tokenizer = tokenizer or model / "tokenizer.json"
    peers, counts = _listed(against), [int(word) for word in _listed(threads)]
    with ExitStack() as stack:
        out = None if json_out is None else stack.enter_context(json_out.open("w"))

        def keep(found: "list[TextRow]") -> None:
            for row in found:
                click.echo(line(row))
                if out is not None:
                    print(row.as_json(), file=out, flush=True)

        name = tokenizer.parent.name
        for count in counts:
            keep(tokenize(read(texts, most), read_text(tokenizer), name, count, peers))
        some = encode.some(read(texts, 1 << 40), encoded)
        with encode.sealed(model) as artifact:
            keep(encode.measure(some, model, artifact, max(counts), rounds, peers))


def _data(vectors: Path | None, queries: Path | None, truth: Path | None, threads: int) -> "Data":
    from magnetite.bench import data

    if vectors is not None:
        return data.load(vectors, queries, truth, threads)
    if queries is not None or truth is not None:
        raise click.UsageError("queries and right answers need --vectors")
    return data.prose(_PROSE) if _PROSE.is_dir() else data.centres(threads=threads)
