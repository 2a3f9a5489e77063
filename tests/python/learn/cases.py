"""What the fixtures of recipes are made of: a tokenizer of words, tiny encoders, a case."""

import importlib.util
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from magnetite import learn
from magnetite.learn import distributed
from magnetite.learn.data import Data, Vectors
from magnetite.learn.objectives import info_nce
from magnetite.learn.pairs import own_row
from magnetite.text import Tokenizer

WORDS = 40
FIXTURES = Path(__file__).parent / "fixtures"


@dataclass(frozen=True)
class Case:
    """A small run that covers a recipe.

    Attributes:
        data: Examples that reach every branch of the recipe.
        make: A config to a method, always with the same weights.
        recipe: Name of the recipe.
        config: The config of the run.
        changes: For every field of the config, other values that must change something.
        written: Embeddings, facts and the method to the total loss, in float64, by loops.
        settings: How to train.
    """

    recipe: str
    data: learn.Data
    make: Callable[[Any], learn.Method]
    config: Any
    changes: dict[str, Any]
    written: Callable[[dict, dict, learn.Method], float]
    settings: dict[str, Any] = field(default_factory=dict)

    def method(self, config=None) -> learn.Method:
        torch.manual_seed(7)
        return self.make(config or self.config).double()

    def train(self, config=None, **settings):
        """Return the outcome and the method."""
        method = self.method(config)
        given = {"epochs": 2, "batch": 8, "lr": 0.01, "progress": False} | self.settings | settings
        return learn.train(method, self.data, learn.Settings(**given)), method


def names() -> list[str]:
    """Return the names of all fixtures."""
    return sorted(path.stem for path in FIXTURES.glob("*.py"))


def case(name: str) -> Case:
    """Return a fixture."""
    path = FIXTURES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"fixture_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.case()


def tokenizer(*, special_tokens=True) -> Tokenizer:
    """Return a tokenizer of the words 0 to 39, with [CLS] and [SEP] around them."""
    vocabulary = {str(word): word + 4 for word in range(WORDS)}
    special = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    piece = [{"SpecialToken": {"id": name, "type_id": 0}} for name in ("[CLS]", "[SEP]")]
    template = {
        "type": "TemplateProcessing",
        "single": [piece[0], {"Sequence": {"id": "A", "type_id": 0}}, piece[1]],
        "pair": [
            piece[0],
            {"Sequence": {"id": "A", "type_id": 0}},
            piece[1],
            {"Sequence": {"id": "B", "type_id": 1}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
        ],
        "special_tokens": {
            name: {"id": name, "ids": [special[name]], "tokens": [name]}
            for name in ("[CLS]", "[SEP]")
        },
    }
    model = {"type": "WordLevel", "vocab": special | vocabulary, "unk_token": "[UNK]"}
    about = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": template if special_tokens else None,
        "model": model,
    }
    return Tokenizer.from_json(json.dumps(about))


def texts(n: int, *, seed: int, low=2, high=9) -> list[str]:
    """Return texts of random words and lengths."""
    draw = np.random.default_rng(seed)
    return [" ".join(map(str, draw.integers(0, WORDS, draw.integers(low, high)))) for _ in range(n)]


def static(dim=8) -> learn.StaticEncoder:
    """Return a static encoder with random weights."""
    return learn.StaticEncoder(
        torch.randn(WORDS + 4, dim), torch.rand(WORDS + 4) + 0.5, tokenizer=tokenizer()
    )


def tower(*, normalize=False, dropout=0.1) -> learn.Tower:
    """Return a transformer of two layers with random weights."""
    from magnetite.learn.encoders import pool
    from magnetite.learn.encoders.backbone import Backbone

    backbone = Backbone.from_config(
        {
            "model_type": "bert",
            "vocab_size": WORDS + 4,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
            "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": dropout,
        }
    )
    return learn.Tower(
        backbone, pool.mean, dim=16, normalize=normalize, tokenizer=tokenizer(), max_tokens=32
    )


class Mixed(learn.Method):
    """What mixes rows, and weights of its own, in the loss; two inputs of one encoder."""

    def __init__(self):
        super().__init__()
        self.embedder = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 4))
        self.embedder.tokenizer = None
        self.norm = nn.BatchNorm1d(4)
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def encode(self, batch):
        z = {name: self.embedder(rows) for name, rows in batch.inputs.items()}
        return z | {"count": batch.facts["row"] * 1, "still": z["a"].detach()}

    def loss(self, z, facts):
        scores = self.norm(z["a"]) @ self.norm(z["b"]).T * self.log_scale.exp()
        return {"nce": info_nce(scores, own_row(scores)).mean(), "still": z["still"].mean() * 0}


def mixed_data(n=16):
    draws = torch.Generator().manual_seed(1)
    a, b = (torch.randn(n, 3, generator=draws, dtype=torch.float64) for _ in "ab")
    return Data({"a": Vectors(a), "b": Vectors(b)})


def train_mixed(*, interrupt_at=None, **settings):
    """Return the outcome and the method of a float64 run of `Mixed`; None if interrupted."""
    torch.manual_seed(0)
    method, steps = Mixed().double(), iter(range(1, 1000))

    def after_step(z, facts):
        # On one rank alone: the others must stop after the same step.
        if next(steps) == interrupt_at and distributed.rank() == distributed.world() - 1:
            os.kill(os.getpid(), signal.SIGINT)

    method.after_step = after_step
    given = {"epochs": 3, "batch": 8, "lr": 0.01, "progress": False} | settings
    try:
        return learn.train(method, mixed_data(), learn.Settings(**given)), method
    except KeyboardInterrupt:
        return None
