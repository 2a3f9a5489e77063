"""Many texts as one stream of tokens, and what stands around a text."""

import torch

from magnetite.learn.data.columns import Texts, Windows
from magnetite.learn.types import Tokenizer

WHOLE = 2**30
"""More tokens than a text has: given as a limit, it overrides the tokenizer's own."""


def windows(texts: Texts, tokenizer: Tokenizer, *, width: int) -> Windows:
    """Return all windows of the stream that the texts make, joined without special tokens.

    Raises:
        ValueError: If the stream is shorter than one window.
    """
    tokens = texts.table.tokenized(tokenizer, WHOLE, special_tokens=False)
    parts = [tokens.ids[tokens.starts[i] : tokens.starts[i + 1]] for i in texts.rows.tolist()]
    stream = torch.cat(parts) if parts else tokens.ids
    if len(stream) < width:
        raise ValueError(
            f"{len(stream)} tokens do not fill one window of {width}; give more text or a "
            "narrower window"
        )
    return Windows(stream, width)


def brackets(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the special tokens that the tokenizer puts before and behind a text."""
    bare = tokenizer.encode_batch(["a"], special_tokens=False)
    dressed = tokenizer.encode_batch(["a"]).ids.tolist()
    inner = bare.ids.tolist()
    for start in range(len(dressed) - len(inner) + 1):
        if dressed[start : start + len(inner)] == inner:
            return dressed[:start], dressed[start + len(inner) :]
    raise ValueError(f"the tokenizer gives {inner} without and {dressed} with special tokens")
