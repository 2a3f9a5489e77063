"""Indexes: what was said of each document, kept for search. Never imports torch."""

from magnetite.index.dense import Cost, Hits, Index
from magnetite.index.sources import read_parquet

__all__ = ["Cost", "Hits", "Index", "read_parquet"]
