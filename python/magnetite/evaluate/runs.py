"""Runs: what a system returned for each query; written and read as TREC run files."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from magnetite._core import FormatError
from magnetite.lines import bad_row, text_lines

Run = dict[str, dict[str, float]]
"""Query id -> document id -> score, best first; equal scores by the id's bytes, lower first."""


def run_of(
    queries: Sequence[str],
    ids: Iterable[Iterable[str]],
    scores: Iterable[Iterable[float]],
    counts: Iterable[int],
) -> Run:
    """Return the run of search results: row i holds the first `counts[i]` hits of `queries[i]`."""
    run = {}
    for query, row, values, count in zip(queries, ids, scores, counts, strict=True):
        hits = list(zip(row, map(float, values), strict=True))[:count]
        run[query] = _ordered(dict(hits))
    return run


def write_run(path: str | Path, run: Run, *, name: str = "magnetite") -> None:
    """Write `query Q0 document rank score name` lines; scores in the fewest digits that read back.

    Raises:
        ValueError: An id or the name is empty or holds white space, which the format cannot hold.
    """
    for word in (name, *run, *(document for hits in run.values() for document in hits)):
        if not word or len(word.split()) != 1 or word != word.strip():
            raise ValueError(
                f"a TREC run file cannot hold {word!r}: it is empty or has white space"
            )
    lines = [
        f"{query} Q0 {document} {rank} {value!r} {name}\n"
        for query, hits in run.items()
        for rank, (document, value) in enumerate(_ordered(hits).items(), start=1)
    ]
    Path(path).write_text("".join(lines), encoding="utf-8")


def read_run(path: str | Path) -> Run:
    """Return the run of a TREC run file, ordered by score; its column of ranks is not looked at.

    Raises:
        FormatError: A bad row, a document given twice for a query, or no row at all.
    """
    path = Path(path)
    run: Run = {}
    for number, line in text_lines(path):
        fields = line.split()
        if len(fields) != 6:
            said = f"expected 6 fields (query Q0 document rank score name), got {len(fields)}"
            raise bad_row(path, number, said)
        query, _, document, _, said, _ = fields
        try:
            value = float(said)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise bad_row(path, number, f"expected a number as score, got {said!r}")
        if document in run.setdefault(query, {}):
            raise bad_row(path, number, f"document {document!r} comes twice for query {query!r}")
        run[query][document] = value
    if not run:
        raise FormatError(f"{path}: no rows")
    return {query: _ordered(hits) for query, hits in run.items()}


def _ordered(hits: dict[str, float]) -> dict[str, float]:
    return dict(sorted(hits.items(), key=lambda hit: (-hit[1], hit[0].encode())))
