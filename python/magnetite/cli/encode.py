"""`magnetite encode`: texts of a file to a .npy file of vectors."""

from collections.abc import Iterator
from pathlib import Path

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


@click.command(epilog=examples("magnetite encode sentences.txt.gz -o sentences.npy"))
@click.argument("texts", type=file_in)
@click.option("-o", "--out", type=path_out, required=True, help="The .npy file to write.")
@model_option
@click.option("--prompt", help="Name of the artifact's prompt to put before each text.")
@threads_option
@json_option
def command(
    texts: Path,
    out: Path,
    model: Path | None,
    prompt: str | None,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """Write the vector of each of TEXTS to one float32 .npy file, in their order.

    TEXTS is .jsonl (fields `text` and, if present, `title` before it) or anything else with one
    text a line; .gz is read as it is. Run the same command again after an interruption: it goes on
    where it was, and the finished file has the same bytes.
    """
    from magnetite import FormatError
    from magnetite.cli.vectors import Texts, write_vectors

    if out.suffix != ".npy":
        raise click.UsageError(f"expected an output that ends in .npy, got {out}")
    if out.exists():
        raise FileExistsError(f"{out} exists; remove it or give another output")
    source = Texts.of(lambda: _texts(texts))
    if source.rows == 0:
        raise FormatError(f"{texts}: no texts")
    encoder = load_encoder(model, threads)
    written = write_vectors(
        source,
        lambda block: encoder.encode(block, prompt_name=prompt, show_progress=False),
        out,
        encoder=encoder.fingerprint,
        dim=encoder.dim,
        prompt=prompt,
    )
    payload = {
        "out": str(out),
        "rows": written.rows,
        "dim": written.dim,
        "resumed_rows": written.resumed,
        "encoder": encoder.fingerprint,
    }
    again = f" ({written.resumed:,} of them from an earlier run)" if written.resumed else ""
    answer(
        payload, f"{out}: {written.rows:,} vectors of {written.dim} float32{again}", as_json=as_json
    )


def _texts(path: Path) -> Iterator[str]:
    from magnetite.lines import json_rows, text_lines

    if path.name.removesuffix(".gz").endswith(".jsonl"):
        for _, row in json_rows(path, text=str):
            yield f"{row.get('title') or ''} {row['text']}".strip()
    else:
        for _, line in text_lines(path, blank=True):
            yield line
