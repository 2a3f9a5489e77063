"""`magnetite export`: a trained model to an artifact."""

import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from magnetite.cli.shell import (
    answer,
    examples,
    file_in,
    json_option,
    path_out,
    threads_option,
)
from magnetite.extras import need

if TYPE_CHECKING:
    from magnetite.encode import Artifact

MOST_TEXTS = 10_000
"""Read of a file of texts; few of them, spread, are used."""

_HELP = {
    "out": "The folder to write.",
    "unfused": "Accept attention that ONNX Runtime does not fuse: same vectors, slower.",
    "quantize": "`auto`: measure quantized graphs on this CPU and run the fastest good one, if any "
    "beats fp32; the name of one: that one; `off`: fp32.",
    "texts": "Texts to calibrate and time quantized graphs with, as `magnetite index` reads them "
    "[default: SciFact's].",
    "judge": "BEIR folder to judge quantized graphs on [default: SciFact].",
}


@click.command(
    epilog=examples(
        "magnetite export sentence-transformers/all-MiniLM-L6-v2 -o minilm",
        "magnetite export ./my-finetuned-model -o mine",
        "magnetite export cross-encoder/ms-marco-MiniLM-L6-v2 -o reranker",
        "magnetite export minilm -o minilm-fast --quantize auto",
    )
)
@click.argument("source")
@click.option("-o", "--out", type=path_out, required=True, help=_HELP["out"])
@click.option("--allow-unfused", is_flag=True, help=_HELP["unfused"])
@click.option("--quantize", default="off", show_default=True, help=_HELP["quantize"])
@click.option("--texts", type=file_in, help=_HELP["texts"])
@click.option("--judge", type=file_in, help=_HELP["judge"])
@threads_option
@json_option
def command(
    source: str,
    out: Path,
    quantize: str,
    texts: Path | None,
    judge: Path | None,
    threads: int | None,
    *,
    allow_unfused: bool,
    as_json: bool,
) -> None:
    """Seal SOURCE, a sentence-transformers folder or hub id, as an artifact.

    A model that classifies pairs into one label becomes a cross-encoder. It is refused when its
    vectors differ from the model's by more than 1e-4, or scores by more than that of the largest.

    With --quantize an encoder also gets a quantized graph, chosen by measurement: a text's vector
    does not depend on its batch, and at most 0.005 of nDCG@10 is lost. SOURCE may then be an
    artifact, and the measurement takes minutes.
    """
    for module in ("torch", "onnx"):
        need(module, extra="export", purpose="export")
    from magnetite.encode.artifact import ENCODER
    from magnetite.encode.quantization import table
    from magnetite.learn.export import export

    if quantize == "off":
        if texts or judge:
            raise click.UsageError("--texts and --judge say how to measure: add --quantize auto")
        sealed = export(source, out, allow_unfused=allow_unfused)
    else:
        name = None if quantize == "auto" else quantize
        sealed = _quantized(source, out, name, texts, judge, threads, allow_unfused)
    manifest = sealed.manifest
    payload = {
        "out": str(out),
        "kind": manifest.kind,
        "fingerprint": sealed.fingerprint,
        "dim": manifest.dim,
        "deviations": manifest.deviations,
    } | ({"quantization": manifest.quantization} if manifest.quantization else {})
    what = f"{manifest.dim} dimensions" if manifest.kind == ENCODER else manifest.kind
    said = f"{out}: sealed, {what}, {manifest.quantized or 'fp32'}"
    if manifest.quantization:
        said += f"\n{table(manifest.quantization)}"
    answer(payload, said, as_json=as_json)


def _quantized(
    source: str,
    out: Path,
    name: str | None,
    texts: Path | None,
    judge: Path | None,
    threads: int | None,
    allow_unfused: bool,  # noqa: FBT001 - as the command has it
) -> "Artifact":
    """Return the artifact with a graph chosen by measurement; `source` may be an artifact."""
    from magnetite.cli.corpus import documents_of
    from magnetite.encode import Artifact
    from magnetite.encode.artifact import MANIFEST, free_directory
    from magnetite.evaluate import read_beir
    from magnetite.learn.export import export
    from magnetite.learn.export import quantize as quantized
    from magnetite.learn.export.quantize import check_asked

    out = free_directory(out)
    check_asked(name)
    judged = None if judge is None else read_beir(judge)
    read = None
    if texts is not None:
        listed = islice(documents_of(texts), MOST_TEXTS)
        read = [f"{one.title} {one.text}".strip() for one in listed]
    with tempfile.TemporaryDirectory() as folder:
        if (Path(source) / MANIFEST).is_file():
            fp32 = Artifact.load(source)
        else:
            fp32 = export(source, Path(folder) / "fp32", allow_unfused=allow_unfused)
        return quantized(fp32, out, name=name, texts=read, judged=judged, threads=threads)
