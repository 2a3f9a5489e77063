"""Formulas over the scores of one query's candidates. One loss per row."""

import torch.nn.functional as F
from torch import Tensor


def pairwise(positive: Tensor, negative: Tensor, *, keep: Tensor | None = None) -> Tensor:
    """Return the mean over each row's negatives j of log(1 + exp(s⁻[j] − s⁺)).

    Args:
        positive: Score of each row's positive.        # [n]
        negative: Scores of its negatives.             # [n, m]
        keep: Which negatives take part.               # [n, m] bool

    Returns:
        One loss per row; 0 for a row without negatives.  # [n]
    """
    return mean_kept(F.softplus(negative - positive[:, None]), keep)


def pointwise(scores: Tensor, labels: Tensor, *, keep: Tensor | None = None) -> Tensor:
    """Return the mean over each row's candidates of the cross-entropy of σ(s) and the label.

    Args:
        scores: Scores of candidates.                  # [n, m]
        labels: What each should be, in [0, 1].        # [n, m]
        keep: Which candidates take part.              # [n, m] bool

    Returns:
        One loss per row; 0 for a row without candidates.  # [n]
    """
    losses = F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype), reduction="none")
    return mean_kept(losses, keep)


def mean_kept(losses: Tensor, keep: Tensor | None) -> Tensor:
    """Return the mean over what takes part of each row; 0 where nothing does."""  # [n, m] -> [n]
    if keep is None:
        return losses.mean(1)
    return losses.masked_fill(~keep, 0.0).sum(1) / keep.sum(1).clamp(min=1)
