"""Views of token ids: ids to ids, each text's randomness from its own key.

Texts here carry no special tokens; `bracket` puts them around what is left.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from magnetite.learn.randomness import uniform
from magnetite.learn.types import Padded


def crop(texts: Padded, keys: Tensor, *, low: float, high: float) -> Padded:
    """Return a contiguous part of each text: ratio r ~ U(low, high), start uniform.

    Args:
        texts: Texts.                            # [n, L]
        keys: One key a text.                    # [n]
        low: Smallest share of the text kept.
        high: Largest.

    Returns:
        ⌊r · length⌋ tokens of each text, at least one of a text that has any.  # [n, L']
    """
    lengths = texts.mask.sum(1)
    ratio, place = uniform(keys, 2).unbind(1)
    kept = (lengths * (low + (high - low) * ratio)).long().clamp(min=1).minimum(lengths)
    start = (place * (lengths - kept + 1)).long()
    width = torch.arange(texts.ids.shape[1], device=keys.device)
    mask = width < kept[:, None]
    ids = texts.ids.gather(1, (start[:, None] + width) * mask)
    return Padded(ids, mask.long()).trimmed()


def delete(texts: Padded, keys: Tensor, *, share: float) -> Padded:
    """Return the texts without some tokens, each dropped independently with probability `share`.

    Args:
        texts: Texts.            # [n, L]
        keys: One key a text.    # [n]
        share: Probability of each token to go.

    Returns:
        What is left, closed up; a text may lose all its tokens.  # [n, L']
    """
    left = texts.mask.bool() & (uniform(keys, texts.ids.shape[1]) >= share)
    order = (~left).long().sort(dim=1, stable=True).indices
    return Padded(texts.ids.gather(1, order), left.gather(1, order).long()).trimmed()


def bracket(texts: Padded, before: Sequence[int], after: Sequence[int]) -> Padded:
    """Return the texts between special tokens.

    Args:
        texts: Texts, their tokens to the left.   # [n, L]
        before: Ids put in front of each text.
        after: Ids put right behind each text's last token.

    Returns:
        The longer texts.                         # [n, L + before + after]
    """
    n, device = len(texts), texts.ids.device
    lead = torch.tensor(list(before), dtype=torch.int64, device=device).expand(n, -1)
    tail = torch.tensor(list(after), dtype=torch.int64, device=device).expand(n, -1)
    room = torch.zeros_like(tail)
    ids = torch.cat([lead, texts.ids, room], 1)
    mask = torch.cat([torch.ones_like(lead), texts.mask, room], 1)
    end = mask.sum(1, keepdim=True) + torch.arange(len(after), device=device)
    return Padded(ids.scatter(1, end, tail), mask.scatter(1, end, torch.ones_like(tail)))
