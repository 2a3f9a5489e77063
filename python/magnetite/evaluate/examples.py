"""Queries worth a look, and what each system returned for them."""

from collections.abc import Iterable, Mapping, Sequence

from magnetite.evaluate.beir import Beir
from magnetite.evaluate.report import Example, Shown, System
from magnetite.evaluate.runs import Run
from magnetite.evaluate.seen import relevant


def examples_of(
    data: Beir, runs: dict[str, Run], queries: Mapping[str, str], *, k: int = 3
) -> list[Example]:
    """Return each query's `k` best hits of each run and, if none is relevant, the first that is.

    `queries` maps them to notes on them.
    """
    row = {document: number for number, document in enumerate(data.corpus.ids)}

    def shown(query: str, run: Run) -> list[Shown]:
        wanted = relevant(data.qrels[query])
        hits = [
            Shown(rank, _title(data, row.get(document), document), score, document in wanted)
            for rank, (document, score) in enumerate(run.get(query, {}).items(), start=1)
        ]
        first = next((hit.rank for hit in hits if hit.relevant), 0)
        return hits[:k] + (hits[first - 1 : first] if first > k else [])

    return [
        Example(data.queries[query], {name: shown(query, run) for name, run in runs.items()}, note)
        for query, note in queries.items()
    ]


def telling(systems: Sequence[System], measure: str, queries: Iterable[str]) -> dict[str, str]:
    """Return the three queries that the last system helped most and the one it hurt most, noted.

    Equal changes stand in the order of the query ids. A system alone shows the first queries.
    """
    if len(systems) == 1:
        return dict.fromkeys(list(queries)[:4], "")
    first, last = systems[0].scores[measure], systems[-1].scores[measure]
    ordered = sorted(queries, key=lambda query: (first[query] - last[query], query))
    helped = [query for query in ordered if last[query] > first[query]]
    hurt = [query for query in reversed(ordered) if last[query] < first[query]]
    return dict.fromkeys(helped[:3], "helped most") | dict.fromkeys(hurt[:1], "hurt most")


def _title(data: Beir, number: int | None, document: str) -> str:
    """Return what a reader knows the document by; its id where the corpus lacks it."""
    if number is None:
        return document
    text = data.corpus.titles[number] or data.corpus.texts[number]
    return text if len(text) <= 120 else text[:119] + "…"
