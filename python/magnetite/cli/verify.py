"""`magnetite verify`: artifacts against their golden vectors, indexes against their promises."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from magnetite.cli.shell import answer, examples, file_in, json_option, threads_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from magnetite.index import Verified
    from magnetite.index.collection import VerifiedCollection


@click.command(epilog=examples("magnetite verify my-encoder", "magnetite verify my-collection"))
@click.argument("folder", type=file_in, required=False)
@threads_option
@json_option
def command(folder: Path | None, threads: int | None, *, as_json: bool) -> None:
    """Check that FOLDER is what it was when it was written.

    An artifact must be unchanged and compute its golden vectors here; of an index every checksum
    must hold, and every row, list and id; of a collection that too, every document must be what was
    stored, and both sides must agree. Without FOLDER, the built-in encoder. Ends with 1 when the
    vectors differ or something is damaged.
    """
    if folder and (look := _holds_rows(folder)):
        found = look(folder, threads=threads)
        answer(asdict(found) | {"ok": True}, str(found), as_json=as_json)
        return
    from magnetite.encode import verify

    report = verify(folder, threads=threads)
    answer(asdict(report) | {"ok": report.ok}, str(report), as_json=as_json)
    if not report.ok:
        raise SystemExit(1)


def _holds_rows(folder: Path) -> "Callable[..., Verified | VerifiedCollection] | None":
    """Return what looks into an index or a collection, if `folder` is one."""
    from magnetite.index import Collection, Index
    from magnetite.index.collection import DOCUMENTS

    if (folder / DOCUMENTS).exists():
        return Collection.verify
    return Index.verify if (folder / "MANIFEST").exists() else None
