"""`magnetite serve`: an encoder, a cross-encoder, and collections, over HTTP."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from magnetite.cli.shell import BUILT_IN, examples, file_in, load_encoder, threads_option
from magnetite.serve import Limits

if TYPE_CHECKING:
    from magnetite.serve.metrics import Metrics
    from magnetite.serve.rerank import Reranker
    from magnetite.serve.search import Searches
    from magnetite.serve.served import Served

_DEFAULT = Limits()
_whole = click.IntRange(min=1)


@click.command(
    epilog=examples(
        "magnetite serve                            # the built-in encoder; a page at /",
        "magnetite serve minilm                     # OpenAI's clients: base_url=.../v1",
        "magnetite serve here                       # a collection, by the encoder that filled it",
        "magnetite serve minilm here there          # the page compares collections",
        "magnetite serve minilm my-cross-encoder    # and reranks",
        "magnetite serve minilm --host 0.0.0.0 --api-key SECRET",
        'curl localhost:8000/v1/embeddings -d \'{"input": "some text"}\'',
        'curl localhost:8000/search -d \'{"query": "what does a magnet do?", "k": 3}\'',
    )
)
@click.argument("paths", nargs=-1, type=file_in, metavar="[ARTIFACT]... [COLLECTION]...")
@click.option("--name", help="What clients call the model [default: the folder's name].")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: every interface.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free."
)
@click.option(
    "--api-key",
    envvar="MAGNETITE_API_KEY",
    help="Clients must send it [default: MAGNETITE_API_KEY, else none is asked for].",
)
@click.option(
    "--dimensions",
    type=_whole,
    multiple=True,
    help="A length that vectors may be cut to, for a model trained so; may be repeated.",
)
@click.option(
    "--max-body",
    type=_whole,
    default=_DEFAULT.body_bytes,
    show_default=True,
    help="Bytes of a request.",
)
@click.option(
    "--max-texts",
    type=_whole,
    default=_DEFAULT.texts,
    show_default=True,
    help="Texts of a request.",
)
@click.option(
    "--max-tokens",
    type=_whole,
    default=_DEFAULT.tokens,
    show_default=True,
    help="Tokens waiting, of all requests; beyond it they get 429.",
)
@threads_option
def command(
    paths: tuple[Path, ...],
    name: str | None,
    host: str,
    port: int,
    api_key: str | None,
    dimensions: tuple[int, ...],
    max_body: int,
    max_texts: int,
    max_tokens: int,
    threads: int | None,
) -> None:
    """Answer over HTTP: vectors of an encoder, searches in collections, a page to try both.

    ARTIFACT is the folder of an encoder, or of a cross-encoder, which reranks; COLLECTION one that
    `magnetite index` filled. Without an encoder it is that of the first COLLECTION, else the
    built-in one. Stops on Ctrl-C or SIGTERM, when it has finished what it accepted.
    """
    from magnetite.extras import need

    for module in ("fastapi", "uvicorn", "httptools", "orjson", "prometheus_client"):
        need(module, extra="serve", purpose="`magnetite serve`")
    from magnetite.serve.application import application
    from magnetite.serve.metrics import Metrics
    from magnetite.serve.run import address, listen, run

    limits = Limits(body_bytes=max_body, texts=max_texts, tokens=max_tokens)
    metrics = Metrics()
    judges = [path for path in paths if not _is_collection(path) and _is_cross_encoder(path)]
    others = [path for path in paths if path not in judges]
    served, searches = _open(others, name, dimensions, limits, metrics, threads)
    reranker = _reranker(judges, served.name, limits, metrics, threads)
    listening = listen(host, port)
    found = ", ".join(searches.by_name)
    said = f"{served.name}{found and ', searching ' + found}"
    said += "" if reranker is None else f", reranking by {reranker.name}"
    said += f" at {address(listening)}"
    run(
        application(served, searches, reranker),
        listening,
        key=api_key,
        metrics=metrics,
        stop_s=limits.stop_s,
        ready=lambda: click.echo(f"{said} (Ctrl-C stops it)"),
    )


def _open(
    paths: Sequence[Path],
    name: str | None,
    dimensions: Sequence[int],
    limits: Limits,
    metrics: "Metrics",
    threads: int | None,
) -> tuple["Served", "Searches"]:
    """Return the encoder and the collections among the paths; an encoder is loaded once."""
    from magnetite.index import Collection
    from magnetite.serve.search import Searchable, Searches
    from magnetite.serve.served import Served

    artifacts = [path for path in paths if not _is_collection(path)]
    folders = [path for path in paths if _is_collection(path)]
    if len(artifacts) > 1:
        raise click.UsageError(f"one encoder at a time; got {', '.join(map(str, artifacts))}")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise click.UsageError(f"collections are told apart by their folder's name; got {names}")
    collections = [Collection.open(path, threads=threads, read_only=True) for path in folders]
    if artifacts or not collections:
        encoder = load_encoder(artifacts[0] if artifacts else None, threads)
    else:
        encoder = collections[0].encoder
    directory = encoder.artifact.directory
    name = name or (artifacts[0].resolve().name if artifacts else _called(directory))
    served = Served(encoder, name, limits, metrics, dimensions=dimensions)
    by_encoder = {encoder.fingerprint: served}
    searchable = []
    for called, collection in zip(names, collections, strict=True):
        own = collection.encoder
        if own.fingerprint not in by_encoder:
            directory = own.artifact.directory
            by_encoder[own.fingerprint] = Served(own, _called(directory), limits, metrics)
        searchable.append(Searchable(called, collection, by_encoder[own.fingerprint]))
    return served, Searches(searchable, limits, threads=encoder.threads)


def _reranker(
    paths: Sequence[Path], taken: str, limits: Limits, metrics: "Metrics", threads: int | None
) -> "Reranker | None":
    """Return the cross-encoder, if there is one; `taken` is the encoder's name."""
    from magnetite.encode import CrossEncoder
    from magnetite.serve.rerank import Reranker

    if len(paths) > 1:
        raise click.UsageError(f"one cross-encoder at a time; got {', '.join(map(str, paths))}")
    if not paths:
        return None
    name = paths[0].resolve().name
    if name == taken:
        raise click.UsageError(
            f"encoder and cross-encoder are both called {name!r}; --name renames the encoder"
        )
    return Reranker(CrossEncoder.load(paths[0], threads), name, limits, metrics)


def _is_cross_encoder(path: Path) -> bool:
    from magnetite.encode.artifact import CROSS_ENCODER, Artifact

    return Artifact.load(path).manifest.kind == CROSS_ENCODER


def _is_collection(path: Path) -> bool:
    return (path / "documents.sqlite").exists()


def _called(directory: Path) -> str:
    from magnetite.encode.encoder import BUILTIN

    return BUILT_IN if directory == BUILTIN else directory.name
