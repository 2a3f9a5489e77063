"""Examples: where they are read from, how they are kept, in which order they come."""

from magnetite.learn.data.columns import ABSENT, Data, Ragged, Texts, TextTable, Vectors, Windows
from magnetite.learn.data.orders import OneGroupABatch, Strided, Weighted, in_order, shuffled
from magnetite.learn.data.readers import read_beir, read_jsonl, read_lines, read_tsv

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
    "read_beir",
    "read_jsonl",
    "read_lines",
    "read_tsv",
    "shuffled",
]
