"""Collections that are served: questions to documents, encoded by the batcher of their encoder."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from magnetite._core import FormatError
from magnetite.index import Collection, Found
from magnetite.serve.limits import Limits
from magnetite.serve.refusal import Refusal
from magnetite.serve.served import Served

MOST_RESULTS = 10_000
"""Documents in one answer."""


@dataclass(frozen=True)
class Searchable:
    """A collection, its name, and the encoder that filled it."""

    name: str
    collection: Collection
    served: Served

    def info(self) -> dict[str, Any]:
        """Return what /info says of it."""
        return {
            "name": self.name,
            "documents": len(self.collection),
            "model": self.served.name,
            "fingerprint": self.served.encoder.fingerprint,
        }


class Searches:
    """All collections of a server, and the threads that look into them."""

    def __init__(self, searchable: Sequence[Searchable], limits: Limits, *, threads: int) -> None:
        """The first collection is the one searched where a request names none."""
        self.by_name = {one.name: one for one in searchable}
        self._limits = limits
        self._searching = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="magnetite-search")

    def named(self, name: str | None) -> Searchable:
        """Return a collection, or refuse a name that is none of them."""
        if not self.by_name:
            message = "no collection is served here; start `magnetite serve ARTIFACT COLLECTION`"
            raise Refusal(404, message, code="not_served")
        if name is None:
            return next(iter(self.by_name.values()))
        if name not in self.by_name:
            message = f"no collection {name!r} is served here; there are {sorted(self.by_name)}"
            raise Refusal(404, message, param="collection", code="collection_not_found")
        return self.by_name[name]

    async def search(
        self,
        searchable: Searchable,
        queries: list[str],
        k: int,
        *,
        where: Mapping[str, Any] | None,
        target_recall: float | None,
        min_score: float | None,
    ) -> list[list[Found]]:
        """Return the `k` documents that answer each query best.

        Raises:
            Refusal: 400, what the collection refuses; 413, too many results asked for; 429, too
                many searches at a time.
        """
        if len(queries) * k > MOST_RESULTS:
            message = f"{len(queries)} queries x k={k}: an answer holds {MOST_RESULTS} documents"
            raise Refusal(413, message, param="k", code="too_many_results")
        if self._searching >= self._limits.searches:
            message = f"{self._searching} searches are under way, the most there may be"
            raise Refusal(429, message, code="busy", retry_after_s=1.0)
        self._searching += 1
        try:
            served, collection = searchable.served, searchable.collection
            rows = await served.rows(queries, prompt=served.query_prompt, truncate=True)
            vectors = await served.vectors(rows, unit=bool(collection.normalize))
            work = partial(
                collection.search_vectors,
                vectors,
                k,
                where=where,
                target_recall=target_recall,
                min_score=min_score,
            )
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except FormatError:
            raise  # a damaged collection is no fault of the request
        except (ValueError, TypeError) as error:
            raise Refusal(400, str(error), code="invalid_value") from None
        finally:
            self._searching -= 1

    def close(self) -> None:
        """Close the collections when searches under way have ended."""
        self._pool.shutdown()
        for one in self.by_name.values():
            one.collection.close()
