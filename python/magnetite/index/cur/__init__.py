"""Cross-encoder search: the best items by the slow model, for a fixed number of its calls."""

from magnetite.index.cur.hits import CurHits, Rest
from magnetite.index.cur.index import CurIndex
from magnetite.index.cur.scorer import Scorer, ScorerError

__all__ = ["CurHits", "CurIndex", "Rest", "Scorer", "ScorerError"]
