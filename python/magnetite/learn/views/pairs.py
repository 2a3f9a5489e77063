"""Two texts as one row of tokens, and some of an example's texts: functions of token ids."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from magnetite.encode.frame import Frame, kept
from magnetite.learn.randomness import uniform
from magnetite.learn.types import Padded


def close_up(keep: Tensor, *rows: Tensor) -> tuple[Padded, list[Tensor]]:
    """Return the cells that `keep` names, moved to the left, zeros behind them.

    Args:
        keep: Which cells stay.       # [n, L] bool
        rows: One number a cell; ids are the first.  # [n, L] each

    Returns:
        Ids and mask, and the further rows in the same order.  # [n, L'] each
    """
    order = (~keep).long().sort(dim=1, stable=True).indices
    width = max(int(keep.sum(1).max()), 1) if len(keep) else 1
    mask = keep.gather(1, order)[:, :width].long()
    ids, *others = (row.gather(1, order)[:, :width] * mask for row in rows)
    return Padded(ids, mask), others


def below(texts: Padded, vocabulary: int) -> Padded:
    """Return the texts without tokens that were added behind a vocabulary, closed up."""
    return close_up(texts.mask.bool() & (texts.ids < vocabulary), texts.ids)[0]  # [n, L] both


def join(
    query: Padded, documents: Padded, *, frame: Frame, brackets: Sequence[int], max_tokens: int
) -> tuple[Padded, Tensor]:
    """Return each query with each of its documents as one row, cut as serving cuts by default.

    Args:
        query: Texts between their special tokens.       # [n, L]
        documents: The same, m for each query.           # [n, m, L']
        frame: What stands around two texts.
        brackets: Special tokens before and behind a single text; they go.
        max_tokens: Of a row.

    Returns:
        Ids and mask, and every token's type.            # [n · m, L''] each
    """
    before, behind = brackets
    many = documents.ids.shape[1]
    query = Padded(query.ids.repeat_interleave(many, 0), query.mask.repeat_interleave(many, 0))
    document = Padded(documents.ids.flatten(0, 1), documents.mask.flatten(0, 1))
    n, device = len(query), query.ids.device
    asked, told = ((one.mask.sum(1) - before - behind).clamp(min=0) for one in (query, document))
    lengths = kept(asked, told, max_tokens - frame.tokens, cut="document")
    ids, types, keep = [], [], []
    texts = zip((query, document), lengths, (frame.query_type, frame.document_type), strict=True)
    for around in (frame.before, frame.between, frame.after):
        special = torch.tensor(around, dtype=torch.int64, device=device).view(-1, 2)
        ids.append(special[:, 0].expand(n, -1))
        types.append(special[:, 1].expand(n, -1))
        keep.append(torch.ones_like(ids[-1], dtype=torch.bool))
        for text, length, kind in [next(texts)] if around is not frame.after else []:
            inner = text.ids[:, before:]
            ids.append(inner)
            types.append(torch.full_like(inner, kind))
            keep.append(torch.arange(inner.shape[1], device=device) < length[:, None])
    rows, [kinds] = close_up(torch.cat(keep, 1), torch.cat(ids, 1), torch.cat(types, 1))
    return rows, kinds


def beside(texts: Padded, lists: Padded) -> Padded:
    """Return each text before those of its list."""  # [n, L], [n, m, L'] -> [n, 1 + m, L'']
    width = max(texts.ids.shape[-1], lists.ids.shape[-1])
    parts = [Padded(texts.ids[:, None], texts.mask[:, None]), lists]
    ids, mask = (
        torch.cat([F.pad(one, (0, width - one.shape[-1])) for one in pair], 1)
        for pair in ([part.ids for part in parts], [part.mask for part in parts])
    )
    return Padded(ids, mask)


def some(rows: Tensor, keys: Tensor, count: int) -> Tensor:
    """Return the places of at most `count` texts of each row, at random, those there are first.

    Args:
        rows: Numbers of texts, < 0 where there is none.  # [n, m]
        keys: One key a row.                              # [n]
        count: How many to draw.

    Returns:
        Places without repetition.                        # [n, min(count, m)]
    """
    luck = uniform(keys, rows.shape[1]).masked_fill(rows < 0, -1.0)
    return luck.topk(min(count, rows.shape[1]), dim=1).indices


def picked(texts: Padded, places: Tensor) -> Padded:
    """Return the texts of each row at these places."""  # [n, m, L], [n, k] -> [n, k, L']
    wide = places[..., None].expand(-1, -1, texts.ids.shape[-1])
    return Padded(texts.ids.gather(1, wide), texts.mask.gather(1, wide)).trimmed()
