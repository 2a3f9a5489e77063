"""Examples: where they are read from, how they are kept, in which order they come."""

from magnetite.learn.data.columns import ABSENT, Data, Ragged, Texts, TextTable, Vectors, Windows
from magnetite.learn.data.orders import OneGroupABatch, Strided, Weighted, in_order, shuffled

__all__ = [
    "ABSENT",
    "Data",
    "OneGroupABatch",
    "Ragged",
    "Strided",
    "TextTable",
    "Texts",
    "Vectors",
    "Weighted",
    "Windows",
    "in_order",
    "shuffled",
]
