"""How two texts become one row of tokens: what stands around them, and which of them is cut."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from magnetite.text import Tokenizer

Cut = Literal["document", "longest"]
"""Which text loses its end in a pair that is too long: see `kept`."""

NEEDED = "a cross-encoder needs a tokenizer whose template has a pair"


@dataclass(frozen=True)
class Frame:
    """The special tokens of a pair, and the type of every token.

    A row is `before`, the query, `between`, the document, `after`; each token of these three is an
    id and its type.
    """

    before: tuple[tuple[int, int], ...]
    between: tuple[tuple[int, int], ...]
    after: tuple[tuple[int, int], ...]
    query_type: int
    document_type: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Frame":
        """Return what `tokenizer` puts around two texts, read off a pair that it encodes.

        Raises:
            ValueError: The texts are not to be found in the pair.
        """
        try:
            probe = tokenizer.encode_pairs(["a"], ["b"])
        except ValueError as error:
            raise ValueError(f"{error}; {NEEDED}") from None
        types = np.zeros_like(probe.ids) if probe.type_ids is None else probe.type_ids
        row = list(zip(probe.ids.tolist(), types.tolist(), strict=True))
        ids = [token for token, _ in row]
        query, document = (tokenizer.encode_batch([one], special_tokens=False) for one in "ab")
        first = _find(ids, query.ids.tolist(), 0)
        second = _find(ids, document.ids.tolist(), first + len(query.ids))
        end = second + len(document.ids)
        return cls(
            before=tuple(row[:first]),
            between=tuple(row[first + len(query.ids) : second]),
            after=tuple(row[end:]),
            query_type=row[first][1],
            document_type=row[second][1],
        )

    @property
    def tokens(self) -> int:
        """How many tokens of a row belong to neither text."""
        return len(self.before) + len(self.between) + len(self.after)


def _find(ids: list[int], wanted: list[int], start: int) -> int:
    for place in range(start, len(ids) - len(wanted) + 1):
        if wanted and ids[place : place + len(wanted)] == wanted:
            return place
    raise ValueError(
        f"the tokenizer gives {ids} for the pair of 'a' and 'b', without {wanted}; {NEEDED}"
    )


def kept(query: Any, document: Any, room: int, *, cut: Cut) -> tuple[Any, Any]:  # noqa: ANN401
    """Return how many tokens of the query and of the document a row with this room keeps.

    `document`: the query stays whole as long as a token of the document stays, too. `longest`: the
    longer text is cut until both are alike, then both, as Hugging Face's `longest_first` does.

    Args:
        query: Tokens of each query.        # [n], a NumPy array or a tensor of integers
        document: Tokens of each document.  # [n]
        room: Tokens that both together may have, at least 2.
        cut: Which of them loses its end.
    """
    if cut == "document":
        first = query.clip(max=room - document.clip(max=1))
    else:
        half = room // 2 + (query > document) * (room % 2)  # an odd token goes to the longer
        first = query.clip(max=(room - document).clip(min=half))
    return first, document.clip(max=room - first)
