"""Searches by a slow judge at equal calls, replayed on its stored scores.

Whatever is chosen is chosen on indexing queries; test queries are searched once for each budget.
The systems we compare ourselves with are tuned for each budget, ours once for all of them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from magnetite.evaluate.bootstrap import Difference, paired_bootstrap
from magnetite.extras import need
from magnetite.index.cur import ways
from magnetite.index.cur.tune import best, recalls, replay, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from magnetite.bench.block import Block
    from magnetite.index.cur.factors import Factors
    from magnetite.index.cur.ways import Way

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

ENCODER, OURS = "encoder + re-rank", "corrected encoder"
#: Calls a query for which our way is chosen; it is then used with every budget.
TUNED_AT = 100


@dataclass(frozen=True)
class Options:
    """What is measured."""

    budgets: tuple[int, ...] = (50, 100, 200, 500)
    ks: tuple[int, ...] = (1, 10, 50, 100)
    anchors: int = 500
    """Indexing queries used at most."""
    tests: int = 1_000
    """Test queries used at most."""
    tuning: int = 100
    """Indexing queries that settings are chosen on at most."""
    largest: float = 0.1
    """Budgets are at most this part of the items."""
    seed: int = 0
    threads: int | None = None

    def budgets_for(self, items: int) -> list[int]:
        """Return the budgets small enough for so many items."""
        return [budget for budget in self.budgets if budget <= self.largest * items]


@dataclass(frozen=True)
class Row:
    """One system at one budget: recall of the judge's best k, or a measure of the task."""

    block: str
    system: str
    budget: int
    measure: str
    """`Recall@k` of what the judge likes best, `accuracy` or `nDCG@10` by the labels."""
    value: float
    against_encoder: Difference | None
    """Ours less encoder + re-rank, on the same queries."""
    setting: str

    def as_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Judge:
    """Whether the judge is worth searching by, and how hard that is."""

    block: str
    queries: int
    items: int
    anchors: int
    accuracy: Difference
    """Of the judge over all items less its encoder's, where a query's first is relevant; of anchor
    and test queries, since labels choose nothing here."""
    judge_accuracy: float
    encoder_accuracy: float
    ndcg: Difference
    judge_ndcg: float
    encoder_ndcg: float
    spearman: float
    """Mean rank correlation of judge and encoder over the items of a query."""
    energy: dict[int, float]
    """Part of the squared scores in so many singular vectors, less the items' means and the
    queries', which rank nothing and can hold most of the scores of a judge trained by a softmax."""
    recipe: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return one line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Report:
    """What was found on one block."""

    judge: Judge
    rows: list[Row]


class System(Protocol):
    """A way to spend calls."""

    def __call__(self, budget: int) -> tuple[Places, str]:
        """Return the items scored for each test query [m, budget], best first, and the setting."""
        ...


def measure(
    block: Block,
    options: Options,
    heard: Callable[[str], object] = lambda line: None,  # noqa: ARG005
) -> Report:
    """Return every system's recall and task measures at every budget.

    Raises:
        ValueError: No budget is small enough for the items.
        MissingExtraError: bm25s (the extra `bench`) is not installed.
    """
    anchors, tests = split(block, options)
    scores = block.scores[tests].astype(np.float64)
    budgets = options.budgets_for(len(block.items))
    if not budgets:
        raise ValueError(
            f"{block.name}: no budget of {options.budgets} is at most "
            f"{options.largest:.0%} of {len(block.items):,} items"
        )
    truth = best(scores, min(max(options.ks), len(block.items)))
    labels = block.labels(tests)
    systems = _systems(block, anchors, tests, options, heard)
    rows: list[Row] = []
    for budget in budgets:
        base: dict[str, Floats] | None = None
        for name, system in systems.items():
            places, setting = system(budget)
            heard(f"{block.name}, {budget} calls: {name} {setting}")
            values = {f"Recall@{k}": recalls(places, truth, k) for k in options.ks if k <= budget}
            values |= task(places, labels)
            for what, value in values.items():
                against = None if base is None else paired_bootstrap(base[what], value)
                mean = float(value.mean())
                rows.append(Row(block.name, name, budget, what, mean, against, setting))
            base = base or values  # of encoder + re-rank, the first
    return Report(judged(block, anchors, tests), rows)


def split(block: Block, options: Options) -> tuple[Places, Places]:
    """Return the anchor queries and the test queries, at most as many as wanted, ascending."""
    generator = np.random.Generator(np.random.PCG64(options.seed))
    chosen = []
    for mask, most in ((block.indexing, options.anchors), (~block.indexing, options.tests)):
        chosen.append(np.sort(generator.permutation(np.flatnonzero(mask))[:most]))
    return chosen[0], chosen[1]


def _systems(
    block: Block, anchors: Places, tests: Places, options: Options, heard: Callable[[str], object]
) -> dict[str, System]:
    """Return the systems by name; encoder + re-rank comes first."""
    known = block.scores[anchors].astype(np.float64)
    asked = block.query_vectors[anchors].astype(np.float64)
    items = block.item_vectors.astype(np.float64)
    scores, dots = block.scores[tests].astype(np.float64), block.dots(tests)
    bm25 = lexical(block, tests)

    def ranked(guess: Floats) -> System:
        def system(budget: int) -> tuple[Places, str]:
            places = best(guess, budget)
            order = np.argsort(-np.take_along_axis(scores, places, 1), axis=1, kind="stable")
            return np.take_along_axis(places, order, 1), ""

        return system

    @cache
    def chosen(grid: Callable[[int, int], Sequence[Way]], budget: int) -> tuple[Way, Factors]:
        way = tune(
            grid(budget, len(anchors)),
            known,
            asked,
            items,
            budget=budget,
            ks=options.ks,
            most=options.tuning,
            seed=options.seed,
            threads=options.threads,
            heard=lambda way, recall: heard(f"  indexing queries: {recall:.3f} {way}"),
        ).way
        return way, way.factors(known, asked, items)

    def searched(grid: Callable[[int, int], Sequence[Way]], tuned_at: int | None) -> System:
        def system(budget: int) -> tuple[Places, str]:
            way, factors = chosen(grid, tuned_at or budget)
            vectors = block.query_vectors[tests]
            found = replay(
                factors,
                way.rounds,
                scores,
                dots,
                vectors,
                budget,
                seed=options.seed,
                threads=options.threads,
            )
            return found, str(way)

        return system

    generator = np.random.Generator(np.random.PCG64(options.seed + 1))
    return {
        ENCODER: ranked(dots),
        "random": ranked(generator.random(scores.shape)),
        "BM25 + re-rank": ranked(bm25),
        "ANNCUR": searched(ways.anncur, None),
        "ADACUR": searched(ways.adacur, None),
        "AXN": searched(ways.axn, None),
        OURS: searched(ways.corrected, _tuned_at(options, len(items))),
    }


def _tuned_at(options: Options, items: int) -> int:
    """Return the budget nearest to the one that our way is chosen for."""
    return min(options.budgets_for(items), key=lambda budget: abs(budget - TUNED_AT))


def lexical(block: Block, tests: Places) -> Floats:  # [tests, n]
    """Return BM25's scores (bm25s, its defaults)."""
    bm25s = need("bm25s", extra="bench", purpose="BM25")
    retriever = bm25s.BM25()
    texts = [str(text) for text in block.items]
    retriever.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
    words = bm25s.tokenize(
        [str(text) for text in block.queries[tests]], return_ids=False, show_progress=False
    )
    return np.stack([np.asarray(retriever.get_scores(one), np.float64) for one in words])


def task(places: Places, labels: Sequence[Places]) -> dict[str, Floats]:
    """Return accuracy and nDCG@10 of each query by its labels, items in the judge's order."""
    gains = [np.isin(row[:10], wanted) for row, wanted in zip(places, labels, strict=True)]
    discounts = 1 / np.log2(np.arange(2, 12))
    accuracy, ndcg = [], []
    for gain, wanted in zip(gains, labels, strict=True):
        accuracy.append(float(gain[0]))
        ideal = discounts[: len(wanted)].sum()
        ndcg.append(float((gain * discounts[: len(gain)]).sum() / ideal) if len(wanted) else 0.0)
    return {"accuracy": np.array(accuracy), "nDCG@10": np.array(ndcg)}


def judged(block: Block, anchors: Places, tests: Places) -> Judge:
    """Return what the judge is worth, and the spectrum of its scores."""
    both = np.concatenate([anchors, tests])
    scores, dots, labels = (
        block.scores[both].astype(np.float64),
        block.dots(both),
        block.labels(both),
    )
    judge, encoder = task(best(scores, 10), labels), task(best(dots, 10), labels)
    every = scores - scores.mean(axis=0)
    every -= every.mean(axis=1, keepdims=True)
    squared = np.linalg.eigvalsh(every @ every.T)[::-1]
    ranks = [_ranks(one) for one in (scores, dots)]
    return Judge(
        block.name,
        len(tests),
        len(block.items),
        len(anchors),
        paired_bootstrap(encoder["accuracy"], judge["accuracy"]),
        float(judge["accuracy"].mean()),
        float(encoder["accuracy"].mean()),
        paired_bootstrap(encoder["nDCG@10"], judge["nDCG@10"]),
        float(judge["nDCG@10"].mean()),
        float(encoder["nDCG@10"].mean()),
        float(np.mean((ranks[0] * ranks[1]).sum(1))),
        {r: float(squared[:r].sum() / squared.sum()) for r in (1, 10, 50, 100)},
        block.recipe,
    )


def _ranks(values: Floats) -> Floats:
    """Return each row's ranks, centred and of length 1, so that their dot product is Spearman's."""
    order = np.argsort(np.argsort(values, axis=1, kind="stable"), axis=1, kind="stable")
    centred = order - order.mean(axis=1, keepdims=True)
    found: Floats = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return found
