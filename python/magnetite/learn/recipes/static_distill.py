"""A transformer's vectors, imitated by one vector a token: their weighted sum, normalised.

Paper: Tulkens and van Dongen, "Model2Vec: Distill a Small Fast Model from any Sentence
    Transformer" (2024), trained with a listwise form of Park et al., "Relational Knowledge
    Distillation" (CVPR 2019): each text ranks all others of the batch as the teacher does.
Asks: texts `text` and the fact `teacher` [n, m], the teacher's vector of each; a static encoder of
    at most m dimensions, its table best started from the teacher's vectors of single tokens.
Settings: batch 1,024, 4 epochs, lr 5e-3, warm-up of a twentieth, linear decay, no clipping.
Differs: Model2Vec stops at the single tokens; here the table learns on texts. Token weights come
    from the norms it learns, flattened afterwards: the loss drives rare tokens so far up that they
    drown the other words of a document. Directions are whitened in part, for the same reason.
Tags: distillation, static
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from magnetite.learn.data import Data
from magnetite.learn.encoders import StaticEncoder, embed
from magnetite.learn.method import Method
from magnetite.learn.objectives import cosine_distance, listwise_kl, principal
from magnetite.learn.pairs import off_diagonal
from magnetite.learn.types import Batch, Embeddings, Facts, Infer, Losses, Phase


@dataclass(frozen=True)
class Config:
    """What is imitated, and what is smoothed afterwards; found by trial, see docs/builtin.md."""

    temperature: float = 0.05  # of the teacher's and the student's lists
    cosine: float = 1.0  # weight of the distance to the teacher's own vector
    flatness: float = 0.6  # exponent of the token norms in the export; 1 leaves them
    whitening: float = 0.4  # each principal direction's spread is divided by itself to this power


class StaticDistill(Method):
    """Listwise agreement with the teacher inside the batch, and closeness to its vectors."""

    basis: Tensor
    whiten: Tensor

    def __init__(self, embedder: StaticEncoder, config: Config | None = None) -> None:
        super().__init__()
        self.embedder: StaticEncoder = embedder
        embedder.weight.requires_grad = False  # the table's norms learn it
        self.config = config or Config()
        self.register_buffer("basis", None, persistent=False)  # of the data, anew in each run
        self.register_buffer("whiten", torch.eye(embedder.dim))

    def phase(self, k: int, data: Data, infer: Infer) -> Phase | None:
        """Return the data; then nothing, once the spread of the flattened vectors is known."""
        if k == 0:
            teacher = data["teacher"]
            if not isinstance(teacher, Tensor):
                raise TypeError("column 'teacher' must be a tensor with a vector for each text")
            basis = principal(teacher, self.embedder.dim)[1]
            self.basis = basis.to(self.whiten)
            return Phase(data)
        found = infer.derive(lambda: {"whiten": self._whitening(data, infer)})
        self.whiten = found["whiten"].to(self.whiten)
        return None

    def encode(self, batch: Batch) -> Embeddings:
        """Return the student's unit vectors."""
        return {"text": embed(self.embedder, batch.inputs["text"])}

    def loss(self, z: Embeddings, facts: Facts) -> Losses:
        """Return the divergence of the lists and the distance of the vectors."""
        ours, teacher = z["text"], F.normalize(facts["teacher"].to(self.basis), dim=-1)
        t, others = self.config.temperature, off_diagonal(len(ours), ours.device)
        lists = listwise_kl(ours @ ours.T / t, teacher @ teacher.T / t, keep=others)
        vectors = cosine_distance(ours, teacher @ self.basis)
        return {"lists": lists.mean(), "vectors": self.config.cosine * vectors.mean()}

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder, flattened and whitened."""
        return {"encoder": self.smoothed()}

    def smoothed(self) -> StaticEncoder:
        """Return the encoder, flattened and whitened."""
        flat = self._flattened()
        flat.table.data = flat.table.data @ self.whiten
        return flat

    def _flattened(self) -> StaticEncoder:
        learnt = self.embedder
        norm = (learnt.table.detach().norm(dim=1) * learnt.weight.abs()).clamp(min=1e-12)
        return StaticEncoder(
            learnt.table,
            learnt.weight * norm ** (self.config.flatness - 1),
            tokenizer=learnt.tokenizer,
            max_tokens=learnt.max_tokens,
        )

    def _whitening(self, data: Data, infer: Infer) -> Tensor:
        learnt, self.embedder = self.embedder, self._flattened().to(self.whiten.device)
        try:
            spread, directions = principal(infer(data)["text"], self.embedder.dim)
        finally:
            self.embedder = learnt
        return directions * spread**-self.config.whitening
