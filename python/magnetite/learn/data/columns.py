"""Examples as columns: texts are rows of one table of distinct texts, everything else a tensor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from magnetite.learn.types import Batch, Facts, Padded, Rows, Tokenizer

ABSENT = -1
"""Row number of a text that an example does not have."""


class TextTable:
    """Distinct texts, numbered in order of first appearance; tokenized once when asked."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts: list[str] = []
        self._number: dict[str, int] = {}
        self._tokens: dict[tuple[int, int | None, bool], Ragged] = {}
        self.rows(texts)

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, texts: Iterable[str]) -> Tensor:
        """Return the number of each text, adding those that are new."""  # [n], int64
        found = []
        for text in texts:
            number = self._number.setdefault(text, len(self.texts))
            if number == len(self.texts):
                self.texts.append(text)
            found.append(number)
        return torch.tensor(found, dtype=torch.int64)

    def tokenized(
        self, tokenizer: Tokenizer, max_tokens: int | None, *, special_tokens: bool = True
    ) -> "Ragged":
        """Return the token ids of every text."""
        asked = (id(tokenizer), max_tokens, special_tokens)
        known = self._tokens.get(asked)
        if known is None or len(known) != len(self):
            lists = tokenizer.encode_batch(
                self.texts, max_tokens=max_tokens, special_tokens=special_tokens
            )
            known = self._tokens[asked] = Ragged.of(lists.ids, lists.starts)
        return known


@dataclass(frozen=True)
class Ragged:
    """Token ids end to end: text i is `ids[starts[i]:starts[i + 1]]`.

    Attributes:
        ids: Token ids.                      # [total], int32 or int64
        starts: Where each text begins.      # [n + 1], int64
    """

    ids: Tensor
    starts: Tensor

    @staticmethod
    def of(ids: np.ndarray, starts: np.ndarray) -> "Ragged":
        """Return the same lists as tensors, ids in 32 bits."""
        return Ragged(
            torch.from_numpy(np.array(ids, dtype=np.int32)),
            torch.from_numpy(np.array(starts, dtype=np.int64)),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def padded(self, rows: Tensor) -> Padded:
        """Return some texts side by side; the row `ABSENT` gives a text without tokens.

        Args:
            rows: Numbers of texts.  # [...]

        Returns:
            Ids and mask.            # [..., L], L ≥ 1
        """
        flat = rows.flatten()
        here = flat.clamp(min=0)
        lengths = (self.starts[here + 1] - self.starts[here]) * (flat >= 0)
        width = max(int(lengths.max()) if len(flat) else 0, 1)
        mask = torch.arange(width) < lengths[:, None]
        place = (self.starts[here, None] + torch.arange(width)) * mask
        ids = self.ids[place].long() * mask if len(self.ids) else torch.zeros_like(place)
        shape = (*rows.shape, width)
        return Padded(ids.view(shape), mask.long().view(shape))


class Column(Protocol):
    """One value of every example."""

    def __len__(self) -> int: ...

    def take(self, name: str, rows: Tensor) -> tuple[dict[str, Rows], Facts]:
        """Return what these rows bring to a batch: inputs and facts."""
        ...


@dataclass(frozen=True)
class Texts:
    """One text, or m of them, of every example.

    In a batch it is the input of its name and the fact `NAME_row`: equal numbers are equal texts,
    across all columns of one table, and `ABSENT` is no text.

    Attributes:
        table: The texts.
        rows: Numbers in the table.  # [n] or [n, m], int64
        tokens: Their ids, once tokenized.
    """

    table: TextTable
    rows: Tensor
    tokens: Ragged | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, name: str, rows: Tensor) -> tuple[dict[str, Rows], Facts]:
        """Return the padded ids and the table's row numbers of some examples."""
        if self.tokens is None:
            raise ValueError(f"column {name!r} is text; call Data.tokenized(tokenizer) first")
        wanted = self.rows[rows]
        return {name: self.tokens.padded(wanted)}, {f"{name}_row": wanted}


@dataclass(frozen=True)
class Vectors:
    """An input of every example that is numbers already: vectors, images."""  # [n, ...]

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def take(self, name: str, rows: Tensor) -> tuple[dict[str, Rows], Facts]:
        """Return the values of some examples as an input."""
        return {name: self.values[rows]}, {}


@dataclass(frozen=True)
class Windows:
    """Every window of `width` tokens of one stream: example i starts at token i.

    Attributes:
        ids: The stream, without special tokens.  # [total]
        width: Tokens a window.
    """

    ids: Tensor
    width: int

    def __len__(self) -> int:
        return max(len(self.ids) - self.width + 1, 0)

    def take(self, name: str, rows: Tensor) -> tuple[dict[str, Rows], Facts]:
        """Return some windows; all of them are full."""
        ids = self.ids[rows[:, None] + torch.arange(self.width)].long()
        return {name: Padded(ids, torch.ones_like(ids))}, {}


@dataclass(frozen=True)
class _Fact:
    """A fact of every example."""  # [n, ...]

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def take(self, name: str, rows: Tensor) -> tuple[dict[str, Rows], Facts]:
        """Return the values of some examples as a fact."""
        return {}, {name: self.values[rows]}


@dataclass(frozen=True)
class Data:
    """Numbered examples.

    Attributes:
        columns: Values by name: `Texts`, `Vectors` and `Windows` become inputs of a batch, a
            plain tensor a fact.
        corpus: Rows of the text table that can be found by a search, for mining; `None`: those
            that the column `document` names.
    """

    columns: Mapping[str, Column | Tensor]
    corpus: Tensor | None = None
    _length: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns must be equally long and at least one; got {lengths}")
        object.__setattr__(self, "_length", next(iter(lengths.values())))

    @staticmethod
    def of_texts(**columns: Sequence[str] | Sequence[Sequence[str]]) -> "Data":
        """Return examples from lists of texts; a list of lists gives each example several.

        Example:
            Data.of_texts(query=["q1", "q2"], document=["d1", "d2"], negatives=[["x"], []])
        """
        table = TextTable()
        return Data({name: text_column(table, texts) for name, texts in columns.items()})

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> Column | Tensor:
        try:
            return self.columns[name]
        except KeyError:
            known = ", ".join(self.columns)
            raise KeyError(f"no column {name!r}; the data have: {known}") from None

    def having(self, **columns: Column | Tensor) -> "Data":
        """Return the same examples with these columns added or replaced."""
        return replace(self, columns={**self.columns, **columns})

    def texts(self, name: str) -> Texts:
        """Return a column that must hold texts."""
        column = self[name]
        if not isinstance(column, Texts):
            raise TypeError(f"column {name!r} must hold texts, got {type(column).__name__}")
        return column

    def take(self, rows: Tensor) -> Batch:
        """Return the examples with these numbers; the fact `row` holds the numbers."""
        inputs: dict[str, Rows] = {}
        facts: Facts = {"row": rows}
        for name, column in self.columns.items():
            source = _Fact(column) if isinstance(column, Tensor) else column
            more_inputs, more_facts = source.take(name, rows)
            inputs |= more_inputs
            facts |= more_facts
        return Batch(inputs, facts)

    def tokenized(self, tokenizer: Tokenizer, max_tokens: int | None = None) -> "Data":
        """Return the same examples with every text turned into ids, each distinct text once."""
        ready: dict[str, Column | Tensor] = {}
        for name, column in self.columns.items():
            if isinstance(column, Texts) and column.tokens is None:
                column = replace(column, tokens=column.table.tokenized(tokenizer, max_tokens))
            ready[name] = column
        return replace(self, columns=ready)


def text_column(table: TextTable, texts: Sequence[str] | Sequence[Sequence[str]]) -> Texts:
    """Return a column of texts, or of lists of texts of any lengths, numbered in `table`."""
    if all(isinstance(text, str) for text in texts):
        return Texts(table, table.rows(str(text) for text in texts))
    lists = [table.rows(group) for group in texts]
    width = max((len(group) for group in lists), default=0)
    rows = torch.full((len(lists), max(width, 1)), ABSENT)
    for row, group in zip(rows, lists, strict=True):
        row[: len(group)] = group
    return Texts(table, rows)
