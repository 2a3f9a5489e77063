"""An encoder's run over a data set: every passage encoded, every query searched exactly."""

from typing import TYPE_CHECKING

import numpy as np

from magnetite.evaluate.beir import Beir
from magnetite.evaluate.runs import Run, run_of
from magnetite.index.collection.similarity import comparable

if TYPE_CHECKING:
    from magnetite.encode import Encoder
    from magnetite.index import Index


def retrieve(encoder: "Encoder", data: Beir, *, k: int = 100, threads: int | None = None) -> Run:
    """Return the best `k` documents of each judged query, by exact search."""
    from magnetite.index import Index

    metric, normalize = comparable(encoder)
    passages = encoder.encode_document(data.corpus.passages(), normalize=normalize)
    index = Index.build(passages, metric=metric, kind="flat", threads=threads)
    return run_of_index(index, encoder, data, k=k, threads=threads)


def run_of_index(
    index: "Index", encoder: "Encoder", data: Beir, *, k: int = 100, threads: int | None = None
) -> Run:
    """Return the run of an index whose ids are rows of the data's corpus."""
    queries = encoder.encode_query(list(data.queries.values()), normalize=comparable(encoder)[1])
    hits = index.search(queries, k=min(k, len(index)), threads=threads)
    ids = np.asarray(data.corpus.ids, dtype=object)[hits.ids]
    return run_of(list(data.queries), ids, hits.scores, hits.counts)
