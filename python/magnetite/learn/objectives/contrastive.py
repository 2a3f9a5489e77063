"""Formulas that pull a positive out of a crowd. Scores in, one loss per row out."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(
    scores: Tensor,
    target: Tensor,
    *,
    keep: Tensor | None = None,
    log_weights: Tensor | None = None,
) -> Tensor:
    """Return -log( exp s[i, target] / Σ_j w[i, j] exp s[i, j] ) for each row i.

    Args:
        scores: Similarities, already divided by the temperature.           # [n, m]
        target: Column of each row's positive.                              # [n]
        keep: Columns that take part; the positive always does.             # [n, m] bool
        log_weights: log w, added in the denominator; the positive's is 0.  # [n, m]

    Returns:
        One loss per row.                                                   # [n]
    """
    positive = scores.gather(1, target[:, None])[:, 0]
    if log_weights is not None:
        scores = scores + log_weights
    if keep is not None:
        own = F.one_hot(target, scores.shape[1]).bool()
        scores = scores.masked_fill(~(keep | own), -torch.inf)
    return scores.logsumexp(1) - positive


def sup_con(scores: Tensor, positive: Tensor, *, keep: Tensor | None = None) -> Tensor:
    """Return the mean over each row's positives p of -log softmax(s[i])[p].

    Args:
        scores: Similarities, already divided by the temperature.        # [n, m]
        positive: Columns that belong to the row.                        # [n, m] bool
        keep: Columns that take part, the positives among them.          # [n, m] bool

    Returns:
        One loss per row; 0 for a row without positives.                 # [n]
    """
    if keep is not None:
        scores = scores.masked_fill(~(keep | positive), -torch.inf)
    log_share = scores - scores.logsumexp(1, keepdim=True)
    total = log_share.masked_fill(~positive, 0.0).sum(1)
    return -total / positive.sum(1).clamp(min=1)


def hinge(positive: Tensor, negative: Tensor, *, margin: float) -> Tensor:
    """Return max(0, margin − (s⁺ − s⁻)) wherever the two shapes meet.

    Args:
        positive: Scores that should be high.  # [...]
        negative: Scores that should be low.   # [...]
        margin: How far apart is enough.
    """
    return F.relu(margin - (positive - negative))


def graded_pairs(scores: Tensor, grades: Tensor) -> Tensor:
    """Return log(1 + Σ exp(s[j] − s[i]) over all i graded above j): one number for the list.

    Args:
        scores: Similarities of pairs, already divided by the temperature.  # [n]
        grades: How similar the pairs are said to be.                       # [n]

    Returns:
        One loss for the whole list.                                        # []
    """
    wrong = scores[None, :] - scores[:, None]
    above = grades[:, None] > grades[None, :]
    terms = wrong.masked_fill(~above, -torch.inf).flatten()
    return torch.cat([terms.new_zeros(1), terms]).logsumexp(0)
