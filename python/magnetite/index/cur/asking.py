"""The rounds of a search: the engine says what to score, the scorer scores it."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from magnetite import _core
from magnetite.index.cur.hits import CurHits, Rest
from magnetite.index.cur.scorer import Scorer, ScorerError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tqdm import tqdm

    Picks = list[Any]

#: What is known of pairs, by query and id.
Paid = MutableMapping[tuple[Any, Any], float]

#: Bytes of regressions that lie in memory at a time.
MEMORY = 256 << 20
#: Pairs that the scorer is asked for at a time: what a call that fails may lose.
TOGETHER = 1024


@dataclass(frozen=True)
class Plan:
    """How to search, in words of the engine."""

    k: int
    rest: int
    rounds: list[tuple[int, float | None]]  # items, temperature
    ridge: float
    noise: float
    weight: float
    toward: bool
    effort: tuple[int | None, int | None, float | None]  # probes, rescore, slack
    seed: int
    threads: int | None


@dataclass(frozen=True)
class Starts:
    """Queries, and what each begins with and may find: nothing, one for all, or one each."""

    queries: list[Any]
    first: Picks
    known: NDArray[np.float64] | None  # [n, dim]
    guide: NDArray[np.float64] | None  # [n, dim], what says instead of `known` where to begin
    only: Picks
    exclude: Picks

    def part(self, some: slice) -> Starts:
        """Return those of some queries."""

        def own(picks: Picks) -> Picks:
            return picks if len(picks) <= 1 < len(self.queries) else picks[some]

        known, guide = (None if one is None else one[some] for one in (self.known, self.guide))
        filters = own(self.only), own(self.exclude)
        return Starts(self.queries[some], self.first[some], known, guide, *filters)


class Asker:
    """Asks a scorer for what nobody paid for yet."""

    def __init__(
        self,
        score: object,
        items_of: Callable[[Sequence[Any]], list[Any]],
        paid: Paid,
        bar: tqdm[Any],
    ) -> None:
        self._score, self._items_of, self._paid, self._bar = score, items_of, paid, bar

    def scores(
        self, queries: list[Any], ids: NDArray[np.int64] | list[str], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the score of each of `ids`, and for each query how many were asked for now.

        Args:
            queries: Each wants as many of `ids` as `counts` says, in their order.
            ids: One query's after the other's.
            counts: For each query.
        """
        owners = np.repeat(np.arange(len(queries)), counts)
        # Numbers of Python, which are what a caller's own items are called by.
        names = ids.tolist() if isinstance(ids, np.ndarray) else ids
        keys = [(queries[owner], one) for owner, one in zip(owners, names, strict=True)]
        new = [at for at, key in enumerate(keys) if key not in self._paid]
        for start in range(0, len(new), TOGETHER):
            self._pay([keys[at] for at in new[start : start + TOGETHER]])
        self._bar.update(len(ids))
        scores = np.array([self._paid[key] for key in keys], dtype=np.float64)
        return scores, np.bincount(owners[new], minlength=len(queries)).astype(np.int64)

    def _pay(self, keys: list[tuple[Any, Any]]) -> None:
        groups, starts = [], [0]
        for at in range(1, len(keys) + 1):
            if at == len(keys) or keys[at][0] is not keys[at - 1][0]:
                groups.append((keys[starts[-1]][0], np.arange(starts[-1], at)))
                starts.append(at)
        scorer = Scorer(self._score, self._items_of([one for _, one in keys]))
        done = 0
        try:
            for scores in scorer.ask(groups):
                self._keep(keys[done : done + len(scores)], scores)
                done += len(scores)
        except ScorerError as error:
            self._keep(keys[done : done + len(error.answer)], error.answer)
            error.paid = dict(self._paid)
            raise

    def _keep(self, keys: list[tuple[Any, Any]], scores: NDArray[np.float64]) -> None:
        """Keep those that are finite; of a call with others, they are paid for like any."""
        for key, score in zip(keys, scores.tolist(), strict=True):
            if math.isfinite(score):
                self._paid[key] = score


def run(core: _core.Index, starts: Starts, plan: Plan, asker: Asker) -> CurHits:
    """Return what a search of `core` finds, some queries at a time."""
    budget = sum(items for items, _ in plan.rounds)
    together = max(1, MEMORY // (8 * budget * (core.dim + budget)))
    count = len(starts.queries)
    parts = [
        _search(core, starts.part(slice(at, at + together)), plan, asker)
        for at in range(0, max(count, 1), together)
    ]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _search(core: _core.Index, starts: Starts, plan: Plan, asker: Asker) -> CurHits:
    filters = {"only": starts.only, "exclude": starts.exclude}
    count = len(starts.queries)
    search = _core.CurSearch(
        core,
        count,
        init=starts.first if starts.guide is None else _leaders(core, starts, plan),
        vectors=starts.known,
        toward=plan.toward,
        rounds=plan.rounds,
        ridge=plan.ridge,
        noise=plan.noise,
        weight=plan.weight,
        seed=plan.seed,
        **filters,
    )
    calls = np.zeros(count, dtype=np.int64)
    while asked := search.ask(**filters, effort=plan.effort, threads=plan.threads):
        scores, new = asker.scores(starts.queries, *asked)
        search.tell(scores)
        calls += new
    ids, scores, estimates, counts = search.best(plan.k, plan.threads)
    rest = None
    if plan.rest:
        found = search.rest(plan.rest, **filters, effort=plan.effort, threads=plan.threads)
        rest = Rest(_named(found[0], (count, plan.rest)), *found[1:])
    vectors = search.vectors(plan.threads)
    named = _named(ids, (count, plan.k))
    return CurHits(named, scores, counts, calls, estimates, vectors, rest)


def _leaders(core: _core.Index, starts: Starts, plan: Plan) -> Picks:
    """Return each query's ids of the first round: a search by `guide` that is asked once."""
    filters = {"only": starts.only, "exclude": starts.exclude}
    search = _core.CurSearch(
        core,
        len(starts.queries),
        init=[],
        vectors=starts.guide,
        toward=False,
        rounds=[(plan.rounds[0][0], None)],
        ridge=plan.ridge,
        noise=plan.noise,
        weight=0.0,
        seed=plan.seed,
        **filters,
    )
    asked = search.ask(**filters, effort=plan.effort, threads=plan.threads)
    if asked is None:  # nothing may be found
        return []
    ids, counts = asked
    ends = counts.cumsum()
    return [ids[end - count : end] for count, end in zip(counts, ends, strict=True)]


def _named(ids: NDArray[np.int64] | list[str | None], shape: tuple[int, int]) -> NDArray[Any]:
    if isinstance(ids, np.ndarray):
        return ids
    return np.array(ids, dtype=object).reshape(shape)


def _joined(parts: list[CurHits]) -> CurHits:
    rests = [part.rest for part in parts if part.rest is not None]

    def joined(name: str, of: Sequence[object] = parts) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in of])

    return CurHits(
        joined("ids"),
        joined("scores"),
        joined("counts"),
        joined("calls"),
        joined("estimates"),
        joined("vectors"),
        Rest(*(joined(one, rests) for one in ("ids", "estimates", "counts"))) if rests else None,
    )
