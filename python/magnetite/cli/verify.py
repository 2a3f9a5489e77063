"""`magnetite verify`: an artifact against its golden vectors, an index against its promises."""

from dataclasses import asdict
from pathlib import Path

import click

from magnetite.cli.shell import answer, examples, file_in, json_option, threads_option


@click.command(epilog=examples("magnetite verify my-encoder", "magnetite verify my-folder/index"))
@click.argument("folder", type=file_in, required=False)
@threads_option
@json_option
def command(folder: Path | None, threads: int | None, *, as_json: bool) -> None:
    """Check that FOLDER is what it was when it was written.

    An artifact must be unchanged and compute its golden vectors here; of an index, or of a
    searchable folder, every checksum must hold, and every row, list and id. Without FOLDER, the
    built-in encoder. Ends with 1 when the vectors differ or something is damaged.
    """
    if folder and (index := index_in(folder)):
        from magnetite.index import Index

        found = Index.verify(index, threads=threads)
        answer(asdict(found) | {"ok": True}, str(found), as_json=as_json)
        return
    from magnetite.encode import verify

    report = verify(folder, threads=threads)
    answer(asdict(report) | {"ok": report.ok}, str(report), as_json=as_json)
    if not report.ok:
        raise SystemExit(1)


def index_in(folder: Path) -> Path | None:
    """Return the directory of the index that `folder` is or holds."""
    return next((at for at in (folder, folder / "index") if (at / "MANIFEST").exists()), None)
