"""Formulas that make a student agree with a teacher. One loss per row."""

import torch.nn.functional as F
from torch import Tensor


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return 1 − cos(student, teacher) for each row."""  # [n, d], [n, d] -> [n]
    return 1 - F.cosine_similarity(student, teacher, dim=-1)


def listwise_kl(student: Tensor, teacher: Tensor, *, keep: Tensor | None = None) -> Tensor:
    """Return KL( softmax(teacher) ‖ softmax(student) ) for each row.

    Args:
        student: Scores, already divided by the temperature.  # [n, m]
        teacher: The same for the teacher.                    # [n, m]
        keep: Columns that take part, at least one a row.     # [n, m] bool

    Returns:
        One divergence per row, at least 0.                   # [n]
    """
    if keep is not None:
        # The lowest finite number, not −inf: 0 · (−inf − −inf) would be NaN.
        student = student.masked_fill(~keep, -1e30)
        teacher = teacher.masked_fill(~keep, -1e30)
    ours, wanted = student.log_softmax(1), teacher.log_softmax(1)
    parts = wanted.exp() * (wanted - ours)
    return (parts if keep is None else parts.masked_fill(~keep, 0.0)).sum(1)


def margin_mse(
    positive: Tensor, negative: Tensor, teacher_positive: Tensor, teacher_negative: Tensor
) -> Tensor:
    """Return the squared difference of the two margins s⁺ − s⁻, wherever the shapes meet."""
    return ((positive - negative) - (teacher_positive - teacher_negative)).square()
