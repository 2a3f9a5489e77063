"""`magnetite serve`: an encoder, and collections, over HTTP."""

from pathlib import Path

import click

from magnetite.cli.shell import BUILT_IN, examples, file_in, load_encoder, threads_option
from magnetite.serve import Limits

_DEFAULT = Limits()


@click.command(
    epilog=examples(
        "magnetite serve minilm",
        "magnetite serve minilm --port 9000 --api-key SECRET",
        'curl localhost:8000/v1/embeddings -d \'{"input": "some text"}\'',
    )
)
@click.argument("artifact", type=file_in, required=False)
@click.option("--name", help="What clients call the model [default: the folder's name].")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for all interfaces.")
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
    type=click.IntRange(min=1),
    multiple=True,
    help="A length that vectors may be cut to, for a model trained so; may be repeated.",
)
@click.option(
    "--max-body",
    type=click.IntRange(min=1),
    default=_DEFAULT.body_bytes,
    show_default=True,
    help="Bytes of a request.",
)
@click.option(
    "--max-texts",
    type=click.IntRange(min=1),
    default=_DEFAULT.texts,
    show_default=True,
    help="Texts of a request.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=_DEFAULT.tokens,
    show_default=True,
    help="Tokens waiting, of all requests; beyond it they get 429.",
)
@threads_option
def command(
    artifact: Path | None,
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
    """Serve an encoder over HTTP, with OpenAI's routes; without ARTIFACT the built-in one.

    Stops on Ctrl-C or SIGTERM, when it has finished what it accepted.
    """
    from magnetite.extras import need

    for module in ("fastapi", "uvicorn", "httptools", "orjson", "prometheus_client"):
        need(module, extra="serve", purpose="`magnetite serve`")
    from magnetite.serve.application import application
    from magnetite.serve.metrics import Metrics
    from magnetite.serve.run import address, listen, run
    from magnetite.serve.served import Served

    limits = Limits(body_bytes=max_body, texts=max_texts, tokens=max_tokens)
    encoder = load_encoder(artifact, threads)
    name = name or (BUILT_IN if artifact is None else artifact.resolve().name)
    metrics = Metrics()
    served = Served(encoder, name, limits, metrics, dimensions=dimensions)
    listening = listen(host, port)
    where = address(listening)

    def ready() -> None:
        click.echo(f"{name} at {where}  (Ctrl-C stops it)")

    run(
        application(served),
        listening,
        key=api_key,
        metrics=metrics,
        stop_s=limits.stop_s,
        ready=ready,
    )
