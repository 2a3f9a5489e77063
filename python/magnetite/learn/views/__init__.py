"""What an example may be made to look like: functions of ids or states, keyed by example."""

from magnetite.learn.views.dropout import KeyedDropout, keyed_dropout
from magnetite.learn.views.pairs import below, beside, join, picked, some
from magnetite.learn.views.tokens import bracket, crop, delete

__all__ = [
    "KeyedDropout",
    "below",
    "beside",
    "bracket",
    "crop",
    "delete",
    "join",
    "keyed_dropout",
    "picked",
    "some",
]
