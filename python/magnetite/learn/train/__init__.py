"""The loop and what it is told."""

from magnetite.learn.train.log import plot_log, read_log
from magnetite.learn.train.loop import train
from magnetite.learn.train.schedule import constant, cosine, linear
from magnetite.learn.train.settings import Outcome, Settings

__all__ = [
    "Outcome",
    "Settings",
    "constant",
    "cosine",
    "linear",
    "plot_log",
    "read_log",
    "train",
]
