"""What the loop promises, on a tiny static encoder."""

import json

import numpy as np
import pytest
import torch

from magnetite import learn
from magnetite.learn.recipes import pairs


class Words:
    """A tokenizer of numbered words: "7 3" has the ids 7 and 3."""

    class Lists:
        def __init__(self, rows):
            self.ids = np.array([token for row in rows for token in row], dtype=np.int64)
            self.starts = np.cumsum([0, *map(len, rows)])

    def encode_batch(self, texts, *, max_tokens=None, special_tokens=True):
        return self.Lists([[int(word) for word in text.split()][:max_tokens] for text in texts])


def some_data(n=48):
    draw = np.random.default_rng(0)
    words = [" ".join(map(str, draw.integers(0, 40, 5))) for _ in range(2 * n)]
    return learn.Data.of_texts(query=words[:n], document=words[n:])


def run(**settings):
    torch.manual_seed(0)
    encoder = learn.StaticEncoder(torch.randn(40, 8), tokenizer=Words())
    method = pairs.Pairs(encoder, pairs.Config(mining_rounds=1))
    given = {"epochs": 2, "batch": 16, "lr": 0.05, "progress": False} | settings
    outcome = learn.train(method, some_data(), learn.Settings(**given))
    return outcome, method


def test_training_lowers_the_loss():
    outcome, _ = run(epochs=20)
    assert np.mean(outcome.losses[-5:]) < np.mean(outcome.losses[:5]) / 2


@pytest.mark.parametrize("stop", [1, 3, 6, 7, 11])
def test_a_resumed_run_is_the_same_run(tmp_path, stop):
    whole, left = run()

    class Stop(Exception):
        pass

    class Cut(pairs.Pairs):
        def after_step(self, z, facts):
            self.count = getattr(self, "count", 0) + 1
            if self.count > stop:
                raise Stop

    torch.manual_seed(0)
    encoder = learn.StaticEncoder(torch.randn(40, 8), tokenizer=Words())
    settings = {"epochs": 2, "batch": 16, "lr": 0.05, "progress": False, "save_every": 1}
    method = Cut(encoder, pairs.Config(mining_rounds=1))
    with pytest.raises(Stop):
        learn.train(method, some_data(), learn.Settings(out=tmp_path, **settings))
    rest, right = run(out=tmp_path, resume=True)
    assert rest.steps == whole.steps
    assert rest.losses == whole.losses[stop:]
    for one, other in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.equal(one, other)
    steps = [json.loads(line)["step"] for line in rest.log.read_text().splitlines()]
    assert steps == list(range(1, whole.steps + 1))
