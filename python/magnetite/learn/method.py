"""The seam between a paper and the loop: two methods are written, five have defaults."""

from torch import nn

from magnetite.learn.data import Data
from magnetite.learn.types import (
    Batch,
    Embedder,
    Embeddings,
    Facts,
    Group,
    Infer,
    Losses,
    Phase,
    trainable,
)


class Method(nn.Module):
    """A contrastive method: how a batch becomes embeddings, and what is asked of them.

    Three rules make the two enough:

    - What a row can compute alone leaves `encode` as a number of that row.
    - What mixes rows lives in `loss`, which is called once, on the global batch.
    - What must be known first is a phase.
    """

    embedder: Embedder

    def encode(self, batch: Batch) -> Embeddings:
        """Return the embeddings of the inputs that the batch has; row i from example i alone."""
        raise NotImplementedError

    def loss(self, z: Embeddings, facts: Facts) -> Losses:
        """Return what is asked of the global batch's embeddings; never sees the encoder."""
        raise NotImplementedError

    def phase(self, k: int, data: Data, infer: Infer) -> Phase | None:  # noqa: ARG002
        """Return what to train on as the k-th thing, or None: nothing more."""
        return Phase(data) if k == 0 else None

    def draw(self, batch: Batch) -> Batch:
        """Return the batch with what is drawn once an optimizer step: views, keys, samples."""
        return batch

    def after_step(self, z: Embeddings, facts: Facts) -> None:
        """Update queues and moving averages from the global batch, detached."""

    def groups(self) -> list[Group]:
        """Return every trainable parameter, once, in groups."""
        return [Group(list(trainable([self])))]

    def exports(self) -> dict[str, nn.Module]:
        """Return what is worth keeping after training, by name."""
        return {"encoder": self.embedder}
