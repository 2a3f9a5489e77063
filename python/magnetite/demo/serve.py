"""The serving half: encode, index, search; timed. No torch."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from magnetite.evaluate import Beir, Run
from magnetite.evaluate.retrieve import run_of_index
from magnetite.index import Index
from magnetite.index.collection.similarity import comparable

if TYPE_CHECKING:
    from magnetite.encode import Encoder


@dataclass(frozen=True)
class Served:
    """What an encoder returned for the claims, and the seconds that each step took."""

    run: Run
    encode_s: float
    index_s: float
    search_s: float
    documents: int
    queries: int

    def lines(self) -> list[str]:
        """Return the timings for a terminal."""
        rate = f"{self.documents / self.encode_s:,.0f} a second"
        each = f"{1000 * self.search_s / self.queries:.2f} ms each, encoding included"
        return [
            f"encode {self.documents:>7,} abstracts {self.encode_s:8.2f} s   {rate}",
            f"index  {self.documents:>7,} vectors   {self.index_s:8.2f} s",
            f"search {self.queries:>7,} claims    {self.search_s:8.2f} s   {each}",
        ]

    def summary(self) -> str:
        """Return the same seconds in one line."""
        return (
            f"encode {self.documents:,} abstracts {self.encode_s:.2f} s; "
            f"index {self.index_s:.2f} s; search {self.queries:,} claims {self.search_s:.2f} s"
        )


def serve(encoder: "Encoder", data: Beir, *, threads: int | None = None) -> Served:
    """Return the run of the encoder over the data."""
    metric, normalize = comparable(encoder)
    start = time.perf_counter()
    passages = encoder.encode_document(data.corpus.passages(), normalize=normalize)
    encoded = time.perf_counter()
    index = Index.build(passages, metric=metric, encoder=encoder.fingerprint, threads=threads)
    indexed = time.perf_counter()
    run = run_of_index(index, encoder, data, threads=threads)
    searched = time.perf_counter()
    return Served(
        run,
        encode_s=encoded - start,
        index_s=indexed - encoded,
        search_s=searched - indexed,
        documents=len(data.corpus),
        queries=len(data.queries),
    )
