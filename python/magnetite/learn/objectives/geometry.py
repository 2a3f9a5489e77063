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


def principal(vectors: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the `dim` orthonormal directions that keep most of the vectors' inner products.

    Not centred, unlike the usual analysis: cosines are taken about the origin.

    Args:
        vectors: At least one.                                        # [n, m]
        dim: At most m.

    Returns:
        Root mean square along each direction, and the directions.    # [dim], [m, dim]
    """
    if dim > vectors.shape[1]:
        raise ValueError(f"{dim} directions wanted of vectors with {vectors.shape[1]} dimensions")
    moment = torch.zeros(vectors.shape[1], vectors.shape[1], dtype=torch.float64)
    for some in vectors.cpu().split(65536):
        moment += some.double().T @ some.double() / len(vectors)
    square, directions = torch.linalg.eigh(moment)  # ascending
    directions = directions.flip(1)[:, :dim]
    # A direction's sign is free; its largest entry is made positive, so that machines agree.
    signs = directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
    return square.flip(0)[:dim].clamp(min=1e-12).sqrt(), directions * signs
