"""The one miner: embed everything, nearest neighbours through our own index, filter."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from magnetite.index import Index
from magnetite.learn.data.columns import ABSENT, Data, Texts
from magnetite.learn.types import Infer


def nearest(queries: Tensor, items: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k items of highest dot product for each query; ties go to the lower row.

    Args:
        queries: Vectors.       # [n, dim]
        items: Vectors.         # [m, dim]
        k: At most m are given.

    Returns:
        Rows of items, best first, -1 where none was found, and their scores.  # [n, min(k, m)]
    """
    index = Index.build(items.float().numpy(), metric="dot")
    hits = index.search(queries.float().numpy(), min(k, len(items)))
    return torch.from_numpy(np.array(hits.ids, np.int64)), torch.from_numpy(hits.scores)


def with_mined(infer: Infer, data: Data, *, count: int, depth: int, margin: float | None) -> Data:
    """Return the examples with the column `negatives` that `mine` finds, saved with the run."""
    mined = infer.derive(
        lambda: {"rows": mine(infer, data, count=count, depth=depth, margin=margin)}
    )
    return data.having(negatives=Texts(data.texts("document").table, mined["rows"]))


def mine(
    infer: Infer,
    data: Data,
    *,
    count: int,
    depth: int,
    margin: float | None,
    query: str = "query",
    document: str = "document",
) -> Tensor:
    """Return hard negatives for each example: what the model finds and nobody calls relevant.

    Candidates are the first `depth` documents of `data.corpus` by cosine. Left out are the
    example's own document, those its fact `relevant` names, and those that score above `margin`
    times its own document's score: they are likely to be relevant, only unmarked.

    Args:
        infer: The model at rest.
        data: Examples with texts `query` and `document` of one table.
        count: How many negatives an example gets at most, hardest first.
        depth: How far down the ranking to look.
        margin: Share of the positive's score above which a candidate is distrusted; `None`: the
            labels are complete, and all are trusted.
        query: Name of the column of queries.
        document: Name of the column of documents.

    Returns:
        Rows of the text table, `ABSENT` where there are too few.  # [n, count]
    """
    queries, documents = data.texts(query), data.texts(document)
    corpus = documents.rows.unique() if data.corpus is None else data.corpus
    asked, which = queries.rows.unique(return_inverse=True)

    def vectors(name: str, rows: Tensor) -> Tensor:
        # Texts of like length together, so that little of what is inferred is padding.
        lengths = torch.tensor([len(documents.table.texts[row]) for row in rows.tolist()])
        order = lengths.argsort(stable=True)
        found = infer(Data({name: Texts(documents.table, rows[order])}))[name].float()
        return F.normalize(found[order.argsort()], dim=-1)

    query_vectors = vectors(query, asked)
    found, scores = nearest(query_vectors, vectors(document, corpus), depth)
    candidates, scores = corpus[found][which], scores[which]
    own = (query_vectors[which] * vectors(document, documents.rows)).sum(1)

    relevant = documents.rows[:, None]
    marked = data.columns.get("relevant")
    if isinstance(marked, Tensor):
        relevant = torch.cat([relevant, marked], 1)
    known = (relevant[:, :, None] == candidates[:, None, :]).any(1)
    trusted = ~known & (found[which] >= 0)
    if margin is not None:
        trusted &= scores <= margin * own[:, None]
    # Stable: the trusted ones first, in the order of the ranking.
    place = (~trusted).long().sort(dim=1, stable=True).indices[:, :count]
    mined = candidates.masked_fill(~trusted, ABSENT).gather(1, place)
    return F.pad(mined, (0, count - mined.shape[1]), value=ABSENT)
