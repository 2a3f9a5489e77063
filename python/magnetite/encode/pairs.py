"""Pairs of texts to rows of tokens: every distinct text is tokenized once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magnetite.encode.engines import Ragged
from magnetite.encode.frame import Cut, Frame, kept
from magnetite.text import Tokenizer, Tokens

Pair = tuple[str, str]
"""A query and a document."""


@dataclass(frozen=True)
class Pairing:
    """How pairs become rows: the tokenizer, what it puts around two texts, and where rows end."""

    tokenizer: Tokenizer
    frame: Frame
    max_tokens: int
    cut: Cut = "document"
    threads: int | None = None

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        max_tokens: int,
        *,
        cut: Cut = "document",
        threads: int | None = None,
    ) -> "Pairing":
        """Return the pairing of a tokenizer.

        Raises:
            ValueError: It has no template for pairs, or `max_tokens` leaves no room for two texts.
        """
        frame = Frame.of(tokenizer)
        if max_tokens < frame.tokens + 2:
            raise ValueError(
                f"max_tokens is {max_tokens}; a pair has {frame.tokens} special tokens and at "
                f"least one of each text, so at least {frame.tokens + 2} are wanted"
            )
        return cls(tokenizer, frame, max_tokens, cut, threads)

    def rows(self, pairs: Iterable[Pair]) -> tuple[Ragged, NDArray[np.int64]]:
        """Return one row of tokens a pair, with types, and the numbers of those that were cut."""
        queries, documents = [], []
        for query, document in pairs:
            queries.append(query)
            documents.append(document)
        asked, query_of = self._tokens(queries)
        told, document_of = self._tokens(documents)
        lengths = (np.diff(asked.starts)[query_of], np.diff(told.starts)[document_of])
        kept_of = kept(*lengths, self.max_tokens - self.frame.tokens, cut=self.cut)
        truncated = (kept_of[0] < lengths[0]) | (kept_of[1] < lengths[1])
        return self._joined(asked, query_of, told, document_of, kept_of), truncated.nonzero()[0]

    def _tokens(self, texts: Sequence[str]) -> tuple[Tokens, NDArray[np.int64]]:
        """Return the tokens of the distinct texts, and which of them each text is."""
        number: dict[str, int] = {}
        which = [number.setdefault(text, len(number)) for text in texts]
        # No row has room for more, so a long text costs no more than it may keep.
        tokens = self.tokenizer.encode_batch(
            list(number), max_tokens=self.max_tokens, special_tokens=False, threads=self.threads
        )
        return tokens, np.array(which, np.int64)

    def _joined(
        self,
        asked: Tokens,
        query_of: NDArray[np.int64],
        told: Tokens,
        document_of: NDArray[np.int64],
        kept_of: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> Ragged:
        """Return before, query, between, document, after of every pair, one behind the other."""
        frame, n = self.frame, len(query_of)
        special = np.array([*frame.before, *frame.between, *frame.after], np.int32).reshape(-1, 2)
        ids = np.concatenate([special[:, 0], asked.ids, told.ids])
        types = np.concatenate(
            [
                special[:, 1],
                np.full(len(asked.ids), frame.query_type, np.int32),
                np.full(len(told.ids), frame.document_type, np.int32),
            ]
        )
        sizes = [len(one) for one in (frame.before, frame.between, frame.after)]
        pieces = (  # where each begins in `ids`, and how long it is
            (np.zeros(n, np.int64), np.full(n, sizes[0])),
            (len(special) + asked.starts[:-1][query_of], kept_of[0]),
            (np.full(n, sizes[0]), np.full(n, sizes[1])),
            (len(special) + len(asked.ids) + told.starts[:-1][document_of], kept_of[1]),
            (np.full(n, sizes[0] + sizes[1]), np.full(n, sizes[2])),
        )
        begins, lengths = (np.stack(one, 1) for one in zip(*pieces, strict=True))  # [n, 5] each
        ends = lengths.cumsum().reshape(n, len(pieces))
        shift = (begins - ends + lengths).ravel()
        place = np.arange(ends[-1, -1] if n else 0) + np.repeat(shift, lengths.ravel())
        starts = np.concatenate([np.zeros(1, np.int64), ends[:, -1]])
        return Ragged(ids[place], starts, types[place])
