"""Queries and the documents that answer them, against all other documents of the batch.

Paper: Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question Answering" (EMNLP 2020),
    with the fine-tuning of Izacard et al., "Unsupervised Dense Information Retrieval with
    Contrastive Learning" (TMLR 2022): hard negatives mined by the model itself.
Asks: texts `query` and `document`; optionally texts `negatives`, a list for each example, and the
    fact `relevant` [n, r], rows of the text table that also fit, padded with -1.
Settings: batch 128, lr 1e-5, 40 epochs, warm-up, linear decay (the paper's); for a static encoder
    batch 1,024 and lr 1e-2.
Differs: cosine over a temperature (Contriever's 0.05) where DPR has the bare dot product; texts
    equal to a query's own document, or marked as relevant to it, are no negatives of it; a mined
    negative scores below `mining_margin` times the positive.
Tags: retrieval, supervised, hard negatives, cross-device
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from magnetite.learn.data import Data
from magnetite.learn.data.mine import with_mined
from magnetite.learn.encoders import embed
from magnetite.learn.method import Method
from magnetite.learn.objectives import info_nce
from magnetite.learn.pairs import comparable, fitting, own_row
from magnetite.learn.types import Batch, Embedder, Embeddings, Facts, Infer, Losses, Padded, Phase
from magnetite.learn.views import picked, some


@dataclass(frozen=True)
class Config:
    """What the papers chose."""

    temperature: float = 0.05
    symmetric: bool = False  # also find the query among the batch's queries
    negatives: int = 1  # hard negatives drawn for each query in each step
    mining_rounds: int = 0  # phases after the first, with negatives mined by the model
    mining_depth: int = 30  # how far down the ranking a mined negative may be
    mining_margin: float = 0.95  # share of the positive's score that it must stay below


class Pairs(Method):
    """InfoNCE of each query over the documents and hard negatives of the global batch."""

    def __init__(self, embedder: Embedder, config: Config | None = None) -> None:
        super().__init__()
        self.embedder = embedder
        self.config = config or Config()

    def phase(self, k: int, data: Data, infer: Infer) -> Phase | None:
        """Return the data as given, then with mined negatives."""
        if k == 0:
            return Phase(data)
        if k > self.config.mining_rounds:
            return None
        config = self.config
        return Phase(
            with_mined(
                infer,
                data,
                count=config.negatives,
                depth=config.mining_depth,
                margin=config.mining_margin,
            )
        )

    def draw(self, batch: Batch) -> Batch:
        """Return the batch with some of each query's hard negatives, drawn anew each step."""
        texts = batch.inputs.get("negatives")
        if not isinstance(texts, Padded):
            return batch
        rows = batch.facts["negatives_row"]
        chosen = some(rows, batch.facts["key"], self.config.negatives)
        drawn = picked(texts, chosen)
        return batch.having(
            inputs={"negatives": drawn}, facts={"negatives_row": rows.gather(1, chosen)}
        )

    def encode(self, batch: Batch) -> Embeddings:
        """Return the unit vectors of every input there is."""
        return {
            name: F.normalize(embed(self.embedder, rows), dim=-1)
            for name, rows in batch.inputs.items()
        }

    def loss(self, z: Embeddings, facts: Facts) -> Losses:
        """Return the InfoNCE of queries over documents, and of documents over queries."""
        documents, candidates = z["document"], facts["document_row"]
        if "negatives" in z:
            documents = torch.cat([documents, z["negatives"].flatten(0, 1)])
            candidates = torch.cat([candidates, facts["negatives_row"].flatten()])
        scores = z["query"] @ documents.T / self.config.temperature
        target = own_row(z["query"])
        keep = comparable(candidates, target, fitting(facts))
        losses = {"query": info_nce(scores, target, keep=keep).mean()}
        if self.config.symmetric:
            n = len(target)
            back = info_nce(scores[:, :n].T, target, keep=keep[:, :n].T).mean()
            losses = {"query": losses["query"] / 2, "document": back / 2}
        return losses
