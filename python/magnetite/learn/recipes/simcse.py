"""A sentence encoder from raw sentences, by dropout alone, or from entailments.

Paper: Gao, Yao, Chen, "SimCSE: Simple Contrastive Learning of Sentence Embeddings" (EMNLP 2021).
Asks: `text` (unsupervised), or `text` (premise), `positive` (entailment) and, if at hand,
    `negatives` (contradictions, the first of which is taken): then every one is compared with all.
Settings: at most 32 tokens, [CLS] pooling, AdamW, linear decay, no warm-up, clip 1. Unsupervised:
    batch 64, lr 3e-5, one epoch of 10^6 sentences. Supervised (`SUPERVISED`): batch 512, lr 5e-5,
    three epochs of 314k NLI triples. Choose the checkpoint by STS-B dev.
Differs: without the optional masked-language-model loss; equal texts in a batch are no negatives of
    each other.
Tags: sentences, unsupervised, supervised, dropout
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magnetite.learn.encoders import Tower, embed
from magnetite.learn.method import Method
from magnetite.learn.objectives import info_nce
from magnetite.learn.pairs import comparable, own_row
from magnetite.learn.types import Batch, Embedder, Embeddings, Facts, Losses, Rows


@dataclass(frozen=True)
class Config:
    """The paper's values, unsupervised."""

    temperature: float = 0.05
    negative_weight: float = 1.0  # a: how often a row's own contradiction counts
    keep_head: bool = False  # whether the exported encoder ends in the head


SUPERVISED = Config(keep_head=True)


class SimCSE(Method):
    """InfoNCE of a text's vector over the second vectors of all texts of the batch."""

    def __init__(self, embedder: Embedder, config: Config | None = None) -> None:
        super().__init__()
        self.embedder = embedder
        self.config = config or Config()
        self.head = nn.Sequential(nn.Linear(embedder.dim, embedder.dim), nn.Tanh())

    def encode(self, batch: Batch) -> Embeddings:
        """Return each text's vector, and its positive's: without one, its own under new dropout."""
        texts = batch.inputs["text"]
        z = {"text": self._vector(texts)}
        z["positive"] = self._vector(batch.inputs.get("positive", texts))
        if "negatives" in batch.inputs:
            z["negative"] = self._vector(batch.inputs["negatives"])[:, 0]
        return z

    def _vector(self, rows: Rows) -> Tensor:
        return F.normalize(self.head(embed(self.embedder, rows)), dim=-1)

    def loss(self, z: Embeddings, facts: Facts) -> Losses:
        """Return the InfoNCE over [S⁺ | S⁻], log a added on the diagonal of S⁻."""
        target = own_row(z["text"])
        own = facts["positive_row"] if "positive_row" in facts else facts["text_row"]
        keys, numbers = z["positive"], own
        weights = torch.zeros_like(keys @ keys.T)
        if "negative" in z:
            keys = torch.cat([keys, z["negative"]])
            numbers = torch.cat([numbers, facts["negatives_row"][:, 0]])
            contradiction = torch.eye(len(own), dtype=weights.dtype, device=weights.device)
            log_a = math.log(self.config.negative_weight)
            weights = torch.cat([weights, contradiction * log_a], 1)
        scores = z["text"] @ keys.T / self.config.temperature
        keep = comparable(numbers, target, own[:, None])
        return {"text": info_nce(scores, target, keep=keep, log_weights=weights).mean()}

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder, with the head if it is kept."""
        if not self.config.keep_head:
            return {"encoder": self.embedder}
        if not isinstance(self.embedder, Tower):
            raise TypeError(f"a head can be kept on a Tower only; got {type(self.embedder)}")
        return {"encoder": self.embedder.with_head(self.head)}
