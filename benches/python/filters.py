"""What a filter costs: recall and codes compared, beside the same search without one.

    python benches/python/filters.py [--vectors X.npy --queries Q.npy] [--rows 40000] [--json FILE]

Without files: the prose set. Filters allow a part of the rows: at random, those least or most
like one row, whole neighbourhoods, and, the worst that a filter can do, for each question all but
the rows nearest to it. A line gives the smallest and largest recall@10 over the parts, and codes
compared, in those of the same search without a filter.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from magnetite.bench import data
from magnetite.bench.data import Floats, normalized
from magnetite.index import Hits, Index

PROSE = Path(__file__).parents[3] / "shared" / "data" / "prose"
K = 10
PARTS = (0.99, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1)
WORST = (0.999, 0.99, 0.9, 0.7, 0.5, 0.3)
TINY = (0.01, 0.001, 0.0001)
NEIGHBOURHOODS = 200

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """One search under a filter."""

    effort: str
    filter: str
    allowed: float  # part of the rows
    recall: float
    codes: float  # in those of the same search without a filter


def best(scores: Floats, count: int) -> NDArray[np.int64]:
    """Return the places of the largest `count` of each row, in no order."""
    return np.argpartition(-scores, count - 1, axis=1)[:, :count]


def recall(hits: Hits, scores: Floats) -> float:
    """Return the mean recall; what may not be found scores −∞ and is no result."""
    count = min(K, int(np.isfinite(scores[0]).sum()))
    if not (hits.counts == count).all():
        raise SystemExit(f"{count} results wanted, got {sorted(set(hits.counts.tolist()))}")
    truth = best(scores, count)
    return float((hits.ids[:, :count, None] == truth[:, None]).any(axis=1).mean())


def filters(vectors: Floats, scores: Floats) -> Iterator[tuple[str, float, Mask]]:
    """Yield a name, the part of the rows that is allowed, and a mask: of all queries or of each."""
    rng = np.random.default_rng(0)
    n = len(vectors)
    like = vectors @ vectors[rng.integers(n)]
    near = (vectors @ vectors[rng.choice(n, NEIGHBOURHOODS, replace=False)].T).argmax(axis=1)
    orders: dict[str, NDArray[np.float64]] = {
        "at random": rng.random(n),
        "least like one row": -like,
        "most like one row": like,
        "whole neighbourhoods": rng.random(NEIGHBOURHOODS)[near],
    }
    for name, order in orders.items():
        for part in (*PARTS, *TINY):
            mask = np.zeros(n, dtype=bool)
            mask[np.argsort(-order, kind="stable")[: max(1, round(part * n))]] = True
            yield f"{name}{', 1 % and less' if part in TINY else ''}", part, mask
    for part in WORST:
        masks = np.ones(scores.shape, dtype=bool)
        np.put_along_axis(masks, best(scores, round((1 - part) * n)), False, axis=1)  # noqa: FBT003
        yield "least like the question", part, masks


@click.command()
@click.option("--vectors", type=click.Path(exists=True, path_type=Path))
@click.option("--queries", type=click.Path(exists=True, path_type=Path))
@click.option("--rows", default=40_000, show_default=True, help="Rows to index.")
@click.option("--asked", default=300, show_default=True, help="Queries to ask.")
@click.option("--json", "json_out", type=click.Path(path_type=Path))
def main(
    vectors: Path | None, queries: Path | None, rows: int, asked: int, json_out: Path | None
) -> None:
    """Search under filters of every kind."""
    some = data.prose(PROSE) if vectors is None else data.load(vectors, queries, None, 2)
    base = normalized(some.vectors[:: max(1, len(some.vectors) // rows)][:rows])
    questions = some.queries[:: max(1, len(some.queries) // asked)][:asked]
    index = Index.build(base, kind="ivf")
    scores = questions @ base.T
    search = partial(index.search, questions, K)
    efforts = {
        "default": search,
        "1 % of the lists": partial(search, probes=max(1, (index.lists or 1) // 100)),
        "slack 0.1": partial(search, slack=0.1),
    }
    codes: dict[str, float] = {}
    for effort, search in efforts.items():
        hits = search()
        codes[effort] = float(hits.cost.codes.mean())
        print(f"{effort}: recall {recall(hits, scores):.3f}, {codes[effort]:,.0f} codes")
    found: list[Row] = []
    for name, part, mask in filters(base, scores):
        allowed = np.where(mask, scores, -np.inf)
        for effort, search in efforts.items():
            hits = search(filter=mask)
            cost = float(hits.cost.codes.mean()) / codes[effort]
            found.append(Row(effort, name, part, recall(hits, allowed), cost))
    for name in dict.fromkeys(row.filter for row in found):
        cells = []
        for effort in efforts:
            own = [row for row in found if (row.filter, row.effort) == (name, effort)]
            recalls, costs = [row.recall for row in own], [row.codes for row in own]
            cells.append(
                f"{min(recalls):.3f} to {max(recalls):.3f}, {min(costs):.1f} to {max(costs):.1f} x"
            )
        print(f"{name:36} " + " | ".join(cells))
    if json_out is not None:
        json_out.write_text("".join(json.dumps(asdict(row)) + "\n" for row in found))


if __name__ == "__main__":
    main()
