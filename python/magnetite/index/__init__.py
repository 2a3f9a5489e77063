"""Indexes: what was said of each document, kept for search. Never imports torch."""

from magnetite.index.dense import Cost, Hits, Index

__all__ = ["Cost", "Hits", "Index"]
