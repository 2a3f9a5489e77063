"""Formulas about where vectors lie, not whom they beat."""

import torch
import torch.nn.functional as F
from torch import Tensor


def alignment(left: Tensor, right: Tensor) -> Tensor:
    """Return ‖x − y‖² for each pair of rows."""  # [n, d], [n, d] -> [n]
    return (left - right).square().sum(-1)


def uniformity(vectors: Tensor, *, t: float = 2.0) -> Tensor:
    """Return log E exp(−t ‖x − y‖²) over all pairs of different rows.

    Args:
        vectors: At least two rows.   # [n, d]
        t: Sharpness of the kernel.

    Returns:
        One number; lower is more uniform.  # []
    """
    n = len(vectors)
    # ‖x−y‖² through the inner products: its gradient is finite at x = y, that of cdist is not.
    norms = vectors.square().sum(1)
    apart = (norms[:, None] + norms - 2 * vectors @ vectors.T).clamp(min=0)
    pairs = torch.ones(n, n, dtype=torch.bool, device=vectors.device).triu(1)
    count = vectors.new_tensor(n * (n - 1) / 2)
    return (-t * apart[pairs]).logsumexp(0) - count.log()


def decorrelation(vectors: Tensor) -> Tensor:
    """Return Σ over i ≠ j of cov(i, j)² / d, the covariances of the columns.

    Args:
        vectors: At least two rows.  # [n, d]

    Returns:
        One number.                  # []
    """
    centred = vectors - vectors.mean(0)
    covariance = centred.T @ centred / (len(vectors) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / vectors.shape[1]


def spread(vectors: Tensor, *, target: float = 1.0, floor: float = 1e-4) -> Tensor:
    """Return max(0, target − √(var + floor)) of each column."""  # [n, d] -> [d]
    return F.relu(target - (vectors.var(0) + floor).sqrt())
