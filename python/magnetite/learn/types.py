"""The words of the seam: what a batch is, what a method says of it, what a phase trains on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

Embeddings = dict[str, Tensor]
"""Vectors, or numbers, of each row: [rows, ...]; gathered across devices with their gradient."""
Facts = dict[str, Tensor]
"""What is known of each row: ids, labels, teacher scores: [rows, ...]; gathered, no gradient."""
Losses = dict[str, Tensor]
"""Named scalars, already weighted; their sum is minimised."""


@dataclass(frozen=True)
class Padded:
    """Token ids with the mask that says which are text.

    Attributes:
        ids: Token ids, arbitrary where the mask is 0.  # [n, L] or [n, m, L], int64
        mask: 1 on text, 0 on padding.                  # the same
    """

    ids: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> "Padded":
        """Return some rows, as narrow as their longest text."""
        return Padded(self.ids[rows], self.mask[rows]).trimmed()

    def trimmed(self) -> "Padded":
        """Return the same texts without the columns that are padding in every row."""
        if self.mask.numel() == 0:
            return self
        used = self.mask.flatten(0, -2).any(0).nonzero()
        width = int(used[-1]) + 1 if len(used) else 1
        return Padded(self.ids[..., :width], self.mask[..., :width])

    def to(self, device: torch.device) -> "Padded":
        """Return the same rows on `device`."""
        return Padded(self.ids.to(device), self.mask.to(device))


Rows = Padded | Tensor
"""One input of every example: padded texts, or vectors, images, ... : [rows, ...]."""


@dataclass(frozen=True)
class Batch:
    """Some examples.

    Attributes:
        inputs: What the encoder sees. Stays on its device; the loop may cut it in chunks.
        facts: What is known of each row. `row`, the example's number, and `key`, from which all
            randomness about this example in this step is drawn, are always there.
    """

    inputs: dict[str, Rows]
    facts: Facts

    def __len__(self) -> int:
        return len(self.facts["row"])

    def __getitem__(self, rows: slice) -> "Batch":
        return Batch(
            {name: part[rows] for name, part in self.inputs.items()},
            {name: part[rows] for name, part in self.facts.items()},
        )

    def texts(self, name: str) -> Padded:
        """Return an input that must be texts."""
        rows = self.inputs.get(name)
        if not isinstance(rows, Padded):
            kind = "absent" if rows is None else type(rows).__name__
            raise TypeError(f"input {name!r} must be texts; it is {kind}")
        return rows

    def chunks(self, size: int | None) -> list["Batch"]:
        """Return the batch in pieces of at most `size` rows, in order."""
        if size is None or size >= len(self):
            return [self]
        return [self[start : start + size] for start in range(0, len(self), size)]

    def to(self, device: torch.device) -> "Batch":
        """Return the same batch on `device`."""
        return Batch(
            {name: part.to(device) for name, part in self.inputs.items()},
            {name: part.to(device) for name, part in self.facts.items()},
        )

    def having(self, *, inputs: dict[str, Rows] | None = None, facts: Facts | None = None) -> Self:
        """Return the batch with these inputs and facts added or replaced."""
        return type(self)(self.inputs | (inputs or {}), self.facts | (facts or {}))


class TokenLists(Protocol):
    """Token ids of many texts, end to end: text i is `ids[starts[i]:starts[i + 1]]`."""

    @property
    def ids(self) -> np.ndarray: ...  # noqa: D102
    @property
    def starts(self) -> np.ndarray: ...  # noqa: D102


class Tokenizer(Protocol):
    """What learning asks of `magnetite.text.Tokenizer`."""

    def encode_batch(  # noqa: D102
        self, texts: Sequence[str], *, max_tokens: int | None = None, special_tokens: bool = True
    ) -> TokenLists: ...


class Embedder(nn.Module):
    """A module from ids and mask, [n, L] int64 both, to one vector a text, [n, dim].

    Attributes:
        dim: Length of a vector.
        tokenizer: What the ids come from; `None` for ids of the caller's own.
        max_tokens: Where texts are cut; `None`: where the tokenizer cuts them.
    """

    dim: int
    tokenizer: Tokenizer | None
    max_tokens: int | None


class Examples(Protocol):
    """Numbered examples; `magnetite.learn.data.Data` is one."""

    def __len__(self) -> int: ...

    def take(self, rows: Tensor) -> Batch:
        """Return the examples with these numbers, as one batch without keys."""
        ...

    def tokenized(self, tokenizer: Tokenizer, max_tokens: int | None) -> "Examples":
        """Return the same examples with every text turned into ids; itself when it has none."""
        ...


class Order(Protocol):
    """Which examples come when: the batches of a pass are consecutive slices of the answer."""

    def __call__(self, n: int, *, batch: int, seed: int) -> Tensor:
        """Return the row numbers of one pass over `n` examples, drawn from `seed`."""
        ...


@dataclass(frozen=True)
class Phase:
    """What to train on next.

    Attributes:
        examples: The examples.
        order: Which of them come when; `None`: every one once, shuffled anew each pass.
        steps: How many steps the phase lasts; `None`: as many passes as the settings say.
    """

    examples: Examples
    order: Order | None = None
    steps: int | None = None


class Infer(Protocol):
    """The model at rest, for phases: no gradient, sharded over the devices, in order."""

    def __call__(self, examples: Examples) -> Embeddings:
        """Return `method.encode` of all examples; allowed inside `derive` only."""
        ...

    def derive(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return what `work` returns, saved with the run: a resumed run reads it back."""
        ...


@dataclass(frozen=True)
class Group:
    """Parameters with their own learning rate or weight decay; `None`: those of the settings."""

    parameters: Sequence[nn.Parameter]
    lr: float | None = None
    weight_decay: float | None = None


def trainable(modules: Iterable[nn.Module]) -> Iterator[nn.Parameter]:
    """Yield every parameter that asks for a gradient, once, in order of registration."""
    seen = set()
    for module in modules:
        for parameter in module.parameters():
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter
