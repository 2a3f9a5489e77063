"""Long documents as windows that an encoder can read: whole sentences, as many as fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from magnetite.text.tokenizer import Tokenizer


class Chunk(NamedTuple):
    """One window of a document: `documents[document][start:end]`, behind its prefix."""

    document: int
    start: int
    end: int
    tokens: int
    prefix: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """The windows of some documents, in order; a sequence of `Chunk`."""

    documents: NDArray[np.int64]  # [n], which document each window is of
    spans: NDArray[np.int64]  # [n, 2], first character and the one after the last
    tokens: NDArray[np.int64]  # [n], ids of each row, prefix and special tokens among them
    sources: list[str]
    prefixes: list[str]

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, i: int) -> Chunk:
        document, tokens = int(self.documents[i]), int(self.tokens[i])
        start, end = map(int, self.spans[i])
        text = self.sources[document][start:end]
        return Chunk(document, start, end, tokens, self.prefixes[document], text)

    def __iter__(self) -> Iterator[Chunk]:
        return (self[i] for i in range(len(self)))

    def texts(self) -> list[str]:
        """Return what an encoder is given: each window behind its document's prefix."""
        return [chunk.prefix + chunk.text for chunk in self]


def chunk(
    tokenizer: Tokenizer,
    documents: Iterable[str],
    *,
    max_tokens: int,
    overlap: int = 0,
    prefixes: str | Iterable[str] = "",
    threads: int | None = None,
) -> Chunks:
    """Return documents cut into windows of at most `max_tokens` tokens, by sentences if possible.

    An encoder reads so many tokens and drops the rest. Windows make the rest findable: encode each
    as a row of its own, search the rows, and take the document of the best.

        chunks = chunk(tokenizer, texts, max_tokens=256, overlap=32, prefixes=titles)
        index = Index.build(encoder.encode(chunks.texts()))
        hit = chunks[index.search(query, k=1).ids[0, 0]]
        texts[hit.document][hit.start : hit.end]     # what was found, in its source

    What holds of the windows of a document:

    - Together they cover every character, white space too, and they begin and end in order.
    - A window behind its prefix, with the file's special tokens, has at most `max_tokens` ids when
      it is encoded; it is counted so, not estimated. Nothing of it is truncated.
    - It takes as many whole sentences as fit. A sentence that no window holds is cut between lines,
      then words, then characters; its first part shares a window with the sentences before it if
      those fill less than half of one.
    - Every document has a window, an empty one too, so no row of a corpus vanishes.

    Sentences and words are those of Unicode (UAX #29); a line break alone ends no sentence, a blank
    line does. An abbreviation ("Dr. Who") may end one: that costs a window some words, no text.

    Args:
        tokenizer: The encoder's own.
        documents: str, each of any length.
        max_tokens: The most ids of a row, special tokens among them: what the encoder reads.
        overlap: About how many tokens of a window are repeated at the beginning of the next, whole
            sentences where one fits, else words; at most half of `max_tokens`.
        prefixes: Put before every window of a document, one for each document (a title and ". ") or
            one for all (a prompt). Of one that takes more than half of a row, only the first words.
        threads: As `Tokenizer.encode_batch` takes it.

    Raises:
        TypeError: A document is no str, named by its position.
        ValueError: A row has no room for a character, named by its document; `overlap` is too
            large; there are not as many prefixes as documents.
    """
    if isinstance(documents, str):
        raise TypeError("documents must be an iterable of str; got one str; wrap it in a list")
    sources = list(documents)
    repeated = [prefixes] * len(sources) if isinstance(prefixes, str) else list(prefixes)
    found, spans, tokens, lengths = tokenizer.core.chunk(
        sources, repeated, max_tokens, overlap, threads
    )
    kept = [prefix[:length] for prefix, length in zip(repeated, lengths.tolist(), strict=True)]
    return Chunks(found, spans, tokens, sources, kept)
