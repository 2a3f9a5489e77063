"""Everything PyTorch: methods, their parts, and the loop that trains them.

Example:
    from magnetite import learn
    from magnetite.learn.recipes import pairs

    data = learn.Data.of_texts(query=titles, document=abstracts)
    method = pairs.Pairs(learn.load(), pairs.Config(symmetric=True))
    learn.train(method, data, learn.Settings(epochs=3, batch=1024, lr=1e-2))
"""

try:
    import torch  # noqa: F401 - the extra, checked once and by name
except ImportError as missing:
    raise ImportError(
        "magnetite.learn needs PyTorch; install it with: pip install 'magnetite[learn]'"
    ) from missing

from magnetite.learn.data import Data, read_beir, read_jsonl, read_lines, read_tsv
from magnetite.learn.encoders import StaticEncoder, Tower
from magnetite.learn.load import load
from magnetite.learn.method import Method
from magnetite.learn.train import Outcome, Settings, plot_log, read_log, train
from magnetite.learn.types import Batch, Group, Phase

__all__ = [
    "Batch",
    "Data",
    "Group",
    "Method",
    "Outcome",
    "Phase",
    "Settings",
    "StaticEncoder",
    "Tower",
    "load",
    "plot_log",
    "read_beir",
    "read_jsonl",
    "read_lines",
    "read_log",
    "read_tsv",
    "train",
]
