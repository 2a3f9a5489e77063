"""The polite side of the tokenizer: every default, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from magnetite import _core
from magnetite.text.sources import readable, whole

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike, NDArray

    from magnetite.text.sources import Texts

Strategy: TypeAlias = Literal["longest_first", "only_first", "only_second"]


class Tokenizer:
    """A tokenizer as its `tokenizer.json` defines it.

    Immutable: any thread may use it, a forked child too, and it pickles by its JSON.

    Example:
        >>> tokenizer = Tokenizer.load("artifact/tokenizer.json")
        >>> tokens = tokenizer.encode_batch(["one text", "another"], max_tokens=256)
        >>> ids, mask = tokens.padded()
    """

    __slots__ = ("core",)

    core: Final[_core.Tokenizer]

    def __init__(self, core: _core.Tokenizer) -> None:
        self.core = core

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a `tokenizer.json`.

        Raises:
            FormatError: It is no tokenizer, or one whose limits leave no room for text.
            OSError: It cannot be read.
        """
        return cls(_core.Tokenizer.load(Path(path)))

    @classmethod
    def from_json(cls, json: str) -> Tokenizer:
        """Take the text of a `tokenizer.json`."""
        return cls(_core.Tokenizer.from_json(json))

    def to_json(self) -> str:
        """Return the text that this tokenizer was made from, unchanged."""
        return self.core.to_json()

    def encode_batch(
        self,
        texts: Texts,
        *,
        max_tokens: int | None = None,
        special_tokens: bool = True,
        offsets: bool = False,
        threads: int | None = None,
    ) -> _core.Tokens:
        """Return the ids of every text, one ragged row a text, in order.

        The ids are those of Hugging Face's `encode_batch` for the same file. By design, padding is
        never among the ragged ids (`Tokens.padded` adds what the file says), and a lone surrogate,
        which Hugging Face refuses, counts as U+FFFD.

        Args:
            texts: A list or another iterable of str, a NumPy array of strings of any kind, or an
                Arrow column of strings (pyarrow's, or whatever has `__arrow_c_stream__`). Lists and
                Arrow's `string` and `large_string` are read where they lie, what an iterator makes
                a few thousand at a time, so memory is that of the ids.
            max_tokens: The most ids a row may have, special tokens among them; the rest is cut from
                the side that the file names, else from the right, and the row reported in
                `Tokens.truncated`. It replaces the file's own limit and the file's fixed width.
                None: the file's own truncation and padding hold.
            special_tokens: Put the file's special tokens around each text.
            offsets: Fill `Tokens.offsets` with each id's characters, as Hugging Face counts them.
            threads: How many may work; None for as many as the machine has to give.

        Raises:
            TypeError: An item is no str, named by its position, or `texts` is itself one str.
            ValueError: `max_tokens` leaves no room for text, the model has no token for a text, or
                an Arrow column has a null or no UTF-8, named by its row.
        """
        return self.core.encode_batch(readable(texts), max_tokens, special_tokens, offsets, threads)

    def encode_pairs(
        self,
        first: str | Texts,
        second: Texts,
        *,
        max_tokens: int | None = None,
        strategy: Strategy | None = None,
        special_tokens: bool = True,
        offsets: bool = False,
        threads: int | None = None,
    ) -> _core.Tokens:
        """Return the ids of pairs of texts, one row a pair, as cross-encoders read them.

        The ids and `Tokens.type_ids` are those of Hugging Face's `encode_batch` of the pairs, less
        its padding. `Tokens.padded_type_ids` is the rectangle beside `Tokens.padded`.

        Args:
            first: As many texts as `second` has, or one before each of them: a question.
            second: The passages, as `encode_batch` takes them.
            max_tokens: As `encode_batch` takes it: the most ids of a row.
            strategy: Which text is cut: `longest_first` shortens the longer until both are alike,
                then both; `only_first` and `only_second` leave the other whole. None: as the file
                says, else `longest_first`.
            special_tokens: Put the file's special tokens around and between the texts.
            offsets: Fill `Tokens.offsets` with each id's characters in its own text.
            threads: As `encode_batch` takes it.

        Raises:
            TypeError: An item is no str.
            ValueError: As `encode_batch`; there are not as many texts of both kinds; the text that
                must stay whole leaves no room for the other, named by its row.
        """
        questions = [first] if isinstance(first, str) else whole(first)
        return self.core.encode_pairs(
            questions, whole(second), max_tokens, strategy, special_tokens, offsets, threads
        )

    def encode_padded(
        self,
        texts: Texts,
        *,
        max_tokens: int | None = None,
        special_tokens: bool = True,
        threads: int | None = None,
        out: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return `encode_batch(...).padded()`, without the ragged arrays between.

        Args:
            texts: As `encode_batch` takes them.
            max_tokens: As `encode_batch` takes it.
            special_tokens: As `encode_batch` takes it.
            threads: As `encode_batch` takes it.
            out: Two int64 arrays in C order, a row a text and at least as wide as the longest row
                and the file's own padding ask. Every cell is written, and they are returned.

        Raises:
            TypeError: An item is no str, or `texts` is itself one str.
            ValueError: As `encode_batch`; or `out` does not fit.
        """
        return self.core.encode_padded(readable(texts), max_tokens, special_tokens, threads, out)

    def decode(self, ids: ArrayLike, *, skip_special_tokens: bool = True) -> str:
        """Return the text of some ids, as the file's decoder joins it."""
        return self.core.decode(np.asarray(ids).tolist(), skip_special_tokens)

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a token, None if there is none."""
        return self.core.token_to_id(token)

    def id_to_token(self, token_id: int) -> str | None:
        """Return the token of an id, None if there is none."""
        return self.core.id_to_token(token_id)

    @property
    def engine(self) -> str:
        """What turns text into ids: the family of the fast path, or "tokenizers".

        The ids are the same; a file whose parts are not all recognised goes to Hugging Face's own.
        """
        return self.core.engine

    @property
    def vocab_size(self) -> int:
        """One more than the largest id: the rows that a table of token vectors needs."""
        return self.core.vocab_size

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Tokenizer.from_json, (self.to_json(),)


def pack(
    lengths: ArrayLike, batch_tokens: int, max_tokens: int
) -> list[tuple[NDArray[np.int64], int]]:
    """Return batches of rows of like length: (row numbers, width to pad them to), longest first.

    Every row is in one batch. Widths lie on a grid about 5 % apart, at most 80 of them up to
    `max_tokens`, and rows × width is at most `batch_tokens` unless one row alone has more. Writing
    each batch's results to its row numbers restores the order:

        for rows, width in pack(np.diff(tokens.starts), 16384, 256):
            out[rows] = encode(*tokens.fill(rows, width))

    Raises:
        ValueError: A length is negative or above `max_tokens`, or a budget is below 1.
    """
    return _core.pack(np.ascontiguousarray(lengths, dtype=np.int64), batch_tokens, max_tokens)
