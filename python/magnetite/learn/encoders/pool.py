"""Token states to one vector a text; padding never counts.

Every function here: states [n, L, d] and mask [n, L] to [n, d].
"""

import torch
from torch import Tensor


def mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean state of the text's tokens; zeros for a text without any."""
    weights = mask.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def first(states: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG001 - a pool's signature
    """Return the state of the first token, [CLS] where there is one."""
    return states[:, 0]


def last(states: Tensor, mask: Tensor) -> Tensor:
    """Return the state of the last token that is text; of the first where none is."""
    place = torch.arange(mask.shape[1], device=mask.device)
    end = (place * mask.bool()).amax(1)
    # Gathered, not indexed by arange(n): a traced graph would keep that n for every batch.
    return states.gather(1, end[:, None, None].expand(-1, 1, states.shape[-1])).squeeze(1)


def largest(states: Tensor, mask: Tensor) -> Tensor:
    """Return the largest value of each coordinate over the text's tokens."""
    hidden = states.masked_fill(~mask.bool()[..., None], -torch.inf).amax(1)
    return hidden.masked_fill(~mask.bool().any(1, keepdim=True), 0.0)
