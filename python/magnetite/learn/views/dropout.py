"""Dropout whose mask belongs to the example: the same in any chunk, on any rank, at any width."""

import torch.nn.functional as F
from torch import Tensor, nn

from magnetite.learn.randomness import current_draws, uniform


def keyed_dropout(states: Tensor, p: float) -> Tensor:
    """Return the states, each element zeroed with probability p, the others divided by 1 − p.

    Inside `keyed`, the mask is a function of the row's key, of how often the rows were drawn from
    before, and of the element's coordinates. Outside, it is torch's own.

    Args:
        states: States, row by row.  # [n, ...]
        p: Probability of an element to go.
    """
    draws = current_draws()
    if draws is None or p == 0.0:
        return F.dropout(states, p, training=True)
    luck = uniform(draws.next(len(states)), *states.shape[1:])
    return states * (luck >= p).to(states.dtype) / (1.0 - p)


class KeyedDropout(nn.Module):
    """`keyed_dropout` in training, nothing at rest."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, states: Tensor) -> Tensor:
        """Return the states, some of them zeroed."""  # [n, ...] -> [n, ...]
        return keyed_dropout(states, self.p) if self.training and self.p else states


def key_dropout(module: nn.Module) -> nn.Module:
    """Replace every `nn.Dropout` within a module, in place, by one that is keyed; return it."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, KeyedDropout(child.p))
    return module
