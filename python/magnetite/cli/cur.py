"""`magnetite cur`: the best items by a slow judge, for a fixed number of its calls."""

import sys
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from magnetite.cli.shell import (
    answer,
    examples,
    file_in,
    json_option,
    load_encoder,
    model_option,
    path_out,
    threads_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_JUDGE = "A cross-encoder's artifact, or module:function, which takes (query, items)."
_HELP = {
    "calls": "The most pairs to score; fewer queries are used if need be [default: all].",
    "method": "What is made of the scores; the default corrects the encoder by them.",
    "per_query": "Items scored for each query, for the methods that need only some [default: 100].",
    "scores": "Folder of the scores, where a run goes on [default: OUT.scores].",
    "tune": "Choose settings on QUERIES for searches of this many calls (minutes).",
    "budget": "Pairs that the judge scores for each query.",
    "budgets": "Calls of the judge for each query.",
    "ks": "How many of the judge's best are looked for.",
    "anchors": "Indexing queries used at most.",
    "tests": "Test queries used at most.",
    "json": "Write one JSON line a measurement.",
    "plot": "Draw recall against calls, as SVG or PNG.",
}
_METHODS = ("corrected", "adacur", "axn", "mf_trns", "mf_ind")


@click.group(
    epilog=examples(
        "magnetite cur build corpus.jsonl queries.txt -o here --judge my-cross-encoder",
        'magnetite cur search here "what do magnets attract?" --judge my-cross-encoder',
        "magnetite cur eval block.npz --plot recall.svg",
    )
)
def command() -> None:
    """Search by a slow judge, a cross-encoder say, for a fixed number of its calls.

    `build` pays once: the judge scores the items for some queries like those to come. It says how
    many calls are left and goes on after an interruption. `search` then asks the judge about a
    hundred items a query, say, that it probably likes best. `eval` shows on stored scores how
    many of the judge's best are found so, beside re-ranking an encoder's and BM25's best.
    """


@command.command(
    epilog=examples(
        "magnetite cur build corpus.jsonl queries.txt -o here --judge my-cross-encoder",
        "magnetite cur build corpus.jsonl queries.txt -o here --judge judge:score --calls 100000",
        "magnetite cur build corpus.jsonl queries.txt -o here --judge my-cross-encoder "
        "--method mf_trns",
    )
)
@click.argument("items", type=file_in)
@click.argument("queries", type=file_in)
@click.option("-o", "--out", type=path_out, required=True, help="The index's folder.")
@click.option("--judge", required=True, help=_JUDGE)
@model_option
@click.option(
    "--method", type=click.Choice(_METHODS), default="corrected", show_default=True,
    help=_HELP["method"],
)  # fmt: skip
@click.option("--calls", type=click.IntRange(min=1), help=_HELP["calls"])
@click.option("--per-query", type=click.IntRange(min=1), help=_HELP["per_query"])
@click.option("--tune", "budget", type=click.IntRange(min=1), help=_HELP["tune"])
@click.option("--scores", type=path_out, help=_HELP["scores"])
@threads_option
@json_option
def build(
    items: Path,
    queries: Path,
    out: Path,
    judge: str,
    model: Path | None,
    method: Literal["corrected", "adacur", "axn", "mf_trns", "mf_ind"],
    calls: int | None,
    per_query: int | None,
    budget: int | None,
    scores: Path | None,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """Let the judge score ITEMS for QUERIES, and make an index of what it says.

    ITEMS is a corpus as `magnetite index` reads it. QUERIES, a hundred to a thousand of them, are
    unlabelled, in the same form: a text file with one a line, or .jsonl. All items are scored for
    each, so the calls are their product; --calls sets a limit.
    """
    from magnetite.cli.corpus import documents_of
    from magnetite.index.cur import CurIndex

    start = time.perf_counter()
    if out.exists():
        raise click.UsageError(f"{out} exists; remove it or give another --out")
    documents = list(documents_of(items))
    kept = scores or out.with_name(f"{out.name}.scores")
    try:
        index = CurIndex.build(
            _judge(judge, threads),
            [document.passage for document in documents],
            [document.passage for document in documents_of(queries)],
            method=method,
            encoder=load_encoder(model, threads),
            ids=[document.id for document in documents],
            calls=calls,
            per_query=per_query,
            budget=budget,
            checkpoint=kept,
            path=out,
            threads=threads,
        )
    except KeyboardInterrupt:
        click.echo(f"Scores are kept in {kept}; the same command goes on.", err=True)
        raise
    seconds = time.perf_counter() - start
    index.close()
    said = f"{out}: {len(index):,} items in {seconds:.1f} s by {method}; scores are in {kept}"
    payload = {"out": str(out), "items": len(index), "method": method, "scores": str(kept),
               "seconds": round(seconds, 3)}  # fmt: skip
    text = f'{said}\nNow try: magnetite cur search {out} "…" --judge {judge}'
    answer(payload, text, as_json=as_json)


@command.command(
    epilog=examples(
        'magnetite cur search here "what do magnets attract?" --judge my-cross-encoder',
        'magnetite cur search here "iron" --judge judge:score --budget 50 -k 3 --json',
    )
)
@click.argument("index", type=file_in)
@click.argument("query")
@click.option("--judge", required=True, help=_JUDGE)
@model_option
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="Results.")
@click.option(
    "--budget", type=click.IntRange(min=1), default=100, show_default=True, help=_HELP["budget"]
)
@threads_option
@json_option
def search(
    index: Path,
    query: str,
    judge: str,
    model: Path | None,
    k: int,
    budget: int,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """Show the items of INDEX that the judge likes best for QUERY, of those that it is asked about.

    Give the same --model as in `build`; where there are fewer items than --budget, all are scored.
    """
    from magnetite.index.cur import CurIndex

    if budget < k:
        raise click.UsageError(f"--budget must be at least -k, {k}; got {budget}; lower -k, say")
    encoder = load_encoder(model, threads)
    with CurIndex.open(index) as opened:
        made = opened.about.encoder
        if made is not None and made != encoder.fingerprint:
            raise click.UsageError(f"{index} was built with another encoder; give its --model")
        spent = min(budget, len(opened))
        hits = opened.search(
            query,
            min(k, spent),
            spent,
            score=_judge(judge, threads),
            vectors=encoder.encode_query([query]),
            threads=threads,
        )
        count = int(hits.counts[0])
        found = [
            {"id": str(name), "score": float(score), "text": text}
            for name, score, text in zip(
                hits.ids[0][:count],
                hits.scores[0][:count],
                opened.items_of(hits.ids[0][:count]),
                strict=True,
            )
        ]
    lines = [f"{hit['score']:9.4f}  {hit['id']}  {hit['text']}" for hit in found]
    payload = {"query": query, "calls": int(hits.calls[0]), "hits": found}
    answer(payload, "\n".join([*lines, f"{payload['calls']} calls of the judge"]), as_json=as_json)


def _judge(name: str, threads: int | None) -> Any:  # noqa: ANN401 - a user's own
    """Return a cross-encoder's artifact, loaded, or the function that `module:function` names."""
    if Path(name).is_dir():
        from magnetite.encode import CrossEncoder

        return CrossEncoder.load(name, threads=threads)
    module, colon, function = name.partition(":")
    if not colon:
        raise click.UsageError(
            f"--judge must be an artifact's folder or module:function; got {name}"
        )
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        found: Callable[..., Any] = getattr(import_module(module), function)
    except AttributeError as error:
        raise click.UsageError(f"--judge: {module} has no {function!r}") from error
    finally:
        sys.path.pop(0)
    return found


def _numbers(_: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        found = tuple(sorted({int(word) for word in text.replace(",", " ").split()}))
    except ValueError as error:
        raise click.BadParameter(f"expected whole numbers, got {text!r}", param=option) from error
    if not found or found[0] < 1:
        raise click.BadParameter(f"expected numbers from 1, got {text!r}", param=option)
    return found


@command.command(
    "eval",
    epilog=examples(
        "magnetite cur eval wordnet.npz ncbi.npz scifact.npz --plot recall.svg --json rows.jsonl",
        "magnetite cur eval mine.npz --budgets 50,100 --ks 1,10",
    ),
)
@click.argument("blocks", type=file_in, nargs=-1, required=True)
@click.option("--budgets", default="50,100,200,500", show_default=True, callback=_numbers,
              help=_HELP["budgets"])  # fmt: skip
@click.option("--ks", default="1,10,50,100", show_default=True, callback=_numbers,
              help=_HELP["ks"])  # fmt: skip
@click.option("--anchors", type=click.IntRange(min=4), default=500, show_default=True,
              help=_HELP["anchors"])  # fmt: skip
@click.option("--tests", type=click.IntRange(min=1), default=1_000, show_default=True,
              help=_HELP["tests"])  # fmt: skip
@click.option("--json", "json_out", type=path_out, help=_HELP["json"])
@click.option("--plot", "plot_out", type=path_out, help=_HELP["plot"])
@threads_option
def evaluate(
    blocks: tuple[Path, ...],
    budgets: tuple[int, ...],
    ks: tuple[int, ...],
    anchors: int,
    tests: int,
    json_out: Path | None,
    plot_out: Path | None,
    threads: int | None,
) -> None:
    """Replay searches on stored scores: how many of the judge's best are found at equal calls.

    BLOCKS are .npz files: `scores` [m, n] by the judge, `query_vectors` [m, d] and `item_vectors`
    [n, d] by an encoder, texts `queries` and `items`, their `query_ids` and `item_ids`, `indexing`
    bool [m] (the other queries test), `relevant` [l, 2] pairs of row and column, and `recipe`, a
    text of JSON. Settings are chosen on indexing queries; budgets above a tenth of the items are
    left out. A + or − beside a number: better or worse than encoder + re-rank, by a paired
    bootstrap over queries.
    """
    from magnetite.bench import block, cur, cur_report

    options = cur.Options(budgets=budgets, ks=ks, anchors=anchors, tests=tests, threads=threads)
    reports = []
    with ExitStack() as stack:
        out = None if json_out is None else stack.enter_context(json_out.open("w"))
        for path in blocks:
            report = cur.measure(block.load(path), options, lambda line: click.echo(line, err=True))
            reports.append(report)
            if out is not None:
                for line in (report.judge.as_json(), *(row.as_json() for row in report.rows)):
                    print(line, file=out, flush=True)
            click.echo(cur_report.table(report) + "\n")
    if plot_out is not None:
        cur_report.plot(reports, plot_out)
