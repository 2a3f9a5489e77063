"""`magnetite encode`: texts of a file to vectors on the disk."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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
    from magnetite.encode.corpus import Written
    from magnetite.encode.engines import Done
    from magnetite.encode.parts import Text

_SINGLE = {".npy": "npy", ".parquet": "parquet"}


@click.command(
    epilog=examples(
        "magnetite encode corpus.jsonl -o vectors/",
        "magnetite encode corpus.jsonl.gz -o corpus.parquet --with-text",
        "magnetite encode sentences.txt.gz -o sentences.npy",
    )
)
@click.argument("texts", type=file_in)
@click.option(
    "-o", "--out", type=path_out, required=True, help="A folder, or a .npy or .parquet file."
)
@model_option
@click.option("--prompt", help="Name of the artifact's prompt to put before each text.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(("npy", "parquet")),
    help="Of the parts of a folder [default: npy].",
)
@click.option("--with-text", is_flag=True, help="Keep the texts beside ids and vectors.")
@threads_option
@json_option
def command(
    texts: Path,
    out: Path,
    model: Path | None,
    prompt: str | None,
    kind: str | None,
    threads: int | None,
    *,
    with_text: bool,
    as_json: bool,
) -> None:
    """Write the float32 vector of each of TEXTS, in their order.

    TEXTS is .jsonl (fields `text` and, if present, `_id` or `id`, and `title` before the text) or
    anything else with one text a line, called by its number; .gz is read as it is. Only a few parts
    of some thousand texts are in memory. Run the same command again after an interruption: it goes
    on where it was, and the finished output has the same bytes.

    A folder has parts: Parquet with the columns `id` and `vector`, or .npy with the ids as JSON
    lines beside it. One .npy file holds the vectors alone.
    """
    from magnetite import FormatError
    from magnetite.encode import engines
    from magnetite.encode.corpus import encode_corpus
    from magnetite.encode.parts import Job, Parts
    from magnetite.extras import need

    single = _SINGLE.get(out.suffix)
    _refuse(out, single, kind, with_text=with_text)
    form = single or kind or "npy"
    if form == "parquet":
        need("pyarrow", extra="arrow", purpose="Parquet")
    if single and out.exists():
        raise FileExistsError(f"{out} exists; remove it or give another output")
    encoder = load_encoder(model, threads)
    encoder.prompt(prompt)  # an unknown one is refused before anything is written
    limits = (engines.WINDOW_TEXTS, engines.WINDOW_CHARS)
    job = Job(encoder.fingerprint, encoder.dim, prompt, form, with_text, limits)
    folder = out.with_name(f"{out.name}.parts") if single else out
    start = time.perf_counter()
    with Parts.open(folder, job) as parts, _Bar(_lines(texts)) as bar:
        written = encode_corpus(_texts(texts), encoder, parts, bar.heard)
        if written.rows == 0:
            raise FormatError(f"{texts}: no texts")
        if single:
            parts.join(out)
        else:
            parts.seal()
    seconds = time.perf_counter() - start
    payload = {"out": str(out), "rows": written.rows, "dim": encoder.dim}
    payload |= {"resumed_rows": written.resumed, "encoder": encoder.fingerprint}
    answer(payload | _rates(written, seconds), _said(out, written, encoder.dim), as_json=as_json)


def _refuse(out: Path, single: str | None, kind: str | None, *, with_text: bool) -> None:
    if single is None and out.suffix and not out.is_dir():
        raise click.UsageError(
            f"expected a folder, or an output that ends in .npy or .parquet, got {out}"
        )
    if single and kind not in (None, single):
        raise click.UsageError(f"{out} is not --format {kind}; leave one of them out")
    if single == "npy" and with_text:
        raise click.UsageError("one .npy file holds no texts; give a folder or a .parquet file")


def _rates(written: "Written", seconds: float) -> dict[str, float]:
    done = written.done
    return {
        "tokens": done.tokens,
        "padding": round(done.padding, 4),
        "truncated": done.truncated,
        "seconds": round(seconds, 3),
        "docs_per_second": round(done.texts / seconds, 1),
        "tokens_per_second": round(done.tokens / seconds, 1),
    }


def _said(out: Path, written: "Written", dim: int) -> str:
    again = f" ({written.resumed:,} of them from an earlier run)" if written.resumed else ""
    cut = f"; {written.done.truncated:,} texts lost their end" if written.done.truncated else ""
    return f"{out}: {written.rows:,} vectors of {dim} float32{again}{cut}"


class _Bar:
    """Documents and tokens a second, padding, texts cut and the time left, on a terminal."""

    def __init__(self, rows: int) -> None:
        from tqdm import tqdm

        from magnetite.encode.engines import Done

        self._bar = tqdm(total=rows, unit=" docs", disable=None)
        self._all = Done()

    def heard(self, done: "Done") -> None:
        """Take in what a batch did."""
        self._all += done
        if not self._bar.disable:
            tokens = self._all.tokens / max(self._bar.format_dict["elapsed"], 1e-9)
            self._bar.set_postfix_str(
                f"{tokens:,.0f} tokens/s, {self._all.padding:.1%} padding, "
                f"{self._all.truncated:,} cut",
                refresh=False,
            )
        self._bar.update(done.texts)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _lines(path: Path) -> int:
    """Return how many lines a file has: about the number of its texts."""
    import gzip

    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        try:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
        except (EOFError, OSError):  # a damaged stream is named when its texts are read
            return 0


def _texts(path: Path) -> Iterator["Text"]:
    from magnetite.encode.parts import Text
    from magnetite.lines import json_rows, text_lines

    if path.name.removesuffix(".gz").endswith(".jsonl"):
        for number, row in json_rows(path, text=str):
            name = row.get("_id", row.get("id"))
            text = f"{row.get('title') or ''} {row['text']}".strip()
            yield Text(str(number if name is None else name), text)
    else:
        for number, line in text_lines(path, blank=True):
            yield Text(str(number), line)
