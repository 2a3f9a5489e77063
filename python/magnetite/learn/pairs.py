"""Who is compared with whom: targets and masks, as data."""

import torch
from torch import Tensor


def own_row(rows: Tensor) -> Tensor:
    """Return each row's own number: the i-th key is the i-th anchor's."""  # [n, ...] -> [n]
    return torch.arange(len(rows), device=rows.device)


def same(left: Tensor, right: Tensor) -> Tensor:
    """Return where two lists of numbers agree."""  # [n], [m] -> [n, m] bool
    return left[:, None] == right


def among(lists: Tensor, right: Tensor) -> Tensor:
    """Return where a number stands in a row's list."""  # [n, r], [m] -> [n, m] bool
    return (lists[:, :, None] == right).any(1)


def comparable(candidates: Tensor, target: Tensor, relevant: Tensor) -> Tensor:
    """Return which candidates each row is compared with: its target, and what is not relevant.

    Equal numbers are equal texts, so a duplicate of a row's positive is no negative; negative
    numbers are places without a text and take no part.

    Args:
        candidates: Number of each candidate's text.         # [m]
        target: Column of each row's positive.               # [n]
        relevant: Numbers of texts that fit a row, or < 0.   # [n, r]

    Returns:
        Who takes part.                                      # [n, m] bool
    """
    own = same(target, torch.arange(len(candidates), device=candidates.device))
    return own | (~among(relevant, candidates) & (candidates >= 0))


def fitting(facts: dict[str, Tensor]) -> Tensor:
    """Return the numbers of the texts that fit each row: its document and what `relevant` names.

    Args:
        facts: `document_row` [n] and perhaps `relevant` [n, r].

    Returns:
        Numbers of texts, < 0 where there is none.  # [n, 1 + r]
    """
    own = facts["document_row"][:, None]
    return torch.cat([own, facts["relevant"]], 1) if "relevant" in facts else own


def strangers(candidates: Tensor, relevant: Tensor) -> Tensor:
    """Return which of its own candidates a row is compared with: texts that do not fit it.

    Args:
        candidates: Numbers of texts, < 0 where there is none.  # [n, m]
        relevant: Numbers of texts that fit a row, or < 0.      # [n, r]

    Returns:
        Who takes part.                                         # [n, m] bool
    """
    fit = (candidates[:, :, None] == relevant[:, None, :]).any(2)
    return ~fit & (candidates >= 0)


def near_duplicate(scores: Tensor, target: Tensor, *, margin: float) -> Tensor:
    """Return which candidates score above a row's positive by more than `margin`.

    Args:
        scores: Similarities.                  # [n, m]
        target: Column of each row's positive. # [n]
        margin: How far above.

    Returns:
        Suspected false negatives, never the positive itself.  # [n, m] bool
    """
    return scores > scores.gather(1, target[:, None]) + margin


def off_diagonal(n: int, device: torch.device | None = None) -> Tensor:
    """Return all places but i = j."""  # [n, n] bool
    return ~torch.eye(n, dtype=torch.bool, device=device)
