"""Files to examples. Gzip is transparent; a bad row is named by its file and line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from magnetite import evaluate
from magnetite._core import FormatError
from magnetite.learn.data.columns import ABSENT, Column, Data, Texts, TextTable, text_column
from magnetite.lines import bad_row, found, json_rows, text_lines

Row = tuple[int, dict[str, Any]]


def read_jsonl(path: str | Path, *, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> Data:
    """Return the examples of a file with one JSON object a line.

    Args:
        path: The file, or where only that exists the same with `.gz`.
        texts: Fields that hold a string or a list of strings: columns of text.
        numbers: Fields that hold a number: facts.

    Raises:
        FormatError: If a line is not an object, or a field is missing or of another kind.

    Example:
        read_jsonl("pairs.jsonl", texts=["query", "document", "negatives"])
    """
    path = found(Path(path))
    return _data(path, json_rows(path), texts, numbers)


def read_tsv(path: str | Path, *, texts: Sequence[str] = (), numbers: Sequence[str] = ()) -> Data:
    """Return the examples of a tab-separated file whose first line names the columns.

    Args:
        path: The file, or where only that exists the same with `.gz`.
        texts: Columns of text.
        numbers: Columns of numbers: facts.

    Raises:
        FormatError: If a line has another number of columns, or a field is no number.
    """
    path = found(Path(path))
    return _data(path, _tsv_rows(path), texts, numbers)


def read_lines(path: str | Path, *, name: str = "text") -> Data:
    """Return one example for each line that is not blank."""
    path = found(Path(path))
    lines = [line for _, line in text_lines(path)]
    if not lines:
        raise FormatError(f"{path} holds no examples")
    return Data.of_texts(**{name: lines})


def read_beir(folder: str | Path, *, split: str = "train") -> Data:
    """Return one example for each query and document judged relevant in a BEIR folder.

    Columns are the texts `query` and `document` (title, space, text) and the fact `relevant`, all
    documents that fit the query; `corpus` names every document, for mining.
    """
    beir = evaluate.read_beir(folder, split=split)
    table = TextTable()
    passages = table.rows(beir.corpus.passages())
    row_of = dict(zip(beir.corpus.ids, passages.tolist(), strict=True))
    fitting = {
        query: [row_of[document] for document, grade in judged.items() if grade > 0]
        for query, judged in beir.qrels.items()
    }
    pairs = [(query, row) for query, rows in fitting.items() for row in rows]
    if not pairs:
        raise FormatError(f"{folder}: the split {split!r} judges no document relevant")
    width = max(map(len, fitting.values()))
    relevant = [fitting[query] + [ABSENT] * (width - len(fitting[query])) for query, _ in pairs]
    return Data(
        {
            "query": Texts(table, table.rows(beir.queries[query] for query, _ in pairs)),
            "document": Texts(table, torch.tensor([row for _, row in pairs])),
            "relevant": torch.tensor(relevant),
        },
        corpus=passages.unique(),
    )


def _tsv_rows(path: Path) -> Iterator[Row]:
    lines = ((number, line.split("\t")) for number, line in text_lines(path))
    header = next(lines, (0, []))[1]
    for number, fields in lines:
        if len(fields) != len(header):
            wanted = f"{len(header)} tab-separated fields as in the first line"
            raise bad_row(path, number, f"expected {wanted}, got {len(fields)}")
        yield number, dict(zip(header, fields, strict=True))


def _data(path: Path, rows: Iterator[Row], texts: Sequence[str], numbers: Sequence[str]) -> Data:
    values: dict[str, list[Any]] = {name: [] for name in (*texts, *numbers)}
    if not values:
        raise ValueError("name at least one column, as in texts=['query', 'document']")
    for line, row in rows:
        for name, column in values.items():
            if name not in row:
                got = ", ".join(row) or "none"
                raise bad_row(path, line, f"expected the field {name!r}, got {got}")
            checked = _text if name in texts else _number
            column.append(checked(path, line, name, row[name]))
    if not next(iter(values.values())):
        raise FormatError(f"{path} holds no examples")
    table = TextTable()
    columns: dict[str, Column | Tensor] = {
        name: text_column(table, _alike(values[name])) for name in texts
    }
    return Data(columns | {name: torch.tensor(values[name]) for name in numbers})


def _text(path: Path, line: int, name: str, value: object) -> object:
    several = isinstance(value, list) and all(isinstance(text, str) for text in value)
    if isinstance(value, str) or several:
        return value
    got = type(value).__name__
    raise bad_row(path, line, f"expected {name!r} as a string or a list of strings, got {got}")


def _number(path: Path, line: int, name: str, value: object) -> float:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise bad_row(path, line, f"expected {name!r} as a number, got {value!r}")


def _alike(values: list[Any]) -> list[Any]:
    """Return the values as they are when all are strings, else every one as a list."""
    if all(isinstance(value, str) for value in values):
        return values
    return [[value] if isinstance(value, str) else value for value in values]
