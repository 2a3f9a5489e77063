"""`magnetite verify`: an artifact against its golden vectors."""

from dataclasses import asdict
from pathlib import Path

import click

from magnetite.cli.shell import answer, examples, file_in, json_option, threads_option


@click.command(epilog=examples("magnetite verify my-encoder"))
@click.argument("folder", type=file_in, required=False)
@threads_option
@json_option
def command(folder: Path | None, threads: int | None, *, as_json: bool) -> None:
    """Check that the artifact in FOLDER is unchanged and computes its golden vectors here.

    Without FOLDER, the built-in encoder. Ends with 1 when the vectors differ.
    """
    from magnetite.encode import verify

    report = verify(folder, threads=threads)
    answer(asdict(report) | {"ok": report.ok}, str(report), as_json=as_json)
    if not report.ok:
        raise SystemExit(1)
