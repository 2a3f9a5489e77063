"""Queries worth a look, and what each system returned for them."""

from collections.abc import Iterable, Mapping, Sequence

from magnetite.evaluate.beir import Beir
from magnetite.evaluate.report import Example, Shown, System
from magnetite.evaluate.runs import Run
from magnetite.evaluate.seen import relevant


def examples_of(
    data: Beir, runs: dict[str, Run], queries: Mapping[str, str], *, k: int = 3
) -> list[Example]:
    """Return the `k` best hits of each run for each of the queries, which map to notes on them."""
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
            note,
        )
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


def _title(data: Beir, number: int) -> str:
    text = data.corpus.titles[number] or data.corpus.texts[number]
    return text if len(text) <= 160 else text[:159] + "…"
