"""A search encoder from raw text alone: two crops of one window find each other.

Paper: Izacard, Caron, Hosseini, Riedel, Bojanowski, Joulin, Grave, "Unsupervised Dense Information
    Retrieval with Contrastive Learning" (TMLR 2022, arXiv 2112.09118).
Asks: `text`, documents of any length.
Settings: batch 2,048, AdamW betas (0.9, 0.98), eps 1e-6, weight decay 0.01, lr 5e-5, warm-up of
    20,000 in 500,000 steps, linear decay; BERT-base, mean pooling, vectors not normalised. For a
    small encoder: unit vectors, momentum 0.99 to 0.995, a queue of at most a tenth of the windows.
Differs: the key encoder has no dropout (the paper says so, its code does not do it); queued keys
    whose window overlaps the query's are no negatives; a crop keeps at least one token; the queue
    need not be a multiple of the batch.
Tags: retrieval, unsupervised, momentum, queue
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from magnetite.learn.data import Data, Strided
from magnetite.learn.data.stream import brackets, windows
from magnetite.learn.encoders import Frozen, embed
from magnetite.learn.memory import Queue
from magnetite.learn.method import Method
from magnetite.learn.objectives import info_nce
from magnetite.learn.randomness import mix_rows
from magnetite.learn.types import (
    Batch,
    Embedder,
    Embeddings,
    Facts,
    Infer,
    Losses,
    Padded,
    Phase,
    Tokenizer,
)
from magnetite.learn.views import bracket, crop, delete


@dataclass(frozen=True)
class Config:
    """The paper's values."""

    temperature: float = 0.05
    momentum: float = 0.9995
    queue: int = 131_072
    window: int = 256  # tokens that both crops are taken from
    shortest: float = 0.1  # crop, as a share of the window
    longest: float = 0.5
    deleted: float = 0.1  # share of a crop's tokens


class Contriever(Method):
    """MoCo over independent crops: the queue holds the keys of earlier batches."""

    def __init__(self, embedder: Embedder, config: Config | None = None) -> None:
        super().__init__()
        self.embedder = embedder
        self.config = config or Config()
        self.key_encoder = Frozen(embedder)
        self.queue = Queue(self.config.queue, embedder.dim)
        self.before, self.after = brackets(self._tokenizer())

    def phase(self, k: int, data: Data, infer: Infer) -> Phase | None:  # noqa: ARG002
        """Return the windows of the text stream, cut from another offset in every pass."""
        if k > 0:
            return None
        width = self.config.window
        stream = windows(data.texts("text"), self._tokenizer(), width=width)
        return Phase(Data({"text": stream}), Strided(width))

    def _tokenizer(self) -> Tokenizer:
        if self.embedder.tokenizer is None:
            raise ValueError("contriever cuts text itself: its embedder must have a tokenizer")
        return self.embedder.tokenizer

    def draw(self, batch: Batch) -> Batch:
        """Return one crop as the query and the other's key, from the moved key encoder."""
        text = batch.texts("text")
        query, positive = (self._view(text, mix_rows(batch.facts["key"], i)) for i in range(2))
        self.key_encoder.follow(self.embedder, self.config.momentum)
        key = embed(self.key_encoder, positive)
        return Batch({"query": query}, batch.facts | {"positive": key})

    def _view(self, text: Padded, keys: Tensor) -> Padded:
        config = self.config
        part = crop(text, mix_rows(keys, 0), low=config.shortest, high=config.longest)
        part = delete(part, mix_rows(keys, 1), share=config.deleted)
        return bracket(part, self.before, self.after)

    def encode(self, batch: Batch) -> Embeddings:
        """Return the vectors of every input there is."""
        return {name: embed(self.embedder, rows) for name, rows in batch.inputs.items()}

    def loss(self, z: Embeddings, facts: Facts) -> Losses:
        """Return -log( exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ over the queue exp(q·k/τ)) )."""
        query = z["query"]
        own = (query * facts["positive"]).sum(1, keepdim=True)
        scores = torch.cat([own, query @ self.queue.rows.T], 1) / self.config.temperature
        apart = self.queue.apart(facts["row"], distance=self.config.window)
        keep = torch.cat([torch.ones_like(apart[:, :1]), apart], 1)
        target = torch.zeros_like(facts["row"])
        return {"query": info_nce(scores, target, keep=keep).mean()}

    def after_step(self, z: Embeddings, facts: Facts) -> None:  # noqa: ARG002
        """Queue the keys of the global batch, after the loss has seen the queue."""
        self.queue.push(facts["positive"], facts["row"])
