"""A user's scorer, asked politely: what it returns is checked, its calls are counted.

A scorer is anything that can be called as `score(query, items)` and returns one number an item, or
an object that has such a method `score`. If it has a method `pairs(queries, items)` over two lists
of one length, that is used instead, so that one batch mixes queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Group: TypeAlias = tuple[Any, NDArray[np.int64]]
    """A query, and the places of the items to score for it."""


class ScorerError(ValueError):
    """A scorer returned what no search can use, or raised."""

    paid: dict[tuple[Any, Any], float] | None = None
    """Scores of (query, id) that a search had paid for."""
    answer: NDArray[np.float64] = np.empty(0)
    """Of a call with scores that are not finite: what it returned, in the order of its pairs."""


@runtime_checkable
class HasPairs(Protocol):
    """A scorer that takes many queries at once."""

    def pairs(self, queries: Sequence[Any], items: Sequence[Any]) -> Any:  # noqa: ANN401
        """Return the score of `queries[i]` and `items[i]`, for each i."""
        ...


class Scorer:
    """A scorer over known items; one may not be used from two threads at once.

    `calls` counts pairs that were paid for: asked, and answered by a finite number.
    """

    def __init__(self, score: object, items: Sequence[Any]) -> None:
        self._pairs = score.pairs if isinstance(score, HasPairs) else None
        self._score = _callable(score)
        self.items = items
        self.calls = 0

    @property
    def mixes(self) -> bool:
        """Whether one call of the scorer may hold several queries."""
        return self._pairs is not None

    def ask(self, groups: Iterable[Group]) -> Iterator[NDArray[np.float64]]:
        """Yield each group's scores, in their order.

        A scorer with `pairs` is called once for all groups, another once for each group, when its
        scores are wanted: groups that came before an error have been given out.

        Raises:
            ScorerError: Not one finite number an item; or the scorer raised, and what it raised is
                the cause. A KeyboardInterrupt passes through.
        """
        if self._pairs is None:
            for query, places in groups:
                items = [self.items[place] for place in places]
                about = f"{len(items):,} items of {_shown(query)}"
                yield self._called(self._score, query, items, [query] * len(items), about)
            return
        held = list(groups)
        queries = [query for query, places in held for _ in places]
        items = [self.items[place] for _, places in held for place in places]
        if not items:
            yield from (np.empty(0) for _ in held)
            return
        scores = self._called(self._pairs, queries, items, queries, f"{len(items):,} pairs")
        ends = np.cumsum([len(places) for _, places in held])
        yield from np.split(scores, ends[:-1])

    def _called(
        self,
        call: Callable[[Any, Sequence[Any]], Any],
        asked: object,
        items: Sequence[Any],
        queries: Sequence[Any],
        about: str,
    ) -> NDArray[np.float64]:
        """Return what `call` says of `asked` and `items`, one finite number an item.

        Args:
            call: The scorer.
            asked: What it takes for queries: one, or one an item.
            items: To score.
            queries: One an item, to name a pair.
            about: What is asked for, in words.
        """
        try:
            answer = call(asked, items)
        except Exception as error:
            said = f"the scorer raised {type(error).__name__} for {about}: {error}"
            raise ScorerError(said) from error
        scores = _numbers(answer, len(items), about)
        finite = np.isfinite(scores)
        self.calls += int(finite.sum())
        if not finite.all():
            at = int(np.argmin(finite))
            found = ScorerError(
                f"the scorer must return finite numbers; got {scores[at]} for number {at} of "
                f"{about} (query {_shown(queries[at])}, item {_shown(items[at])}); mend the "
                "scorer, or leave that item out"
            )
            found.answer = scores
            raise found
        return scores


def _callable(score: object) -> Callable[[Any, Sequence[Any]], Any]:
    for candidate in (getattr(score, "score", None), score):
        if callable(candidate):
            found: Callable[[Any, Sequence[Any]], Any] = candidate
            return found
    raise TypeError(
        "score must be a callable (query, items) -> scores, or an object with a method `score` "
        f"such as CrossEncoder; got {type(score).__name__}"
    )


def _numbers(answer: object, wanted: int, about: str) -> NDArray[np.float64]:
    remedy = "return one number an item, as a list or an array of one dimension"
    try:
        scores = np.asarray(answer)
    except Exception as error:  # a tensor on another device, a ragged list
        said = f"the scorer returned {type(answer).__name__}, which is no array ({error}); {remedy}"
        raise ScorerError(said) from error
    if scores.dtype.kind not in "fiu":
        raise ScorerError(f"the scorer must return real numbers; got {scores.dtype}; {remedy}")
    if scores.shape != (wanted,):
        raise ScorerError(
            f"the scorer must return {wanted:,} numbers for {about}; got the shape "
            f"{scores.shape}; {remedy}"
        )
    return scores.astype(np.float64)


def _shown(query: object, most: int = 40) -> str:
    """Return the beginning of a query."""
    words = repr(query)
    return words if len(words) <= most else f"{words[:most]}…"
