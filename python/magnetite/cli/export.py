"""`magnetite export`: a trained model to an artifact."""

from pathlib import Path

import click

from magnetite.cli.shell import answer, examples, json_option, path_out
from magnetite.extras import need


@click.command(
    epilog=examples(
        "magnetite export sentence-transformers/all-MiniLM-L6-v2 -o minilm",
        "magnetite export ./my-finetuned-model -o mine",
        "magnetite export cross-encoder/ms-marco-MiniLM-L6-v2 -o reranker",
    )
)
@click.argument("source")
@click.option("-o", "--out", type=path_out, required=True, help="The folder to write.")
@click.option(
    "--allow-unfused",
    is_flag=True,
    help="Accept attention that ONNX Runtime does not fuse: same vectors, slower.",
)
@json_option
def command(source: str, out: Path, *, allow_unfused: bool, as_json: bool) -> None:
    """Seal SOURCE, a sentence-transformers folder or hub id, as an artifact.

    A model that classifies pairs into one label becomes a cross-encoder. It is refused when its
    vectors differ from the model's by more than 1e-4, or scores by more than that of the largest.
    """
    for module in ("torch", "onnx"):
        need(module, extra="export", purpose="export")
    from magnetite.encode.artifact import ENCODER
    from magnetite.learn.export import export

    sealed = export(source, out, allow_unfused=allow_unfused)
    payload = {
        "out": str(out),
        "kind": sealed.manifest.kind,
        "fingerprint": sealed.fingerprint,
        "dim": sealed.manifest.dim,
        "deviations": sealed.manifest.deviations,
    }
    dim = sealed.manifest.dim
    what = f"{dim} dimensions" if sealed.manifest.kind == ENCODER else sealed.manifest.kind
    answer(payload, f"{out}: sealed, {what}", as_json=as_json)
