"""`magnetite eval`: how well encoders find and compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from magnetite.cli.shell import (
    answer,
    examples,
    file_in,
    json_option,
    load_encoder,
    model_name,
    path_out,
    threads_option,
)

if TYPE_CHECKING:
    from magnetite.evaluate import Beir, Report, Run

_HELP = {
    "models": "Artifact folder; may be given again [default: the built-in encoder].",
    "folder": "Judge what this collection of the same corpus returns.",
    "runs": "TREC run file to compare with; it stands above the models.",
    "train": "Judgements trained on: unseen and seen queries are shown apart.",
    "measures": "Any that ir-measures knows; the first is the one compared.",
    "k": "Documents kept for each query.",
    "run_out": "Write the last system's TREC run file.",
    "html_out": "Write a page that needs nothing else.",
}


@click.command(
    epilog=examples(
        "magnetite eval scifact --run base.trec",
        "magnetite eval scifact --model mine --compare base.trec \\",
        "    --train-qrels scifact/qrels/train.tsv --html report.html",
        "magnetite eval stsb/en.test.tsv --model mine",
    )
)
@click.argument("data", type=file_in)
@click.option("-m", "--model", "models", type=file_in, multiple=True, help=_HELP["models"])
@click.option("--index", "folder", type=file_in, help=_HELP["folder"])
@click.option("--compare", "runs", type=file_in, multiple=True, help=_HELP["runs"])
@click.option("--split", default="test", show_default=True, help="Which judgements.")
@click.option("--train-qrels", type=file_in, help=_HELP["train"])
@click.option("--measure", "measures", multiple=True, help=_HELP["measures"])
@click.option("-k", type=click.IntRange(min=1), default=100, show_default=True, help=_HELP["k"])
@click.option("--run", "run_out", type=path_out, help=_HELP["run_out"])
@click.option("--html", "html_out", type=path_out, help=_HELP["html_out"])
@threads_option
@json_option
def command(
    data: Path,
    models: Sequence[Path],
    folder: Path | None,
    runs: Sequence[Path],
    split: str,
    train_qrels: Path | None,
    measures: Sequence[str],
    k: int,
    run_out: Path | None,
    html_out: Path | None,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """Judge encoders on DATA: a BEIR folder, or a file of sentence pairs (text_a text_b score).

    Each system is compared with the one above it; the interval is a paired bootstrap's.
    """
    if data.is_file():
        if folder or runs or train_qrels or measures or run_out or html_out:
            raise click.UsageError(f"{data} is a file of sentence pairs: it takes --model alone")
        _similarity(data, models, threads, as_json=as_json)
        return
    from magnetite.evaluate import metrics, read_beir, read_run, write_run

    metrics.check_installed()
    found = read_beir(data, split=split)
    systems = {str(path): read_run(path) for path in runs}
    chosen: Sequence[Path | None] = models or ([] if folder else [None])
    if folder is not None:
        systems[str(folder)] = _search_folder(folder, found, k, threads)
    for model in chosen:
        systems[model_name(model)] = _search_model(model, found, k, threads)
    report = _report(found, systems, train_qrels, measures or metrics.DEFAULT)
    if run_out is not None:
        write_run(run_out, systems[report.systems[-1].name])
    if html_out is not None:
        from magnetite.evaluate.html import write_html

        write_html(html_out, report)
    answer(report.as_json(), f"{report.subtitle}\n\n{report.table()}", as_json=as_json)


def _search_model(model: Path | None, data: "Beir", k: int, threads: int | None) -> "Run":
    from magnetite.evaluate.retrieve import retrieve

    return retrieve(load_encoder(model, threads), data, k=k, threads=threads)


def _search_folder(folder: Path, data: "Beir", k: int, threads: int | None) -> "Run":
    from magnetite.evaluate import run_of
    from magnetite.index import Collection

    with Collection.open(folder, threads=threads, read_only=True) as collection:
        found = collection.search(list(data.queries.values()), k)
    return run_of(
        list(data.queries),
        [[hit.document.id for hit in hits] for hits in found],
        [[hit.score for hit in hits] for hits in found],
        map(len, found),
    )


def _report(
    data: "Beir", runs: "dict[str, Run]", train_qrels: Path | None, measures: Sequence[str]
) -> "Report":
    from magnetite.evaluate import Report, System, read_qrels, score, split_by_training
    from magnetite.evaluate.examples import examples_of, telling

    systems = [System(name, score(data.qrels, run, measures)) for name, run in runs.items()]
    groups = {"all queries": list(data.qrels)}
    remarks = []
    if train_qrels is not None:
        groups |= split_by_training(data.qrels, read_qrels(train_qrels))
        remarks.append(
            "seen: a relevant document of the query is also relevant to a training query. A gain "
            "on those alone says that the model learnt which documents get asked about."
        )
    return Report(
        title=f"{data.name}, {data.split}",
        subtitle=f"{data.name}: {len(data.queries):,} queries ({data.split}), "
        f"{len(data.corpus):,} documents",
        systems=systems,
        groups=groups,
        measures=measures,
        remarks=remarks,
        examples=examples_of(data, runs, telling(systems, measures[0], data.queries)),
    )


def _similarity(data: Path, models: Sequence[Path], threads: int | None, *, as_json: bool) -> None:
    from magnetite.evaluate import cosines, read_sts, spearman

    pairs = read_sts(data)
    found = {}
    chosen: Sequence[Path | None] = models or [None]
    for model in chosen:
        encoder = load_encoder(model, threads)
        similar = cosines(encoder.encode(pairs.first), encoder.encode(pairs.second))
        found[model_name(model)] = spearman(similar, pairs.scores)
    width = max(map(len, found))
    lines = [f"{name:{width}}  {value:.4f}" for name, value in found.items()]
    head = f"{pairs.name}: {len(pairs.scores):,} pairs, Spearman of the cosines"
    payload = {"data": pairs.name, "pairs": len(pairs.scores), "spearman": found}
    answer(payload, "\n".join([head, *lines]), as_json=as_json)
