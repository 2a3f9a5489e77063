"""Queries worth a look, and what each system returned for them."""

from collections.abc import Iterable, Sequence

from magnetite.evaluate.beir import Beir
from magnetite.evaluate.report import Example, Shown, System
from magnetite.evaluate.runs import Run
from magnetite.evaluate.seen import relevant


def examples_of(
    data: Beir, runs: dict[str, Run], queries: Sequence[str], *, k: int = 3
) -> list[Example]:
    """Return the `k` best hits of each run for each of the queries."""
    row = {document: number for number, document in enumerate(data.corpus.ids)}

    def shown(query: str, document: str, score: float) -> Shown:
        number = row.get(document)
        title = document if number is None else _title(data, number)
        return Shown(title, score, relevant=document in relevant(data.qrels[query]))

    return [
        Example(
            data.queries[query],
            {
                name: [shown(query, *hit) for hit in list(run.get(query, {}).items())[:k]]
                for name, run in runs.items()
            },
        )
        for query in queries
    ]


def telling(
    systems: Sequence[System], measure: str, queries: Iterable[str], *, most: int = 4
) -> list[str]:
    """Return the queries that the last system helped most and one it hurt, or the first if alone.

    Equal changes stand in the order of the query ids.
    """
    if len(systems) == 1:
        return list(queries)[:most]
    first, last = systems[0].scores[measure], systems[-1].scores[measure]
    ordered = sorted(queries, key=lambda query: (first[query] - last[query], query))
    helped = [query for query in ordered if last[query] > first[query]]
    hurt = [query for query in reversed(ordered) if last[query] < first[query]]
    return helped[: most - 1] + hurt[:1]


def _title(data: Beir, number: int) -> str:
    text = data.corpus.titles[number] or data.corpus.texts[number]
    return text if len(text) <= 160 else text[:159] + "…"
