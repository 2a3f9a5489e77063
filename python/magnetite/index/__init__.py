"""Indexes: what was said of each document, kept for search. Never imports torch."""

from magnetite.index.collection import Changes, Collection, Document, Found
from magnetite.index.cur import CurHits, CurIndex
from magnetite.index.curve import Curve, Point
from magnetite.index.dense import Index
from magnetite.index.explanation import Explanation, Looked
from magnetite.index.hits import Cost, Hits, Verified
from magnetite.index.sources import read_parquet

__all__ = [
    "Changes",
    "Collection",
    "Cost",
    "CurHits",
    "CurIndex",
    "Curve",
    "Document",
    "Explanation",
    "Found",
    "Hits",
    "Index",
    "Looked",
    "Point",
    "Verified",
    "read_parquet",
]
