"""The learning half: one encoder trained on titles, then on claims, sealed after each."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from magnetite import learn
from magnetite._core import resolve_threads
from magnetite.demo import story
from magnetite.demo.data import FOLDER, scifact
from magnetite.demo.training import CLAIMS, TITLES, Training
from magnetite.evaluate import Beir
from magnetite.learn.data import Data, read_beir
from magnetite.learn.export import export
from magnetite.learn.recipes.pairs import Pairs

Train = Callable[[Path], None]


def steps(*, threads: int | None = None, seed: int = 0) -> Iterator[tuple[str, str, Train]]:
    """Yield the name of each step, its folder's name, and what trains it and seals it there."""
    torch.set_num_threads(resolve_threads(threads))
    embedder = learn.load()

    def train(data: Data, how: Training, folder: Path) -> None:
        settings = replace(how.settings, seed=seed, progress=sys.stderr.isatty())
        learn.train(Pairs(embedder, how.config), data, settings)
        export(embedder, folder)

    yield story.TITLES, "titles", lambda folder: train(titles(scifact()), TITLES, folder)
    yield (
        story.CLAIMS,
        "claims",
        lambda folder: train(read_beir(FOLDER, split="train"), CLAIMS, folder),
    )


def titles(data: Beir) -> Data:
    """Return each title as the query of its abstract: no label, the corpus alone."""
    return Data.of_texts(query=data.corpus.titles, document=data.corpus.texts)
